/* One assignment of rows to centroids, as nearest.c and nearest-filter.c hand it to each other. */
#ifndef DRIFT_NEAREST_H
#define DRIFT_NEAREST_H

#include "isa.h"

typedef struct {
  const float *rows;
  size_t dim;
  const uint32_t *index;
  size_t count;
  const float *centroids;
  size_t k;
  /* count * head_dim and k * head_dim values, or NULL: then the rows are their own heads, and there are no guesses. */
  const float *heads;
  size_t head_dim;
  const float *centroid_heads;
  float slack;
  uint32_t *centroid; /* in: with heads, a guess */
  float *distance;
} nearest_job;

/* Pairs whose distance was computed, or DRIFT_NO_MEMORY and nothing was written. */
int64_t KERNEL(nearest_filtered)(const nearest_job *job);

/* All pairs. Exactly the distances of nearest_filtered. */
void KERNEL(nearest_direct)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                            size_t k, uint32_t *out_centroid, float *out_distance);

#endif
