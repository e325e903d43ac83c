/* Nearest centroid of each row, all pairs. Few pairs are computed; of many, nearest-filter.c excludes nearly all first. */
#include "nearest.h"

#include "narrow.h"
#include "tile.h"

/* Below these a panel of 16-bit centroids costs more to make than it saves. Both ways give the same bits. */
enum { FILTER_CENTROIDS = 32, FILTER_ROWS = 64, FILTER_DIM = 8 };

void KERNEL(nearest)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                     size_t k, uint32_t *out_centroid, float *out_distance) {
  if (dim <= NARROW_DIM && k >= LANES) {
    nearest_narrow(rows, dim, index, count, centroids, k, out_centroid, out_distance);
    return;
  }
  if (k >= FILTER_CENTROIDS && count >= FILTER_ROWS && dim >= FILTER_DIM) {
    nearest_job job = {rows, dim, index, count, centroids, k, NULL, 0, NULL, 0, out_centroid, out_distance};
    if (KERNEL(nearest_filtered)(&job) >= 0) return;
  }
  KERNEL(nearest_direct)(rows, dim, index, count, centroids, k, out_centroid, out_distance);
}

int64_t KERNEL(nearest_by_heads)(const float *rows, size_t dim, const uint32_t *index, size_t count,
                                 const float *centroids, size_t k, const float *heads, size_t head_dim,
                                 const float *centroid_heads, float slack, uint32_t *centroid, float *distance) {
  if (dim <= NARROW_DIM && k >= LANES) {
    /* Another order of summing, and as fast: the results are what nearest gives. */
    KERNEL(nearest)(rows, dim, index, count, centroids, k, centroid, distance);
    return (int64_t)(count * k);
  }
  nearest_job job = {rows, dim, index, count, centroids, k, heads, head_dim, centroid_heads, slack, centroid, distance};
  int64_t compared = KERNEL(nearest_filtered)(&job);
  if (compared >= 0) return compared;
  KERNEL(nearest_direct)(rows, dim, index, count, centroids, k, centroid, distance);
  return (int64_t)(count * k);
}

void KERNEL(nearest_direct)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                            size_t k, uint32_t *out_centroid, float *out_distance) {
  for (size_t j = 0; j < count; j += QUAD) {
    size_t used = count - j < QUAD ? count - j : QUAD;
    const float *row[QUAD];
    for (size_t r = 0; r < QUAD; r++) row[r] = rows + index[j + (r < used ? r : used - 1)] * dim;

    float distance[QUAD][COUPLE];
    float best[QUAD] = {0};
    uint32_t at[QUAD] = {0};
    for (size_t c = 0; c < k; c += COUPLE) {
      size_t width = k - c < COUPLE ? 1 : COUPLE;
      if (width == COUPLE) {
        l2_tile(row, centroids + c * dim, COUPLE, dim, distance);
      } else {
        l2_tile(row, centroids + c * dim, 1, dim, distance);
      }
      for (size_t r = 0; r < QUAD; r++) {
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
