/* With a filter: how many entries of each bucket are of rows that it allows, and which. Found when a bucket is first looked at, and kept
 * by the caller (kernels.h). */
#ifndef DRIFT_ALLOWED_H
#define DRIFT_ALLOWED_H

#include "index.h"
#include "isa.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

static const uint32_t NOT_COUNTED = UINT32_MAX;

/* Which of a block's rows are allowed. words: of `allow`, at least 1. */
#if defined(__AVX512F__)

static inline uint32_t allowed_mask(const uint32_t *rows, const uint32_t *allow, size_t words) {
  const __m512i one = _mm512_set1_epi32(1), end = _mm512_set1_epi32((int32_t)(words < UINT32_MAX ? words : UINT32_MAX));
  uint32_t mask = 0;
  for (size_t i = 0; i < BLOCK_ENTRIES; i += 16) {
    __m512i row = _mm512_loadu_si512(rows + i), word = _mm512_srli_epi32(row, 5);
    __mmask16 known = _mm512_cmplt_epu32_mask(word, end);
    __m512i bits = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), known, word, allow, 4);
    mask |= (uint32_t)_mm512_test_epi32_mask(bits, _mm512_rolv_epi32(one, row)) << i;
  }
  return mask;
}

#else

static inline uint32_t allowed_mask(const uint32_t *rows, const uint32_t *allow, size_t words) {
  uint32_t mask = 0;
  for (size_t i = 0; i < BLOCK_ENTRIES; i++) {
    size_t word = rows[i] >> 5, known = word < words;
    mask |= (allow[known ? word : 0] >> (rows[i] & 31) & (uint32_t)known) << i;
  }
  return mask;
}

#endif

static inline void ask_for_rows(const drift_index *index, size_t block) {
  if (block >= index->block_count) return;
  prefetch(block_rows(index->blocks + block * block_bytes(index->padded), index->padded), BLOCK_ENTRIES * sizeof(uint32_t));
}

static inline void count_allowed(const drift_index *index, const drift_query *ask, uint32_t bucket) {
  size_t padded = index->padded, bytes = block_bytes(padded), left = index->block_count;
  uint32_t count = 0;
  /* No block is in a chain twice, unless that is damaged. */
  for (size_t block = index->heads[bucket]; block < index->block_count && left > 0; block = index->next[block], left--) {
    uint32_t mask = ask->allow_words > 0 ? allowed_mask(block_rows(index->blocks + block * bytes, padded), ask->allow, ask->allow_words) : 0;
    ask->masks[block] = mask;
    count += (uint32_t)__builtin_popcount(mask);
  }
  ask->counts[bucket] = count;
}

#endif
