/* index_assign, index_near, index_neighbours, index_route_entries, index_append, index_copy, index_compact, index_halve and index_search over one small
 * index: each row's buckets, entries and half against their formulas; each result live, allowed, met once, in order and at its distance;
 * and all rows found when all may be. With values whose squares overflow nothing is said of the results but that the calls end within
 * their arguments. */
#include "index.h"

#include <float.h>

#include "harness.h"

uint32_t *sign_flips(size_t padded, size_t rounds);

enum { MOST_ROWS = 60, MOST_BUCKETS = 80, SPARE_BLOCKS = 6, TAIL_BLOCKS = 2, SURE_BUCKETS = 16, NEAR_ROWS = 8 };

/* From so many buckets on, groups are read. */
enum { GROUPED_BUCKETS = 2100, MORE_BUCKETS = 400, MOST_GROUPS = 90 };

/* What one variant has written and the next writes again. */
typedef struct {
  drift_index index, groups;
  uint32_t *heads, *sizes, *lives, *next;
  uint32_t *group_heads, *group_sizes, *group_next;
  uint32_t *home, *second;
  size_t row_count;
  int finite;
} world;

static int bit(const uint32_t *bits, size_t row) { return bits[row / 32] >> row % 32 & 1; }

/* Words about as long as those that are learned. */
static const float *codebooks_of(size_t padded) {
  float *books = floats(16 * padded + 1, 1);
  books[16 * padded] = sqrtf((float)padded);
  return books;
}

static void draw_world(world *w) {
  size_t dim = below(32) ? 1 + below(below(8) ? 130 : 700) : 2049 + below(64), padded = (dim + 63) / 64 * 64;
  w->row_count = 1 + below(dim > 1000 ? 8 : MOST_ROWS);
  int is_grouped = dim <= 64 && below(8) == 0;
  size_t buckets = is_grouped ? GROUPED_BUCKETS + below(MORE_BUCKETS) : 1 + below(dim > 500 ? 8 : MOST_BUCKETS), rounds = 2 + below(2);
  float scale = below(4) ? 1 : powf(10, (float)below(80) - 41);
  w->finite = scale < 1e15f && scale > 1e-15f;
  uint32_t *flips = sign_flips(padded, rounds);
  float *vectors = floats(w->row_count * dim, scale), *centroids = memory(buckets * padded * sizeof(float));
  float *center = floats(padded, below(2) ? 0 : 0.1f * scale);
  for (size_t r = 1; r < w->row_count && below(4) == 0; r++) memcpy(vectors + r * dim, vectors, dim * sizeof(float));
  const drift_kernels *plain = drift_variant(0);
  static float rotated[MOST_ROWS * 2112];
  plain->rotate(vectors, dim, padded, 0, w->row_count, flips, rounds, rotated);
  for (size_t b = 0; b < buckets; b++) {
    const float *near = rotated + below(w->row_count) * padded;
    for (size_t i = 0; i < padded; i++) centroids[b * padded + i] = near[i] * unit();
  }
  uint8_t *codes = memory(w->row_count * padded), *centroid_codes = memory(buckets * padded);
  float *factors = outputs(2 * w->row_count), *centroid_factors = outputs(2 * buckets);
  plain->sq8_encode(rotated, padded, 0, w->row_count, codes, factors);
  plain->sq8_encode(centroids, padded, 0, buckets, centroid_codes, centroid_factors);
  uint32_t *live = memory((w->row_count + 31) / 32 * 4);
  for (size_t i = 0; i < (w->row_count + 31) / 32; i++) live[i] = below(2) ? UINT32_MAX : draw();
  w->index = (drift_index){.metric = below(2) ? DRIFT_L2 : DRIFT_IP,
                           .routing = below(2) ? DRIFT_L2 : DRIFT_IP,
                           .dim = dim,
                           .padded = padded,
                           .flips = flips,
                           .rounds = rounds,
                           .vectors = below(4) ? vectors : NULL,
                           .codes = codes,
                           .factors = factors,
                           .live = live,
                           .row_limit = below(4) ? w->row_count : below(w->row_count + 1),
                           .centroids = centroids,
                           .centroid_codes = centroid_codes,
                           .centroid_factors = centroid_factors,
                           .center = center,
                           .reads_all = below(6) == 0,
                           .codebooks = below(3) ? NULL : codebooks_of(padded),
                           .bucket_count = buckets,
                           .block_count = (is_grouped ? 2 * w->row_count : buckets) + SPARE_BLOCKS};
  if (!is_grouped) return;
  /* The first buckets are the centers of groups too. */
  w->groups = w->index;
  w->groups.metric = w->groups.routing = DRIFT_L2;
  w->groups.dim = padded;
  w->groups.codebooks = NULL;
  w->groups.vectors = NULL;
  w->groups.codes = centroid_codes;
  w->groups.factors = centroid_factors;
  w->groups.bucket_count = 1 + below(MOST_GROUPS);
  w->groups.block_count = buckets / BLOCK_ENTRIES + w->groups.bucket_count;
  w->index.groups = &w->groups;
}

static void make_outputs(world *w) {
  drift_index *index = &w->index;
  size_t bytes = block_bytes(index->padded);
  index->router = memory((index->bucket_count + 31) / 32 * bytes);
  index->blocks = memory(index->block_count * bytes);
  index->heads = w->heads = memory(index->bucket_count * 4);
  index->sizes = w->sizes = memory(index->bucket_count * 4);
  index->lives = w->lives = memory(index->bucket_count * 4);
  index->next = w->next = memory(index->block_count * 4);
  w->home = memory(w->row_count * 4);
  w->second = memory(w->row_count * 4);
  if (!index->groups) return;
  w->groups.router = index->router;
  w->groups.blocks = memory(w->groups.block_count * bytes);
  w->groups.heads = w->group_heads = memory(w->groups.bucket_count * 4);
  w->groups.sizes = w->group_sizes = memory(w->groups.bucket_count * 4);
  w->groups.next = w->group_next = memory(w->groups.block_count * 4);
}

static void clear_blocks(uint8_t *blocks, size_t count, size_t padded) {
  for (size_t b = 0; b < count; b++) {
    uint8_t *block = blocks + b * block_bytes(padded);
    memset(block, 0, block_bytes(padded));
    for (size_t j = 0; j < BLOCK_ENTRIES; j++) {
      block_add(block, padded)[j] = INFINITY;
      block_rows(block, padded)[j] = NO_ROW;
    }
  }
}

static void decoded(const drift_index *index, size_t row, float *out) {
  for (size_t i = 0; i < index->padded; i++) {
    out[i] = index->factors[2 * row] * (float)(index->codes[row * index->padded + i] - 128);
  }
}

/* The codewords of the entry against the formulas of index.h. */
static void check_words(drift_metric metric, const float *books, const float *x, const float *centroid, size_t padded, uint8_t *block,
                        size_t slot) {
  double squares = 0, along = 0, wc = 0, rc = 0, size_along = 0, size_wc = 0, size_rc = 0;
  for (size_t i = 0; i < padded; i++) {
    float r = x[i] - centroid[i];
    squares += (double)r * r;
    rc += (double)r * centroid[i];
    size_rc += fabs((double)r * centroid[i]);
  }
  double times = squares > 0 ? books[16 * padded] / sqrt(squares) : 0;
  for (size_t g = 0; g < padded / 4; g++) {
    size_t chosen = block[g * 16 + slot % 16] >> (slot < 16 ? 0 : 4) & 15;
    double least = INFINITY, own = 0, size = 0;
    for (size_t m = 0; m < 16; m++) {
      double lack = 0;
      for (size_t b = 0; b < 4; b++) {
        double w = books[64 * g + 16 * b + m], part = times * (double)(x[4 * g + b] - centroid[4 * g + b]);
        lack += (w - part) * (w - part);
        size += w * w + part * part;
      }
      least = lack < least ? lack : least;
      own = m == chosen ? lack : own;
    }
    if (own > least + 1e-5 * size) fail("word of group %zu is %g away, another one %g", g, own, least);
    for (size_t b = 0; b < 4; b++) {
      double w = books[64 * g + 16 * b + chosen], r = x[4 * g + b] - centroid[4 * g + b];
      along += w * r;
      wc += w * centroid[4 * g + b];
      size_along += fabs(w * r);
      size_wc += fabs(w * centroid[4 * g + b]);
    }
  }
  float scale = block_scale(block, padded)[slot], add = block_add(block, padded)[slot];
  double least = squares > FLT_MIN ? along / sqrt(squares * (double)padded) : 1;
  if (least < 0.126) { /* says nothing, or may */
    if (least < 0.124 && (scale != 0 || add != -FLT_MAX)) fail("words of %g along the residual say %g, %g", least, (double)scale, (double)add);
    return;
  }
  double h = along > 0 ? squares / along : 0, size_h = along > 0 ? h * size_along / along + FLT_MIN : 0;
  check_sum("scale by words", slot, scale, metric == DRIFT_L2 ? 2 * h : h, 4 * size_h, 8 * padded);
  check_sum("add by words", slot, add, metric == DRIFT_L2 ? squares + 2 * h * wc : h * wc - rc,
            squares + 4 * size_h * size_wc + size_rc + FLT_MIN, 8 * padded);
}

/* The entry against the formulas of index.h. */
static void check_entry(drift_metric metric, const float *books, const float *x, const float *centroid, size_t padded, uint8_t *block,
                        size_t slot, uint32_t row) {
  check_equal("row of the entry", slot, block_rows(block, padded)[slot], row);
  if (books) {
    check_words(metric, books, x, centroid, padded, block, slot);
    return;
  }
  double squares = 0, l1 = 0, sc = 0, rc = 0, size_sc = 0, size_rc = 0;
  for (size_t i = 0; i < padded; i++) {
    float r = x[i] - centroid[i];
    int nibble = block[i / 4 * 16 + slot % 16] >> (slot < 16 ? 0 : 4);
    check_equal("sign", i, (uint64_t)(nibble >> i % 4 & 1), r >= 0);
    squares += (double)r * r;
    l1 += fabs((double)r);
    sc += r >= 0 ? (double)centroid[i] : -(double)centroid[i];
    rc += (double)r * centroid[i];
    size_sc += fabs((double)centroid[i]);
    size_rc += fabs((double)r * centroid[i]);
  }
  double h = l1 > 0 ? squares / l1 : 0;
  /* Sums in one chain, so with the bound of four times as many terms. A square below FLT_MIN is rounded as one of that size. */
  double size_squares = squares + (double)padded * FLT_MIN, size_h = l1 > 0 ? size_squares / l1 : 0;
  check_sum("scale", slot, block_scale(block, padded)[slot], metric == DRIFT_L2 ? 2 * h : h, 4 * size_h, 8 * padded);
  check_sum("add", slot, block_add(block, padded)[slot], metric == DRIFT_L2 ? squares + 2 * h * sc : h * sc - rc,
            size_squares + 4 * size_h * size_sc + size_rc, 8 * padded);
}

static void check_assignment(const world *w, size_t row) {
  const drift_index *index = &w->index;
  uint32_t home = w->home[row], second = w->second[row];
  if (home >= index->bucket_count) fail("home of %zu is %u", row, home);
  if (second == home || (second >= index->bucket_count && second != NO_ROW)) fail("second of %zu is %u", row, second);
  if (!w->finite || index->bucket_count > SURE_BUCKETS) return;
  static float x[2112];
  decoded(index, row, x);
  double own, least = INFINITY, magnitude, own_magnitude;
  own = plain_distance(DRIFT_L2, x, index->centroids + home * index->padded, index->padded, &own_magnitude);
  for (size_t b = 0; b < index->bucket_count; b++) {
    double d = plain_distance(DRIFT_L2, x, index->centroids + b * index->padded, index->padded, &magnitude);
    least = d < least ? d : least;
  }
  if (own > least * (1 + 1e-5)) fail("home of %zu is %g away, another bucket %g", row, own, least);
}

/* Entries for both buckets of each row, in chains over blocks that are taken in order. Returns the blocks that are used. */
static void fill(world *w, const drift_kernels *k, drift_scratch *scratch) {
  drift_index *index = &w->index;
  for (size_t b = 0; b < index->bucket_count; b++) w->heads[b] = UINT32_MAX, w->sizes[b] = w->lives[b] = 0;
  for (size_t b = 0; b < index->block_count; b++) w->next[b] = UINT32_MAX;
  size_t used = 0;
  static float x[2112];
  for (uint32_t row = 0; row < w->row_count; row++) {
    for (int copy = 0; copy < 2; copy++) {
      uint32_t bucket = copy ? w->second[row] : w->home[row];
      if (bucket == NO_ROW) continue;
      size_t place = w->sizes[bucket] % BLOCK_ENTRIES;
      if (place == 0) {
        if (used == index->block_count) fail("%zu blocks are not enough", used);
        w->next[used] = w->heads[bucket];
        w->heads[bucket] = (uint32_t)used++;
      }
      w->sizes[bucket]++, w->lives[bucket] += bit(index->live, row);
      uint32_t slot = w->heads[bucket] * BLOCK_ENTRIES + (uint32_t)place;
      check_equal("append", row, (uint64_t)k->index_append(index, &row, &bucket, &slot, 1, scratch), 0);
      if (!w->finite) continue;
      decoded(index, row, x);
      check_entry(index->metric, index->codebooks, x, index->centroids + bucket * index->padded, index->padded,
                  index->blocks + slot / BLOCK_ENTRIES * block_bytes(index->padded), place, row);
    }
  }
}

/* Every bucket in the group of its number: an entry around the center of the group. */
static void fill_groups(world *w, const drift_kernels *k, drift_scratch *scratch) {
  drift_index *groups = &w->groups;
  size_t padded = groups->padded, used = 0;
  clear_blocks(groups->blocks, groups->block_count, padded);
  for (uint32_t g = 0; g < groups->bucket_count; g++) {
    w->group_heads[g] = UINT32_MAX, w->group_sizes[g] = 0;
    for (uint32_t b = g; b < w->index.bucket_count; b += (uint32_t)groups->bucket_count) {
      size_t place = w->group_sizes[g]++ % BLOCK_ENTRIES;
      if (place == 0) {
        if (used == groups->block_count) fail("%zu blocks of groups are not enough", used);
        w->group_next[used] = w->group_heads[g];
        w->group_heads[g] = (uint32_t)used++;
      }
      uint32_t slot = w->group_heads[g] * BLOCK_ENTRIES + (uint32_t)place;
      check_equal("append to a group", b, (uint64_t)k->index_append(groups, &b, &g, &slot, 1, scratch), 0);
    }
  }
  for (size_t b = used; b < groups->block_count; b++) w->group_next[b] = UINT32_MAX;
}

/* Chains that meet, circles, rows that are not there. */
static void damage(world *w, uint32_t draws) {
  drift_index *index = &w->index;
  if (index->groups) {
    size_t block = (draws >> 8) % w->groups.block_count, group = (draws >> 6) % w->groups.bucket_count;
    block_rows(w->groups.blocks + block * block_bytes(index->padded), index->padded)[draws % 32] = draws % (2 * MOST_BUCKETS);
    if (draws & 1) w->group_next[block] = (uint32_t)((draws >> 3) % (w->groups.block_count + 2));
    if (draws & 2) w->group_sizes[group] = draws >> 4;
    if (draws & 4) w->group_heads[group] = (uint32_t)((draws >> 3) % (w->groups.block_count + 2));
  }
  for (size_t i = 0; i < 1 + draws % 4; i++) {
    draws = draws * 1664525 + 1013904223;
    size_t block = (draws >> 8) % index->block_count;
    uint32_t value = (draws >> 4) % (uint32_t)(index->block_count + 2);
    if (draws >> 31) w->next[block] = value;
    else if (draws >> 30) w->heads[block % index->bucket_count] = value;
    else block_rows(index->blocks + block * block_bytes(index->padded), index->padded)[draws % 32] = draws >> 16;
  }
}

/* Buckets that are there, each once, NO_ROW behind the last. */
static void check_near(const world *w, const uint32_t *near, size_t of, size_t width) {
  size_t buckets = w->index.bucket_count;
  for (size_t i = 0; i < width; i++) {
    if (near[i] >= buckets && near[i] != NO_ROW) fail("neighbour %zu of %zu is %u", i, of, near[i]);
    if (i >= buckets && near[i] != NO_ROW) fail("%zu neighbours of %zu buckets", i, buckets);
    for (size_t j = 0; j < i; j++) {
      if (near[j] == near[i] && near[i] != NO_ROW) fail("neighbour %u of %zu is there twice", near[i], of);
    }
  }
}

/* Each bucket's neighbours: itself first unless another centroid is as near, each once, NO_ROW behind the last. */
static void check_neighbours(const world *w, const drift_kernels *k, size_t width, uint32_t *out, drift_scratch *scratch) {
  size_t buckets = w->index.bucket_count > MOST_BUCKETS ? MOST_BUCKETS : w->index.bucket_count;
  check_equal("neighbours", 0, (uint64_t)k->index_neighbours(&w->index, 0, buckets, width, out, scratch), 0);
  for (size_t b = 0; b < buckets; b++) check_near(w, out + b * width, b, width);
}

/* The same of a few rows; among what is listed each has the home that it has among all, which comes first: also when all buckets weigh the
 * same, a power of two. Else it has one that is listed. */
static void check_rows_near(const world *w, const drift_kernels *k, const uint32_t *rows, size_t count, size_t width,
                            const float *weights, int alike, uint32_t *out, drift_scratch *scratch) {
  uint32_t listed[NEAR_ROWS];
  check_equal("near", 0, (uint64_t)k->index_near(&w->index, rows, count, width, out, scratch), 0);
  for (size_t r = 0; r < count; r++) check_near(w, out + r * width, r, width);
  check_equal("assign among near", 0, (uint64_t)k->index_assign(&w->index, rows, count, out, width, NULL, listed, NULL, scratch), 0);
  for (size_t r = 0; w->finite && r < count; r++) check_equal("home among near", r, listed[r], out[r * width]);
  check_equal("assign by weights", 0, (uint64_t)k->index_assign(&w->index, rows, count, out, width, weights, listed, NULL, scratch), 0);
  for (size_t r = 0; r < count; r++) {
    if (alike && w->finite) check_equal("home by equal weights", r, listed[r], out[r * width]);
    size_t place = 0;
    while (place < width && out[r * width + place] != listed[r]) place++;
    if (place == width) fail("row %zu goes to %u, which is not listed", r, listed[r]);
  }
}

/* Each row in the half whose centroid is nearer, in order, with an entry around it; nothing else in the blocks. */
static void check_halves(const world *w, const drift_kernels *k, const uint32_t *rows, size_t own, float first, float second,
                         uint32_t *side, float *centroids, uint8_t *blocks, drift_scratch *scratch) {
  const drift_index *index = &w->index;
  size_t padded = index->padded, bytes = block_bytes(padded), count = w->row_count, filled[2] = {0};
  int64_t stays = k->index_halve(index, rows, own, count, first, second, side, centroids, blocks, scratch);
  if (stays < 0 || stays > (int64_t)count) fail("half 0 has %lld blocks", (long long)stays);
  if (stays == 0) return;
  static float x[2112];
  for (size_t j = 0; j < count; j++) {
    size_t half = side[j];
    if (half > 1) fail("row %zu is in half %zu", j, half);
    size_t at = filled[half]++;
    if (!w->finite) continue;
    decoded(index, rows[j], x);
    double magnitude, scale = plain_distance(DRIFT_L2, x, centroids, padded, &magnitude);
    double other = plain_distance(DRIFT_L2, x, centroids + padded, padded, &magnitude), nearer = half ? other : scale;
    scale = half ? scale : other;
    for (size_t i = 0; i < 2 * padded; i++) magnitude += (double)centroids[i] * centroids[i];
    if (nearer > scale + 1e-5 * magnitude) fail("row %zu is %g away, the other half %g", j, nearer, scale);
    check_entry(index->metric, index->codebooks, x, centroids + half * padded, padded, blocks + (half * (size_t)stays + at / BLOCK_ENTRIES) * bytes,
                at % BLOCK_ENTRIES, rows[j]);
  }
  for (size_t half = 0; half < 2; half++) {
    if (filled[half] == 0) fail("half %zu is empty", half);
    size_t in = (filled[half] + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES;
    if (half == 0) check_equal("blocks of half 0", 0, (uint64_t)stays, in);
    for (size_t at = filled[half]; at < in * BLOCK_ENTRIES; at++) {
      uint8_t *block = blocks + (half * (size_t)stays + at / BLOCK_ENTRIES) * bytes;
      check_equal("no row", at, block_rows(block, padded)[at % BLOCK_ENTRIES], NO_ROW);
      check_bits("no entry", at, block_add(block, padded)[at % BLOCK_ENTRIES], INFINITY);
    }
  }
}

/* An entry moved to a free place of the last block reads as it did. */
static void check_copy(const world *w, const drift_kernels *k) {
  const drift_index *index = &w->index;
  uint32_t from = 0, to = (uint32_t)index->block_count * BLOCK_ENTRIES - 1;
  uint8_t *first = index->blocks, *last = index->blocks + (index->block_count - 1) * block_bytes(index->padded);
  k->index_copy(index, &from, &to, 1);
  check_equal("row of a copy", 0, block_rows(last, index->padded)[31], block_rows(first, index->padded)[0]);
  check_bits("add of a copy", 0, block_add(last, index->padded)[31], block_add(first, index->padded)[0]);
  check_bits("scale of a copy", 0, block_scale(last, index->padded)[31], block_scale(first, index->padded)[0]);
  for (size_t g = 0; g < index->padded / 4; g++) {
    check_equal("signs of a copy", g, last[16 * g + 15] >> 4, first[16 * g] & 15);
  }
}

/* A bucket's entries into a free block: of rows that call it home or second, each once. */
static void check_compact(const world *w, const drift_kernels *k, uint32_t bucket, size_t room, drift_scratch *scratch) {
  const drift_index *index = &w->index;
  uint32_t free_block = (uint32_t)index->block_count - 1;
  int64_t count = k->index_compact(index, w->home, w->second, w->row_count, bucket, w->heads[bucket], w->sizes[bucket], free_block,
                                   room, scratch);
  if (count < 0 || (size_t)count > room || count > BLOCK_ENTRIES) fail("%lld entries are left for %zu", (long long)count, room);
  const uint32_t *rows = block_rows(index->blocks + free_block * block_bytes(index->padded), index->padded);
  uint64_t seen = 0;
  for (int64_t i = 0; i < count; i++) {
    if (rows[i] >= w->row_count) fail("entry %lld is of row %u", (long long)i, rows[i]);
    if (w->home[rows[i]] != bucket && w->second[rows[i]] != bucket) fail("row %u does not count", rows[i]);
    if (seen >> rows[i] & 1) fail("row %u is there twice", rows[i]);
    seen |= (uint64_t)1 << rows[i];
  }
}

/* Rows in a tail of free blocks, entries against their formulas; those that count are found when all may be. */
static void check_tail(const world *w, const drift_kernels *k, const drift_query *whole, const float *query, const uint32_t *rows,
                       const float *reference, uint32_t *row, float *distance, drift_scratch *scratch) {
  const drift_index *index = &w->index;
  size_t padded = index->padded, first = index->block_count - 1 - TAIL_BLOCKS, counted = 0;
  static float x[2112];
  uint32_t slots[MOST_ROWS];
  for (size_t j = 0; j < w->row_count; j++) slots[j] = (uint32_t)(first * BLOCK_ENTRIES + j);
  check_equal("append to a tail", 0, (uint64_t)k->index_append_tail(index, reference, rows, slots, w->row_count, scratch), 0);
  for (size_t j = 0; w->finite && j < w->row_count; j++) {
    decoded(index, rows[j], x);
    check_entry(index->metric, index->codebooks, x, reference, padded, index->blocks + slots[j] / BLOCK_ENTRIES * block_bytes(padded),
                slots[j] % BLOCK_ENTRIES, rows[j]);
  }
  drift_query ask = *whole;
  ask.probes = 0, ask.floor = 0, ask.extra_count = 0, ask.trace = NULL, ask.trace_room = 0;
  drift_effort effort;
  int64_t found = k->index_search(index, &ask, query, scratch, row, distance, &effort);
  if (found < 0 || found > (int64_t)ask.k) fail("%lld of a tail for k %zu", (long long)found, ask.k);
  for (size_t r = 0; r < index->row_limit; r++) {
    counted += bit(index->live, r) && (!ask.allow || (r / 32 < ask.allow_words && bit(ask.allow, r)));
  }
  if (counted <= ask.k + ask.rerank) check_equal("rows of a tail", 0, (uint64_t)found, counted < ask.k ? counted : ask.k);
}

void run_index(void) {
  world w;
  draw_world(&w);
  drift_index *index = &w.index;
  float query_scale = w.finite ? some_scale() : powf(10, (float)below(78) - 39);
  w.finite = w.finite && query_scale < 1e15f;
  float *query = floats(index->dim, query_scale);
  uint32_t *every_row = memory(w.row_count * 4);
  for (size_t r = 0; r < w.row_count; r++) every_row[r] = (uint32_t)r;
  size_t allow_words = below((w.row_count + 31) / 32 + 1);
  uint32_t *allow = memory(allow_words * 4);
  for (size_t i = 0; i < allow_words; i++) allow[i] = draw() & index->live[i];
  drift_query ask = {.k = below(w.row_count + 3), .floor = unit() * unit() * 0.1f, .least = below(60), .by_rank = -2 * unit(), .by_ratio = -8 * unit(), .by_size = unit(), .mean_lives = unit() * 8, .near = below(2) ? 0 : below(100), .flat = 4 * unit(), .flat_times = unit(), .far = below(2) ? INFINITY : 4 * unit(), .far_times = unit(), .rerank = below(2) ? below(10) : w.row_count, .parts = 1};
  ask.probes = below(4) == 0 ? 0 : below(2) ? index->bucket_count + below(3) : 1 + below(index->bucket_count);
  if (below(4) == 0) ask.parts = 1 + below(3), ask.part = below(ask.parts);
  if (below(3) == 0) ask.allow = allow, ask.allow_words = allow_words;
  ask.extra_count = below(3) ? 0 : below(20);
  uint32_t *extra = words(ask.extra_count, w.row_count + 2);
  ask.extra = extra;
  int is_traced = below(2) == 0;
  ask.trace_room = is_traced ? below(index->bucket_count + 2) : 0;
  int is_tailed = below(2) == 0;
  /* Its blocks, and one that is not there. */
  size_t padded = index->padded, tail_words = 1 + padded + TAIL_BLOCKS + 1;
  uint32_t *tails = memory(tail_words * 4);
  float *reference = (float *)(tails + 1);
  tails[0] = TAIL_BLOCKS + 1;
  for (size_t i = 0; i < padded; i++) reference[i] = below(2) ? 0 : 0.1f * query_scale * signed_unit();
  for (size_t i = 0; i < TAIL_BLOCKS; i++) tails[1 + padded + i] = (uint32_t)(index->block_count - 1 - TAIL_BLOCKS + i);
  tails[1 + padded + TAIL_BLOCKS] = (uint32_t)(index->block_count + below(2) * 1000);
  if (is_tailed) ask.tails = tails, ask.tail_words = tail_words;
  uint32_t damaged = below(4) ? 0 : draw();
  size_t own = below(w.row_count + 1);
  float drawn[2] = {unit() * unit(), unit() * unit()};
  for (size_t i = 0; i < 2; i++) drawn[i] = fabsf(drawn[i]) < 1 ? fabsf(drawn[i]) : 0;
  float *weights = memory(index->bucket_count * sizeof *weights);
  int alike = (int)below(2);
  float weight = ldexpf(1, (int)below(5) - 2);
  for (size_t b = 0; b < index->bucket_count; b++) weights[b] = alike ? weight : 1 + fabsf(signed_unit());
  inputs_end();
  make_outputs(&w);
  uint32_t *side = memory(w.row_count * 4);
  float *halves = outputs(2 * index->padded);
  uint8_t *half_blocks = memory((w.row_count / BLOCK_ENTRIES + 2) * block_bytes(index->padded));
  if (is_traced) ask.trace = memory(ask.trace_room * sizeof *ask.trace);
  if (ask.allow) ask.counts = memory(index->bucket_count * 4), ask.masks = memory(index->block_count * 4);
  uint32_t *row = memory(ask.k * 4), *row_again = memory(ask.k * 4);
  float *distance = outputs(ask.k), *distance_again = outputs(ask.k);
  size_t width = 1 + below(20);
  uint32_t *neighbours = memory(index->bucket_count * width * 4), *rows_near = memory(NEAR_ROWS * width * 4);
  static float rotated[2112];
  for (const drift_kernels *k; (k = next_variant());) {
    drift_scratch scratch = {0};
    clear_blocks(index->router, (index->bucket_count + 31) / 32, index->padded);
    clear_blocks(index->blocks, index->block_count, index->padded);
    k->index_route_entries(index, 0, index->bucket_count);
    for (size_t b = 0; w.finite && b < index->bucket_count; b++) {
      check_entry(DRIFT_L2, NULL, index->centroids + b * index->padded, index->center, index->padded,
                  index->router + b / 32 * block_bytes(index->padded), b % 32, (uint32_t)b);
    }
    if (index->groups) fill_groups(&w, k, &scratch);
    check_neighbours(&w, k, width, neighbours, &scratch);
    check_rows_near(&w, k, every_row, w.row_count < NEAR_ROWS ? w.row_count : NEAR_ROWS, width, weights, alike, rows_near, &scratch);
    int64_t done = k->index_assign(index, every_row, w.row_count, NULL, 1, NULL, w.home, w.second, &scratch);
    check_equal("assign", 0, (uint64_t)done, 0);
    for (size_t r = 0; r < w.row_count; r++) check_assignment(&w, r);
    fill(&w, k, &scratch);
    check_copy(&w, k);
    check_compact(&w, k, (uint32_t)(own % index->bucket_count), own, &scratch);
    check_halves(&w, k, every_row, own, drawn[0], drawn[1], side, halves, half_blocks, &scratch);
    if (ask.allow) memset(ask.counts, 0xff, index->bucket_count * 4);
    if (is_tailed) check_tail(&w, k, &ask, query, every_row, reference, row, distance, &scratch);
    if (damaged) damage(&w, damaged);
    drift_effort effort, effort_again;
    if (ask.allow) memset(ask.counts, 0xff, index->bucket_count * 4);
    int64_t found = k->index_search(index, &ask, query, &scratch, row, distance, &effort);
    /* What is known of a filter by now changes nothing. */
    int64_t found_again = k->index_search(index, &ask, query, &scratch, row_again, distance_again, &effort_again);
    check_equal("found again", 0, (uint64_t)found_again, (uint64_t)found);
    check_equal("scanned again", 0, effort_again.entries, effort.entries);
    for (size_t j = 0; found > 0 && j < (size_t)found; j++) check_equal("row found again", j, row_again[j], row[j]);
    drift_scratch_free(&scratch);
    if (found < 0 || found > (int64_t)ask.k) fail("%lld results for k %zu", (long long)found, ask.k);
    k->rotate(query, index->dim, index->padded, 0, 1, index->flips, index->rounds, rotated);
    uint64_t seen = 0;
    for (size_t j = 0; j < (size_t)found; j++) {
      size_t r = row[j];
      if (r >= index->row_limit || !bit(index->live, r)) fail("result %zu is dead row %zu", j, r);
      if (ask.allow && (r / 32 >= allow_words || !bit(allow, r))) fail("result %zu, row %zu, is not allowed", j, r);
      if (seen >> r & 1) fail("row %zu is found twice", r);
      seen |= (uint64_t)1 << r;
      if (w.finite && j > 0 && distance[j] < distance[j - 1]) fail("result %zu is nearer than the one before", j);
      if (!w.finite || !index->vectors) continue;
      double magnitude, want = plain_distance(index->metric, query, index->vectors + r * index->dim, index->dim, &magnitude);
      check_sum("distance of a result", j, distance[j], want, magnitude, index->dim);
    }
    if (!w.finite || damaged || ask.parts > 1 || ask.probes < index->bucket_count) continue;
    size_t there = 0;
    for (size_t r = 0; r < index->row_limit; r++) {
      there += bit(index->live, r) && (!ask.allow || (r / 32 < allow_words && bit(allow, r)));
    }
    if (there <= ask.k + ask.rerank) check_equal("rows found", 0, (uint64_t)found, there < ask.k ? there : ask.k);
  }
}
