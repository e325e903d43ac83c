/* Bitmaps of rows: what two of them have in common, counted on the way. */
#include <string.h>

#include "kernels.h"

size_t drift_bits_and(const uint32_t *a, const uint32_t *b, size_t words, uint32_t *out) {
  size_t set = 0, i = 0;
  for (; i + 2 <= words; i += 2) {
    uint64_t x, y;
    memcpy(&x, a + i, sizeof x);
    memcpy(&y, b + i, sizeof y);
    x &= y;
    memcpy(out + i, &x, sizeof x);
    set += (size_t)__builtin_popcountll(x);
  }
  if (i < words) {
    out[i] = a[i] & b[i];
    set += (size_t)__builtin_popcount(out[i]);
  }
  return set;
}
