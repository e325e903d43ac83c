/* Pages of floats under the codec that makes them smallest, exact to the bit: header, choice, exceptions and every check of what is read.
 * lib/reference/float-page is the definition, also of the bytes that are written. A page holds at most 2^32 - 1 values.
 *
 *   0 codec u8   1 element u8: 1 float32, 2 float64   2 width u8   3 right bits u8   4 flags u8   5 trim u8   6 entries u8   7 code bits u8
 *   8 values u32   12 blocks u32   16 base i64   24 divisor f64   32 exceptions u32   36 offset of the exceptions u32, 0 without
 *  40 dictionary 8 x u16   56 zeros   64 words: raw, or packed (bitpack.h)
 * Exceptions: value each: of ALP-RD the left bits, u8 when they are at most 8, else u16; of ALP the word. Then gap u8 each: values since the
 * last exception, with 255 more for each byte 255 before it. */
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The choice is the same on every machine: no product and sum in one rounding. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF

#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { PAGE_HEADER_BYTES = 64, BLOCK_VALUES = 1024, LINE_BYTES = 128, VECTORS = LINE_BYTES / VECTOR_BYTES };
enum { CODEC_RAW = 0, CODEC_CONST = 1, CODEC_ALP = 2, CODEC_ALP_RD = 3 };
enum { FLAG_SIGN = 1 };
enum { POSITION_BITS = 8, LEFT_BITS_MAX = 16, COARSE_BITS = 9, DICTIONARY_MAX = 8 };
/* A gap byte of this value says that so many values follow without an exception. */
enum { GAP_MAX = 255 };
/* Values that a choice looks at, and those that rule most divisors out. A dictionary entry of 0.4 % of the values is not missed. */
enum { SAMPLE = 512, GLIMPSE = 8, LANES_MAX = 16 };

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
/* Bytes and signed bytes that were scaled to 0..1. */
enum { OTHER_DIVISORS = 2 };
static const double OTHERS[OTHER_DIVISORS] = {255, 127};

typedef struct {
  uint8_t codec, element, width, right, flags, trim, entries, code_bits;
  uint32_t values, blocks;
  int64_t base;
  double divisor;
  uint32_t exceptions, exceptions_at;
  uint16_t dictionary[DICTIONARY_MAX];
  uint8_t zeros[8];
} page_header;
_Static_assert(sizeof(page_header) == PAGE_HEADER_BYTES, "the header is as it lies in the file");

static void sort_keys(uint16_t *keys, unsigned count) {
  uint16_t other[SAMPLE];
  for (unsigned shift = 0; shift < 16; shift += 8) {
    uint16_t ends[257] = {0};
    for (unsigned i = 0; i < count; i++) ends[(keys[i] >> shift & 255) + 1]++;
    for (unsigned i = 0; i < 256; i++) ends[i + 1] += ends[i];
    for (unsigned i = 0; i < count; i++) other[ends[keys[i] >> shift & 255]++] = keys[i];
    memcpy(keys, other, count * sizeof *keys);
  }
}

/* Values that share their left bits. */
typedef struct {
  uint16_t left, count;
} run;

/* The most frequent, most frequent first, ties in order. */
static unsigned most_frequent(const run *runs, unsigned count, run top[DICTIONARY_MAX]) {
  unsigned found = 0;
  for (unsigned i = 0; i < count; i++) {
    if (found == DICTIONARY_MAX && runs[i].count <= top[DICTIONARY_MAX - 1].count) continue;
    unsigned at = found < DICTIONARY_MAX ? found++ : DICTIONARY_MAX - 1;
    for (; at > 0 && top[at - 1].count < runs[i].count; at--) top[at] = top[at - 1];
    top[at] = runs[i];
  }
  return found;
}

static unsigned halve(run *runs, unsigned count) {
  unsigned merged = 0;
  for (unsigned i = 0; i < count; i++) {
    run next = {runs[i].left >> 1, runs[i].count};
    if (merged > 0 && runs[merged - 1].left == next.left) {
      runs[merged - 1].count += next.count;
    } else {
      runs[merged++] = next;
    }
  }
  return merged;
}

/* What the sample costs with `left_bits` of a value's `bits` in the dictionary; when that is less than `best`, the cut goes to the header. */
static uint64_t rd_try_cut(const run *runs, unsigned found, unsigned left_bits, unsigned count, unsigned bits,
                           unsigned sign, unsigned word_bits, uint64_t best, page_header *header) {
  run top[DICTIONARY_MAX];
  unsigned entries = most_frequent(runs, found, top), covered = 0, counted = 0, right = bits - left_bits;
  unsigned exception = POSITION_BITS + (left_bits > 8 ? 16 : 8);
  for (unsigned code_bits = 0; code_bits <= 3 && code_bits <= left_bits; code_bits++) {
    for (; counted < entries && counted < 1u << code_bits; counted++) covered += top[counted].count;
    unsigned width = sign + code_bits + right;
    uint64_t cost = (uint64_t)count * width + (count - covered) * exception;
    if (cost >= best || width >= word_bits) continue;
    best = cost;
    header->width = (uint8_t)width;
    header->right = (uint8_t)right;
    header->flags = sign ? FLAG_SIGN : 0;
    header->entries = (uint8_t)counted;
    header->code_bits = (uint8_t)code_bits;
    for (unsigned c = 0; c < DICTIONARY_MAX; c++) header->dictionary[c] = c < counted ? top[c].left : 0;
  }
  return best;
}

/* keys: the highest 16 of a value's `bits`, without the sign when that stands apart, above zeros when they are fewer.
 * @returns the least cost of all cuts, at most `best`. */
static uint64_t rd_choose_cut(uint16_t *keys, unsigned count, unsigned bits, unsigned sign, uint64_t best,
                              unsigned word_bits, page_header *header) {
  run runs[SAMPLE];
  unsigned found = 0, coarse = bits < COARSE_BITS ? bits : COARSE_BITS;
  uint16_t counts[1 << COARSE_BITS] = {0};
  for (unsigned i = 0; i < count; i++) counts[keys[i] >> (LEFT_BITS_MAX - COARSE_BITS)]++;
  for (unsigned i = 0; i < 1 << COARSE_BITS; i += 4) {
    uint64_t four;
    memcpy(&four, counts + i, sizeof four);
    if (four == 0) continue;
    for (unsigned j = i; j < i + 4; j++) {
      if (counts[j] > 0) runs[found++] = (run){(uint16_t)(j >> (COARSE_BITS - coarse)), counts[j]};
    }
  }
  uint64_t before = best;
  for (unsigned left_bits = coarse; left_bits > 0; left_bits--, found = halve(runs, found)) {
    best = rd_try_cut(runs, found, left_bits, count, bits, sign, word_bits, best, header);
    /* Finer cuts are worth their time only when the finest so far is better than the next: values are clustered then. */
    if (left_bits == coarse) before = best;
  }
  if (best < before || coarse == bits) return best;
  sort_keys(keys, count);
  unsigned finest = bits < LEFT_BITS_MAX ? bits : LEFT_BITS_MAX;
  found = 0;
  for (unsigned i = 0; i < count; i++) {
    uint16_t left = (uint16_t)(keys[i] >> (LEFT_BITS_MAX - finest));
    if (found == 0 || runs[found - 1].left != left) runs[found++] = (run){left, 0};
    runs[found - 1].count++;
  }
  for (unsigned left_bits = finest; left_bits > coarse; left_bits--, found = halve(runs, found)) {
    best = rd_try_cut(runs, found, left_bits, count, bits, sign, word_bits, best, header);
  }
  return best;
}

#define BITS 32
#include "bitpack.h"
#include "alp.h"
#include "alp_rd.h"
#include "float_page.h"
#undef BITS
#define BITS 64
#include "bitpack.h"
#include "alp.h"
#include "alp_rd.h"
#include "float_page.h"

size_t KERNEL(float_page_encode)(size_t element_bytes, const void *values, size_t count, uint8_t *page) {
  if (element_bytes == 4) return encode_page32(values, (uint32_t)count, page);
  return encode_page64(values, (uint32_t)count, page);
}

int KERNEL(float_page_decode)(size_t element_bytes, const uint8_t *page, size_t length, size_t values, size_t first,
                              size_t count, void *out) {
  if (element_bytes == 4) return decode_page32(page, length, (uint32_t)values, first, count, out);
  return decode_page64(page, length, (uint32_t)values, first, count, out);
}

void KERNEL(bits_pack)(const uint64_t *words, size_t count, size_t width, uint8_t *out) {
  _Alignas(64) uint64_t block[BLOCK_VALUES];
  for (size_t start = 0; start < count; start += BLOCK_VALUES) {
    size_t fill = count - start < BLOCK_VALUES ? count - start : BLOCK_VALUES;
    for (size_t i = 0; i < fill; i++) block[i] = words[start + i] & low_bits64((unsigned)width);
    memset(block + fill, 0, (BLOCK_VALUES - fill) * sizeof *block);
    pack_block64(block, (unsigned)(fill + 15) / 16, (unsigned)width, out + packed_bytes64(start, (unsigned)width));
  }
}

void KERNEL(bits_unpack)(const uint8_t *in, size_t count, size_t width, uint64_t *out) {
  static const uint8_t nothing[LINE_BYTES];
  unsigned taken = width == 0 ? 1 : (unsigned)width;
  for (size_t start = 0; start < count; start += BLOCK_VALUES) {
    _Alignas(64) uint64_t block[BLOCK_VALUES];
    size_t fill = count - start < BLOCK_VALUES ? count - start : BLOCK_VALUES;
    const uint8_t *lines = width == 0 ? nothing : in + packed_bytes64(start, (unsigned)width);
    for (unsigned row = 0; row * 16 < fill; row++) {
      for (unsigned v = 0; v < VECTORS; v++) {
        vword64 words = unpack64(lines, taken, row, v) >> (64 - taken);
        memcpy((uint8_t *)block + row * LINE_BYTES + v * VECTOR_BYTES, &words, VECTOR_BYTES);
      }
    }
    memcpy(out + start, block, fill * sizeof *block);
  }
}
