/* lut_distances and fast_scan: the same bits everywhere; affine_distances. */
#include "harness.h"

void run_lut_distances(void) {
  size_t width = 1 + below(below(16) ? 20 : 200), first = below(4), count = below(20);
  float *lut = floats(width * 256, some_scale());
  uint8_t *codes = bytes((first + count) * width);
  inputs_end();
  float *out = outputs(count);
  for (const drift_kernels *k; (k = next_variant());) {
    k->lut_distances(lut, width, codes, first, count, out);
    for (size_t j = 0; j < count; j++) {
      const uint8_t *row = codes + (first + j) * width;
      float sums[4] = {0};
      for (size_t i = 0; i < width; i++) sums[i < width / 4 * 4 ? i % 4 : 0] += lut[i * 256 + row[i]];
      check_bits("distance by table", j, out[j], (sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
  }
}

void run_fast_scan(void) {
  size_t groups = 1 + below(below(8) ? 100 : 600), count = 1 + below(4), stride = groups * 16 + below(200);
  uint8_t *lut = bytes(groups * 16), *blocks = bytes((count - 1) * stride + groups * 16);
  size_t kind = below(4);
  for (size_t i = 0; i < groups * 16; i++) lut[i] = kind ? lut[i] & 127 : 127; /* kind 0: every sum is the largest */
  inputs_end();
  uint16_t *out = memory(count * 32 * sizeof *out);
  for (const drift_kernels *k; (k = next_variant());) {
    k->fast_scan(lut, groups, blocks, stride, count, out);
    for (size_t b = 0; b < count; b++) {
      for (size_t j = 0; j < 32; j++) {
        uint16_t sum = 0;
        for (size_t g = 0; g < groups; g++) {
          uint8_t pair = blocks[b * stride + 16 * g + j % 16];
          sum += lut[16 * g + (j < 16 ? pair & 15 : pair >> 4)];
        }
        check_equal("sum of table entries", 32 * b + j, out[32 * b + j], sum);
      }
    }
  }
}

void run_affine_distances(void) {
  size_t dim = some_dim(), first = below(4), count = below(30);
  drift_metric metric = below(2) ? DRIFT_L2 : DRIFT_IP;
  float *offset = floats(dim, 1), *step = floats(dim, 0x1p-6f);
  uint8_t *codes = bytes((first + count) * dim);
  inputs_end();
  float *out = outputs(count);
  for (const drift_kernels *k; (k = next_variant());) {
    k->affine_distances(metric, offset, step, codes, dim, first, count, out);
    for (size_t j = 0; j < count; j++) {
      double total = 0, magnitude = 0;
      for (size_t i = 0; i < dim; i++) {
        double value = (double)step[i] * codes[(first + j) * dim + i], gap = offset[i] - value;
        double size = fabs((double)offset[i]) + fabs(value);
        total += metric == DRIFT_L2 ? gap * gap : gap;
        magnitude += metric == DRIFT_L2 ? size * size : size;
      }
      check_sum("distance by lines", j, out[j], total, magnitude, dim);
    }
  }
}
