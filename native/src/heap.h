/* Binary heaps of found nodes: the nearest or the farthest on top. `size` is the number of entries before the call. */
#ifndef DRIFT_HEAP_H
#define DRIFT_HEAP_H

#include <stdlib.h>

#include "kernels.h"

typedef struct drift_found {
  float distance;
  uint32_t node;
} drift_found;

/* Room for `entries`, by doubling. Returns 0 when memory is short; the heap is then as it was. */
static inline int heap_reserve(drift_found **heap, size_t *room, size_t entries) {
  if (entries <= *room) return 1;
  size_t larger = 2 * *room > entries ? 2 * *room : entries;
  drift_found *moved = realloc(*heap, larger * sizeof **heap);
  if (!moved) return 0;
  *heap = moved;
  *room = larger;
  return 1;
}

/* Is a above b? */
static inline int heap_before(int farthest, drift_found a, drift_found b) {
  return farthest ? a.distance > b.distance : a.distance < b.distance;
}

static inline void heap_push(int farthest, drift_found *heap, size_t size, drift_found entry) {
  size_t at = size;
  while (at > 0) {
    size_t parent = (at - 1) / 2;
    if (!heap_before(farthest, entry, heap[parent])) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = entry;
}

static inline void heap_pop(int farthest, drift_found *heap, size_t size) {
  drift_found entry = heap[--size];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < size; at = child) {
    if (child + 1 < size && heap_before(farthest, heap[child + 1], heap[child])) child++;
    if (!heap_before(farthest, heap[child], entry)) break;
    heap[at] = heap[child];
  }
  heap[at] = entry;
}

static inline void heap_push_nearest(drift_found *heap, size_t size, drift_found entry) {
  heap_push(0, heap, size, entry);
}
static inline void heap_push_farthest(drift_found *heap, size_t size, drift_found entry) {
  heap_push(1, heap, size, entry);
}
static inline void heap_pop_nearest(drift_found *heap, size_t size) { heap_pop(0, heap, size); }
static inline void heap_pop_farthest(drift_found *heap, size_t size) { heap_pop(1, heap, size); }

/* A heap with the farthest on top becomes an array, nearest first. */
static inline void heap_sort(drift_found *heap, size_t size) {
  for (; size > 1; size--) {
    drift_found farthest = heap[0];
    heap_pop_farthest(heap, size);
    heap[size - 1] = farthest;
  }
}

#endif
