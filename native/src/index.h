/* The partitioned index as the kernels see it: slabs that lib/index-slabs.ts lays out. D is the padded dimension, a multiple
 * of 64; everything but `vectors` is in the rotated space.
 *
 * block   32 entries: D/4 groups of 16 bytes (byte i: low nibble of entry i, high nibble of entry i + 16; a nibble's
 *                 bit b is the sign of dimension 4 g + b, 1 for >= 0), f32 add[32], f32 scale[32], u32 row[32]
 *
 * An entry stands for row x in a bucket with centroid c, r = x - c: with s = sign(r) and h = ||r||^2 / ||r||_1,
 *   l2   ||q - x||^2 ~ ||q - c||^2 + add - scale <s, q>    add = ||r||^2 + 2 h <s, c>         scale = 2 h
 *   ip      -<q, x>  ~  -<q, c>    + add - scale <s, q>    add = -<r, c> + h <s, c>           scale = h
 * without bias, the error spread as 0.6 scale ||q - c|| (RaBitQ, Gao and Long 2024, for a residual that is exactly D-dimensional).
 * An entry that is not there has add = +inf.
 *
 * With codebooks a nibble is the number of one of 16 codewords of its group, and s the vector of the words that are nearest to r brought to one
 * length: h = ||r||^2 / <s, r>, the rest as above. Words are scaled so that the error spreads as that of signs. */
#ifndef DRIFT_INDEX_H
#define DRIFT_INDEX_H

#include "kernels.h"

enum { BLOCK_ENTRIES = 32, GROUP_BYTES = 16 };
#define NO_ROW UINT32_MAX

static inline size_t block_bytes(size_t padded) { return 4 * padded + BLOCK_ENTRIES * 12; }

static inline float *block_add(uint8_t *block, size_t padded) { return (float *)(block + 4 * padded); }
static inline float *block_scale(uint8_t *block, size_t padded) { return block_add(block, padded) + BLOCK_ENTRIES; }
static inline uint32_t *block_rows(uint8_t *block, size_t padded) {
  return (uint32_t *)(block_scale(block, padded) + BLOCK_ENTRIES);
}

#endif
