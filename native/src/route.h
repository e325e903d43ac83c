/* The nearest buckets of a query: 1-bit estimates of all centroids, or of those in the groups nearest to the query, SQ8 distances of
 * the best, in order. Selection is by a threshold that bisection finds by counting, never by a heap over all centroids.
 * Groups (drift_index.groups) are the same structure one level up: their centroids are routed first, and the entries of buckets in them
 * lie around their centroids. What the groups read do not hold is not found: more are read, the more buckets are wanted. */
#ifndef DRIFT_ROUTE_H
#define DRIFT_ROUTE_H

#include <float.h>
#include <math.h>

#include "allowed.h"
#include "arena.h"
#include "index.h"
#include "pair.h"
#include "signs.h"
#include "sq8.h"

void KERNEL(sq8_query)(const float *query, size_t dim, int8_t *out, float *out_factors);

/* A query in the three forms that the stages take. */
typedef struct {
  const float *rotated;
  const int8_t *codes;
  float factors[3];
  sign_query signs;
} prepared_query;

typedef struct {
  float distance;
  uint32_t bucket;
} routed;

enum { SORT_BINS = 256 };

static inline size_t prepared_bytes(size_t padded) {
  return arena_size(4 * padded) + arena_size(padded) + arena_size(4 * padded);
}

static inline prepared_query prepare_rotated(const float *rotated, size_t padded, arena *memory) {
  prepared_query q;
  int8_t *codes = arena_take(memory, padded);
  q.rotated = rotated;
  KERNEL(sq8_query)(rotated, padded, codes, q.factors);
  q.codes = codes;
  q.signs = sign_table(rotated, padded, arena_take(memory, 4 * padded));
  return q;
}

static inline size_t router_blocks(const drift_index *index) {
  return (index->bucket_count + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES;
}

/* For the threshold, estimates count in fours, by the least of each: four g of a block has its entries g, g + 8, g + 16, g + 24. */
enum { BLOCK_FOURS = 8 };

static inline size_t most_blocks(const drift_index *index) {
  size_t own = router_blocks(index), grouped = index->groups ? index->groups->block_count : 0;
  return own > grouped ? own : grouped;
}

/* Of a list of buckets: a block is listed with what its entries behind the last bucket say, and two are written behind the end. */
static inline size_t list_bytes(const drift_index *index) { return (index->bucket_count + BLOCK_ENTRIES + 2) * sizeof(routed); }

static inline size_t level_bytes(const drift_index *index) {
  size_t blocks = most_blocks(index);
  return arena_size(blocks * BLOCK_ENTRIES * 4) + arena_size(blocks * BLOCK_FOURS * 4) + 2 * arena_size(list_bytes(index)) +
         arena_size(SORT_BINS * 4);
}

static inline size_t count_below(const float *values, size_t count, float limit) {
  int32_t below = 0;
  for (size_t i = 0; i < count; i++) below += values[i] <= limit;
  return (size_t)below;
}

/* A value that at least `wanted` and not many more of the values are not above, found by counting. values: finite or +inf,
 * at least `wanted` of them; count: a multiple of 8. */
static inline float threshold(const float *values, size_t count, size_t wanted) {
  float lows[8], highs[8];
  for (size_t j = 0; j < 8; j++) lows[j] = FLT_MAX, highs[j] = -FLT_MAX;
  for (size_t i = 0; i < count; i += 8) {
#pragma GCC unroll 1 /* or gcc makes eight scalars of it */
    for (size_t j = 0; j < 8; j++) {
      float value = values[i + j], finite = value < INFINITY ? value : -FLT_MAX;
      lows[j] = value < lows[j] ? value : lows[j];
      highs[j] = finite > highs[j] ? finite : highs[j];
    }
  }
  float low = lows[0], high = highs[0];
  for (size_t j = 1; j < 8; j++) {
    low = lows[j] < low ? lows[j] : low;
    high = highs[j] > high ? highs[j] : high;
  }
  for (int step = 0; step < 24; step++) {
    float middle = low + (high - low) / 2;
    size_t below = count_below(values, count, middle);
    if (below < wanted) {
      low = middle;
    } else {
      high = middle;
      if (below <= wanted + wanted / 8) break;
    }
  }
  return high;
}

static inline int routed_before(routed a, routed b) {
  return a.distance < b.distance || (a.distance == b.distance && a.bucket < b.bucket);
}

/* Up to here, a multiple of 16, a list is ordered by counting, for each, how many are nearer. */
enum { COUNTED = 160 };

/* Four at a time, which share the loads of the others. What fills up the last vector is nearer than nothing. */
static inline void place_by_count(const routed *list, size_t count, routed *room) {
  enum { ALONG = 4, FILLED_TO = 16 };
  float distance[COUNTED];
  uint8_t taken[COUNTED] = {0};
  size_t filled = (count + FILLED_TO - 1) & ~(size_t)(FILLED_TO - 1);
  for (size_t i = 0; i < filled; i++) distance[i] = i < count ? list[i].distance : INFINITY;
  for (size_t i = 0; i < count; i += ALONG) {
    float a = distance[i], b = distance[i + 1], c = distance[i + 2], d = distance[i + 3];
    int32_t nearer_a = 0, nearer_b = 0, nearer_c = 0, nearer_d = 0;
    for (size_t j = 0; j < filled; j++) {
      nearer_a += distance[j] < a;
      nearer_b += distance[j] < b;
      nearer_c += distance[j] < c;
      nearer_d += distance[j] < d;
    }
    int32_t nearer[ALONG] = {nearer_a, nearer_b, nearer_c, nearer_d};
    for (size_t k = 0; k < ALONG && i + k < count; k++) {
      int32_t to = nearer[k];
      while (taken[to]) to++;
      taken[to] = 1;
      room[to] = list[i + k];
    }
  }
}

static inline void place_by_bins(const routed *list, size_t count, routed *room, uint32_t *bins) {
  float low = list[0].distance, high = low;
  for (size_t i = 1; i < count; i++) {
    low = list[i].distance < low ? list[i].distance : low;
    high = list[i].distance > high ? list[i].distance : high;
  }
  float by = (float)(SORT_BINS - 1) / (high - low);
  if (!(by > 0 && by < INFINITY)) {
    memcpy(room, list, count * sizeof *list);
    return;
  }
  memset(bins, 0, SORT_BINS * sizeof *bins);
  for (size_t i = 0; i < count; i++) bins[(uint32_t)((list[i].distance - low) * by)]++;
  for (uint32_t bin = 0, at = 0; bin < SORT_BINS; bin++) {
    uint32_t size = bins[bin];
    bins[bin] = at;
    at += size;
  }
  for (size_t i = 0; i < count; i++) room[bins[(uint32_t)((list[i].distance - low) * by)]++] = list[i];
}

/* Ascending by distance, then bucket, list[0 .. sorted) being so already. Placed roughly, which leaves little to an insertion sort; then
 * merged from behind. No distance is NaN. */
static inline void sort_routed(routed *list, size_t sorted, size_t count, routed *room, uint32_t *bins) {
  routed *added = list + sorted;
  size_t more = count - sorted;
  if (more == 0) return;
  if (more <= COUNTED) place_by_count(added, more, room);
  else place_by_bins(added, more, room, bins);
  for (size_t i = 1; i < more; i++) {
    routed next = room[i];
    size_t at = i;
    for (; at > 0 && routed_before(next, room[at - 1]); at--) room[at] = room[at - 1];
    room[at] = next;
  }
  for (size_t to = count; more > 0;) {
    list[--to] = sorted > 0 && routed_before(room[more - 1], list[sorted - 1]) ? list[--sorted] : room[--more];
  }
}

/* The buckets of one query, found in rounds: each brings the nearest of those not yet listed. */
typedef struct router {
  const drift_index *index;
  const prepared_query *query;
  drift_metric metric;
  const drift_query *only; /* buckets without rows that it allows are not listed; NULL: there is no filter */
  float *estimates, *least;
  routed *list, *room;
  uint32_t *bins;
  size_t blocks, count;
  size_t seen; /* those that are listed, and those that were not for want of allowed rows */
  float limit; /* everything estimated up to here is seen */
  /* NULL: `estimates` are of all buckets in order. Else of the blocks `from` of groups->index, `blocks` of them so far; what is
   * listed is +inf there. */
  struct router *groups;
  uint32_t *from;
  size_t read; /* groups */
} router;

static inline size_t route_bytes(const drift_index *index) {
  const drift_index *groups = index->groups;
  size_t bytes = level_bytes(index);
  if (groups) bytes += level_bytes(groups) + arena_size(sizeof(router)) + arena_size(groups->block_count * 4);
  return bytes;
}

/* ||q - c||^2 - ||c||^2 orders like -<q, c>. */
static inline void subtract_norms(const drift_index *index, size_t first, float *estimates) {
  for (size_t i = first; i < first + BLOCK_ENTRIES && i < index->bucket_count; i++) {
    estimates[i - first] -= index->centroid_factors[2 * i + 1];
  }
}

/* Of the 32 estimates of block b. Squares that overflow make NaN, which no limit lists or passes over: such a bucket counts as near. */
static inline void note_estimates(router *r, size_t b) {
  float *restrict of = r->estimates + b * BLOCK_ENTRIES, *restrict least = r->least + b * BLOCK_FOURS;
  for (size_t j = 0; j < BLOCK_ENTRIES; j++) of[j] = of[j] > -FLT_MAX ? of[j] : -FLT_MAX;
#pragma GCC unroll 1 /* or gcc makes scalars of it */
  for (size_t g = 0; g < BLOCK_FOURS; g++) {
    float x = of[g] < of[g + 8] ? of[g] : of[g + 8], y = of[g + 16] < of[g + 24] ? of[g + 16] : of[g + 24];
    least[g] = x < y ? x : y;
  }
}

/* From no bucket listed. */
static inline void estimate_all(router *r) {
  const drift_index *index = r->index;
  size_t bytes = block_bytes(index->padded);
  r->groups = NULL;
  r->count = r->seen = 0;
  r->limit = -INFINITY;
  r->blocks = router_blocks(index);
  for (size_t b = 0; b < r->blocks; b++) {
    float *of = r->estimates + b * BLOCK_ENTRIES;
    sign_scan(&r->query->signs, index->router + b * bytes, index->padded, 0, 0, of);
    if (r->metric == DRIFT_IP) subtract_norms(index, b * BLOCK_ENTRIES, of);
    note_estimates(r, b);
  }
}

static inline router level_open(const drift_index *index, drift_metric metric, const prepared_query *query, arena *memory) {
  size_t blocks = most_blocks(index);
  router r = {.index = index, .query = query, .metric = metric};
  r.estimates = arena_take(memory, blocks * BLOCK_ENTRIES * 4);
  r.least = arena_take(memory, blocks * BLOCK_FOURS * 4);
  r.list = arena_take(memory, list_bytes(index));
  r.room = arena_take(memory, list_bytes(index));
  r.bins = arena_take(memory, SORT_BINS * sizeof *r.bins);
  return r;
}

static inline router route_open(const drift_index *index, drift_metric metric, const prepared_query *query, const drift_query *only,
                                arena *memory) {
  router r = level_open(index, metric, query, memory);
  r.only = only;
  /* Near by inner product is not near in space, which is how groups are made. */
  if (index->groups && metric == DRIFT_L2) {
    r.groups = arena_take(memory, sizeof *r.groups);
    r.from = arena_take(memory, index->groups->block_count * 4);
    *r.groups = level_open(index->groups, DRIFT_L2, query, memory);
    estimate_all(r.groups);
  } else {
    estimate_all(&r);
  }
  return r;
}

enum { AHEAD_CENTROIDS = 8 };

/* With a filter as many buckets are seen at most, in one step, for every one seen so far. */
enum { MOST_TIMES = 4 };

/* The distances of list[from .. count) by the codes of their centroids. */
static inline void measure_routed(const drift_index *index, const prepared_query *query, drift_metric metric, routed *list,
                                  size_t from, size_t count) {
  size_t padded = index->padded;
  for (size_t i = from; i < count && i < from + AHEAD_CENTROIDS; i++) {
    prefetch(index->centroid_codes + list[i].bucket * padded, padded);
  }
  for (size_t i = from; i < count; i++) {
    if (i + AHEAD_CENTROIDS < count) prefetch(index->centroid_codes + list[i + AHEAD_CENTROIDS].bucket * padded, padded);
    size_t bucket = list[i].bucket;
    float distance = sq8_distance(metric, query->codes, query->factors, index->centroid_codes + bucket * padded,
                                  index->centroid_factors + 2 * bucket, padded);
    list[i].distance = distance == distance ? distance : INFINITY; /* a NaN has no place in an order */
  }
}

/* Which of 32 values are above `over` and not above `limit`. */
static inline uint32_t within(const float *values, float over, float limit) {
#if defined(__AVX512F__)
  __m512 bottom = _mm512_set1_ps(over), top = _mm512_set1_ps(limit), low = _mm512_loadu_ps(values), high = _mm512_loadu_ps(values + 16);
  uint32_t mask = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low, top, _CMP_LE_OQ), low, bottom, _CMP_GT_OQ);
  mask |= (uint32_t)_mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(high, top, _CMP_LE_OQ), high, bottom, _CMP_GT_OQ) << 16;
#elif defined(__AVX2__)
  __m256 bottom = _mm256_set1_ps(over), top = _mm256_set1_ps(limit);
  uint32_t mask = 0;
  for (int j = 0; j < 4; j++) {
    __m256 lane = _mm256_loadu_ps(values + 8 * j);
    __m256 in = _mm256_and_ps(_mm256_cmp_ps(lane, top, _CMP_LE_OQ), _mm256_cmp_ps(lane, bottom, _CMP_GT_OQ));
    mask |= (uint32_t)_mm256_movemask_ps(in) << (8 * j);
  }
#else
  uint32_t mask = 0;
  for (int j = 0; j < BLOCK_ENTRIES; j++) mask |= (uint32_t)(values[j] > over && values[j] <= limit) << j;
#endif
  return mask;
}

/* Lists the buckets first + j of the set bits j. Mostly none or one is set: two are written whether they are or not, so nothing branches. */
static inline void list_masked(router *r, size_t first, uint32_t mask) {
  const uint32_t last = 1u << (BLOCK_ENTRIES - 1);
  routed *to = r->list + r->count;
  r->count += (size_t)__builtin_popcount(mask);
  to[0].bucket = (uint32_t)first + (uint32_t)__builtin_ctz(mask | last);
  mask &= mask - 1;
  to[1].bucket = (uint32_t)first + (uint32_t)__builtin_ctz(mask | last);
  for (mask &= mask - 1, to += 2; mask; mask &= mask - 1) (to++)->bucket = (uint32_t)first + (uint32_t)__builtin_ctz(mask);
}

/* Buckets asked for before they are counted: most have two blocks, the second half as far ahead. */
enum { AHEAD_COUNTS = 16 };

static inline void count_listed(const drift_index *index, const drift_query *only, const routed *list, size_t count) {
  for (size_t i = 0; i < count + AHEAD_COUNTS; i++) {
    if (i < count && only->counts[list[i].bucket] == NOT_COUNTED) ask_for_rows(index, index->heads[list[i].bucket]);
    size_t second = i - AHEAD_COUNTS / 2, done = i - AHEAD_COUNTS;
    if (second < count && only->counts[list[second].bucket] == NOT_COUNTED) {
      size_t head = index->heads[list[second].bucket];
      if (head < index->block_count) ask_for_rows(index, index->next[head]);
    }
    if (done < count && only->counts[list[done].bucket] == NOT_COUNTED) count_allowed(index, only, list[done].bucket);
  }
}

/* Of list[from .. count) those stay that have allowed rows. */
static inline void drop_empty(router *r, size_t from) {
  const drift_query *only = r->only;
  r->seen += r->count - from;
  if (!only) return;
  count_listed(r->index, only, r->list + from, r->count - from);
  size_t kept = from;
  for (size_t i = from; i < r->count; i++) {
    uint32_t bucket = r->list[i].bucket;
    r->list[kept].bucket = bucket;
    kept += only->counts[bucket] > 0;
  }
  r->count = kept;
}

/* How many buckets more have to be seen for `wanted` to be listed: as those seen so far say, but not many times as many. */
static inline size_t lacking(const router *r, size_t wanted) {
  size_t lack = wanted - r->count, times = r->count > 0 ? r->seen / r->count + 1 : MOST_TIMES;
  if (!r->only || r->seen == 0) return lack;
  return lack * times < MOST_TIMES * r->seen ? lack * times : MOST_TIMES * r->seen;
}

/* Lists the buckets estimated up to a limit that at least min(wanted, all) are below, and not yet listed, with their distances. */
static inline void list_all(router *r, size_t wanted) {
  const drift_index *index = r->index;
  size_t before = r->count, all = r->blocks * BLOCK_ENTRIES, fours = r->blocks * BLOCK_FOURS;
  while (r->count < wanted && r->limit < INFINITY) {
    size_t from = r->count, reach = r->seen + lacking(r, wanted);
    float limit = reach >= index->bucket_count ? INFINITY
                  : 2 * reach < fours          ? threshold(r->least, fours, reach)
                                               : threshold(r->estimates, all, reach);
    if (!(limit > r->limit)) limit = INFINITY; /* some are estimated to be infinitely far */
    for (size_t first = 0; first < all; first += BLOCK_ENTRIES) {
      list_masked(r, first, within(r->estimates + first, r->limit, limit));
    }
    while (r->count > from && r->list[r->count - 1].bucket >= index->bucket_count) r->count--;
    r->limit = limit;
    drop_empty(r, from);
  }
  measure_routed(index, r->query, r->metric, r->list, before, r->count);
}

/* Of a million rows in 42 000 buckets, groups with so many entries hold 98 of 100 of the 16 nearest; docs/adr/0023. Routing that reads
 * more than one part in FLAT_PART of the buckets so reads all of them, in order. */
enum { ENTRIES_PER_WANTED = 12, MORE_ENTRIES = 1024, FLAT_PART = 2, AHEAD_GROUPS = 2 };

static inline void ask_for_group(const drift_index *groups, const routed *list, size_t at, size_t count) {
  if (at >= count) return;
  size_t bytes = block_bytes(groups->padded), block = groups->heads[list[at].bucket];
  if (block < groups->block_count) prefetch(groups->blocks + block * bytes, bytes);
}

/* Estimates of the buckets in further groups, nearest groups first, until there are `entries` in all. */
static inline void gather(router *r, size_t entries) {
  router *upper = r->groups;
  const drift_index *groups = upper->index;
  size_t padded = groups->padded, bytes = block_bytes(padded), held = r->blocks * BLOCK_ENTRIES;
  while (held < entries && r->read < groups->bucket_count) {
    if (r->read == upper->count) {
      size_t before = upper->count, more = (entries - held) * groups->bucket_count / r->index->bucket_count;
      list_all(upper, before + more + more / 4 + 4);
      if (upper->count == before) return;
      sort_routed(upper->list + before, 0, upper->count - before, upper->room, upper->bins);
      for (size_t i = 0; i < AHEAD_GROUPS; i++) ask_for_group(groups, upper->list, before + i, upper->count);
    }
    ask_for_group(groups, upper->list, r->read + AHEAD_GROUPS, upper->count);
    routed group = upper->list[r->read++];
    size_t left = groups->sizes[group.bucket];
    held += left;
    for (size_t block = groups->heads[group.bucket]; left > 0 && block < groups->block_count && r->blocks < groups->block_count;
         block = groups->next[block]) {
      r->from[r->blocks] = (uint32_t)block;
      sign_scan(&r->query->signs, groups->blocks + block * bytes, padded, group.distance, 0, r->estimates + r->blocks * BLOCK_ENTRIES);
      note_estimates(r, r->blocks++);
      left -= left < BLOCK_ENTRIES ? left : BLOCK_ENTRIES;
    }
  }
}

/* As list_all, `more` of the buckets whose groups were read. Another thread may move a bucket between groups meanwhile: it is then
 * listed twice or not at all. */
static inline void list_grouped(router *r, size_t more) {
  const drift_index *index = r->index, *groups = r->groups->index;
  size_t before = r->count, all = r->blocks * BLOCK_ENTRIES, fours = r->blocks * BLOCK_FOURS, bytes = block_bytes(groups->padded);
  float limit = r->seen == 0 && 2 * more < fours ? threshold(r->least, fours, more) : threshold(r->estimates, all, more);
  for (size_t b = 0; b < r->blocks; b++) {
    float *estimates = r->estimates + b * BLOCK_ENTRIES;
    const uint32_t *buckets = block_rows(groups->blocks + r->from[b] * bytes, groups->padded);
    for (uint32_t mask = within(estimates, -INFINITY, limit); mask; mask &= mask - 1) {
      int j = __builtin_ctz(mask);
      estimates[j] = INFINITY;
      if (buckets[j] < index->bucket_count && r->count < index->bucket_count) r->list[r->count++].bucket = buckets[j];
    }
  }
  drop_empty(r, before);
  measure_routed(index, r->query, r->metric, r->list, before, r->count);
}

/* At least the min(wanted, all) nearest by estimate are in r->list then, or as many as the groups that were read hold, by squared L2
 * or inner product of the codes, nearest first; with a filter, of those that have allowed rows. */
static inline void route_more(router *r, size_t wanted) {
  size_t sorted = r->count;
  for (size_t seen = SIZE_MAX; r->groups && r->count < wanted && (r->only || seen == SIZE_MAX || r->count == 0);) {
    size_t more = lacking(r, wanted), entries = ENTRIES_PER_WANTED * (r->seen + more) + MORE_ENTRIES;
    /* So many buckets are read faster in order; and where the groups hold nothing more, it is elsewhere. */
    if (FLAT_PART * entries > r->index->bucket_count || r->seen == seen) {
      estimate_all(r);
      sorted = 0;
      break;
    }
    seen = r->seen;
    gather(r, entries);
    list_grouped(r, more);
  }
  if (!r->groups) list_all(r, wanted);
  sort_routed(r->list, sorted, r->count, r->room, r->bins);
}

#endif
