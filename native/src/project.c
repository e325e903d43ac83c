/* Projections of rows on directions, in tiles of 4 rows by 2 directions: eight chains of multiply-adds keep the units busy. */
#include <stdlib.h>

#include "pair.h"
#include "tile.h"

/* Directions that stay in the first-level cache while all rows of a chunk pass: the chunk's gaps come from the second. */
enum { CHUNK_ROWS = 32 };

/* out[r * stride + c] = gaps[r] . direction c. `width` is a constant at each call, so the loops unroll. */
static inline __attribute__((always_inline)) void dot_tile(const float *gaps, const float *directions, size_t width,
                                                           size_t dim, size_t stride, float *out) {
  vfloat sums[QUAD][COUPLE] = {{{0}}};
  size_t i = 0;
  for (; i + LANES <= dim; i += LANES) {
    for (size_t c = 0; c < width; c++) {
      vfloat y = load(directions + c * dim + i);
      for (size_t r = 0; r < QUAD; r++) sums[r][c] += load(gaps + r * dim + i) * y;
    }
  }
  for (size_t r = 0; r < QUAD; r++) {
    for (size_t c = 0; c < width; c++) {
      float total = sum(sums[r][c]);
      for (size_t t = i; t < dim; t++) total += gaps[r * dim + t] * directions[c * dim + t];
      out[r * stride + c] = total;
    }
  }
}

int KERNEL(project)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *middle,
                    const float *directions, size_t width, float *out) {
  float *gaps = calloc(CHUNK_ROWS * dim, sizeof *gaps);
  if (!gaps) return DRIFT_NO_MEMORY;
  size_t stride = width + 1;
  for (size_t first = 0; first < count; first += CHUNK_ROWS) {
    size_t chunk = count - first < CHUNK_ROWS ? count - first : CHUNK_ROWS;
    for (size_t r = 0; r < chunk; r++) {
      const float *row = rows + index[first + r] * dim;
      float *gap = gaps + r * dim;
      for (size_t i = 0; i < dim; i++) gap[i] = row[i] - middle[i];
      out[(first + r) * stride + width] = pair_dot(gap, gap, dim);
    }
    for (size_t c = 0; c < width; c += COUPLE) {
      const float *some = directions + c * dim;
      for (size_t r = 0; r < chunk; r += QUAD) {
        float found[QUAD * COUPLE];
        if (width - c < COUPLE) {
          dot_tile(gaps + r * dim, some, 1, dim, COUPLE, found);
        } else {
          dot_tile(gaps + r * dim, some, COUPLE, dim, COUPLE, found);
        }
        for (size_t t = r; t < chunk && t < r + QUAD; t++) {
          out[(first + t) * stride + c] = found[(t - r) * COUPLE];
          if (c + 1 < width) out[(first + t) * stride + c + 1] = found[(t - r) * COUPLE + 1];
        }
      }
    }
  }
  free(gaps);
  return 0;
}
