/* Random calls of every kernel with each argument in memory of its own, flush against a forbidden page on one side or
 * the other, and the results held against plain loops. A family of kernels is one function that draws its arguments,
 * loops over the variants and checks what they wrote; families.c lists them.
 *
 * The case that runs is a state of the program: drawing, memory and complaints all belong to it. */
#ifndef DRIFT_HARNESS_H
#define DRIFT_HARNESS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

typedef struct {
  const char *name;
  void (*run)(void);
} family;

extern const family FAMILIES[];
/* Faults made on purpose, run by name only: each must be noticed. */
extern const family FAULTS[];

/* draw.c: the numbers of this case. */
void seed_draws(uint64_t seed);
uint32_t draw(void);
size_t below(size_t n);
float unit(void);        /* in [0, 1) */
float signed_unit(void); /* in [-1, 1) */
size_t some_dim(void);   /* 1 .. 1100: all small ones, those around the steps of vectors, a few long */
float some_scale(void);  /* of values: mostly 1, at times 1e-42 .. 1e18 */

/* memory.c: exact, until the case ends. Flush against the end it is aligned to what its length is a multiple of. */
void *memory(size_t bytes);
float *floats(size_t count, float scale);
float *outputs(size_t count);
uint8_t *bytes(size_t count);
uint32_t *words(size_t count, size_t limit); /* each below `limit` */
/* What was asked for so far is input, which no call may change; the rest is spoilt before each call. */
void inputs_end(void);
void memory_check_inputs(void);
void memory_spoil_outputs(void);
void memory_reset(void);

/* main.c */
/* The next variant that this CPU has, or NULL after the last. Outputs are spoilt. */
const drift_kernels *next_variant(void);
/* Before the call of a function that has one build for all variants. Outputs are spoilt. */
void single_build(void);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* check.c
 * A sum of `terms` products or squares: each variant adds in its own order. `magnitude` is the sum of their sizes; the
 * bound is that of the longest chain any variant has (a quarter of the terms, in lanes of four) in steps of half an ulp,
 * and a step of the smallest subnormal for each term. Says nothing where the size overflows; NaN stays NaN. */
void check_sum(const char *what, size_t at, float got, double want, double magnitude, size_t terms);
/* l2 or negative inner product in double precision; *magnitude: the sum of the terms' sizes. */
double plain_distance(drift_metric metric, const float *a, const float *b, size_t dim, double *magnitude);
void check_bits(const char *what, size_t at, float got, float want);
void check_equal(const char *what, size_t at, uint64_t got, uint64_t want);

#endif
