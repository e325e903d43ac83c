/* kernels [--only TEXT]: one line of tab-separated figures per case, place of the data, dimension and variant:
 *   kernel  variant  dim  place  ns/row  GB/s  ns/row of the read loop  of the arithmetic  of the plain loop (0: there is none)
 * Everything of one case takes turns, so that a change of the machine's mood meets all; each keeps its best turn. */
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"

/* Beyond any cache: six times the largest third level of the CPUs in use today that a virtual machine gets to itself. */
#define MEMORY_BYTES ((size_t)192 << 20)
/* Within the second level of any CPU from the last ten years, with its outputs. */
#define CACHE_BYTES ((size_t)160 << 10)

enum { TURNS = 5, ARITHMETIC_STEPS = 1 << 14, MOST_DIM = 1536 };
static const double TURN_NS = 1.5e6;
static const size_t DIMS[] = {128, 384, 768, 1536};

#if defined(__x86_64__)
extern const roofline drift_roofline_c, drift_roofline_avx2, drift_roofline_avx512;
static const roofline *const ROOFLINES[] = {&drift_roofline_c, &drift_roofline_avx2, &drift_roofline_avx512, NULL};
#else
extern const roofline drift_roofline_neon;
static const roofline *const ROOFLINES[] = {&drift_roofline_neon, NULL};
#endif

const roofline *roofline_of(const char *variant) {
  for (const roofline *const *r = ROOFLINES; *r; r++) {
    if (strcmp((*r)->name, variant) == 0) return *r;
  }
  return NULL;
}

static volatile uint32_t sink;

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

typedef struct {
  const bench_case *of;
  const drift_kernels *kernels;
  const workload *work;
} job;

static void run_kernel(const job *j) { j->of->call(j->kernels, j->work); }
static void run_plain(const job *j) { j->of->plain(j->work); }
static void run_arithmetic(const job *j) { j->work->of->arithmetic(j->of->kind, ARITHMETIC_STEPS); }
static void run_read(const job *j) {
  size_t bytes = j->of->row_bytes(j->work->dim);
  const char *base = (const char *)j->work->codes;
  if (j->of->gathers) {
    sink = j->work->of->read(base, bytes, j->work->index, j->work->count);
  } else {
    sink = j->work->of->read(base, j->work->count * bytes / 64 * 64, NULL, 1);
  }
}

/* Nanoseconds of a run, of as many as fill a turn; less when it is less than `best`. */
static double turn(void (*run)(const job *), const job *j, double best) {
  size_t runs = 0;
  double start = now_ns(), end;
  do {
    run(j);
    runs++;
    end = now_ns();
  } while (end - start < TURN_NS);
  double each = (end - start) / (double)runs;
  return each < best ? each : best;
}

static void run_case(const bench_case *c, workload *w, const char *place) {
  double kernel[DRIFT_VARIANTS], read[DRIFT_VARIANTS], steps[DRIFT_VARIANTS], plain[DRIFT_VARIANTS];
  int present[DRIFT_VARIANTS] = {0}, last = 0;
  for (int v = 0; v < DRIFT_VARIANTS; v++) last = drift_variant(v) ? v : last;
  for (int v = 0; v < DRIFT_VARIANTS; v++) kernel[v] = read[v] = steps[v] = plain[v] = 1e18;
  for (int t = 0; t <= TURNS; t++) {
    for (int v = 0; v < DRIFT_VARIANTS; v++) {
      job j = {c, drift_variant(v), w};
      if (!j.kernels || (c->one_build && v < last)) continue;
      w->of = roofline_of(drift_variant_name(v));
      present[v] = 1;
      kernel[v] = turn(run_kernel, &j, kernel[v]);
      read[v] = turn(run_read, &j, read[v]);
      if (c->plain) plain[v] = turn(run_plain, &j, plain[v]);
      if (c->kind != ARITHMETIC_NONE) steps[v] = turn(run_arithmetic, &j, steps[v]);
    }
    /* The first turn warms up. */
    if (t == 0) {
      for (int v = 0; v < DRIFT_VARIANTS; v++) kernel[v] = read[v] = steps[v] = plain[v] = 1e18;
    }
  }
  double rows = (double)w->count, bytes = (double)c->row_bytes(w->dim);
  for (int v = 0; v < DRIFT_VARIANTS; v++) {
    if (!present[v]) continue;
    double lanes = (double)roofline_of(drift_variant_name(v))->vector_bytes / (c->kind == ARITHMETIC_BYTES || c->kind == ARITHMETIC_LOOK_UP ? 1 : 4);
    double arithmetic_ns = c->kind ? (double)c->values(w->dim) / lanes * steps[v] / ARITHMETIC_STEPS : 0;
    printf("%s\t%s\t%zu\t%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\n", c->name, c->one_build ? "-" : drift_variant_name(v),
           c->one_dim ? 0 : w->dim, place, kernel[v] / rows, bytes * rows / kernel[v], read[v] / rows, arithmetic_ns,
           c->plain ? plain[v] / rows : 0);
    fflush(stdout);
  }
}

static uint32_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 32);
}

static void *slab(size_t bytes) {
  char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
#ifdef MADV_HUGEPAGE
  madvise(at, bytes, MADV_HUGEPAGE);
#endif
  return at;
}

int main(int argument_count, char **arguments) {
  const char *only = argument_count == 3 && strcmp(arguments[1], "--only") == 0 ? arguments[2] : "";
  size_t most_rows = MEMORY_BYTES / sizeof(float);
  float *rows = slab(MEMORY_BYTES), *factors = slab(MEMORY_BYTES / 128 * 8), *out = slab(MEMORY_BYTES / 4);
  uint32_t *index = slab(MEMORY_BYTES / 32);
  uint8_t *out_bytes = slab(MEMORY_BYTES / 4);
  static uint32_t out_words[2048];
  static float query[MOST_DIM], centroids[CENTROIDS * MOST_DIM];
  static uint32_t flips[4 * MOST_DIM];
  static int8_t query_codes[MOST_DIM];
  uint64_t state = 1;
  for (size_t i = 0; i < most_rows; i++) rows[i] = (float)(int32_t)next_random(&state) * 0x1p-31f;
  for (size_t i = 0; i < MEMORY_BYTES / 64; i++) factors[i] = 1;
  for (size_t i = 0; i < MOST_DIM; i++) {
    query[i] = (float)(int32_t)next_random(&state) * 0x1p-31f;
    query_codes[i] = (int8_t)(next_random(&state) % 255 - 127);
  }
  memcpy(centroids, rows, sizeof centroids);
  for (size_t i = 0; i < 4 * MOST_DIM; i++) flips[i] = next_random(&state) & 0x80000000u;

  for (const bench_case *c = CASES; c->name; c++) {
    if (!strstr(c->name, only)) continue;
    for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++) {
      if (c->one_dim && d > 0) continue;
      for (int in_memory = 0; in_memory < 2; in_memory++) {
        size_t bytes = c->row_bytes(DIMS[d]);
        size_t places = (in_memory ? MEMORY_BYTES : CACHE_BYTES) / bytes;
        if (in_memory && c->in_cache_only) continue;
        for (size_t i = 0; c->gathers && i < places; i++) {
          index[i] = (uint32_t)((uint64_t)next_random(&state) * places >> 32);
        }
        const float query_factors[3] = {1, 1, 0};
        workload w = {DIMS[d], places, query, rows, (const uint8_t *)rows, query_codes, query_factors, factors, index,
                      centroids, flips, out, out_words, out_bytes, NULL};
        run_case(c, &w, in_memory ? "memory" : "cache");
      }
    }
  }
  return 0;
}
