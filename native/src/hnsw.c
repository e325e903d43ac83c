/* HNSW (Malkov and Yashunin 2016) over the memory that lib/hnsw.ts lays out: insert by algorithms 1 and 4, search by
 * algorithms 2 and 5.
 *
 * One writer, many readers, no lock: words are stored with release and loaded with acquire, a node's blocks before
 * `linked` counts it, `linked` before any block names it, `entry` last. A list that is rewritten in place may be seen
 * half old and half new: every word of it is a valid node either way.
 *
 * Words that come from the graph are compared with its bounds before they address anything, so a damaged graph
 * gives DRIFT_DAMAGED_GRAPH and not a crash; next to a distance the compare costs nothing. */
#include "hnsw.h"

#include "heap.h"
#include "pair.h"

typedef struct {
  uint32_t *words;
  size_t capacity, M, word_count;
  const float *rows;
  size_t row_count, dim;
  drift_metric metric;
  drift_scratch *scratch;
} hnsw;

/* Vectors asked for ahead of their use. */
enum { AHEAD_NODES = 3 };

static inline uint32_t get(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void put(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static inline size_t row_of(const hnsw *h, size_t node) { return h->words[HNSW_ROWS + node]; }
static inline const float *vector_of(const hnsw *h, size_t node) { return h->rows + row_of(h, node) * h->dim; }
static inline size_t room_of(const hnsw *h, size_t layer) { return layer == 0 ? 2 * h->M : h->M; }

static inline float distance_to(const hnsw *h, const float *target, size_t node) {
  return pair_distance(h->metric, target, vector_of(h, node), h->dim);
}

static inline int is_node(const hnsw *h, size_t node) {
  return node < h->capacity && row_of(h, node) < h->row_count;
}

/* A node's level, or a negative code. An upper part begins behind all fixed ones: no list that is written through a damaged
 * word can change a row number, which nobody looks at twice. */
static inline int64_t level_of(const hnsw *h, size_t node) {
  size_t part = h->words[HNSW_ROWS + h->capacity + node];
  if (part == 0) return 0;
  if (part < HNSW_ROWS + h->capacity * (3 + 2 * h->M) || part >= h->word_count) return DRIFT_DAMAGED_GRAPH;
  size_t level = h->words[part];
  return level * (1 + h->M) < h->word_count - part ? (int64_t)level : DRIFT_DAMAGED_GRAPH;
}

/* Where the node's block of a layer is, or NULL when it has none there. */
static inline uint32_t *block_of(const hnsw *h, size_t node, size_t layer) {
  if (layer == 0) return h->words + HNSW_ROWS + 2 * h->capacity + node * (1 + 2 * h->M);
  int64_t level = level_of(h, node);
  if (level < (int64_t)layer) return NULL;
  return h->words + h->words[HNSW_ROWS + h->capacity + node] + 1 + (layer - 1) * (1 + h->M);
}

/* Greedy walk over the layers from .. to + 1. Returns the node where it ends, or a negative code. */
static int64_t descend(const hnsw *h, const float *target, size_t entry, size_t from, size_t to) {
  size_t at = entry;
  float distance = distance_to(h, target, at);
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
        prefetch(vector_of(h, next), h->dim * sizeof(float));
      }
      for (size_t j = 1; j <= count; j++) {
        size_t next = get(block + j);
        if (!is_node(h, next)) return DRIFT_DAMAGED_GRAPH;
        float d = distance_to(h, target, next);
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
static uint32_t next_visit(drift_scratch *scratch) {
  if (++scratch->visit == 0) {
    memset(scratch->stamps, 0, scratch->stamp_count * sizeof *scratch->stamps);
    scratch->visit = 1;
  }
  return scratch->visit;
}

/* live == NULL: every row counts. */
static inline int is_live(const hnsw *h, const uint32_t *live, size_t live_words, size_t node) {
  if (!live) return 1;
  size_t row = row_of(h, node);
  return row >> 5 < live_words && (live[row >> 5] >> (row & 31) & 1);
}

/* Beam search of one layer. Leaves up to ef found nodes in scratch->best, a heap with the farthest on top; returns
 * how many, or a negative code. scratch->best has room for ef + 1. */
static int64_t search_layer(const hnsw *h, const float *target, size_t entry, size_t ef, size_t layer,
                            const uint32_t *live, size_t live_words) {
  drift_scratch *scratch = h->scratch;
  uint32_t visit = next_visit(scratch);
  uint32_t *stamps = scratch->stamps;
  drift_found *best = scratch->best;
  size_t row_bytes = h->dim * sizeof(float);
  size_t waiting = 0, size = 0;

  stamps[entry] = visit;
  drift_found start = {distance_to(h, target, entry), (uint32_t)entry};
  heap_push_nearest(scratch->candidates, waiting++, start);
  if (is_live(h, live, live_words, entry)) heap_push_farthest(best, size++, start);

  while (waiting > 0) {
    drift_found from = scratch->candidates[0];
    if (size == ef && from.distance > best[0].distance) break;
    heap_pop_nearest(scratch->candidates, waiting--);
    const uint32_t *block = block_of(h, from.node, layer);
    if (!block) return DRIFT_DAMAGED_GRAPH;
    size_t count = get(block);
    if (count > room_of(h, layer)) return DRIFT_DAMAGED_GRAPH;

    uint32_t fresh[2 * HNSW_MAX_M];
    size_t fresh_count = 0;
    for (size_t j = 1; j <= count; j++) {
      uint32_t next = get(block + j);
      if (!is_node(h, next)) return DRIFT_DAMAGED_GRAPH;
      if (stamps[next] == visit) continue;
      stamps[next] = visit;
      fresh[fresh_count++] = next;
    }
    if (!heap_reserve(&scratch->candidates, &scratch->candidate_room, waiting + fresh_count)) return DRIFT_NO_MEMORY;
    for (size_t j = 0; j < fresh_count && j < AHEAD_NODES; j++) prefetch(vector_of(h, fresh[j]), row_bytes);
    for (size_t j = 0; j < fresh_count; j++) {
      if (j + AHEAD_NODES < fresh_count) prefetch(vector_of(h, fresh[j + AHEAD_NODES]), row_bytes);
      drift_found found = {distance_to(h, target, fresh[j]), fresh[j]};
      if (size == ef && !(found.distance < best[0].distance)) continue;
      heap_push_nearest(scratch->candidates, waiting++, found);
      if (!is_live(h, live, live_words, found.node)) continue;
      heap_push_farthest(best, size++, found);
      if (size > ef) heap_pop_farthest(best, size--);
    }
    /* The node on top is most likely the next one: its block is a miss of its own. */
    if (waiting > 0 && layer == 0) {
      prefetch(block_of(h, scratch->candidates[0].node, 0), (1 + 2 * h->M) * sizeof(uint32_t));
    }
  }
  return (int64_t)size;
}

/* Algorithm 4: a candidate stays when it is nearer to the target than to every one that stays already. `found` is
 * ordered nearest first; the nodes that stay (at most room) are written to the block.
 *
 * Copies of the target, which are neighbours in `found`, only fill the room that is left, from a place that
 * `turn` moves. Were they to stay like others, a crowd of equal rows would fill its lists with itself and be
 * cut off from the rest of the graph; were they taken from one end, all would name the same few. */
static void spread(const hnsw *h, const float *target, const drift_found *found, size_t count, size_t room,
                   size_t turn, uint32_t *block) {
  uint32_t kept[2 * HNSW_MAX_M];
  size_t kept_count = 0, copies = 0, first_copy = 0;
  float self = pair_distance(h->metric, target, target, h->dim);
  for (size_t j = 0; j < count && kept_count < room; j++) {
    if (found[j].distance == self) {
      if (copies++ == 0) first_copy = j;
      continue;
    }
    const float *vector = vector_of(h, found[j].node);
    size_t i = 0;
    while (i < kept_count && !(distance_to(h, vector, kept[i]) < found[j].distance)) i++;
    if (i == kept_count) kept[kept_count++] = found[j].node;
  }
  for (size_t j = 0; j < copies && kept_count < room; j++) {
    kept[kept_count++] = found[first_copy + (turn + j) % copies].node;
  }
  for (size_t j = 0; j < kept_count; j++) put(block + 1 + j, kept[j]);
  put(block, (uint32_t)kept_count);
}

/* Add `node` to the block of `neighbour`; when there is no room, the heuristic decides who stays. Among copies the
 * last loses, so the list is read from a place that moves: not always the oldest copy is forgotten. */
static int link_back(const hnsw *h, size_t neighbour, uint32_t node, size_t layer) {
  uint32_t *block = block_of(h, neighbour, layer);
  if (!block) return DRIFT_DAMAGED_GRAPH;
  size_t count = *block, room = room_of(h, layer);
  if (count > room) return DRIFT_DAMAGED_GRAPH;
  if (count < room) {
    put(block + 1 + count, node);
    put(block, (uint32_t)count + 1);
    return 0;
  }
  const float *target = vector_of(h, neighbour);
  drift_found found[2 * HNSW_MAX_M + 1];
  for (size_t j = 0; j < count; j++) {
    if (!is_node(h, block[1 + j])) return DRIFT_DAMAGED_GRAPH;
    prefetch(vector_of(h, block[1 + j]), h->dim * sizeof(float));
  }
  for (size_t j = 0; j <= count; j++) {
    uint32_t other = j == 0 ? node : block[1 + (j + node) % count];
    drift_found next = {distance_to(h, target, other), other};
    size_t at = j;
    for (; at > 0 && next.distance < found[at - 1].distance; at--) found[at] = found[at - 1];
    found[at] = next;
  }
  spread(h, target, found, count + 1, room, 0, block);
  return 0;
}

static int64_t link_node(const hnsw *h, uint32_t node, size_t ef) {
  const float *target = vector_of(h, node);
  size_t entry = h->words[HNSW_ENTRY];
  if (!is_node(h, entry)) return DRIFT_DAMAGED_GRAPH;
  int64_t level = level_of(h, node), top = level_of(h, entry);
  if (level < 0 || top < 0) return DRIFT_DAMAGED_GRAPH;
  int64_t at = descend(h, target, entry, (size_t)top, (size_t)level);
  if (at < 0) return at;
  int64_t joint = level < top ? level : top;
  for (int64_t layer = joint; layer >= 0; layer--) {
    int64_t size = search_layer(h, target, (size_t)at, ef, (size_t)layer, NULL, 0);
    if (size < 0) return size;
    drift_found *best = h->scratch->best;
    heap_sort(best, (size_t)size);
    at = best[0].node;
    uint32_t *block = block_of(h, node, (size_t)layer);
    if (!block) return DRIFT_DAMAGED_GRAPH;
    spread(h, target, best, (size_t)size, h->M, node * h->M, block);
  }
  put(h->words + HNSW_LINKED, node + 1);
  for (int64_t layer = joint; layer >= 0; layer--) {
    const uint32_t *block = block_of(h, node, (size_t)layer);
    if (!block) return DRIFT_DAMAGED_GRAPH;
    for (size_t j = 1; j <= *block; j++) {
      /* Where upper parts overlap, linking back rewrites the list that is being read. */
      if (j > h->M || !is_node(h, block[j])) return DRIFT_DAMAGED_GRAPH;
      int failed = link_back(h, block[j], node, (size_t)layer);
      if (failed) return failed;
    }
  }
  if (level > top) put(h->words + HNSW_ENTRY, node);
  return 0;
}

static int prepare(hnsw *h, size_t ef) {
  drift_scratch *scratch = h->scratch;
  if (scratch->stamp_count < h->capacity) {
    free(scratch->stamps);
    scratch->stamps = calloc(h->capacity, sizeof *scratch->stamps);
    scratch->stamp_count = scratch->stamps ? h->capacity : 0;
    scratch->visit = 0;
    if (!scratch->stamps) return DRIFT_NO_MEMORY;
  }
  if (!heap_reserve(&scratch->best, &scratch->best_room, ef + 1)) return DRIFT_NO_MEMORY;
  return heap_reserve(&scratch->candidates, &scratch->candidate_room, 1) ? 0 : DRIFT_NO_MEMORY;
}

static hnsw attach(uint32_t *graph, drift_metric metric, const float *rows, size_t row_count, size_t dim,
                   drift_scratch *scratch) {
  return (hnsw){graph, graph[HNSW_CAPACITY], graph[HNSW_M], graph[HNSW_WORDS], rows, row_count, dim, metric, scratch};
}

int64_t KERNEL(hnsw_insert)(uint32_t *graph, drift_metric metric, const float *rows, size_t row_count, size_t dim,
                            size_t count, drift_scratch *scratch) {
  hnsw h = attach(graph, metric, rows, row_count, dim, scratch);
  size_t ef = graph[HNSW_EF_CONSTRUCTION];
  if (ef > h.capacity) ef = h.capacity;
  int failed = prepare(&h, ef);
  if (failed) return failed;
  size_t linked = graph[HNSW_LINKED];
  for (size_t end = linked + count; linked < end; linked++) {
    if (linked == 0) {
      put(graph + HNSW_ENTRY, 0);
      put(graph + HNSW_LINKED, 1);
      continue;
    }
    int64_t code = link_node(&h, (uint32_t)linked, ef);
    if (code < 0) return code;
  }
  return (int64_t)linked;
}

int64_t KERNEL(hnsw_search)(uint32_t *graph, drift_metric metric, const float *rows, size_t row_count, size_t dim,
                            const float *query, size_t ef, const uint32_t *live, size_t live_words, uint32_t *out_row,
                            float *out_distance, size_t room, drift_scratch *scratch) {
  hnsw h = attach(graph, metric, rows, row_count, dim, scratch);
  if (get(graph + HNSW_LINKED) == 0) return 0;
  if (ef > h.capacity) ef = h.capacity;
  int failed = prepare(&h, ef);
  if (failed) return failed;
  size_t entry = get(graph + HNSW_ENTRY);
  if (!is_node(&h, entry)) return DRIFT_DAMAGED_GRAPH;
  int64_t top = level_of(&h, entry);
  if (top < 0) return top;
  int64_t start = descend(&h, query, entry, (size_t)top, 0);
  if (start < 0) return start;
  int64_t size = search_layer(&h, query, (size_t)start, ef, 0, live, live_words);
  if (size < 0) return size;
  drift_found *best = scratch->best;
  heap_sort(best, (size_t)size);
  size_t written = (size_t)size < room ? (size_t)size : room;
  for (size_t j = 0; j < written; j++) {
    out_row[j] = (uint32_t)row_of(&h, best[j].node);
    out_distance[j] = best[j].distance;
  }
  return (int64_t)written;
}
