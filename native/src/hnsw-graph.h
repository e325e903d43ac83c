/* The graph that lib/hnsw.ts draws, as the kernels see it: words with their bounds, and distances between its nodes.
 *
 * One writer, many readers, no lock: words are stored with release and loaded with acquire, a node's blocks before
 * `linked` counts it, `linked` before any block names it, `entry` last. A list that is rewritten in place may be seen
 * half old and half new: every word of it is a valid node either way.
 *
 * Words that come from the graph are compared with its bounds before they address anything, so a damaged graph
 * gives DRIFT_DAMAGED_GRAPH and not a crash; next to a distance the compare costs nothing. */
#ifndef DRIFT_HNSW_GRAPH_H
#define DRIFT_HNSW_GRAPH_H

#include "hnsw.h"
#include "pair.h"
#include "sq8.h"

typedef struct {
  uint32_t *words;
  size_t capacity, M, word_count;
  drift_metric metric;
  drift_rows rows;
  drift_scratch *scratch;
} hnsw;

/* What distances are taken to. codes == NULL: by values. Else by the s8 codes and their three factors (sq8_query). */
typedef struct {
  const float *values;
  const int8_t *codes;
  float factors[3];
} hnsw_target;

static inline hnsw hnsw_attach(uint32_t *graph, drift_metric metric, const drift_rows *rows, drift_scratch *scratch) {
  return (hnsw){graph, graph[HNSW_CAPACITY], graph[HNSW_M], graph[HNSW_WORDS], metric, *rows, scratch};
}

static inline uint32_t get(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void put(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

static inline size_t row_of(const hnsw *h, size_t node) { return h->words[HNSW_ROWS + node]; }
static inline size_t room_of(const hnsw *h, size_t layer) { return layer == 0 ? 2 * h->M : h->M; }

static inline int is_node(const hnsw *h, size_t node) { return node < h->capacity && row_of(h, node) < h->rows.count; }

/* A node's level, or a negative code. An upper part begins behind all fixed ones: no list that is written through a
 * damaged word can change a row number, which nobody looks at twice. */
static inline int64_t level_of(const hnsw *h, size_t node) {
  size_t part = h->words[HNSW_ROWS + h->capacity + node];
  if (part == 0) return 0;
  if (part < HNSW_ROWS + h->capacity * (3 + 2 * h->M) || part >= h->word_count) return DRIFT_DAMAGED_GRAPH;
  size_t level = h->words[part];
  return level * (1 + h->M) < h->word_count - part ? (int64_t)level : DRIFT_DAMAGED_GRAPH;
}

static inline uint32_t *ground_of(const hnsw *h, size_t node) {
  return h->words + HNSW_ROWS + 2 * h->capacity + node * (1 + 2 * h->M);
}

/* Where the node's block of a layer is, or NULL when it has none there. */
static inline uint32_t *block_of(const hnsw *h, size_t node, size_t layer) {
  if (layer == 0) return ground_of(h, node);
  int64_t level = level_of(h, node);
  if (level < (int64_t)layer) return NULL;
  return h->words + h->words[HNSW_ROWS + h->capacity + node] + 1 + (layer - 1) * (1 + h->M);
}

static inline float exact_distance(const hnsw *h, const float *values, size_t row) {
  return pair_distance(h->metric, values, h->rows.values + row * h->rows.dim, h->rows.dim);
}

static inline float row_distance(const hnsw *h, const hnsw_target *target, size_t row) {
  if (!target->codes) return exact_distance(h, target->values, row);
  size_t code_dim = h->rows.code_dim;
  return sq8_distance(h->metric, target->codes, target->factors, h->rows.codes + row * code_dim,
                      h->rows.factors + 2 * row, code_dim);
}

static inline float node_distance(const hnsw *h, const hnsw_target *target, size_t node) {
  return row_distance(h, target, row_of(h, node));
}

/* About what row_distance reads. */
static inline size_t row_bytes(const hnsw *h) {
  return h->rows.codes ? h->rows.code_dim + CACHE_LINE_BYTES : h->rows.dim * sizeof(float);
}

/* Ask for what row_distance reads. */
static inline void prefetch_row(const hnsw *h, size_t row) {
  if (h->rows.codes) {
    prefetch(h->rows.codes + row * h->rows.code_dim, h->rows.code_dim);
    prefetch(h->rows.factors + 2 * row, 1);
  } else {
    prefetch(h->rows.values + row * h->rows.dim, h->rows.dim * sizeof(float));
  }
}

/* A node as the target. codes: room for code_dim bytes, used when the graph has codes. */
static inline hnsw_target target_of(const hnsw *h, size_t node, int8_t *codes) {
  size_t row = row_of(h, node);
  if (!h->rows.codes) return (hnsw_target){h->rows.values + row * h->rows.dim, NULL, {0}};
  const uint8_t *from = h->rows.codes + row * h->rows.code_dim;
  int32_t total = 0;
  for (size_t i = 0; i < h->rows.code_dim; i++) {
    codes[i] = (int8_t)(from[i] ^ 0x80);
    total += codes[i];
  }
  return (hnsw_target){NULL, codes, {h->rows.factors[2 * row], h->rows.factors[2 * row + 1], (float)total}};
}

#endif
