/* Rows into the partition: which two buckets, and their entries there.
 * The home is the bucket of the nearest centroid by squared L2 under every metric, because k-means partitions by it. The second
 * is near in another direction, so that a query which the home's boundary cuts off still meets the row: SOAR (Sun et al.,
 * NeurIPS 2023) minimises ||r2||^2 + lambda (r2 . r1 / ||r1||)^2, r1 and r2 the residuals.
 * A row is what its codes say: the rotated row itself is not kept, and SQ8 leaves out far less than the signs do. */
#include "coded.h"
#include "route.h"
#include "row-set.h"
#include "words.h"

/* Buckets among which the two are chosen. */
enum { CANDIDATES = 16 };

/* SQ8 is off by about 0.5 %: the nearest centroid is practically always among its best four. */
enum { FINALISTS = 4 };

/* Price of a second residual that points where the first does. 1 to 2 serve alike on sentence embeddings and on SIFT. */
static const float LAMBDA = 1.5f;

/* As signed values; returns their sum. */
static int32_t code_values(const uint8_t *restrict codes, size_t padded, int8_t *restrict out) {
  int32_t total = 0;
  for (size_t i = 0; i < padded; i++) {
    out[i] = (int8_t)(codes[i] ^ 0x80);
    total += out[i];
  }
  return total;
}

/* Which of the few that are nearest by their codes is so by exact distance. */
static size_t nearest_exactly(const drift_index *index, const float *x, const routed *near, size_t count, const float *weights) {
  size_t padded = index->padded, best = 0, finalists = count < FINALISTS ? count : FINALISTS;
  float least = INFINITY;
  for (size_t j = 0; j < finalists; j++) prefetch(index->centroids + near[j].bucket * padded, padded * sizeof(float));
  for (size_t j = 0; j < finalists; j++) {
    float distance = pair_l2(x, index->centroids + near[j].bucket * padded, padded);
    if (weights) distance *= weights[near[j].bucket];
    if (!(distance < least)) continue;
    least = distance;
    best = j;
  }
  return best;
}

/* The home by exact distance among the FINALISTS. The second by the codes, which are in the cache already: what SQ8 is off is little beside
 * what the candidates' losses differ by. `codes` is room for one row of them. */
static void choose_two(const drift_index *index, const float *x, const routed *near, size_t count, int8_t *codes, uint32_t *home,
                       uint32_t *second) {
  size_t padded = index->padded, best = nearest_exactly(index, x, near, count, NULL);
  *home = near[best].bucket;
  *second = NO_ROW;
  float factors[3] = {index->centroid_factors[2 * *home], index->centroid_factors[2 * *home + 1]};
  factors[2] = (float)code_values(index->centroid_codes + *home * padded, padded, codes);
  float least = INFINITY, to_home = near[best].distance;
  for (size_t j = 0; j < count; j++) {
    if (j == best) continue;
    size_t bucket = near[j].bucket;
    /* By the law of cosines: the length of r2 along r1, times ||r1||. */
    float between = sq8_distance(DRIFT_L2, codes, factors, index->centroid_codes + bucket * padded,
                                 index->centroid_factors + 2 * bucket, padded);
    float along = (to_home + near[j].distance - between) / 2;
    float loss = to_home > 0 ? near[j].distance + LAMBDA * along * along / to_home : near[j].distance;
    if (loss >= least) continue;
    least = loss;
    *second = near[j].bucket;
  }
}

/* The buckets of a row's list, nearest first by their codes, times their weights if there are any. */
static size_t rank_listed(const drift_index *index, const prepared_query *query, const uint32_t *buckets, size_t width,
                          const float *weights, arena *memory, routed **out) {
  size_t count = 0;
  routed *list = arena_take(memory, width * sizeof *list), *room = arena_take(memory, width * sizeof *room);
  uint32_t *bins = arena_take(memory, SORT_BINS * sizeof *bins);
  for (size_t i = 0; i < width; i++) {
    if (buckets[i] >= index->bucket_count) continue;
    list[count++].bucket = buckets[i];
  }
  measure_routed(index, query, DRIFT_L2, list, 0, count);
  for (size_t i = 0; weights && i < count; i++) list[i].distance *= weights[list[i].bucket];
  sort_routed(list, 0, count, room, bins);
  *out = list;
  return count;
}

/* At least the min(wanted, all) nearest buckets, in order. */
static size_t route_row(const drift_index *index, prepared_query *query, size_t wanted, arena *memory, routed **out) {
  query->signs = sign_table(query->rotated, index->padded, arena_take(memory, 4 * index->padded));
  router routes = route_open(index, DRIFT_L2, query, NULL, memory);
  route_more(&routes, wanted);
  *out = routes.list;
  return routes.count;
}

/* All but the signs, which routing needs alone. Its codes are those of the row. */
static prepared_query prepare_coded(const drift_index *index, size_t row, const float *x, arena *memory) {
  size_t padded = index->padded;
  prepared_query q = {.rotated = x};
  int8_t *codes = arena_take(memory, padded);
  q.factors[0] = index->factors[2 * row];
  q.factors[1] = pair_dot(x, x, padded);
  q.factors[2] = (float)code_values(index->codes + row * padded, padded, codes);
  q.codes = codes;
  return q;
}

int64_t KERNEL(index_assign)(const drift_index *index, const uint32_t *rows, size_t count, const uint32_t *near, size_t width,
                             const float *weights, uint32_t *home, uint32_t *second, drift_scratch *scratch) {
  size_t padded = index->padded;
  size_t listed = 2 * arena_size(width * sizeof(routed)) + arena_size(SORT_BINS * sizeof(uint32_t));
  arena memory;
  size_t fixed = arena_size(4 * padded) + arena_size(padded) + prepared_bytes(padded);
  if (!arena_open(scratch, fixed + route_bytes(index) + listed, &memory)) return DRIFT_NO_MEMORY;
  float *x = arena_take(&memory, 4 * padded);
  int8_t *other = arena_take(&memory, padded);
  for (size_t j = 0; j < count; j++) {
    arena again = memory;
    routed *list = NULL;
    decode_row(index, rows[j], x);
    prepared_query query = prepare_coded(index, rows[j], x, &again);
    size_t found = near ? rank_listed(index, &query, near + j * width, width, weights, &again, &list) : 0;
    if (found == 0) found = route_row(index, &query, 2 * CANDIDATES, &again, &list);
    if (second) {
      choose_two(index, x, list, found < CANDIDATES ? found : CANDIDATES, other, home + j, second + j);
    } else {
      home[j] = list[nearest_exactly(index, x, list, found, weights)].bucket;
    }
  }
  return 0;
}

static void list_buckets(const routed *list, size_t count, uint32_t *out, size_t width) {
  for (size_t i = 0; i < width; i++) out[i] = i < count ? list[i].bucket : NO_ROW;
}

int64_t KERNEL(index_near)(const drift_index *index, const uint32_t *rows, size_t count, size_t width, uint32_t *out,
                           drift_scratch *scratch) {
  size_t padded = index->padded;
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded) + prepared_bytes(padded) + route_bytes(index), &memory)) {
    return DRIFT_NO_MEMORY;
  }
  float *x = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count; j++) {
    arena again = memory;
    routed *list;
    decode_row(index, rows[j], x);
    prepared_query query = prepare_coded(index, rows[j], x, &again);
    size_t found = route_row(index, &query, 2 * (width > CANDIDATES ? width : CANDIDATES), &again, &list);
    size_t best = nearest_exactly(index, x, list, found, NULL);
    routed nearest = list[best];
    memmove(list + 1, list, best * sizeof *list);
    list[0] = nearest;
    list_buckets(list, found, out + j * width, width);
  }
  return 0;
}

int64_t KERNEL(index_neighbours)(const drift_index *index, size_t first, size_t count, size_t width, uint32_t *out,
                                 drift_scratch *scratch) {
  size_t padded = index->padded;
  arena memory;
  if (!arena_open(scratch, prepared_bytes(padded) + route_bytes(index), &memory)) return DRIFT_NO_MEMORY;
  for (size_t j = 0; j < count; j++) {
    arena again = memory;
    prepared_query query = prepare_rotated(index->centroids + (first + j) * padded, padded, &again);
    router routes = route_open(index, DRIFT_L2, &query, NULL, &again);
    route_more(&routes, 2 * width);
    list_buckets(routes.list, routes.count, out + j * width, width);
  }
  return 0;
}

/* Entries asked for ahead: each lies in some thirty cache lines of a block that nothing else has touched lately. */
enum { AHEAD_ENTRIES = 4 };

static inline void ask_for_entry(const drift_index *index, uint32_t slot, uint32_t bucket) {
  size_t padded = index->padded, bytes = block_bytes(padded);
  prefetch(index->blocks + slot / BLOCK_ENTRIES * bytes, bytes);
  prefetch(index->centroids + bucket * padded, padded * sizeof(float));
}

int64_t KERNEL(index_append)(const drift_index *index, const uint32_t *rows, const uint32_t *buckets,
                             const uint32_t *slots, size_t count, drift_scratch *scratch) {
  size_t padded = index->padded;
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded), &memory)) return DRIFT_NO_MEMORY;
  float *x = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count && j < AHEAD_ENTRIES; j++) ask_for_entry(index, slots[j], buckets[j]);
  for (size_t j = 0; j < count; j++) {
    if (j + AHEAD_ENTRIES < count) ask_for_entry(index, slots[j + AHEAD_ENTRIES], buckets[j + AHEAD_ENTRIES]);
    if (j == 0 || rows[j - 1] != rows[j]) decode_row(index, rows[j], x);
    entry_write(index, x, index->centroids + buckets[j] * padded,
                index->blocks + slots[j] / BLOCK_ENTRIES * block_bytes(padded), slots[j] % BLOCK_ENTRIES, rows[j]);
  }
  return 0;
}

/* Of values whose squares overflow an entry says nothing: its row is always near enough. */
static inline void admit_unknown(uint8_t *block, size_t padded, size_t place) {
  float *add = block_add(block, padded) + place, *scale = block_scale(block, padded) + place;
  if (fabsf(*add) <= FLT_MAX && *scale <= FLT_MAX) return;
  *scale = 0;
  *add = -FLT_MAX;
}

int64_t KERNEL(index_append_tail)(const drift_index *index, const float *reference, const uint32_t *rows, const uint32_t *slots,
                                  size_t count, drift_scratch *scratch) {
  size_t padded = index->padded;
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded), &memory)) return DRIFT_NO_MEMORY;
  float *x = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count; j++) {
    uint8_t *block = index->blocks + slots[j] / BLOCK_ENTRIES * block_bytes(padded);
    decode_row(index, rows[j], x);
    entry_write(index, x, reference, block, slots[j] % BLOCK_ENTRIES, rows[j]);
    admit_unknown(block, padded, slots[j] % BLOCK_ENTRIES);
  }
  return 0;
}

void KERNEL(index_route_entries)(const drift_index *index, size_t first, size_t count) {
  size_t padded = index->padded;
  for (size_t bucket = first; bucket < first + count; bucket++) {
    sign_write(DRIFT_L2, index->centroids + bucket * padded, index->center, padded,
               index->router + bucket / BLOCK_ENTRIES * block_bytes(padded), bucket % BLOCK_ENTRIES, (uint32_t)bucket);
  }
}

void KERNEL(index_copy)(const drift_index *index, const uint32_t *from, const uint32_t *to, size_t count) {
  size_t padded = index->padded, bytes = block_bytes(padded);
  for (size_t j = 0; j < count; j++) {
    sign_copy(index->blocks + from[j] / BLOCK_ENTRIES * bytes, from[j] % BLOCK_ENTRIES,
              index->blocks + to[j] / BLOCK_ENTRIES * bytes, to[j] % BLOCK_ENTRIES, padded);
  }
}

/* The slots of entries that count, in order of the chain. */
static size_t counting_slots(const drift_index *index, const uint32_t *home, const uint32_t *second, size_t row_count, uint32_t bucket,
                             uint32_t from, size_t entries, uint32_t *slots) {
  size_t padded = index->padded, bytes = block_bytes(padded), count = 0;
  for (uint32_t block = from; entries > 0 && block < index->block_count; block = index->next[block]) {
    size_t in = entries < BLOCK_ENTRIES ? entries : BLOCK_ENTRIES;
    const uint32_t *rows = block_rows(index->blocks + block * bytes, padded);
    for (size_t i = 0; i < in; i++) {
      slots[count] = block * BLOCK_ENTRIES + (uint32_t)i;
      count += rows[i] < row_count && (home[rows[i]] == bucket || second[rows[i]] == bucket);
    }
    entries -= in;
  }
  return count;
}

int64_t KERNEL(index_compact)(const drift_index *index, const uint32_t *home, const uint32_t *second, size_t row_count, uint32_t bucket,
                              uint32_t from, size_t entries, uint32_t to, size_t room, drift_scratch *scratch) {
  size_t padded = index->padded, bytes = block_bytes(padded);
  arena memory;
  if (!arena_open(scratch, arena_size((entries + 1) * sizeof(uint32_t)) + row_set_bytes(entries), &memory)) return DRIFT_NO_MEMORY;
  uint32_t *slots = arena_take(&memory, (entries + 1) * sizeof *slots);
  row_set met = row_set_open(&memory);
  size_t count = 0, left = counting_slots(index, home, second, row_count, bucket, from, entries, slots);
  /* From the newest: a row that left and came back has an older entry here, whose code is of what the row was. */
  while (left > 0 && count < room && to < index->block_count) {
    uint32_t slot = slots[--left];
    uint8_t *block = index->blocks + slot / BLOCK_ENTRIES * bytes;
    if (!row_set_meet(&met, block_rows(block, padded)[slot % BLOCK_ENTRIES], &memory)) continue;
    sign_copy(block, slot % BLOCK_ENTRIES, index->blocks + to * bytes, count % BLOCK_ENTRIES, padded);
    if (++count % BLOCK_ENTRIES == 0) to = index->next[to];
  }
  return (int64_t)count;
}
