/* Entries by trained codewords: the query's half, and the entry of one row. Layout, formulas and the scan are those of signs (index.h, signs.h): a
 * nibble names one of 16 codewords of its group of four dimensions, where signs name one of 16 corners of a cube. */
#ifndef DRIFT_WORDS_H
#define DRIFT_WORDS_H

#include <float.h>

#include "arena.h"
#include "signs.h"

enum { WORDS = 16, WORD_VALUES = 4 };

/* Value by value, so that a loop over words is a loop over lanes. */
static inline const float *words_of(const float *codebooks, size_t group) { return codebooks + group * WORDS * WORD_VALUES; }

/* What residuals are scaled to before their nearest words are chosen. */
static inline float words_length(const float *codebooks, size_t padded) { return codebooks[WORDS * padded]; }

/* <w, q> of every word of a group. */
static inline void word_products(const float *words, const float *query, float *restrict out) {
  for (size_t m = 0; m < WORDS; m++) {
    out[m] = (words[m] * query[0] + words[WORDS + m] * query[1]) +
             (words[2 * WORDS + m] * query[2] + words[3 * WORDS + m] * query[3]);
  }
}

/* Of D^0.5, which is about the length of an entry's words: how far they have to reach along the residual. They usually reach 0.8. */
static const float LEAST_REACH = 0.125f;

static inline size_t word_table_bytes(size_t padded) { return arena_size(4 * padded) + arena_size(16 * padded); }

/* As sign_table. */
static inline sign_query word_table(const float *codebooks, const float *query, size_t padded, arena *memory) {
  size_t groups = padded / WORD_VALUES;
  uint8_t *lut = arena_take(memory, 4 * padded);
  float *products = arena_take(memory, 16 * padded), widest = 0, least = 0, size = 0;
  for (size_t g = 0; g < groups; g++) {
    float *of = products + WORDS * g, low = INFINITY, high = -INFINITY;
    word_products(words_of(codebooks, g), query + WORD_VALUES * g, of);
    for (size_t m = 0; m < WORDS; m++) {
      low = of[m] < low ? of[m] : low;
      high = of[m] > high ? of[m] : high;
    }
    least += low;
    size += fabsf(low) + fabsf(high);
    widest = high - low > widest ? high - low : widest;
    for (size_t m = 0; m < WORDS; m++) of[m] -= low;
  }
  float step = widest / 127, inverse = step > 0 ? 1 / step : 0;
  if (!(size < 1e38f)) step = inverse = least = 0; /* as in sign_table */
  if (!(inverse <= 3e38f)) step = inverse = 0;
  for (size_t i = 0; i < WORDS * groups; i++) {
    lut[i] = inverse > 0 ? (uint8_t)(int32_t)(products[i] * inverse + 0.5f) : 0;
  }
  return (sign_query){lut, step, -least};
}

/* The number of the word that is nearest to a part of a residual, the lowest of equals. */
static inline size_t nearest_word(const float *words, const float *part) {
  float lacks[WORDS], least = INFINITY;
  for (size_t m = 0; m < WORDS; m++) {
    float w0 = words[m], w1 = words[WORDS + m], w2 = words[2 * WORDS + m], w3 = words[3 * WORDS + m];
    lacks[m] = (w0 * (w0 - 2 * part[0]) + w1 * (w1 - 2 * part[1])) + (w2 * (w2 - 2 * part[2]) + w3 * (w3 - 2 * part[3]));
  }
  for (size_t m = 0; m < WORDS; m++) least = lacks[m] < least ? lacks[m] : least;
  /* Without branches that nobody can predict. */
  uint32_t equal = 0;
  for (size_t m = 0; m < WORDS; m++) equal |= (uint32_t)(lacks[m] == least) << m;
  return equal ? (size_t)__builtin_ctz(equal) : 0;
}

/* As sign_write. An entry whose words hardly point where the residual does says nothing: its row is always near enough. */
static inline void word_write(drift_metric metric, const float *codebooks, const float *x, const float *centroid, size_t padded,
                              uint8_t *block, size_t slot, uint32_t row) {
  vfloat vsquares = {0}, vrc = {0};
  for (size_t i = 0; i < padded; i += LANES) {
    vfloat c = load(centroid + i), r = load(x + i) - c;
    vsquares += r * r;
    vrc += r * c;
  }
  float squares = sum(vsquares), rc = sum(vrc), along = 0, wc = 0;
  float times = squares > 0 ? words_length(codebooks, padded) / sqrtf(squares) : 0;
  size_t shift = slot >= 16 ? 4 : 0;
  uint8_t keep = (uint8_t)(slot >= 16 ? 0x0f : 0xf0);
  for (size_t g = 0; g < padded / WORD_VALUES; g++) {
    const float *words = words_of(codebooks, g), *c = centroid + WORD_VALUES * g, *at = x + WORD_VALUES * g;
    float r[WORD_VALUES], part[WORD_VALUES];
    for (size_t b = 0; b < WORD_VALUES; b++) r[b] = at[b] - c[b], part[b] = r[b] * times;
    size_t best = nearest_word(words, part);
    for (size_t b = 0; b < WORD_VALUES; b++) {
      float w = words[b * WORDS + best];
      along += w * r[b];
      wc += w * c[b];
    }
    uint8_t *byte = block + GROUP_BYTES * g + (slot & 15);
    *byte = (uint8_t)((*byte & keep) | best << shift);
  }
  int is_told = along >= LEAST_REACH * sqrtf(squares * (float)padded);
  float h = is_told && along > 0 ? squares / along : 0;
  float add = !is_told ? -FLT_MAX : metric == DRIFT_L2 ? squares + 2 * h * wc : h * wc - rc;
  block_rows(block, padded)[slot] = row;
  block_scale(block, padded)[slot] = metric == DRIFT_L2 ? 2 * h : h;
  __atomic_thread_fence(__ATOMIC_RELEASE);
  block_add(block, padded)[slot] = add;
}

/* Entry `slot` of the block becomes x, in a bucket of this index with this centroid. */
static inline void entry_write(const drift_index *index, const float *x, const float *centroid, uint8_t *block, size_t slot, uint32_t row) {
  if (index->codebooks) word_write(index->metric, index->codebooks, x, centroid, index->padded, block, slot, row);
  else sign_write(index->metric, x, centroid, index->padded, block, slot, row);
}

#endif
