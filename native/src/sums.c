/* Sums of rows by group, in double precision: the means of clusters. Each sum is taken in the order of the rows, so its bits are the
 * same everywhere. */
#include "isa.h"

void KERNEL(sum_rows)(const float *rows, size_t dim, const uint32_t *index, const uint32_t *group, size_t count,
                      double *sums) {
  for (size_t j = 0; j < count; j++) {
    const float *row = rows + index[j] * dim;
    double *sum = sums + group[j] * dim;
    for (size_t i = 0; i < dim; i++) sum[i] += row[i];
  }
}
