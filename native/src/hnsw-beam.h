/* The walks through a graph: greedy descent, and the beam search of one layer (algorithms 5 and 2 of Malkov and
 * Yashunin 2016).
 *
 * The beam is one array, nearest first, of the best ef live nodes so far; a node whose neighbours were looked at is
 * marked in it, so it is the result and the queue at once (as in pyglass). Dead nodes lead on but are no result: they
 * wait in a heap of their own. Equal distances keep their order of arrival: a crowd of equal rows is walked breadth
 * first, and the way out of it is found. A beam of thousands moves much memory: a scan is then faster. */
#ifndef DRIFT_HNSW_BEAM_H
#define DRIFT_HNSW_BEAM_H

#include "heap.h"
#include "hnsw-graph.h"

/* Bytes asked for ahead of their use: what memory delivers in its own latency. More waits for free fill buffers. */
enum { AHEAD_BYTES = 2048 };

/* Top bit of a beam's node: its neighbours were looked at. A graph has fewer than 2^28 nodes. */
#define EXPANDED 0x80000000u

/* Rows of which live[row >> 5] has bit row & 31. words == NULL: every row. */
typedef struct {
  const uint32_t *words;
  size_t count;
} live_rows;

static inline int is_live(const live_rows *live, size_t row) {
  return !live->words || (row >> 5 < live->count && (live->words[row >> 5] >> (row & 31) & 1));
}

/* Greedy walk over the layers from .. to + 1. Returns the node where it ends, or a negative code. */
static int64_t descend(const hnsw *h, const hnsw_target *target, size_t entry, size_t from, size_t to) {
  size_t at = entry;
  float distance = node_distance(h, target, at);
  for (size_t layer = from; layer > to; layer--) {
    for (int moved = 1; moved;) {
      moved = 0;
      const uint32_t *block = block_of(h, at, layer);
      if (!block) return DRIFT_DAMAGED_GRAPH;
      size_t count = get(block);
      if (count > h->M) return DRIFT_DAMAGED_GRAPH;
      for (size_t j = 1; j <= count; j++) {
        size_t next = get(block + j);
        if (!is_node(h, next)) return DRIFT_DAMAGED_GRAPH;
        prefetch_row(h, row_of(h, next));
      }
      for (size_t j = 1; j <= count; j++) {
        size_t next = get(block + j);
        if (!is_node(h, next)) return DRIFT_DAMAGED_GRAPH;
        float d = node_distance(h, target, next);
        if (d < distance) {
          distance = d;
          at = next;
          moved = 1;
        }
      }
    }
  }
  return (int64_t)at;
}

/* A new visit: no node is stamped with the number it returns. */
static uint8_t next_visit(drift_scratch *scratch) {
  if (++scratch->visit == 0) {
    memset(scratch->stamps, 0, scratch->stamp_count);
    scratch->visit = 1;
  }
  return scratch->visit;
}

/* Put `found` into its place among the `size` of a beam that has room for one more, behind its equals; a NaN is last.
 * Returns the place. */
static inline size_t beam_insert(drift_found *beam, size_t size, drift_found found) {
  size_t at = 0;
  for (size_t left = size; left > 0;) {
    size_t half = (left + 1) / 2;
    at = found.distance < beam[at + half - 1].distance ? at : at + half;
    left -= half;
  }
  memmove(beam + at + 1, beam + at, (size - at) * sizeof *beam);
  beam[at] = found;
  return at;
}

/* Beam search of one layer. Leaves up to ef live nodes in scratch->beam, nearest first, with EXPANDED taken off;
 * returns how many, or a negative code. scratch->beam has room for ef + 1. */
static int64_t search_layer(const hnsw *h, const hnsw_target *target, size_t entry, size_t ef, size_t layer,
                            const live_rows *live) {
  drift_scratch *scratch = h->scratch;
  uint8_t visit = next_visit(scratch);
  uint8_t *stamps = scratch->stamps;
  drift_found *beam = scratch->beam;
  /* beam[0 .. next) is expanded. */
  size_t size = 0, next = 0, waiting = 0;
  size_t ahead = 1 + AHEAD_BYTES / row_bytes(h), block_bytes = (1 + 2 * h->M) * sizeof(uint32_t);

  stamps[entry] = visit;
  drift_found start = {node_distance(h, target, entry), (uint32_t)entry};
  if (is_live(live, row_of(h, entry))) {
    beam[size++] = start;
  } else {
    heap_push_nearest(scratch->waiting, waiting++, start);
  }

  for (;;) {
    while (next < size && beam[next].node & EXPANDED) next++;
    size_t from;
    if (waiting > 0 && (next == size || scratch->waiting[0].distance < beam[next].distance)) {
      drift_found dead = scratch->waiting[0];
      if (size == ef && dead.distance > beam[size - 1].distance) break;
      heap_pop_nearest(scratch->waiting, waiting--);
      from = dead.node;
    } else if (next < size) {
      from = beam[next].node;
      beam[next++].node |= EXPANDED;
    } else {
      break;
    }
    const uint32_t *block = block_of(h, from, layer);
    if (!block) return DRIFT_DAMAGED_GRAPH;
    size_t count = get(block);
    if (count > room_of(h, layer)) return DRIFT_DAMAGED_GRAPH;

    uint32_t fresh[2 * HNSW_MAX_M];
    size_t fresh_count = 0;
    for (size_t j = 1; j <= count; j++) {
      uint32_t neighbour = get(block + j);
      if (!is_node(h, neighbour)) return DRIFT_DAMAGED_GRAPH;
      fresh[fresh_count] = neighbour;
      fresh_count += stamps[neighbour] != visit;
      stamps[neighbour] = visit;
    }
    /* The one after this is most likely the next of the beam: its block is a miss of its own. */
    if (next < size && layer == 0) prefetch(ground_of(h, beam[next].node & ~EXPANDED), block_bytes);
    if (!heap_reserve(&scratch->waiting, &scratch->waiting_room, waiting + fresh_count)) return DRIFT_NO_MEMORY;
    for (size_t j = 0; j < fresh_count && j < ahead; j++) prefetch_row(h, row_of(h, fresh[j]));
    for (size_t j = 0; j < fresh_count; j++) {
      if (j + ahead < fresh_count) prefetch_row(h, row_of(h, fresh[j + ahead]));
      size_t row = row_of(h, fresh[j]);
      drift_found found = {row_distance(h, target, row), fresh[j]};
      if (size == ef && !(found.distance < beam[size - 1].distance)) continue;
      if (!is_live(live, row)) {
        heap_push_nearest(scratch->waiting, waiting++, found);
        continue;
      }
      if (size == ef) size--;
      size_t at = beam_insert(beam, size++, found);
      if (at < next) next = at;
      if (at == next && layer == 0) prefetch(ground_of(h, found.node), block_bytes);
    }
  }
  for (size_t j = 0; j < size; j++) beam[j].node &= ~EXPANDED;
  return (int64_t)size;
}

/* Memory for a beam of ef over the graph, and for two targets. */
static int reserve_beam(const hnsw *h, size_t ef) {
  drift_scratch *scratch = h->scratch;
  if (scratch->stamp_count < h->capacity) {
    free(scratch->stamps);
    scratch->stamps = calloc(h->capacity, 1);
    scratch->stamp_count = scratch->stamps ? h->capacity : 0;
    scratch->visit = 0;
    if (!scratch->stamps) return DRIFT_NO_MEMORY;
  }
  if (!heap_reserve(&scratch->beam, &scratch->beam_room, ef + 1)) return DRIFT_NO_MEMORY;
  return heap_reserve(&scratch->waiting, &scratch->waiting_room, 1) ? 0 : DRIFT_NO_MEMORY;
}

#endif
