/* What a kernel wrote against what a plain loop says. */
#include "harness.h"

void check_sum(const char *what, size_t at, float got, double want, double magnitude, size_t terms) {
  if (isnan(magnitude)) {
    if (!isnan(got)) fail("%s[%zu] is %.9g, expected NaN", what, at, (double)got);
    return;
  }
  if (magnitude > 0x1p126) return;
  double bound = (double)(terms / 4 + 16) * 0x1p-24 * magnitude + (double)(terms + 2) * 0x1p-149;
  if (!(fabs(got - want) <= bound)) fail("%s[%zu] is %.9g, expected %.9g within %.3g", what, at, (double)got, want, bound);
}

void check_bits(const char *what, size_t at, float got, float want) {
  if (memcmp(&got, &want, sizeof got) == 0 || (isnan(got) && isnan(want))) return;
  fail("%s[%zu] is %a, expected the bits of %a", what, at, (double)got, (double)want);
}

void check_equal(const char *what, size_t at, uint64_t got, uint64_t want) {
  if (got != want) fail("%s[%zu] is %llu, expected %llu", what, at, (unsigned long long)got, (unsigned long long)want);
}

double plain_distance(drift_metric metric, const float *a, const float *b, size_t dim, double *magnitude) {
  double total = 0, size = 0;
  for (size_t i = 0; i < dim; i++) {
    double difference = (double)a[i] - b[i];
    double term = metric == DRIFT_L2 ? difference * difference : -(double)a[i] * b[i];
    total += term;
    size += fabs(term);
  }
  *magnitude = size;
  return total;
}
