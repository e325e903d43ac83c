/* Nearest centroid of each row: all pairs, in tiles of 4 rows by 2 centroids, so that a loaded vector serves several
 * pairs. Every pair is summed in the same order whatever tile it falls in, so results do not depend on the batch. */
#include "isa.h"
#include "narrow.h"

enum { TILE_ROWS = 4, TILE_CENTROIDS = 2 };

/* out[r][c] = l2(rows[r], centroid c). `centroids` is a constant at each call, so the loops unroll. */
static inline __attribute__((always_inline)) void tile(const float *const rows[TILE_ROWS], const float *centroid,
                                                       size_t centroids, size_t dim,
                                                       float out[TILE_ROWS][TILE_CENTROIDS]) {
  vfloat sums[TILE_ROWS][TILE_CENTROIDS] = {{{0}}};
  size_t i = 0;
  for (; i + LANES <= dim; i += LANES) {
    for (size_t c = 0; c < centroids; c++) {
      vfloat y = load(centroid + c * dim + i);
      for (size_t r = 0; r < TILE_ROWS; r++) {
        vfloat d = load(rows[r] + i) - y;
        sums[r][c] += d * d;
      }
    }
  }
  for (size_t r = 0; r < TILE_ROWS; r++) {
    for (size_t c = 0; c < centroids; c++) {
      float total = sum(sums[r][c]);
      for (size_t t = i; t < dim; t++) {
        float d = rows[r][t] - centroid[c * dim + t];
        total += d * d;
      }
      out[r][c] = total;
    }
  }
}

void KERNEL(nearest)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                     size_t k, uint32_t *out_centroid, float *out_distance) {
  if (dim <= NARROW_DIM && k >= LANES) {
    nearest_narrow(rows, dim, index, count, centroids, k, out_centroid, out_distance);
    return;
  }
  for (size_t j = 0; j < count; j += TILE_ROWS) {
    size_t used = count - j < TILE_ROWS ? count - j : TILE_ROWS;
    const float *row[TILE_ROWS];
    for (size_t r = 0; r < TILE_ROWS; r++) row[r] = rows + index[j + (r < used ? r : used - 1)] * dim;

    float distance[TILE_ROWS][TILE_CENTROIDS];
    float best[TILE_ROWS] = {0};
    uint32_t at[TILE_ROWS] = {0};
    for (size_t c = 0; c < k; c += TILE_CENTROIDS) {
      size_t width = k - c < TILE_CENTROIDS ? 1 : TILE_CENTROIDS;
      if (width == TILE_CENTROIDS) {
        tile(row, centroids + c * dim, TILE_CENTROIDS, dim, distance);
      } else {
        tile(row, centroids + c * dim, 1, dim, distance);
      }
      for (size_t r = 0; r < TILE_ROWS; r++) {
        for (size_t t = 0; t < width; t++) {
          if (c + t == 0 || distance[r][t] < best[r]) {
            best[r] = distance[r][t];
            at[r] = (uint32_t)(c + t);
          }
        }
      }
    }
    for (size_t r = 0; r < used; r++) {
      out_centroid[j + r] = at[r];
      out_distance[j + r] = best[r];
    }
  }
}
