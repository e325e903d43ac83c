/* top_k: the k smallest in a total order, so there is one answer. */
#include "harness.h"

void run_top_k(void) {
  size_t count = below(8) ? below(300) : below(5000), k = below((count < 40 ? count : 40) + 1);
  float *distances = floats(count, some_scale());
  size_t kind = below(4);
  for (size_t i = 0; i < count && kind > 0; i++) {
    if (kind == 1) distances[i] = floorf(unit() * 8);           /* ties */
    if (kind == 2 && below(10) == 0) distances[i] = NAN;        /* skipped */
    if (kind == 3) distances[i] = -(float)i;                    /* each beats all before it */
  }
  inputs_end();
  uint32_t *position = memory(k * sizeof *position);
  float *nearest = outputs(k);
  for (const drift_kernels *kernels; (kernels = next_variant());) {
    size_t found = kernels->top_k(distances, count, k, position, nearest);
    uint8_t taken[5000] = {0};
    for (size_t j = 0; j < k; j++) {
      size_t best = count;
      for (size_t i = 0; i < count; i++) {
        if (taken[i] || isnan(distances[i]) || (best < count && !(distances[i] < distances[best]))) continue;
        best = i;
      }
      if (best == count) {
        check_equal("found", 0, found, j);
        break;
      }
      if (j >= found) fail("%zu found, expected more", found);
      taken[best] = 1;
      check_equal("position", j, position[j], best);
      check_bits("distance", j, nearest[j], distances[best]);
    }
    if (found > k) fail("%zu found of %zu", found, k);
  }
}
