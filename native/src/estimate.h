/* How many of the nearest rows a bucket holds that nearer buckets do not, before any is read:
 *
 *   hits_j = (1 + L_j)^by_rank * (d_j^2 / d_0^2)^by_ratio * n_j^by_size
 *
 * d_j is the distance of the centroid of the j-th nearest bucket, n_j its entries that count (of live rows, and of allowed ones when
 * only these are asked for), L_j those of all nearer buckets over the mean of a bucket: the rank, counted in mass, so that dead or
 * filtered buckets do not push others back. d_0^2 is the mean over the nearest entries that count, as many as rows are asked for: a
 * topic of fewer rows than that has the rest of the answer among its far neighbours. With a filter d_0 is the distance of the bucket at
 * which as many as a mean bucket has are reached. A bucket without any is never scanned, and with a filter not looked at. The unit is
 * arbitrary; recall is learned from it (packages/core/src/recall/map.ts).
 * Rule: buckets are taken by hits per cost against one floor, so no order is needed beyond that of distance; a flat query, around which
 * buckets beyond d_0 are hardly farther, has a floor of its own, and so has a far one, whose d_0 is beyond that of the rows. */
#ifndef DRIFT_ESTIMATE_H
#define DRIFT_ESTIMATE_H

#include "route.h"

/* Opening a bucket costs as much as scanning so many entries: a miss of the head, the block and its rows. */
static const float OPENING = 16;

/* The logarithm to base 2 of a positive finite x, off by at most 2e-4: the exponent, and a polynomial in the mantissa. */
static inline float fast_log2(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  float exponent = (float)((int32_t)(bits >> 23) - 127);
  bits = (bits & 0x7fffff) | 0x3f800000;
  float m;
  memcpy(&m, &bits, 4);
  return exponent + (((-0.07844068f * m + 0.62603218f) * m - 2.07833517f) * m + 4.02921139f) * m - 2.49835315f;
}

/* 2^x for x in [-126, 126], clamped, off by at most 2e-4 of it. */
static inline float fast_exp2(float x) {
  x = x < -126 ? -126 : x > 126 ? 126 : x;
  int32_t whole = (int32_t)(x + 127) - 127; /* floor, as x + 127 > 0 */
  float f = x - (float)whole;
  float part = ((0.07896726f * f + 0.22469316f) * f + 0.69632477f) * f + 0.99990029f;
  uint32_t bits = (uint32_t)(whole + 127) << 23;
  float scale;
  memcpy(&scale, &bits, 4);
  return part * scale;
}

/* Buckets that tell the unit of distances, and whether a query is flat: no more than are looked at first. */
enum { FLAT_BUCKETS = 16 };

/* What makes squared distances, as order and ratio need them, of a router's: d^2 = at + times * distance. Inner products are taken as
 * distances between query and centroids lifted to one length, that of the longest of the nearest FLAT_BUCKETS: a query's own length
 * changes no order, so it must not change what is scanned, and neither may long rows that are far from it. */
typedef struct {
  float times, at;
} squares;

static inline squares squares_of(const router *routes, const prepared_query *query, size_t count) {
  if (routes->metric == DRIFT_L2) return (squares){1, 0};
  float longest = 0, own = query->factors[1];
  for (size_t j = 0; j < count && j < FLAT_BUCKETS; j++) {
    float squared = routes->index->centroid_factors[2 * routes->list[j].bucket + 1];
    longest = squared > longest ? squared : longest;
  }
  return (squares){own > 0 ? 2 * sqrtf(longest / own) : 0, 2 * longest};
}

/* d_0^2, where lives[j] entries of list[0 .. count) count. */
static inline float near_square(const drift_query *ask, const routed *list, squares to, const float *lives, size_t count) {
  float reached = 0, sum = 0;
  /* A filter that leaves nothing near a query may leave a stray row: the ratio starts where there is a bucket's worth. */
  if (ask->allow || !(ask->near > 0)) {
    float wanted = ask->allow ? ask->mean_lives : 0;
    for (size_t j = 0; j < count; j++) {
      reached += lives[j];
      if (lives[j] > 0 && reached >= wanted) return to.at + to.times * list[j].distance;
    }
    return FLT_MAX;
  }
  for (size_t j = 0; j < count && j < FLAT_BUCKETS && reached < ask->near; j++) {
    float left = ask->near - reached, n = lives[j] < left ? lives[j] : left;
    if (n > 0) sum += n * (to.at + to.times * list[j].distance);
    reached += n;
  }
  return reached > 0 ? sum / reached : FLT_MAX;
}

/* hits[j] of the first `count` buckets listed. mass: room for count. Returns the floor that holds for them. */
static inline float expect_hits(const router *routes, const drift_query *ask, const prepared_query *query, size_t count,
                                const uint32_t *lives, float *restrict mass, float *restrict hits) {
  const routed *list = routes->list;
  float nearer = 0, per_mean = ask->mean_lives > 0 ? 1 / ask->mean_lives : 1;
  for (size_t j = 0; j < count; j++) {
    float n = (float)lives[list[j].bucket];
    hits[j] = n;
    mass[j] = 1 + nearer * per_mean;
    nearer += n;
  }
  squares to = squares_of(routes, query, count);
  float nearest = near_square(ask, list, to, hits, count);
  if (!(nearest > FLT_MIN)) nearest = FLT_MIN; /* on a centroid: whatever is farther is infinitely farther */
  size_t last = count < FLAT_BUCKETS ? count : FLAT_BUCKETS;
  float farthest = last > 0 ? to.at + to.times * list[last - 1].distance : 0;
  float of_nearest = fast_log2(nearest), by_rank = ask->by_rank, by_ratio = ask->by_ratio, by_size = ask->by_size;
  for (size_t j = 0; j < count; j++) {
    float n = hits[j], d = to.at + to.times * list[j].distance;
    d = d > nearest ? d : nearest;
    d = d < FLT_MAX ? d : FLT_MAX;
    float power = by_rank * fast_log2(mass[j]) + by_ratio * (fast_log2(d) - of_nearest) + by_size * fast_log2(n > 1 ? n : 1);
    hits[j] = n > 0 ? fast_exp2(power) : 0;
  }
  float of_flat = farthest < ask->flat * nearest ? ask->flat_times : 1, of_far = nearest > ask->far ? ask->far_times : 1;
  return ask->floor * (of_flat < of_far ? of_flat : of_far);
}

/* Buckets looked at first: a third of those that rank alone would let in, were all of mean size. */
enum { FIRST_LEAST = 16, FIRST_MOST = 64, FIRST_PART = 3 };

/* Where buckets are in groups, as what is looked at says how many groups are read. */
enum { FIRST_GROUPED = 48 };

static inline size_t first_width(const drift_query *ask, int is_grouped) {
  float n = ask->mean_lives > 1 ? ask->mean_lives : 1;
  float lack = ask->by_size * fast_log2(n) - fast_log2(ask->floor * (OPENING + n));
  float ranks = ask->by_rank < 0 && ask->floor > 0 ? fast_exp2(lack / -ask->by_rank) / FIRST_PART : FIRST_MOST;
  size_t least = is_grouped ? FIRST_GROUPED : FIRST_LEAST;
  return ranks >= FIRST_MOST ? FIRST_MOST : ranks >= (float)least ? (size_t)ranks : least;
}

/* Bounds of how many buckets are looked at next, in halves of those looked at so far: the power of next_width is only a guess. */
enum { MORE_LEAST = 3, MORE_MOST = 8 };

/* How many buckets to look at instead of `count`. Hits per cost fall by some power of the rank: the one by which they fell from the middle
 * third to the last. By it they reach the floor at some rank, and half as many buckets again are looked at. */
static inline size_t next_width(const drift_index *index, float floor, const routed *list, const float *hits, size_t count) {
  float gained[3] = {0}, cost[3] = {0};
  for (size_t part = 0; part < 3; part++) {
    for (size_t j = count * part / 3; j < count * (part + 1) / 3; j++) {
      gained[part] += hits[j];
      cost[part] += OPENING + (float)index->sizes[list[j].bucket];
    }
  }
  /* The middles of those thirds are at 1/2 and 5/6 of the count. */
  float power = (fast_log2(gained[1] * cost[2]) - fast_log2(gained[2] * cost[1])) / 0.7370f;
  float above = fast_log2(gained[2]) - fast_log2(floor * cost[2]);
  float halves = 2.5f * fast_exp2(power > 0.25f ? above / power : above / 0.25f);
  size_t more = halves >= MORE_MOST ? MORE_MOST : halves >= MORE_LEAST ? (size_t)halves + 1 : MORE_LEAST;
  return count * more / 2 + 1;
}

/* Keeps of list[0 .. count) what is worth scanning, in order of distance, and its hits and rank; *kept: how many. Returns 0, or, with
 * nothing changed, how many buckets to look at, when buckets beyond may be worth it too: one of the farther third is, or entries are short.
 * is_all: there are none beyond. */
static inline size_t keep_worthy(const drift_index *index, const drift_query *ask, float floor, routed *list, const uint32_t *lives,
                                 float *hits, uint32_t *ranks, size_t count, int is_all, size_t *kept) {
  size_t taken = 0, entries = 0;
  for (size_t j = 0; j < count; j++) {
    ranks[taken] = (uint32_t)j;
    float cost = OPENING + (float)index->sizes[list[j].bucket];
    if (!(hits[j] > 0 && (entries < ask->least || hits[j] >= floor * cost))) continue;
    entries += lives[list[j].bucket];
    taken++;
  }
  int may_be_more = entries < ask->least || (taken > 0 && 3 * (size_t)ranks[taken - 1] >= 2 * count);
  if (may_be_more && !is_all) return next_width(index, floor, list, hits, count);
  for (size_t i = 0; i < taken; i++) {
    list[i] = list[ranks[i]];
    hits[i] = hits[ranks[i]];
  }
  *kept = taken;
  return 0;
}

#endif
