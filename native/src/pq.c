/* Distances by look-up: a table of the query says what each code adds to the distance (ADC: Jegou, Douze, Schmid 2011).
 * With 8-bit codes the table is in memory. With 4-bit codes it is in registers: FastScan (Andre, Kermarrec, Le Scouarnec
 * 2015; faiss) picks 16 or more entries with one shuffle. A loop of shuffles is bound by the adds that widen bytes to
 * 16 bits, hence 7-bit entries: two are added as bytes first. */
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CODES = 256 };

/* Four sums: one chain would wait for its own additions. */
static inline float look_up(const float *lut, const uint8_t *codes, size_t width) {
  float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  size_t i = 0;
  for (; i + 4 <= width; i += 4, lut += 4 * CODES, codes += 4) {
    s0 += lut[codes[0]];
    s1 += lut[CODES + codes[1]];
    s2 += lut[2 * CODES + codes[2]];
    s3 += lut[3 * CODES + codes[3]];
  }
  for (; i < width; i++, lut += CODES, codes++) s0 += lut[codes[0]];
  return (s0 + s1) + (s2 + s3);
}

void KERNEL(lut_distances)(const float *lut, size_t width, const uint8_t *codes, size_t first, size_t count,
                           float *out) {
  for (size_t j = 0; j < count; j++) out[j] = look_up(lut, codes + (first + j) * width, width);
}

/* A register holds the 16 bytes of this many groups. */
enum { GROUP_BYTES = 16, WIDE = VECTOR_BYTES / GROUP_BYTES, BLOCK_ROWS = 32, PAIRS = GROUP_BYTES / 2 };

typedef uint8_t vbytes __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t vwords __attribute__((vector_size(VECTOR_BYTES)));

static inline vbytes load_bytes(const uint8_t *from, size_t bytes) {
  vbytes v = {0};
  memcpy(&v, from, bytes);
  return v;
}

/* Per 16 bytes: table[index], index < 16. */
static inline vbytes shuffle(vbytes table, vbytes index) {
#if VECTOR_BYTES == 64
  return (vbytes)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
#elif VECTOR_BYTES == 32
  return (vbytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
#elif defined(__x86_64__)
  return (vbytes)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#else
  return (vbytes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#endif
}

static inline vbytes low_entries(vbytes table, vbytes codes) { return shuffle(table, codes & 15); }
static inline vbytes high_entries(vbytes table, vbytes codes) {
  return shuffle(table, (vbytes)((vwords)codes >> 4) & 15);
}

/* Sums of 16 rows: `all` of bytes 2i plus 256 times bytes 2i + 1, `odd` of bytes 2i + 1. */
typedef struct {
  vwords all, odd;
} sums;

static inline void add(sums *to, vbytes entries) {
  to->all += (vwords)entries;
  to->odd += (vwords)entries >> 8;
}

static inline void store(sums from, uint16_t *out) {
  uint16_t even[VECTOR_BYTES / 2], odd[VECTOR_BYTES / 2];
  vwords rest = from.all - (from.odd << 8);
  memcpy(even, &rest, sizeof even);
  memcpy(odd, &from.odd, sizeof odd);
  for (size_t wide = 1; wide < WIDE; wide++) {
    for (size_t i = 0; i < PAIRS; i++) {
      even[i] += even[wide * PAIRS + i];
      odd[i] += odd[wide * PAIRS + i];
    }
  }
  for (size_t i = 0; i < PAIRS; i++) {
    out[2 * i] = even[i];
    out[2 * i + 1] = odd[i];
  }
}

static inline void scan_block(const uint8_t *lut, size_t groups, const uint8_t *codes, uint16_t *out) {
  sums low = {{0}, {0}}, high = {{0}, {0}};
  size_t bytes = groups * GROUP_BYTES, i = 0;
  for (; i + 2 * VECTOR_BYTES <= bytes; i += 2 * VECTOR_BYTES) {
    vbytes c0 = load_bytes(codes + i, VECTOR_BYTES), c1 = load_bytes(codes + i + VECTOR_BYTES, VECTOR_BYTES);
    vbytes t0 = load_bytes(lut + i, VECTOR_BYTES), t1 = load_bytes(lut + i + VECTOR_BYTES, VECTOR_BYTES);
    add(&low, low_entries(t0, c0) + low_entries(t1, c1));
    add(&high, high_entries(t0, c0) + high_entries(t1, c1));
  }
  for (; i < bytes; i += VECTOR_BYTES) {
    size_t left = bytes - i < VECTOR_BYTES ? bytes - i : VECTOR_BYTES;
    vbytes c = load_bytes(codes + i, left), t = load_bytes(lut + i, left);
    add(&low, low_entries(t, c));
    add(&high, high_entries(t, c));
  }
  store(low, out);
  store(high, out + GROUP_BYTES);
}

void KERNEL(fast_scan)(const uint8_t *lut, size_t groups, const uint8_t *blocks, size_t stride, size_t count,
                       uint16_t *out) {
  for (size_t j = 0; j < count; j++) scan_block(lut, groups, blocks + j * stride, out + j * BLOCK_ROWS);
}
