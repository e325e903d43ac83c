/* The nearest buckets of a query: 1-bit estimates of all centroids, SQ8 distances of the best, in order.
 * Selection is by a threshold that bisection finds by counting, never by a heap over all centroids. */
#ifndef DRIFT_ROUTE_H
#define DRIFT_ROUTE_H

#include <float.h>
#include <math.h>

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

/* Estimates are looked at in groups of four, by the least of each: group g of a block has its entries g, g + 8, g + 16, g + 24. */
enum { BLOCK_GROUPS = 8 };

static inline size_t route_bytes(const drift_index *index) {
  size_t entries = router_blocks(index) * BLOCK_ENTRIES;
  return arena_size(entries * 4) + arena_size(entries / BLOCK_ENTRIES * BLOCK_GROUPS * 4) + 2 * arena_size(index->bucket_count * sizeof(routed)) +
         arena_size(SORT_BINS * 4);
}

static inline size_t count_below(const float *values, size_t count, float limit) {
  int32_t below = 0;
  for (size_t i = 0; i < count; i++) below += values[i] <= limit;
  return (size_t)below;
}

/* A value that at least `wanted` and not many more of the values are not above, found by counting. values: finite or +inf,
 * at least `wanted` of them. */
static inline float threshold(const float *values, size_t count, size_t wanted) {
  float low = values[0], high = values[0];
  for (size_t i = 0; i < count; i++) low = values[i] < low ? values[i] : low;
  for (size_t i = 0; i < count; i++) high = values[i] > high && values[i] < INFINITY ? values[i] : high;
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

/* Ascending by distance, then bucket: into bins of equal width, which leaves little to an insertion sort. */
static inline void sort_routed(routed *list, size_t count, routed *room, uint32_t *bins) {
  if (count < 2) return;
  float low = list[0].distance, high = low;
  for (size_t i = 1; i < count; i++) {
    low = list[i].distance < low ? list[i].distance : low;
    high = list[i].distance > high ? list[i].distance : high;
  }
  float by = (float)(SORT_BINS - 1) / (high - low);
  if (by > 0 && by < INFINITY) {
    memset(bins, 0, SORT_BINS * sizeof *bins);
    for (size_t i = 0; i < count; i++) bins[(uint32_t)((list[i].distance - low) * by)]++;
    for (uint32_t bin = 0, at = 0; bin < SORT_BINS; bin++) {
      uint32_t size = bins[bin];
      bins[bin] = at;
      at += size;
    }
    for (size_t i = 0; i < count; i++) room[bins[(uint32_t)((list[i].distance - low) * by)]++] = list[i];
    memcpy(list, room, count * sizeof *list);
  }
  for (size_t i = 1; i < count; i++) {
    routed next = list[i];
    size_t at = i;
    for (; at > 0 && routed_before(next, list[at - 1]); at--) list[at] = list[at - 1];
    list[at] = next;
  }
}

/* The buckets of one query, found in rounds: each brings the nearest of those not yet listed. */
typedef struct {
  const drift_index *index;
  const prepared_query *query;
  drift_metric metric;
  float *estimates, *least;
  routed *list, *room;
  uint32_t *bins;
  size_t groups, count;
  float limit; /* everything estimated up to here is listed */
} router;

/* ||q - c||^2 - ||c||^2 orders like -<q, c>. */
static inline void subtract_norms(const drift_index *index, size_t first, float *estimates) {
  for (size_t i = first; i < first + BLOCK_ENTRIES && i < index->bucket_count; i++) {
    estimates[i - first] -= index->centroid_factors[2 * i + 1];
  }
}

static inline router route_open(const drift_index *index, drift_metric metric, const prepared_query *query,
                                arena *memory) {
  size_t blocks = router_blocks(index), bytes = block_bytes(index->padded);
  router r = {.index = index, .query = query, .metric = metric, .groups = blocks * BLOCK_GROUPS, .limit = -INFINITY};
  r.estimates = arena_take(memory, blocks * BLOCK_ENTRIES * 4);
  r.least = arena_take(memory, r.groups * 4);
  r.list = arena_take(memory, index->bucket_count * sizeof *r.list);
  r.room = arena_take(memory, index->bucket_count * sizeof *r.room);
  r.bins = arena_take(memory, SORT_BINS * sizeof *r.bins);
  for (size_t b = 0; b < blocks; b++) {
    float *restrict of = r.estimates + b * BLOCK_ENTRIES, *restrict least = r.least + b * BLOCK_GROUPS;
    sign_scan(&query->signs, index->router + b * bytes, index->padded, 0, 0, of);
    if (metric == DRIFT_IP) subtract_norms(index, b * BLOCK_ENTRIES, of);
    /* Squares that overflow make NaN, which no limit lists or passes over: such a bucket counts as near. */
    for (size_t j = 0; j < BLOCK_ENTRIES; j++) of[j] = of[j] > -FLT_MAX ? of[j] : -FLT_MAX;
    for (size_t g = 0; g < BLOCK_GROUPS; g++) {
      float x = of[g] < of[g + 8] ? of[g] : of[g + 8], y = of[g + 16] < of[g + 24] ? of[g + 16] : of[g + 24];
      least[g] = x < y ? x : y;
    }
  }
  return r;
}

/* The distances of list[from .. count) by the codes of their centroids, which are asked for already. */
static inline void measure_routed(const drift_index *index, const prepared_query *query, drift_metric metric, routed *list,
                                  size_t from, size_t count) {
  size_t padded = index->padded;
  for (size_t i = from; i < count; i++) {
    size_t bucket = list[i].bucket;
    float distance = sq8_distance(metric, query->codes, query->factors, index->centroid_codes + bucket * padded,
                                  index->centroid_factors + 2 * bucket, padded);
    list[i].distance = distance == distance ? distance : INFINITY; /* a NaN has no place in an order */
  }
}

/* At least the min(wanted, all) nearest by estimate are in r->list then, by squared L2 or inner product of the codes, nearest
 * first. */
static inline void route_more(router *r, size_t wanted) {
  const drift_index *index = r->index;
  size_t padded = index->padded, before = r->count;
  float limit = wanted >= index->bucket_count ? INFINITY
                : 2 * wanted < r->groups      ? threshold(r->least, r->groups, wanted)
                                              : threshold(r->estimates, r->groups * (BLOCK_ENTRIES / BLOCK_GROUPS), wanted);
  for (size_t g = 0; g < r->groups; g++) {
    if (!(r->least[g] <= limit)) continue;
    size_t first = g / BLOCK_GROUPS * BLOCK_ENTRIES + g % BLOCK_GROUPS;
    for (size_t i = first; i < first + BLOCK_ENTRIES && i < index->bucket_count; i += BLOCK_GROUPS) {
      if (r->estimates[i] > limit || r->estimates[i] <= r->limit) continue;
      prefetch(index->centroid_codes + i * padded, padded);
      r->list[r->count++].bucket = (uint32_t)i;
    }
  }
  measure_routed(index, r->query, r->metric, r->list, before, r->count);
  r->limit = limit;
  sort_routed(r->list, r->count, r->room, r->bins);
}

#endif
