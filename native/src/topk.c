/* The k smallest: a bounded heap in the outputs, worst on top, then sorted in place. Once the heap is full nearly
 * everything is worse than its top, so blocks are first compared as a whole. */
#include "isa.h"

enum { BLOCK = 32 };

/* A total order, so the result is unique: farther is worse, then the higher position. */
static inline int is_worse(float d, uint32_t p, float other_d, uint32_t other_p) {
  return d > other_d || (d == other_d && p > other_p);
}

static void sift_up(uint32_t *position, float *distance, size_t at, uint32_t p, float d) {
  while (at > 0) {
    size_t parent = (at - 1) / 2;
    if (!is_worse(d, p, distance[parent], position[parent])) break;
    position[at] = position[parent];
    distance[at] = distance[parent];
    at = parent;
  }
  position[at] = p;
  distance[at] = d;
}

static void replace_top(uint32_t *position, float *distance, size_t size, uint32_t p, float d) {
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < size; at = child) {
    size_t right = child + 1;
    if (right < size && is_worse(distance[right], position[right], distance[child], position[child])) child = right;
    if (!is_worse(distance[child], position[child], d, p)) break;
    position[at] = position[child];
    distance[at] = distance[child];
  }
  position[at] = p;
  distance[at] = d;
}

static inline int any_below(const float *distances, float limit) {
  int any = 0;
  for (size_t i = 0; i < BLOCK; i++) any |= distances[i] < limit;
  return any;
}

size_t KERNEL(top_k)(const float *distances, size_t count, size_t k, uint32_t *out_position, float *out_distance) {
  if (k == 0) return 0;
  size_t size = 0, i = 0;
  for (; i < count && size < k; i++) {
    if (distances[i] != distances[i]) continue;
    sift_up(out_position, out_distance, size++, (uint32_t)i, distances[i]);
  }
  while (i < count) {
    if (count - i >= BLOCK && !any_below(distances + i, out_distance[0])) {
      i += BLOCK;
      continue;
    }
    size_t end = count - i < BLOCK ? count : i + BLOCK;
    /* Positions rise, so an equal distance loses; a NaN is not below either. */
    for (; i < end; i++) {
      if (distances[i] < out_distance[0]) replace_top(out_position, out_distance, size, (uint32_t)i, distances[i]);
    }
  }
  for (size_t end = size; end-- > 1;) {
    uint32_t p = out_position[end];
    float d = out_distance[end];
    out_position[end] = out_position[0];
    out_distance[end] = out_distance[0];
    replace_top(out_position, out_distance, end, p, d);
  }
  return size;
}
