/* One source, one build per instruction set: binding.gyp compiles every kernel file once per ISA with
 * -DDRIFT_ISA=name and that ISA's flags. KERNEL(f) names f in this build; vfloat is its widest float vector. */
#ifndef DRIFT_ISA_H
#define DRIFT_ISA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

#define DRIFT_JOIN_(name, isa) drift_##name##_##isa
#define DRIFT_JOIN(name, isa) DRIFT_JOIN_(name, isa)
#define KERNEL(name) DRIFT_JOIN(name, DRIFT_ISA)

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define LANES (VECTOR_BYTES / sizeof(float))

typedef float vfloat __attribute__((vector_size(VECTOR_BYTES)));

static inline vfloat load(const float *from) {
  vfloat v;
  memcpy(&v, from, sizeof v);
  return v;
}

/* Halves fold onto each other: few steps, and the same order in every build of one width. */
static inline __attribute__((always_inline)) float sum(vfloat v) {
  float lane[LANES];
  memcpy(lane, &v, sizeof lane);
  for (size_t half = LANES / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; i++) lane[i] += lane[i + half];
  }
  return lane[0];
}

enum { CACHE_LINE_BYTES = 64 };

/* Ask for `bytes` bytes. The empty asm keeps gcc 12 from collapsing the loop into its first prefetch. */
static inline void prefetch(const void *from, size_t bytes) {
  const char *at = (const char *)from;
  for (size_t i = 0; i < bytes; i += CACHE_LINE_BYTES) {
    __builtin_prefetch(at + i, 0, 3);
    __asm__ volatile("" ::: "memory");
  }
}

#endif
