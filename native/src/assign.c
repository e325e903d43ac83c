/* Rows into the partition: which two buckets, and their entries there.
 * The home is the bucket of the nearest centroid by squared L2 under every metric, because k-means partitions by it. The second
 * is near in another direction, so that a query which the home's boundary cuts off still meets the row: SOAR (Sun et al.,
 * NeurIPS 2023) minimises ||r2||^2 + lambda (r2 . r1 / ||r1||)^2, r1 and r2 the residuals.
 * A row is what its codes say: the rotated row itself is not kept, and SQ8 leaves out far less than the signs do. */
#include "route.h"

/* Buckets among which the two are chosen, by exact distance of what the codes say. */
enum { CANDIDATES = 16 };

/* SQ8 is off by about 0.5 %: the nearest centroid is practically always among its best four. */
enum { FINALISTS = 4 };

/* Price of a second residual that points where the first does. 1 to 2 serve alike on sentence embeddings and on SIFT. */
static const float LAMBDA = 1.5f;

static void decode(const drift_index *index, size_t row, float *restrict out) {
  const uint8_t *restrict codes = index->codes + row * index->padded;
  float scale = index->factors[2 * row];
  for (size_t i = 0; i < index->padded; i++) out[i] = scale * (float)((int32_t)codes[i] - 128);
}

static void choose_two(const drift_index *index, const float *x, const routed *near, size_t count, uint32_t *home,
                       uint32_t *second) {
  size_t padded = index->padded;
  const float *centroids = index->centroids;
  float distance[CANDIDATES];
  size_t best = 0;
  for (size_t j = 0; j < count; j++) prefetch(centroids + near[j].bucket * padded, padded * sizeof(float));
  for (size_t j = 0; j < count; j++) {
    distance[j] = pair_l2(x, centroids + near[j].bucket * padded, padded);
    if (distance[j] < distance[best]) best = j;
  }
  *home = near[best].bucket;
  *second = NO_ROW;
  float least = INFINITY, to_home = distance[best];
  for (size_t j = 0; j < count; j++) {
    if (j == best) continue;
    /* By the law of cosines: the length of r2 along r1, times ||r1||. */
    float between = pair_l2(centroids + *home * padded, centroids + near[j].bucket * padded, padded);
    float along = (to_home + distance[j] - between) / 2;
    float loss = to_home > 0 ? distance[j] + LAMBDA * along * along / to_home : distance[j];
    if (loss >= least) continue;
    least = loss;
    *second = near[j].bucket;
  }
}

/* The bucket of least exact distance among the few that are nearest by their codes. */
static uint32_t choose_one(const drift_index *index, const float *x, const routed *near, size_t count) {
  size_t padded = index->padded;
  uint32_t home = near[0].bucket;
  float least = INFINITY;
  for (size_t j = 0; j < count && j < FINALISTS; j++) {
    float distance = pair_l2(x, index->centroids + near[j].bucket * padded, padded);
    if (!(distance < least)) continue;
    least = distance;
    home = near[j].bucket;
  }
  return home;
}

/* The buckets of the list, nearest first by their codes. */
static size_t rank_listed(const drift_index *index, const prepared_query *query, const drift_neighbours *of, size_t home,
                          arena *memory, routed **out) {
  size_t count = 0;
  routed *list = arena_take(memory, of->width * sizeof *list), *room = arena_take(memory, of->width * sizeof *room);
  uint32_t *bins = arena_take(memory, SORT_BINS * sizeof *bins);
  const uint32_t *buckets = of->buckets + home * of->width;
  for (size_t i = 0; i < of->width; i++) {
    if (buckets[i] >= index->bucket_count) continue;
    list[count++].bucket = buckets[i];
  }
  measure_routed(index, query, DRIFT_L2, list, 0, count);
  sort_routed(list, 0, count, room, bins);
  *out = list;
  return count;
}

int64_t KERNEL(index_assign)(const drift_index *index, const uint32_t *rows, size_t count, const drift_neighbours *of,
                             uint32_t *home, uint32_t *second, drift_scratch *scratch) {
  size_t padded = index->padded;
  size_t listed = 2 * arena_size(of->width * sizeof(routed)) + arena_size(SORT_BINS * sizeof(uint32_t));
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded) + prepared_bytes(padded) + route_bytes(index) + listed, &memory)) {
    return DRIFT_NO_MEMORY;
  }
  float *x = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count; j++) {
    arena again = memory;
    routed *list = NULL;
    size_t near = 0;
    decode(index, rows[j], x);
    prepared_query query = prepare_rotated(x, padded, &again);
    if (home[j] < of->count) near = rank_listed(index, &query, of, home[j], &again, &list);
    if (near == 0) {
      router routes = route_open(index, DRIFT_L2, &query, &again);
      route_more(&routes, 2 * CANDIDATES);
      list = routes.list;
      near = routes.count;
    }
    if (second) {
      choose_two(index, x, list, near < CANDIDATES ? near : CANDIDATES, home + j, second + j);
    } else {
      home[j] = choose_one(index, x, list, near);
    }
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
    router routes = route_open(index, DRIFT_L2, &query, &again);
    route_more(&routes, 2 * width);
    for (size_t i = 0; i < width; i++) out[j * width + i] = i < routes.count ? routes.list[i].bucket : NO_ROW;
  }
  return 0;
}

int64_t KERNEL(index_append)(const drift_index *index, const uint32_t *rows, const uint32_t *buckets,
                             const uint32_t *slots, size_t count, drift_scratch *scratch) {
  size_t padded = index->padded;
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded), &memory)) return DRIFT_NO_MEMORY;
  float *x = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count; j++) {
    if (j == 0 || rows[j - 1] != rows[j]) decode(index, rows[j], x);
    sign_write(index->metric, x, index->centroids + buckets[j] * padded, padded,
               index->blocks + slots[j] / BLOCK_ENTRIES * block_bytes(padded), slots[j] % BLOCK_ENTRIES, rows[j]);
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
