/* Nearest centroid for rows of few values: there a vector of one row is short, and folding it costs more than filling it, so
 * vectors go across centroids instead. A pair is summed value by value, whatever rows and centroids are beside it. */
#ifndef DRIFT_NARROW_H
#define DRIFT_NARROW_H

#include <math.h>

#include "isa.h"

/* Up to here faster than along the row, measured on Zen 3 with 16 and 256 centroids. */
enum { NARROW_DIM = 32 };
/* Transposed at a time: with NARROW_DIM values they take as much as a first-level cache. */
enum { PANEL_CENTROIDS = 256 };

typedef int32_t vint __attribute__((vector_size(VECTOR_BYTES)));

/* Vectors of centroids at once: one chain would wait for its own additions. */
enum { ACROSS = 4, STRIP_CENTROIDS = ACROSS * LANES };

/* out = l2 to STRIP_CENTROIDS centroids, which lie value by value at `panel`. */
static inline void l2_across(const float *row, const float *panel, size_t dim, vfloat out[ACROSS]) {
  vfloat s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (size_t i = 0; i < dim; i++, panel += PANEL_CENTROIDS) {
    vfloat d0 = row[i] - load(panel), d1 = row[i] - load(panel + LANES);
    vfloat d2 = row[i] - load(panel + 2 * LANES), d3 = row[i] - load(panel + 3 * LANES);
    s0 += d0 * d0;
    s1 += d1 * d1;
    s2 += d2 * d2;
    s3 += d3 * d3;
  }
  out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

/* The lowest of `count` centroids of the panel that is nearest; its distance into *distance. As when they are compared one
 * after the other: NaN to the first one stays, NaN to another one is passed over. */
static inline uint32_t nearest_across(const float *row, const float *panel, size_t dim, size_t count, float *distance) {
  vfloat best, found[ACROSS];
  vint at, here;
  float first = 0;
  for (size_t t = 0; t < LANES; t++) {
    best[t] = INFINITY;
    here[t] = (int32_t)t;
  }
  at = here;
  for (size_t c = 0; c < count; c += STRIP_CENTROIDS) {
    l2_across(row, panel + c, dim, found);
    if (c == 0) first = found[0][0];
    for (size_t v = 0; v < ACROSS; v++, here += (int32_t)LANES) {
      vint nearer = found[v] < best;
      at = (nearer & here) | (~nearer & at);
      best = (vfloat)((nearer & (vint)found[v]) | (~nearer & (vint)best));
    }
  }
  float least[LANES];
  int32_t place[LANES];
  memcpy(least, &best, sizeof least);
  memcpy(place, &at, sizeof place);
  size_t t = 0;
  for (size_t other = 1; other < LANES; other++) {
    if (least[other] < least[t] || (least[other] == least[t] && place[other] < place[t])) t = other;
  }
  *distance = first == first ? least[t] : first;
  return first == first ? (uint32_t)place[t] : 0;
}

/* As KERNEL(nearest), for dim <= NARROW_DIM. */
static void nearest_narrow(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                           size_t k, uint32_t *out_centroid, float *out_distance) {
  float panel[NARROW_DIM * PANEL_CENTROIDS];
  for (size_t c = 0; c < k; c += PANEL_CENTROIDS) {
    size_t used = k - c < PANEL_CENTROIDS ? k - c : PANEL_CENTROIDS;
    size_t filled = (used + STRIP_CENTROIDS - 1) / STRIP_CENTROIDS * STRIP_CENTROIDS;
    for (size_t i = 0; i < dim; i++) {
      for (size_t t = 0; t < filled; t++) {
        /* No row is nearer to infinity. */
        panel[i * PANEL_CENTROIDS + t] = t < used ? centroids[(c + t) * dim + i] : INFINITY;
      }
    }
    for (size_t j = 0; j < count; j++) {
      float distance;
      uint32_t centroid = nearest_across(rows + (size_t)index[j] * dim, panel, dim, used, &distance);
      if (c > 0 && !(distance < out_distance[j])) continue;
      out_centroid[j] = (uint32_t)c + centroid;
      out_distance[j] = distance;
    }
  }
}

#endif
