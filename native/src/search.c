/* One query over the partitioned index: rotate -> tables -> route -> probe list -> scan of 1-bit entries -> SQ8 of the rows
 * that may be near enough -> exact distances of the best. Tails, which are scanned whole, come behind the buckets: the limit is low by then.
 * Rule: the probe list is fixed before the first block is read, so blocks are asked for ahead; a row is touched only when the
 * lower bound of its entry is below the worst of the best so far. */
#include "estimate.h"
#include "heap.h"
#include "row-set.h"
#include "words.h"

void KERNEL(rotate)(const float *rows, size_t dim, size_t padded, size_t first, size_t count, const uint32_t *flips,
                    size_t rounds, float *out);

/* An entry is passed over when its estimate exceeds the limit by this many times scale * ||q - c||. The error of an estimate
 * spreads by 0.6 of that; measured for recall in docs/bench/notes.md. */
static const float BOUND = 0.6f;

/* The same of tails, which are to lose none of their rows: each has one entry, and a wide bound lets but some hundred more of 50 000 through. What
 * is near lies where the query does, so its estimate is off by less than others are; a large inner product may lie anywhere. */
static const float TAIL_BOUND = 1.5f, TAIL_BOUND_IP = 2;

/* Blocks asked for before they are scanned, and rows before they are scored. */
enum { AHEAD_BLOCKS = 3, AHEAD_ROWS = 16 };

/* So many blocks are scanned before any of their rows is read. Then the rows with the least bounds are read first: NEAR_ROWS_OF_TWO for every
 * two that the best have room for. */
enum { NEAR_BLOCKS = 16, NEAR_ROWS_OF_TWO = 3 };

typedef struct {
  uint32_t block, allowed; /* bit i: entry i may be one that counts */
  float base, slack;
} probe;

typedef struct {
  const drift_index *index;
  const drift_query *ask;
  const prepared_query *query;
  const sign_query *entries; /* of what buckets hold; those of routers are signs always */
  arena *memory;
  drift_found *best; /* farthest on top */
  size_t size, room;
  float limit; /* what a row has to be below */
  row_set met;
  uint32_t survivors;
  drift_found waiting[AHEAD_ROWS]; /* rows asked for, by their bounds: from first % AHEAD_ROWS on */
  size_t first, last;
} scan;

static inline int is_allowed(const drift_index *index, const drift_query *ask, uint32_t row) {
  if (row >= index->row_limit || !(index->live[row >> 5] >> (row & 31) & 1)) return 0;
  const uint32_t *allow = ask->allow;
  return !allow || (row >> 5 < ask->allow_words && (allow[row >> 5] >> (row & 31) & 1));
}

static inline void ask_for(const scan *s, uint32_t row) {
  if (row >= s->index->row_limit) return;
  prefetch(s->index->codes + row * s->index->padded, s->index->padded);
  __builtin_prefetch(s->index->factors + 2 * (size_t)row, 0, 3);
}

/* The row joins the best when its SQ8 distance is below the limit. */
static inline void score(scan *s, uint32_t row) {
  const drift_index *index = s->index;
  if (!is_allowed(index, s->ask, row) || !row_set_meet(&s->met, row, s->memory)) return;
  s->survivors++;
  float distance = sq8_distance(index->metric, s->query->codes, s->query->factors, index->codes + row * index->padded,
                                index->factors + 2 * (size_t)row, index->padded);
  if (!(distance <= FLT_MAX)) distance = FLT_MAX; /* of codes, whose errors may take the largest vectors beyond; the row counts like any other */
  if (!(distance < s->limit)) return;
  if (s->size == s->room) heap_pop_farthest(s->best, s->size--);
  heap_push_farthest(s->best, s->size++, (drift_found){distance, row});
  if (s->size == s->room) s->limit = s->best[0].distance;
}

static void score_extra(scan *s) {
  const uint32_t *rows = s->ask->extra;
  size_t count = s->ask->extra_count;
  for (size_t i = 0; i < count && i < AHEAD_ROWS; i++) ask_for(s, rows[i]);
  for (size_t i = 0; i < count; i++) {
    if (i + AHEAD_ROWS < count) ask_for(s, rows[i + AHEAD_ROWS]);
    score(s, rows[i]);
  }
}

static inline uint32_t below(const float *bounds, float limit) {
#if defined(__AVX512F__)
  __m512 top = _mm512_set1_ps(limit);
  uint32_t mask = _mm512_cmp_ps_mask(_mm512_loadu_ps(bounds), top, _CMP_LT_OQ);
  mask |= (uint32_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(bounds + 16), top, _CMP_LT_OQ) << 16;
#elif defined(__AVX2__)
  __m256 top = _mm256_set1_ps(limit);
  uint32_t mask = 0;
  for (int j = 0; j < 4; j++) {
    __m256 lane = _mm256_loadu_ps(bounds + 8 * j);
    mask |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(lane, top, _CMP_LT_OQ)) << (8 * j);
  }
#else
  uint32_t mask = 0;
  for (int j = 0; j < BLOCK_ENTRIES; j++) mask |= (uint32_t)(bounds[j] < limit) << j;
#endif
  return mask;
}

/* A block with no more allowed entries is not scanned: the codes of their rows are read at once. So it is where entries say nothing, or are not
 * asked. */
enum { SPARSE = 4 };

static inline int is_sparse(const probe *of) { return __builtin_popcount(of->allowed) <= SPARSE || of->base == -INFINITY; }

static inline void ask_for_block(const drift_index *index, const probe *of) {
  size_t padded = index->padded, bytes = block_bytes(padded);
  uint8_t *block = index->blocks + of->block * bytes;
  if (is_sparse(of)) prefetch(block_rows(block, padded), BLOCK_ENTRIES * sizeof(uint32_t));
  else prefetch(block, bytes);
}

static inline void score_oldest(scan *s) {
  drift_found oldest = s->waiting[s->first++ % AHEAD_ROWS];
  if (oldest.distance < s->limit) score(s, oldest.node);
}

static void score_waiting(scan *s) {
  while (s->first < s->last) score_oldest(s);
}

static inline void offer(scan *s, float bound, uint32_t row) {
  ask_for(s, row);
  if (s->last - s->first == AHEAD_ROWS) score_oldest(s);
  s->waiting[s->last++ % AHEAD_ROWS] = (drift_found){bound, row};
}

static inline void offer_masked(scan *s, const float *bounds, const uint32_t *rows, uint32_t mask) {
  for (; mask; mask &= mask - 1) {
    int j = __builtin_ctz(mask);
    offer(s, bounds[j], rows[j]);
  }
}

/* Rows of the first blocks, whose bounds are all known: those with the least first, so that few of the others are below the limit that
 * they make. In the order of their blocks twice as many would be read in vain. */
static void score_near(scan *s, const probe *probes, size_t count, const float *bounds) {
  const drift_index *index = s->index;
  size_t padded = index->padded, bytes = block_bytes(padded);
  float least = threshold(bounds, count * BLOCK_ENTRIES, s->room * NEAR_ROWS_OF_TWO / 2);
  for (int is_rest = 0; is_rest < 2; is_rest++) {
    for (size_t i = 0; i < count; i++) {
      const float *of = bounds + i * BLOCK_ENTRIES;
      uint32_t first = below(of, least), mask = below(of, s->limit) & (is_rest ? ~first : first);
      offer_masked(s, of, block_rows(index->blocks + probes[i].block * bytes, padded), mask);
    }
    score_waiting(s);
  }
}

/* bounds: room for those of NEAR_BLOCKS. */
static void scan_blocks(scan *s, const probe *probes, size_t count, float *bounds) {
  const drift_index *index = s->index;
  size_t padded = index->padded, bytes = block_bytes(padded), near = count < NEAR_BLOCKS ? count : NEAR_BLOCKS;
  for (size_t i = 0; i < count && i < AHEAD_BLOCKS; i++) ask_for_block(index, probes + i);
  for (size_t i = 0; i < count; i++) {
    if (i + AHEAD_BLOCKS < count) ask_for_block(index, probes + i + AHEAD_BLOCKS);
    uint8_t *block = index->blocks + probes[i].block * bytes;
    uint32_t allowed = probes[i].allowed, *rows = block_rows(block, padded);
    float *of = bounds + (i < near ? i * BLOCK_ENTRIES : 0);
    if (is_sparse(probes + i)) {
      for (; allowed; allowed &= allowed - 1) offer(s, -INFINITY, rows[__builtin_ctz(allowed)]);
    } else {
      sign_scan(s->entries, block, padded, probes[i].base, probes[i].slack, of);
    }
    if (i >= near) offer_masked(s, of, rows, allowed & below(of, s->limit));
    else if (allowed != UINT32_MAX) {
      for (int j = 0; j < BLOCK_ENTRIES; j++) of[j] = allowed >> j & 1 ? of[j] : INFINITY;
    }
    if (i + 1 == near) score_near(s, probes, near, bounds);
  }
  score_waiting(s);
}

/* More are routed than looked at, because the 1-bit order is rough, the more so the fewer bits there are. */
static inline size_t with_spare(const drift_index *index, size_t wanted) {
  return wanted + wanted / 4 + 32 * wanted / index->padded + 8;
}

/* The buckets to scan, in order of distance, in routes->list; their hits and ranks when these were asked for. */
static size_t choose(router *routes, const drift_query *ask, const prepared_query *query, float *hits, float *mass, uint32_t *ranks) {
  const drift_index *index = routes->index;
  size_t all = index->bucket_count;
  const uint32_t *lives = ask->allow ? ask->counts : index->lives;
  if (ask->probes) {
    size_t wanted = ask->probes < all ? ask->probes : all;
    /* A fixed number is of the nearest, where by hits the farthest matter little. */
    route_more(routes, with_spare(index, wanted) + 64 * wanted / index->padded + 8);
    size_t near = routes->count < wanted ? routes->count : wanted;
    if (ask->trace) {
      expect_hits(routes, ask, query, near, lives, mass, hits);
      for (size_t j = 0; j < near; j++) ranks[j] = (uint32_t)j;
    }
    return near;
  }
  for (size_t wanted = first_width(ask, routes->groups != NULL), more, kept;; wanted = more > wanted ? more : 2 * wanted) {
    if (wanted > all) wanted = all;
    route_more(routes, with_spare(index, wanted));
    size_t near = routes->count < wanted ? routes->count : wanted;
    float floor = expect_hits(routes, ask, query, near, lives, mass, hits);
    int is_all = near == routes->count && routes->seen >= all;
    more = keep_worthy(index, ask, floor, routes->list, lives, hits, ranks, near, is_all, &kept);
    if (more == 0) return kept;
  }
}

/* Four standard deviations of the difference of two SQ8 distances: codes are off by up to half a step, uniformly, in the query
 * and in the row. */
static float sq8_margin(const drift_index *index, const prepared_query *query, uint32_t row) {
  float q = query->factors[0] * query->factors[0] * index->factors[2 * (size_t)row + 1];
  float x = index->factors[2 * (size_t)row] * index->factors[2 * (size_t)row] * query->factors[1];
  return 4 * (index->metric == DRIFT_L2 ? 2 : 1) * sqrtf((q + x) / 6);
}

/* By distance, then row: nearly sorted already. */
static void order(drift_found *list, size_t count) {
  for (size_t i = 1; i < count; i++) {
    drift_found next = list[i];
    size_t at = i;
    for (; at > 0 && (next.distance < list[at - 1].distance ||
                      (next.distance == list[at - 1].distance && next.node < list[at - 1].node)); at--) {
      list[at] = list[at - 1];
    }
    list[at] = next;
  }
}

/* Of the tail at tails[at]; returns where the next one is. */
static inline size_t open_tail(const drift_query *ask, size_t padded, size_t at, const float **reference, const uint32_t **blocks,
                               size_t *count) {
  *count = ask->tails[at];
  *reference = (const float *)(ask->tails + at + 1);
  *blocks = ask->tails + at + 1 + padded;
  return at + 1 + padded + *count;
}

/* What the codes of a tail's rows may be off by, by those of its first: the limit is of codes, and beside rows that lie close to the
 * reference, as the query does, their error is more than that of an entry. */
static float tail_margin(const drift_index *index, const prepared_query *query, const uint32_t *blocks, size_t count) {
  if (count == 0 || blocks[0] >= index->block_count) return 0;
  uint32_t row = block_rows(index->blocks + blocks[0] * block_bytes(index->padded), index->padded)[0];
  return row < index->row_limit ? sq8_margin(index, query, row) : 0;
}

/* The blocks of all tails. Returns how many. */
static size_t probe_tails(const drift_index *index, const drift_query *ask, const prepared_query *query, const sign_query *entries, probe *out,
                          drift_effort *done) {
  size_t padded = index->padded, added = 0, count;
  float bound = index->routing == DRIFT_IP ? TAIL_BOUND_IP : TAIL_BOUND;
  /* Of <s, q> by the table, each of whose entries is off by up to half a step. */
  float rough = entries->step * sqrtf((float)(padded / 4));
  const float *reference;
  const uint32_t *blocks;
  for (size_t at = 0; at < ask->tail_words;) {
    at = open_tail(ask, padded, at, &reference, &blocks, &count);
    float squared = pair_l2(query->rotated, reference, padded);
    float base = pair_distance(index->metric, query->rotated, reference, padded) - tail_margin(index, query, blocks, count);
    if (index->reads_all || !(squared <= FLT_MAX && base >= -FLT_MAX)) base = -INFINITY;
    float slack = bound * sqrtf(squared) + rough;
    for (size_t i = 0; i < count; i++) {
      if (blocks[i] >= index->block_count) continue;
      const uint32_t *rows = block_rows(index->blocks + blocks[i] * block_bytes(padded), padded);
      uint32_t allowed = !ask->allow ? UINT32_MAX : ask->allow_words > 0 ? allowed_mask(rows, ask->allow, ask->allow_words) : 0;
      if (ask->allow) done->entries += (uint32_t)__builtin_popcount(allowed);
      if (allowed) out[added++] = (probe){blocks[i], allowed, base, slack};
    }
  }
  return added;
}

/* Centroids whose lengths are looked at. */
enum { LENGTHS = 64 };

static int has_exponent(float squared) { return squared > FLT_MIN && squared < INFINITY; }

/* What to multiply a query by. Under ip its length changes no order. But entries tell <s, q - c>, and where a query is short beside its
 * centroids, that says little of it. So it is brought to their length, by a power of two, which rounds nothing. */
static float lengthen(const drift_index *index, const drift_query *ask, const float *rotated) {
  float own = pair_dot(rotated, rotated, index->padded);
  if (index->routing != DRIFT_IP || !has_exponent(own)) return 1;
  int sum = 0, count = 0;
  for (size_t b = 0; b < index->bucket_count; b += index->bucket_count / LENGTHS + 1) {
    float squared = index->centroid_factors[2 * b + 1];
    if (!has_exponent(squared)) continue;
    sum += ilogbf(squared);
    count++;
  }
  for (size_t at = 0; index->bucket_count == 0 && at < ask->tail_words;) {
    const float *reference;
    const uint32_t *blocks;
    size_t in;
    at = open_tail(ask, index->padded, at, &reference, &blocks, &in);
    float squared = pair_dot(reference, reference, index->padded);
    if (!has_exponent(squared)) continue;
    sum += ilogbf(squared);
    count++;
  }
  if (count == 0) return 1;
  int lack = sum / count - ilogbf(own);
  return ldexpf(1, (lack - (lack & 1)) / 2);
}

int64_t KERNEL(index_search)(const drift_index *index, const drift_query *ask, const float *query, drift_scratch *scratch,
                             uint32_t *out_row, float *out_distance, drift_effort *effort) {
  if (ask->k == 0) {
    *effort = (drift_effort){0, 0, 0};
    return 0;
  }
  size_t padded = index->padded, room = ask->k + ask->rerank;
  size_t fixed = arena_size(4 * padded) + prepared_bytes(padded) + (index->codebooks ? word_table_bytes(padded) : 0) + route_bytes(index) +
                 arena_size(NEAR_BLOCKS * BLOCK_ENTRIES * sizeof(float)) +
                 3 * arena_size(4 * index->bucket_count) + arena_size((index->block_count + ask->tail_words) * sizeof(probe)) +
                 arena_size((room + 1) * sizeof(drift_found));
  arena memory;
  if (!arena_open(scratch, fixed + row_set_bytes(index->block_count * BLOCK_ENTRIES + ask->extra_count), &memory)) return DRIFT_NO_MEMORY;

  float *rotated = arena_take(&memory, 4 * padded);
  KERNEL(rotate)(query, index->dim, padded, 0, 1, index->flips, index->rounds, rotated);
  float times = lengthen(index, ask, rotated);
  for (size_t i = 0; times != 1 && i < padded; i++) rotated[i] *= times;
  prepared_query prepared = prepare_rotated(rotated, padded, &memory);
  sign_query entries = index->codebooks ? word_table(index->codebooks, rotated, padded, &memory) : prepared.signs;
  int is_routed = index->bucket_count > 0 && (ask->probes > 0 || ask->floor > 0);
  router routes = {.list = NULL};
  if (is_routed) routes = route_open(index, index->routing, &prepared, ask->allow ? ask : NULL, &memory);
  float *hits = arena_take(&memory, 4 * index->bucket_count), *mass = arena_take(&memory, 4 * index->bucket_count);
  uint32_t *ranks = arena_take(&memory, 4 * index->bucket_count);
  size_t near = is_routed ? choose(&routes, ask, &prepared, hits, mass, ranks) : 0;
  const routed *list = routes.list;

  float *bounds = arena_take(&memory, NEAR_BLOCKS * BLOCK_ENTRIES * sizeof *bounds);
  probe *probes = arena_take(&memory, (index->block_count + ask->tail_words) * sizeof *probes);
  size_t blocks = 0;
  drift_effort done = {0, 0, 0};
  for (size_t i = ask->part; i < near; i += ask->parts) {
    float distance = list[i].distance;
    size_t bucket = list[i].bucket;
    float squared = distance, base = distance;
    if (index->metric != index->routing || index->metric == DRIFT_IP) {
      /* ||q - c||^2 = ||q||^2 + ||c||^2 - 2 <q, c>, so either gives the other. */
      float norms = prepared.factors[1] + index->centroid_factors[2 * bucket + 1];
      if (index->routing == DRIFT_L2) base = (distance - norms) / 2;
      else squared = norms + 2 * distance;
    }
    if (done.buckets < ask->trace_room) {
      ask->trace[done.buckets] = (drift_probe){(uint32_t)bucket, ranks[i], distance / times, hits[i]};
    }
    done.buckets++;
    done.entries += index->sizes[bucket];
    float slack = squared > 0 ? BOUND * sqrtf(squared) : 0;
    if (index->reads_all) base = -INFINITY;
    for (size_t block = index->heads[bucket]; block < index->block_count && blocks < index->block_count;
         block = index->next[block]) {
      uint32_t allowed = ask->allow ? ask->masks[block] : UINT32_MAX;
      if (allowed) probes[blocks++] = (probe){(uint32_t)block, allowed, base, slack};
    }
  }

  blocks += probe_tails(index, ask, &prepared, &entries, probes + blocks, &done);

  scan s = {.index = index, .ask = ask, .query = &prepared, .entries = &entries, .memory = &memory, .room = room, .limit = INFINITY};
  s.best = arena_take(&memory, (room + 1) * sizeof *s.best);
  s.met = row_set_open(&memory);
  score_extra(&s);
  scan_blocks(&s, probes, blocks, bounds);

  heap_sort(s.best, s.size);
  size_t kept = s.size < ask->k ? s.size : ask->k;
  if (!index->vectors) {
    for (size_t i = 0; i < kept; i++) s.best[i].distance /= times;
  } else if (kept > 0) {
    /* Beyond what SQ8 can be wrong about, a row is not among the k. */
    float margin = sq8_margin(index, &prepared, s.best[kept - 1].node), worst = s.best[kept - 1].distance;
    while (kept < s.size && s.best[kept].distance <= worst + margin) kept++;
    for (size_t i = 0; i < kept; i++) prefetch(index->vectors + s.best[i].node * index->dim, index->dim * sizeof(float));
    for (size_t i = 0; i < kept; i++) {
      s.best[i].distance = pair_distance(index->metric, query, index->vectors + s.best[i].node * index->dim, index->dim);
    }
  }
  order(s.best, kept);
  size_t written = kept < ask->k ? kept : ask->k;
  for (size_t i = 0; i < written; i++) {
    out_row[i] = s.best[i].node;
    out_distance[i] = s.best[i].distance;
  }
  done.rows = s.survivors;
  *effort = done;
  return (int64_t)written;
}
