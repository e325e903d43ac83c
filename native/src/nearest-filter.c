/* Nearest centroids by exclusion. A centroid is compared with a row (tile.h, in f32) only when a lower bound of their
 * distance does not exclude it; the bounds come from 16-bit products at twice the rate of f32 (dot16.h).
 * Rule: whatever could win by the arithmetic of tile.h is compared, so results are those of all pairs, bit for bit.
 *
 * With x = x' + r the 16-bit form and its rest, likewise c: |x.c - x'.c'| <= |r||c| + |x'||rest of c| (Cauchy-Schwarz),
 * so |x|^2 + |c|^2 - 2 x'.c' is off by twice that and by the rounding of f32. Both are taken from a middle point first,
 * which makes norms, and with them the error, as small as they can be. */
#include <math.h>
#include <stdlib.h>

#include "dot16.h"
#include "nearest.h"
#include "tile.h"

enum {
  CHUNK_ROWS = 120, /* a multiple of every TILE_ROWS: rows that stay in the second-level cache while the panels pass */
  ROOM = 32         /* centroids that a row remembers before it compares them */
};

/* Norms in 16-bit units: no inner product of two such vectors, rounded, leaves 31 bits. */
static const float NORM_16 = 45000, LARGEST_16 = 32000;
/* Beyond these, squares leave the range of f32: such rows and centroids are left to all pairs. */
static const float NORM_MAX = 1e15f, BOUND_NONE = 1e35f;
/* Absolute error of sums whose terms may be subnormal. A product of two steps may not be so: smaller ones are zero. */
static const float TINY = 1e-36f, STEP_MIN = 1e-18f;

typedef struct {
  float norm2, norm; /* of the head, from the middle */
  float rest, step;  /* norm of what 16 bits leave out; value of one unit */
} form16;

typedef struct {
  form16 form;
  float bound; /* the nearest centroid is at most as far */
  float best;
  uint32_t at, guess;
  size_t seen_count;
  uint32_t seen[ROOM];
  float lower[ROOM];
} row_state;

/* Comparisons that wait for company: four chains of additions hide each other's latency. */
typedef struct {
  const float *a[QUAD], *b[QUAD];
  row_state *state[QUAD];
  uint32_t centroid[QUAD];
  size_t used;
  int64_t compared;
} comparisons;

typedef struct {
  const nearest_job *job;
  size_t dim, padded, pairs, panels; /* of heads */
  float epsilon;                     /* relative rounding error of a sum over dim terms */
  float *middle, *gaps;              /* padded values; PANEL * padded values */
  int16_t *panel_codes, *row_codes;
  float *panel_norms; /* |c|^2, INFINITY where a panel has no vector */
  form16 *panel_forms; /* the largest of each panel */
  row_state *states;
  comparisons queue;
} filter;

static int make_panels(filter *f);
static void assign_chunk(filter *f, size_t first, size_t count);
static size_t round_up(size_t value, size_t step) { return (value + step - 1) / step * step; }

/* `bytes` of *memory at a cache line. */
static void *take(char **memory, size_t bytes) {
  char *at = *memory;
  *memory += round_up(bytes, CACHE_LINE_BYTES);
  return at;
}

static size_t lay_out(filter *f, char *memory) {
  char *start = memory;
  f->middle = take(&memory, f->padded * sizeof *f->middle);
  f->gaps = take(&memory, f->padded * PANEL * sizeof *f->gaps);
  f->panel_codes = take(&memory, f->panels * f->pairs * PANEL * 2 * sizeof *f->panel_codes);
  f->row_codes = take(&memory, CHUNK_ROWS * f->pairs * 2 * sizeof *f->row_codes);
  f->panel_norms = take(&memory, f->panels * PANEL * sizeof *f->panel_norms);
  f->panel_forms = take(&memory, f->panels * sizeof *f->panel_forms);
  f->states = take(&memory, CHUNK_ROWS * sizeof *f->states);
  return (size_t)(memory - start);
}

int64_t KERNEL(nearest_filtered)(const nearest_job *job) {
  size_t dim = job->heads ? job->head_dim : job->dim;
  filter f = {.job = job, .dim = dim, .padded = round_up(dim, LANES), .pairs = (dim + 1) / 2};
  f.panels = (job->k + PANEL - 1) / PANEL;
  /* The heads' sums, and those of the distances that they are held against. */
  f.epsilon = 1.2e-7f * (float)((dim > job->dim ? dim : job->dim) / LANES + LANES + 8);
  void *memory = aligned_alloc(CACHE_LINE_BYTES, lay_out(&f, (char *)CACHE_LINE_BYTES));
  if (!memory) return DRIFT_NO_MEMORY;
  lay_out(&f, memory);
  int64_t compared = DRIFT_NO_MEMORY;
  if (make_panels(&f)) {
    for (size_t first = 0; first < job->count; first += CHUNK_ROWS) {
      size_t left = job->count - first;
      assign_chunk(&f, first, left < CHUNK_ROWS ? left : CHUNK_ROWS);
    }
    compared = f.queue.compared;
  }
  free(memory);
  return compared;
}

/* gaps = values - middle, with zeros up to padded. @returns norm^2; *largest: the largest magnitude so far. */
static float measure(const filter *f, const float *values, float *gaps, float *largest) {
  vfloat squares = {0};
  vint most = {0};
  memcpy(gaps, values, f->dim * sizeof *gaps);
  for (size_t i = f->dim; i < f->padded; i++) gaps[i] = 0;
  for (size_t i = 0; i < f->padded; i += LANES) {
    vfloat gap = load(gaps + i) - load(f->middle + i);
    vint size = (vint)gap & 0x7fffffff; /* magnitudes compare as their bits do */
    vint more = size > most;
    most = (size & more) | (most & ~more);
    squares += gap * gap;
    memcpy(gaps + i, &gap, sizeof gap);
  }
  for (size_t i = 0; i < LANES; i++) *largest = fmaxf(*largest, ((vfloat)most)[i]);
  return sum(squares);
}

static float step_for(float norm, float largest) {
  float step = fmaxf(norm / NORM_16, largest / LARGEST_16);
  return step > STEP_MIN ? step : 0;
}

/* gaps become whole numbers of steps, ties to even. @returns the square of what is left out. */
static float round_to(float *gaps, size_t padded, float step) {
  const float shift = 12582912; /* 1.5 * 2^23: adding it leaves no fraction */
  float per_step = step > 0 ? 1 / step : 0;
  vfloat rest = {0};
  for (size_t i = 0; i < padded; i += LANES) {
    vfloat gap = load(gaps + i);
    vfloat whole = (gap * per_step + shift) - shift;
    vfloat left = gap - whole * step;
    rest += left * left;
    memcpy(gaps + i, &whole, sizeof whole);
  }
  return sum(rest);
}

static int make_panels(filter *f) {
  const nearest_job *job = f->job;
  const float *centroids = job->heads ? job->centroid_heads : job->centroids;
  memset(f->middle, 0, f->padded * sizeof *f->middle);
  for (size_t c = 0; c < job->k; c++) {
    for (size_t i = 0; i < f->dim; i++) f->middle[i] += centroids[c * f->dim + i];
  }
  for (size_t i = 0; i < f->dim; i++) f->middle[i] /= (float)job->k;

  for (size_t p = 0; p < f->panels; p++) {
    form16 *form = &f->panel_forms[p];
    float *norms = f->panel_norms + p * PANEL;
    size_t used = job->k - p * PANEL < PANEL ? job->k - p * PANEL : PANEL;
    float largest = 0, norm2 = 0, rest2 = 0;
    for (size_t v = 0; v < PANEL; v++) norms[v] = INFINITY;
    for (size_t v = 0; v < used; v++) {
      norms[v] = measure(f, centroids + (p * PANEL + v) * f->dim, f->gaps + v * f->padded, &largest);
      if (!(norms[v] <= NORM_MAX * NORM_MAX)) return 0;
      norm2 = fmaxf(norm2, norms[v]);
    }
    form->norm2 = norm2;
    form->norm = sqrtf(norm2);
    form->step = step_for(form->norm, largest);
    int16_t *codes = f->panel_codes + p * f->pairs * PANEL * 2;
    memset(codes, 0, f->pairs * PANEL * 2 * sizeof *codes);
    for (size_t v = 0; v < used; v++) {
      const float *whole = f->gaps + v * f->padded;
      rest2 = fmaxf(rest2, round_to(f->gaps + v * f->padded, f->padded, form->step));
      for (size_t i = 0; i < f->dim; i++) codes[(i / 2 * PANEL + v) * 2 + i % 2] = (int16_t)whole[i];
    }
    form->rest = sqrtf(rest2);
  }
  return 1;
}

/* One distance for each of up to four pairs. Bit for bit that of l2_tile. */
static void compare_waiting(const filter *f, comparisons *queue) {
  size_t dim = f->job->dim;
  for (size_t r = queue->used; r < QUAD; r++) {
    queue->a[r] = queue->a[0];
    queue->b[r] = queue->b[0];
  }
  float distance[QUAD];
  l2_pairs(queue->a, queue->b, dim, distance);
  for (size_t r = 0; r < queue->used; r++) {
    row_state *state = queue->state[r];
    uint32_t c = queue->centroid[r];
    if (distance[r] < state->best || (distance[r] == state->best && c < state->at)) {
      state->best = distance[r];
      state->at = c;
    }
    if (distance[r] < state->bound) state->bound = distance[r];
  }
  queue->compared += (int64_t)queue->used;
  queue->used = 0;
}

static void compare_later(filter *f, row_state *state, uint32_t row, uint32_t centroid) {
  comparisons *queue = &f->queue;
  size_t dim = f->job->dim, r = queue->used++;
  queue->a[r] = f->job->rows + (size_t)row * dim;
  queue->b[r] = f->job->centroids + (size_t)centroid * dim;
  queue->state[r] = state;
  queue->centroid[r] = centroid;
  if (queue->used == QUAD) compare_waiting(f, queue);
}

static void compare_seen(filter *f, row_state *state, uint32_t row) {
  for (size_t s = 0; s < state->seen_count; s++) {
    if (state->lower[s] <= state->bound) compare_later(f, state, row, state->seen[s]);
  }
  state->seen_count = 0;
}

/* A full list loses what the bound has come to exclude; when that is less than half of it, all of it is compared. */
static void make_room(filter *f, row_state *state, uint32_t row) {
  size_t kept = 0;
  for (size_t s = 0; s < ROOM; s++) {
    if (!(state->lower[s] <= state->bound)) continue;
    state->seen[kept] = state->seen[s];
    state->lower[kept++] = state->lower[s];
  }
  state->seen_count = kept;
  if (kept <= ROOM / 2) return;
  compare_seen(f, state, row);
  if (f->queue.used) compare_waiting(f, &f->queue);
}

static void prepare_rows(filter *f, size_t first, size_t count) {
  const nearest_job *job = f->job;
  size_t width = f->pairs * 2;
  for (size_t r = 0; r < round_up(count, TILE_ROWS); r++) {
    row_state *state = &f->states[r];
    *state = (row_state){.bound = -INFINITY, .best = INFINITY, .at = UINT32_MAX, .guess = UINT32_MAX};
    int16_t *codes = f->row_codes + r * width;
    memset(codes, 0, width * sizeof *codes);
    if (r >= count) continue;
    size_t j = first + r, row = job->index[j];
    const float *values = job->heads ? job->heads + j * f->dim : job->rows + row * f->dim;
    form16 *form = &state->form;
    float largest = 0;
    form->norm2 = measure(f, values, f->gaps, &largest);
    form->norm = sqrtf(form->norm2);
    if (!(form->norm <= NORM_MAX)) continue;
    form->step = step_for(form->norm, largest);
    form->rest = sqrtf(round_to(f->gaps, f->padded, form->step));
    for (size_t i = 0; i < f->dim; i++) codes[i] = (int16_t)f->gaps[i];
    state->bound = BOUND_NONE;
    if (job->heads) {
      state->guess = job->centroid[j] < job->k ? job->centroid[j] : 0;
      compare_later(f, state, (uint32_t)row, state->guess);
    }
  }
  if (f->queue.used) compare_waiting(f, &f->queue);
}

/* The vectors of a panel that are not excluded for a row. */
static __attribute__((noinline)) void note(filter *f, row_state *state, uint32_t row, size_t panel, const float *value,
                                           uint32_t mask, float offset, float error) {
  for (; mask; mask &= mask - 1) {
    unsigned v = (unsigned)__builtin_ctz(mask);
    uint32_t c = (uint32_t)(panel * PANEL + v);
    float lower = value[v] + offset;
    if (c == state->guess || !(lower <= state->bound)) continue;
    if (state->seen_count == ROOM) make_room(f, state, row);
    state->seen[state->seen_count] = c;
    state->lower[state->seen_count++] = lower;
    /* A whole vector has an upper bound too; a head says nothing of the distance beyond it. */
    if (!f->job->heads && lower + 2 * error < state->bound) state->bound = lower + 2 * error;
  }
}

static void assign_chunk(filter *f, size_t first, size_t count) {
  const nearest_job *job = f->job;
  const uint32_t *index = job->index + first;
  size_t width = f->pairs * 2;
  prepare_rows(f, first, count);
  for (size_t p = 0; p < f->panels; p++) {
    const form16 *panel = &f->panel_forms[p];
    const int16_t *panel_codes = f->panel_codes + p * PANEL * width;
    const float *norms = f->panel_norms + p * PANEL;
    for (size_t tile = 0; tile < count; tile += TILE_ROWS) {
      vint dots[TILE_ROWS][PANEL_VECTORS];
      dot16_tile(f->row_codes + tile * width, panel_codes, f->pairs, dots);
      for (size_t r = 0; r < TILE_ROWS; r++) {
        row_state *state = &f->states[tile + r];
        const form16 *form = &state->form;
        float error = 2 * (form->rest * panel->norm + (form->norm + form->rest) * panel->rest) +
                      f->epsilon * (form->norm2 + panel->norm2) + job->slack + TINY;
        float offset = form->norm2 - error;
        float limit = state->bound - offset;
        float scale = -2 * form->step * panel->step;
        vfloat value[PANEL_VECTORS];
        uint32_t mask = 0;
        for (size_t v = 0; v < PANEL_VECTORS; v++) {
          value[v] = load(norms + v * LANES) + __builtin_convertvector(dots[r][v], vfloat) * scale;
          mask |= at_most(value[v], limit) << (v * LANES);
        }
        if (mask) note(f, state, index[tile + r], p, (const float *)value, mask, offset, error);
      }
    }
  }
  for (size_t r = 0; r < count; r++) compare_seen(f, &f->states[r], index[r]);
  if (f->queue.used) compare_waiting(f, &f->queue);
  for (size_t r = 0; r < count; r++) {
    const row_state *state = &f->states[r];
    job->centroid[first + r] = state->at;
    job->distance[first + r] = state->best;
    if (state->at != UINT32_MAX) continue;
    KERNEL(nearest_direct)(job->rows, job->dim, index + r, 1, job->centroids, job->k, job->centroid + first + r,
                           job->distance + first + r);
    f->queue.compared += (int64_t)job->k;
  }
}
