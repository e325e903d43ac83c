/* HNSW (Malkov and Yashunin 2016) over the memory that lib/hnsw.ts lays out: insert by algorithms 1 and 4, search by
 * algorithms 2 and 5. With SQ8 codes all walks and links go by estimates, which are a quarter of the bytes, and what a
 * search returns is measured again by the exact rows. */
#include "hnsw-beam.h"

/* Longest vector of lib/checked.ts. */
enum { MAX_DIM = 65535 };

/* With codes, this many more than asked for are measured: an estimate may misplace a row by so much. */
enum { SPARE_FINALISTS = 16 };

/* Exact rows asked for ahead of their use. */
enum { AHEAD_EXACT = 3 };

static const live_rows ALL_ROWS = {NULL, 0};

/* Algorithm 4: a candidate stays when it is nearer to the target than to every one that stays already. `found` is
 * ordered nearest first; the nodes that stay (at most room) are written to the block.
 *
 * Copies of the target, which are neighbours in `found`, only fill the room that is left, from a place that
 * `turn` moves. Were they to stay like others, a crowd of equal rows would fill its lists with itself and be
 * cut off from the rest of the graph; were they taken from one end, all would name the same few. */
static void spread(const hnsw *h, const hnsw_target *target, size_t target_node, const drift_found *found, size_t count,
                   size_t room, size_t turn, uint32_t *block) {
  uint32_t kept[2 * HNSW_MAX_M];
  size_t kept_count = 0, copies = 0, first_copy = 0;
  float self = node_distance(h, target, target_node);
  for (size_t j = 0; j < count && kept_count < room; j++) {
    if (found[j].distance == self) {
      if (copies++ == 0) first_copy = j;
      continue;
    }
    int8_t codes[MAX_DIM];
    hnsw_target candidate = target_of(h, found[j].node, codes);
    size_t i = 0;
    while (i < kept_count && !(node_distance(h, &candidate, kept[i]) < found[j].distance)) i++;
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
  for (size_t j = 0; j < count; j++) {
    if (!is_node(h, block[1 + j])) return DRIFT_DAMAGED_GRAPH;
    prefetch_row(h, row_of(h, block[1 + j]));
  }
  int8_t codes[MAX_DIM];
  hnsw_target target = target_of(h, neighbour, codes);
  drift_found found[2 * HNSW_MAX_M + 1];
  for (size_t j = 0; j <= count; j++) {
    uint32_t other = j == 0 ? node : block[1 + (j + node) % count];
    beam_insert(found, j, (drift_found){node_distance(h, &target, other), other});
  }
  spread(h, &target, neighbour, found, count + 1, room, 0, block);
  return 0;
}

static int64_t link_node(const hnsw *h, uint32_t node, size_t ef) {
  size_t entry = h->words[HNSW_ENTRY];
  if (!is_node(h, entry)) return DRIFT_DAMAGED_GRAPH;
  int64_t level = level_of(h, node), top = level_of(h, entry);
  if (level < 0 || top < 0) return DRIFT_DAMAGED_GRAPH;
  int8_t codes[MAX_DIM];
  hnsw_target target = target_of(h, node, codes);
  int64_t at = descend(h, &target, entry, (size_t)top, (size_t)level);
  if (at < 0) return at;
  int64_t joint = level < top ? level : top;
  for (int64_t layer = joint; layer >= 0; layer--) {
    int64_t size = search_layer(h, &target, (size_t)at, ef, (size_t)layer, &ALL_ROWS);
    if (size < 0) return size;
    const drift_found *beam = h->scratch->beam;
    at = beam[0].node;
    uint32_t *block = block_of(h, node, (size_t)layer);
    if (!block) return DRIFT_DAMAGED_GRAPH;
    spread(h, &target, node, beam, (size_t)size, h->M, node * h->M, block);
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

int64_t KERNEL(hnsw_insert)(uint32_t *graph, drift_metric metric, const drift_rows *rows, size_t count,
                            drift_scratch *scratch) {
  hnsw h = hnsw_attach(graph, metric, rows, scratch);
  size_t ef = graph[HNSW_EF_CONSTRUCTION];
  if (ef > h.capacity) ef = h.capacity;
  int failed = reserve_beam(&h, ef);
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

/* Exact distances in the place of the estimates of the `count` nearest, and their order. */
static void measure(const hnsw *h, const float *query, drift_found *beam, size_t count) {
  size_t row_bytes = h->rows.dim * sizeof(float);
  for (size_t j = 0; j < count && j < AHEAD_EXACT; j++) {
    prefetch(h->rows.values + row_of(h, beam[j].node) * h->rows.dim, row_bytes);
  }
  for (size_t j = 0; j < count; j++) {
    if (j + AHEAD_EXACT < count) {
      prefetch(h->rows.values + row_of(h, beam[j + AHEAD_EXACT].node) * h->rows.dim, row_bytes);
    }
    drift_found found = {exact_distance(h, query, row_of(h, beam[j].node)), beam[j].node};
    heap_push_farthest(beam, j, found);
  }
  heap_sort(beam, count);
}

int64_t KERNEL(hnsw_search)(uint32_t *graph, drift_metric metric, const drift_rows *rows, const float *query,
                            const int8_t *query_codes, const float *query_factors, size_t ef, const uint32_t *live,
                            size_t live_words, uint32_t *out_row, float *out_distance, size_t room,
                            drift_scratch *scratch) {
  hnsw h = hnsw_attach(graph, metric, rows, scratch);
  if (get(graph + HNSW_LINKED) == 0) return 0;
  if (ef > h.capacity) ef = h.capacity;
  int failed = reserve_beam(&h, ef);
  if (failed) return failed;
  size_t entry = get(graph + HNSW_ENTRY);
  if (!is_node(&h, entry)) return DRIFT_DAMAGED_GRAPH;
  int64_t top = level_of(&h, entry);
  if (top < 0) return top;
  hnsw_target target = {query, query_codes, {0}};
  if (query_codes) memcpy(target.factors, query_factors, sizeof target.factors);
  int64_t start = descend(&h, &target, entry, (size_t)top, 0);
  if (start < 0) return start;
  live_rows counted = {live, live_words};
  int64_t size = search_layer(&h, &target, (size_t)start, ef, 0, &counted);
  if (size < 0) return size;
  drift_found *beam = scratch->beam;
  if (query_codes) {
    size_t finalists = room + SPARE_FINALISTS < (size_t)size ? room + SPARE_FINALISTS : (size_t)size;
    measure(&h, query, beam, finalists);
  }
  size_t written = (size_t)size < room ? (size_t)size : room;
  for (size_t j = 0; j < written; j++) {
    out_row[j] = (uint32_t)row_of(&h, beam[j].node);
    out_distance[j] = beam[j].distance;
  }
  return (int64_t)written;
}
