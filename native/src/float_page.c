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
enum { POSITION_BITS = 8, LEFT_BITS_MAX = 16, COARSE_BITS = 9, COUNTED_BITS = 12, CODE_BITS_MAX = 3, DICTIONARY_MAX = 8 };
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

/* The next loops have no branch that depends on the values: those would be guessed wrong every few values. */

/* Runs that come in order of their left bits, those of the same joined: `next` goes to the last one, runs[at], or behind it. */
ALWAYS_INLINE unsigned join_run(run *runs, unsigned at, run *last, run next) {
  unsigned same = next.left == last->left;
  next.count += same ? last->count : 0;
  at += !same;
  runs[at] = *last = next;
  return at;
}

/* The same with one left bit less. */
static unsigned halve(run *runs, unsigned count) {
  unsigned at = 0;
  run last = {(uint16_t)(runs[0].left >> 1), 0};
  for (unsigned i = 0; i < count; i++) at = join_run(runs, at, &last, (run){(uint16_t)(runs[i].left >> 1), runs[i].count});
  return at + 1;
}

static unsigned runs_of_sorted(const uint16_t *keys, unsigned count, unsigned left_bits, run *runs) {
  unsigned at = 0, shift = LEFT_BITS_MAX - left_bits;
  run last = {(uint16_t)(keys[0] >> shift), 0};
  for (unsigned i = 0; i < count; i++) at = join_run(runs, at, &last, (run){(uint16_t)(keys[i] >> shift), 1});
  return at + 1;
}

/* Of at most COUNTED_BITS left bits. */
static unsigned runs_of(const uint16_t *keys, unsigned count, unsigned left_bits, run *runs) {
  /* Most values fall on a few counts: each waits for the last one. */
  uint16_t even[1 << COUNTED_BITS], odd[1 << COUNTED_BITS];
  unsigned shift = LEFT_BITS_MAX - left_bits, found = 0, lefts = left_bits < 2 ? 4 : 1u << left_bits;
  memset(even, 0, lefts * sizeof *even);
  memset(odd, 0, lefts * sizeof *odd);
  for (unsigned i = 0; i + 1 < count; i += 2) {
    even[keys[i] >> shift]++;
    odd[keys[i + 1] >> shift]++;
  }
  if (count % 2 != 0) even[keys[count - 1] >> shift]++;
  for (unsigned i = 0; i < lefts; i += 4) {
    uint64_t four, others;
    memcpy(&four, even + i, sizeof four);
    memcpy(&others, odd + i, sizeof others);
    four += others;
    for (unsigned j = i; four != 0; j++, four >>= 16) {
      if ((uint16_t)four > 0) runs[found++] = (run){(uint16_t)j, (uint16_t)four};
    }
  }
  return found;
}

static unsigned exception_bits(unsigned left_bits) { return POSITION_BITS + (left_bits > 8 ? 16 : 8); }

/* What the sample costs with `left_bits` of a value's `bits` in the dictionary; when that is less than `best`, the cut goes to the header.
 * uncovered[code_bits]: values that are not in a dictionary of so many bits. */
static uint64_t rd_try_cut(const run *runs, unsigned found, unsigned left_bits, unsigned count, unsigned bits, unsigned sign,
                           unsigned word_bits, uint64_t best, page_header *header, unsigned uncovered[CODE_BITS_MAX + 1]) {
  run top[DICTIONARY_MAX];
  unsigned entries = most_frequent(runs, found, top), covered = 0, counted = 0, right = bits - left_bits;
  for (unsigned code_bits = 0; code_bits <= CODE_BITS_MAX && code_bits <= left_bits; code_bits++) {
    for (; counted < entries && counted < 1u << code_bits; counted++) covered += top[counted].count;
    unsigned width = sign + code_bits + right;
    uncovered[code_bits] = count - covered;
    uint64_t cost = (uint64_t)count * width + uncovered[code_bits] * exception_bits(left_bits);
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
  unsigned coarse = bits < COARSE_BITS ? bits : COARSE_BITS;
  unsigned found = runs_of(keys, count, coarse, runs);
  uint64_t before = best;
  unsigned uncovered[CODE_BITS_MAX + 1];
  for (unsigned left_bits = coarse; left_bits > 0; left_bits--, found = halve(runs, found)) {
    best = rd_try_cut(runs, found, left_bits, count, bits, sign, word_bits, best, header, uncovered);
    /* Finer cuts are worth their time only when the finest so far is better than the next: values are clustered then. */
    if (left_bits == coarse) before = best;
  }
  if (best < before || coarse == bits) return best;
  unsigned finest = bits < LEFT_BITS_MAX ? bits : LEFT_BITS_MAX;
  /* Of cuts that cost the same: a coarse one before all others, of those the finest. */
  uint64_t coarse_best = best;
  for (unsigned left_bits = coarse + 1; left_bits <= finest; left_bits++) {
    uint64_t limit = best + (best < coarse_best);
    if (left_bits == COUNTED_BITS + 1) sort_keys(keys, count);
    found = left_bits > COUNTED_BITS ? runs_of_sorted(keys, count, left_bits, runs) : runs_of(keys, count, left_bits, runs);
    uint64_t cost = rd_try_cut(runs, found, left_bits, count, bits, sign, word_bits, limit, header, uncovered);
    if (cost < limit) best = cost;
    /* Dictionaries of more left bits cover no more. */
    uint64_t least = UINT64_MAX;
    for (unsigned code_bits = 0; code_bits <= CODE_BITS_MAX; code_bits++) {
      uint64_t bound = (uint64_t)count * (sign + code_bits + bits - finest) + uncovered[code_bits] * exception_bits(finest);
      least = bound < least ? bound : least;
    }
    if (least >= best + (best < coarse_best)) break;
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
