/* Kernels timed against what the machine can do in the same moment: reading the same bytes in the same order with the
 * same width, and the arithmetic that no version of the kernel can leave out. */
#ifndef DRIFT_BENCH_H
#define DRIFT_BENCH_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* What bounds a kernel that has its data. One step is one vector of the variant. */
typedef enum {
  ARITHMETIC_NONE,
  ARITHMETIC_L2,     /* difference, product, sum of floats */
  ARITHMETIC_DOT,    /* product, sum of floats */
  ARITHMETIC_BYTES,  /* products of bytes, summed in 32 bits */
  ARITHMETIC_DIVIDE, /* quotients of floats */
  ARITHMETIC_LOOK_UP, /* both nibbles of bytes looked up in a register */
  ARITHMETIC_KINDS
} arithmetic;

/* roofline.isa.c, one for each variant. */
typedef struct {
  const char *name;
  /* Loads every byte of `rows` rows, row j at base + index[j] * row_bytes; index NULL: one after the other. row_bytes: a multiple
   * of 64. Returns something that depends on all. */
  uint32_t (*read)(const char *base, size_t row_bytes, const uint32_t *index, size_t rows);
  /* Does `steps` (a multiple of 64) steps on registers. */
  void (*arithmetic)(arithmetic kind, size_t steps);
  size_t vector_bytes;
  /* sq8_distances written as the plain loop, l2: what a hand-written one has to beat. */
  void (*plain_sq8)(const int8_t *query, const float *query_factors, const uint8_t *codes, const float *factors,
                    size_t dim, size_t count, float *out);
  /* The 1-bit entries of `count` blocks, out[32 * count]: an inline function of the search, so it is no kernel of the table. */
  void (*scan_signs)(const uint8_t *lut, const uint8_t *blocks, size_t padded, size_t count, float *out);
} roofline;

/* The roofline of the variant of that name. */
const roofline *roofline_of(const char *variant);

/* All of one case. `rows` holds count rows of floats or of codes, in one slab that both kinds share. */
typedef struct {
  size_t dim, count;
  const float *query;
  const float *rows;
  const uint8_t *codes;
  const int8_t *query_codes;
  const float *query_factors;
  const float *factors;
  const uint32_t *index;
  const float *centroids;
  const uint32_t *flips; /* 4 rounds of dim */
  float *out;
  uint32_t *out_words;
  uint8_t *out_bytes;
  const roofline *of; /* of the variant that runs */
} workload;

typedef struct {
  const char *name;
  size_t (*row_bytes)(size_t dim); /* read for each row */
  int gathers;                     /* rows in random order */
  int one_dim;                     /* a row is one value: dim means nothing */
  int one_build;                   /* the same for all variants */
  int in_cache_only;               /* arithmetic outweighs reading by far */
  arithmetic kind;
  size_t (*values)(size_t dim); /* that the arithmetic takes for each row */
  void (*call)(const drift_kernels *kernels, const workload *w);
  void (*plain)(const workload *w); /* NULL: the kernel is the plain loop */
} bench_case;

enum { CENTROIDS = 64 };
extern const bench_case CASES[]; /* cases.c; ends with a case without a name */

#endif
