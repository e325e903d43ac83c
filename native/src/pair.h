/* Distance of two f32 vectors. Four sums: one chain would wait for its own additions. */
#ifndef DRIFT_PAIR_H
#define DRIFT_PAIR_H

#include "isa.h"

static inline float pair_l2(const float *a, const float *b, size_t dim) {
  vfloat s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  size_t i = 0;
  for (; i + 4 * LANES <= dim; i += 4 * LANES) {
    vfloat d0 = load(a + i) - load(b + i);
    vfloat d1 = load(a + i + LANES) - load(b + i + LANES);
    vfloat d2 = load(a + i + 2 * LANES) - load(b + i + 2 * LANES);
    vfloat d3 = load(a + i + 3 * LANES) - load(b + i + 3 * LANES);
    s0 += d0 * d0;
    s1 += d1 * d1;
    s2 += d2 * d2;
    s3 += d3 * d3;
  }
  for (; i + LANES <= dim; i += LANES) {
    vfloat d = load(a + i) - load(b + i);
    s0 += d * d;
  }
  float total = sum((s0 + s1) + (s2 + s3));
  for (; i < dim; i++) {
    float d = a[i] - b[i];
    total += d * d;
  }
  return total;
}

static inline float pair_dot(const float *a, const float *b, size_t dim) {
  vfloat s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  size_t i = 0;
  for (; i + 4 * LANES <= dim; i += 4 * LANES) {
    s0 += load(a + i) * load(b + i);
    s1 += load(a + i + LANES) * load(b + i + LANES);
    s2 += load(a + i + 2 * LANES) * load(b + i + 2 * LANES);
    s3 += load(a + i + 3 * LANES) * load(b + i + 3 * LANES);
  }
  for (; i + LANES <= dim; i += LANES) s0 += load(a + i) * load(b + i);
  float total = sum((s0 + s1) + (s2 + s3));
  for (; i < dim; i++) total += a[i] * b[i];
  return total;
}

static inline float pair_distance(drift_metric metric, const float *a, const float *b, size_t dim) {
  return metric == DRIFT_L2 ? pair_l2(a, b, dim) : -pair_dot(a, b, dim);
}

#endif
