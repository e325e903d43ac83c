/* hnsw_insert and hnsw_search. A graph has many right answers: what is checked is that every list is within its room and
 * names linked nodes once, and that a result is live, in order and at its own distance. A damaged graph may give any
 * answer, or DRIFT_DAMAGED_GRAPH, but no access outside of its arguments. */
#include "hnsw.h"

#include "harness.h"

enum { MOST_NODES = 64, MOST_WORDS = 1 << 13, MOST_LEVEL = 3, CASE_M = 10 };

typedef struct {
  uint32_t words[MOST_WORDS];
  size_t count, capacity, M;
} plan;

static void put_header(plan *p, size_t ef) {
  p->words[HNSW_CAPACITY] = (uint32_t)p->capacity;
  p->words[HNSW_M] = (uint32_t)p->M;
  p->words[HNSW_EF_CONSTRUCTION] = (uint32_t)ef;
}

/* The layout of lib/hnsw.ts, with levels that are higher than there. */
static void lay_out(plan *p, size_t row_count) {
  memset(p, 0, sizeof *p);
  p->capacity = 1 + below(below(8) ? 20 : MOST_NODES);
  p->M = 2 + below(CASE_M - 1);
  put_header(p, 1 + below(40));
  for (size_t node = 0; node < p->capacity; node++) p->words[HNSW_ROWS + node] = (uint32_t)below(row_count);
  size_t part = HNSW_ROWS + p->capacity * (3 + 2 * p->M);
  for (size_t node = 0; node < p->capacity; node++) {
    size_t level = 0;
    while (level < MOST_LEVEL && below(p->M) == 0) level++;
    if (level == 0) continue;
    p->words[HNSW_ROWS + p->capacity + node] = (uint32_t)part;
    p->words[part] = (uint32_t)level;
    part += 1 + level * (1 + p->M);
  }
  p->count = part;
  p->words[HNSW_WORDS] = (uint32_t)part;
}

static void check_list(const uint32_t *block, size_t room, size_t linked, size_t node) {
  if (block[0] > room) fail("node %zu has %u neighbours in room for %zu", node, block[0], room);
  for (size_t j = 1; j <= block[0]; j++) {
    if (block[j] >= linked || block[j] == node) fail("node %zu of %zu names %u", node, linked, block[j]);
    for (size_t i = 1; i < j; i++) {
      if (block[i] == block[j]) fail("node %zu names %u twice", node, block[j]);
    }
  }
}

static void check_graph(const plan *p, const uint32_t *graph) {
  check_equal("linked", 0, graph[HNSW_LINKED], p->capacity);
  for (size_t node = 0; node < p->capacity; node++) {
    check_list(graph + HNSW_ROWS + 2 * p->capacity + node * (1 + 2 * p->M), 2 * p->M, p->capacity, node);
    size_t part = graph[HNSW_ROWS + p->capacity + node];
    check_equal("upper part", node, part, p->words[HNSW_ROWS + p->capacity + node]);
    for (size_t level = 0; part && level < graph[part]; level++) {
      check_list(graph + part + 1 + level * (1 + p->M), p->M, p->capacity, node);
    }
  }
}

/* Some words of the graph become others; those that every caller is held to stay. Half of them say where an upper part
 * is: parts that lie over other words are what an insert can be led astray by. */
static void damage(const plan *p, uint32_t *graph, uint32_t draws) {
  size_t start = HNSW_ROWS + p->capacity;
  for (size_t i = 0; i < 1 + draws % 8; i++) {
    draws = draws * 1664525 + 1013904223;
    size_t at = start + (draws >> 8) % (draws >> 31 ? p->capacity : p->count - start);
    draws = draws * 1664525 + 1013904223;
    uint32_t kind = draws >> 30;
    graph[at] = kind == 3 ? draws : (draws >> 8) % (uint32_t)(kind == 0 ? p->capacity + 2 : p->count + 2);
  }
}

void run_hnsw(void) {
  size_t dim = 1 + below(below(4) ? 24 : 140), row_count = 1 + below(below(2) ? 6 : MOST_NODES);
  drift_metric metric = below(2) ? DRIFT_L2 : DRIFT_IP;
  plan p;
  lay_out(&p, row_count);
  float *rows = floats(row_count * dim, 1), *query = floats(dim, 1);
  for (size_t r = 1; r < row_count && below(3) == 0; r++) memcpy(rows + r * dim, rows, dim * sizeof(float));
  size_t live_words = below(row_count / 32 + 2), ef = 1 + below(80), room = below(30);
  uint32_t *live = memory(live_words * sizeof *live);
  for (size_t i = 0; i < live_words; i++) live[i] = below(2) ? UINT32_MAX : draw();
  inputs_end();
  uint32_t *graph = memory(p.count * sizeof *graph), *row = memory(room * sizeof *row);
  float *distance = outputs(room);
  size_t first = below(p.capacity + 1);
  /* Rows with codes are walked by estimates; a result has its exact distance all the same. */
  int coded = below(2) == 0;
  uint8_t *codes = coded ? memory(row_count * dim) : NULL;
  int8_t *query_codes = coded ? memory(dim) : NULL;
  float *factors = coded ? outputs(2 * row_count) : NULL, *query_factors = coded ? outputs(3) : NULL;
  if (coded) {
    drift_variant(0)->sq8_encode(rows, dim, 0, row_count, codes, factors);
    drift_variant(0)->sq8_query(query, dim, query_codes, query_factors);
  }
  drift_rows all = {rows, codes, factors, row_count, dim};
  uint32_t damage_built = below(3) ? 0 : draw(), damage_half = below(2) ? 0 : draw();
  for (const drift_kernels *k; (k = next_variant());) {
    drift_scratch scratch = {0};
    memcpy(graph, p.words, p.count * sizeof *graph);
    int64_t linked = k->hnsw_insert(graph, metric, &all, first, &scratch);
    check_equal("nodes linked", 0, (uint64_t)linked, first);
    if (damage_half) damage(&p, graph, damage_half);
    linked = k->hnsw_insert(graph, metric, &all, p.capacity - first, &scratch);
    if (!damage_half) {
      check_equal("nodes linked", 1, (uint64_t)linked, p.capacity);
      check_graph(&p, graph);
    } else if (linked != DRIFT_DAMAGED_GRAPH) {
      check_equal("nodes linked", 2, (uint64_t)linked, p.capacity);
    }
    if (damage_half) {
      /* Parts may overlap now: an insert can have written anywhere in the graph. */
      memcpy(graph, p.words, 16 * sizeof *graph);
      if (graph[HNSW_LINKED] > p.capacity || graph[HNSW_ENTRY] >= graph[HNSW_LINKED]) {
        drift_scratch_free(&scratch);
        continue;
      }
    }
    if (damage_built) damage(&p, graph, damage_built);
    int64_t found = k->hnsw_search(graph, metric, &all, query, query_codes, query_factors, ef, live, live_words, row, distance,
                                   room, &scratch);
    drift_scratch_free(&scratch);
    if (found == DRIFT_DAMAGED_GRAPH && (damage_built || damage_half)) continue;
    if (found < 0 || found > (int64_t)room) fail("%lld results in room for %zu", (long long)found, room);
    for (size_t j = 0; j < (size_t)found; j++) {
      size_t r = row[j];
      if (r >= row_count || r / 32 >= live_words || !(live[r / 32] >> r % 32 & 1)) fail("result %zu is dead row %zu", j, r);
      if (j > 0 && distance[j] < distance[j - 1]) fail("result %zu is nearer than the one before", j);
      double magnitude, want = plain_distance(metric, query, rows + r * dim, dim, &magnitude);
      check_sum("distance of a result", j, distance[j], want, magnitude, dim);
    }
  }
}
