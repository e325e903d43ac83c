/* pages [FILE ...]: what pages of floats cost on one core, by the fastest variant: one line of tab-separated figures per input,
 *   input  codec  bits a value  GB/s of memcpy  of decoding  of that and the checksum  of packing by a given choice  of that and what checks
 *   it  of encoding, choice and check included  of that and the checksum  of the checksum
 * GB are of values, of the checksum as well. A FILE holds float32 and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

enum { PAGE_VALUES = 4096, CACHED_VALUES = 4096, ROUNDS = 25 };
static const drift_kernels *kernels;
static const double ROUND_SECONDS = 0.004, CASE_SECONDS = 0.15;
static volatile uint32_t sink;

/* pack.isa.c, one for each variant, in order. */
typedef uint64_t packer(size_t element_bytes, const void *values, uint8_t *page, int exceptions);
#if defined(__x86_64__)
extern packer drift_bench_pack_c, drift_bench_pack_avx2, drift_bench_pack_avx512;
static packer *const PACKERS[] = {drift_bench_pack_c, drift_bench_pack_avx2, drift_bench_pack_avx512};
#else
extern packer drift_bench_pack_neon;
static packer *const PACKERS[] = {drift_bench_pack_neon};
#endif
static packer *pack;

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
  const uint8_t *values;
  uint8_t *pages, *out;
  size_t *lengths;
  size_t count, each, bytes; /* pages, values of a page, bytes of a value */
} task;

static const uint8_t *page_of(const task *t, size_t i) { return t->pages + i * (64 + t->each * t->bytes); }

static void encode(const task *t, size_t i) {
  size_t size = t->each * t->bytes;
  t->lengths[i] = kernels->float_page_encode(t->bytes, t->values + i * size, t->each, (uint8_t *)page_of(t, i));
}
static void check(const task *t, size_t i) { sink += kernels->crc32c(page_of(t, i), t->lengths[i], 0); }
static void decode(const task *t, size_t i) {
  size_t size = t->each * t->bytes;
  if (kernels->float_page_decode(t->bytes, page_of(t, i), t->lengths[i], t->each, 0, t->each, t->out + i * size)) abort();
}

static void run_copy(const task *t) { memcpy(t->out, t->values, t->count * t->each * t->bytes); }
static void run_pack(const task *t) {
  size_t size = t->each * t->bytes;
  for (size_t i = 0; i < t->count; i++) sink += (uint32_t)pack(t->bytes, t->values + i * size, (uint8_t *)page_of(t, i), 0);
}
static void run_pack_checked(const task *t) {
  size_t size = t->each * t->bytes;
  for (size_t i = 0; i < t->count; i++) sink += (uint32_t)pack(t->bytes, t->values + i * size, (uint8_t *)page_of(t, i), 1);
}
static void run_encode(const task *t) {
  for (size_t i = 0; i < t->count; i++) encode(t, i);
}
static void run_write(const task *t) {
  for (size_t i = 0; i < t->count; i++) encode(t, i), check(t, i);
}
static void run_decode(const task *t) {
  for (size_t i = 0; i < t->count; i++) decode(t, i);
}
static void run_read(const task *t) {
  for (size_t i = 0; i < t->count; i++) check(t, i), decode(t, i);
}
static void run_crc(const task *t) { sink += kernels->crc32c(t->values, t->count * t->each * t->bytes, 0); }

static double gigabytes(void (*run)(const task *), const task *t) {
  double best = 1e9;
  run(t);
  double begin = seconds();
  for (int round = 0; round < ROUNDS && (round < 2 || seconds() - begin < CASE_SECONDS); round++) {
    size_t calls = 0;
    double start = seconds(), spent;
    do {
      run(t);
      calls++;
      spent = seconds() - start;
    } while (spent < ROUND_SECONDS);
    if (spent / (double)calls < best) best = spent / (double)calls;
  }
  return (double)(t->count * t->each * t->bytes) / best * 1e-9;
}

static void report(const char *name, const void *values, size_t count, size_t bytes, size_t each) {
  task t = {.values = values, .count = count / each, .each = each, .bytes = bytes};
  t.pages = malloc(t.count * (64 + each * bytes));
  /* Not a multiple of 4096 away from the values: loads would wait for stores to addresses that end alike. */
  uint8_t *room = malloc(t.count * each * bytes + 8192);
  t.out = room + ((uintptr_t)values + 2048 + 64 - (uintptr_t)room) % 4096;
  t.lengths = malloc(t.count * sizeof *t.lengths);
  run_encode(&t);
  run_decode(&t);
  if (memcmp(t.out, values, t.count * each * bytes) != 0) abort();
  static const char *const names[] = {"RAW", "CONST", "ALP", "ALP-RD"};
  size_t stored = 0, mixed = 0;
  for (size_t i = 0; i < t.count; i++) {
    stored += t.lengths[i];
    mixed |= (size_t)(page_of(&t, i)[0] != page_of(&t, 0)[0]);
  }
  printf("%s\t%s\t%.2f", name, mixed ? "several" : names[page_of(&t, 0)[0]], 8.0 * (double)stored / (double)(t.count * each));
  static void (*const runs[])(const task *) = {run_copy, run_decode, run_read, run_pack, run_pack_checked, run_encode, run_write, run_crc};
  for (int i = 0; i < 8; i++) printf("\t%.4g", gigabytes(runs[i], &t));
  printf("\n");
  fflush(stdout);
  free(t.pages);
  free(room);
  free(t.lengths);
}

static uint64_t state = 1;
static double unit(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) * 0x1p-53;
}
static double normal(void) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += unit();
  return sum;
}

int main(int argc, char **argv) {
  enum { LARGE = 12 * 1024 * 1024 };
  for (int v = 0; v < DRIFT_VARIANTS; v++) {
    if (!drift_variant(v)) continue;
    kernels = drift_variant(v);
    pack = PACKERS[v];
  }
  float *f32 = malloc(LARGE * sizeof *f32);
  double *f64 = malloc(CACHED_VALUES * sizeof *f64);
  for (size_t i = 0; i < LARGE; i++) f32[i] = (float)(normal() / 20);
  report("normal, cached", f32, CACHED_VALUES, 4, PAGE_VALUES);
  report("normal, memory", f32, LARGE, 4, PAGE_VALUES);
  for (size_t i = 0; i < CACHED_VALUES; i++) f32[i] = (float)(int)(unit() * 219);
  report("bytes, cached", f32, CACHED_VALUES, 4, PAGE_VALUES);
  for (size_t i = 0; i < CACHED_VALUES; i++) f32[i] = (float)((double)(int)(normal() * 35000) / 1e5);
  report("5 decimals, cached", f32, CACHED_VALUES, 4, PAGE_VALUES);
  for (size_t i = 0; i < CACHED_VALUES; i++) {
    uint32_t bits;
    f32[i] = (float)(normal() / 20);
    memcpy(&bits, f32 + i, 4);
    bits &= ~(uint32_t)0x1fff;
    memcpy(f32 + i, &bits, 4);
  }
  report("half precision, cached", f32, CACHED_VALUES, 4, PAGE_VALUES);
  for (size_t i = 0; i < CACHED_VALUES; i++) f64[i] = normal() / 20;
  report("float64 normal, cached", f64, CACHED_VALUES, 8, PAGE_VALUES / 2);
  for (size_t i = 0; i < CACHED_VALUES; i++) f64[i] = (double)(int)(normal() * 35000) / 1e5;
  report("float64 decimals, cached", f64, CACHED_VALUES, 8, PAGE_VALUES / 2);
  for (int i = 1; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    size_t count = file ? fread(f32, 4, LARGE, file) : 0;
    if (count < 3840) {
      fprintf(stderr, "%s: not 3840 values\n", argv[i]);
      return 1;
    }
    fclose(file);
    report(argv[i], f32, count, 4, 3840);
  }
  free(f32);
  free(f64);
  return 0;
}
