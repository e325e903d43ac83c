/* The ceilings of one variant. Loops on registers keep eight chains going: enough for a latency of four cycles on two
 * ports. KEEP makes the compiler believe that a register changed, at no instruction. */
#include "bench.h"
#include "isa.h"
#include "signs.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#endif

enum { CHAINS = 8, AHEAD_BYTES = 4096 };

typedef uint32_t vword __attribute__((vector_size(VECTOR_BYTES)));

static inline vword load_words(const char *from) {
  vword v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline vword read_row(const char *at, size_t bytes, vword seen) {
  vword s0 = seen, s1 = {0}, s2 = {0}, s3 = {0};
  size_t i = 0;
  for (; i + 4 * VECTOR_BYTES <= bytes; i += 4 * VECTOR_BYTES) {
    s0 |= load_words(at + i);
    s1 |= load_words(at + i + VECTOR_BYTES);
    s2 |= load_words(at + i + 2 * VECTOR_BYTES);
    s3 |= load_words(at + i + 3 * VECTOR_BYTES);
  }
  for (; i < bytes; i += VECTOR_BYTES) s0 |= load_words(at + i);
  return (s0 | s1) | (s2 | s3);
}

static uint32_t read_rows(const char *base, size_t row_bytes, const uint32_t *index, size_t rows) {
  vword seen = {0};
  if (!index) {
    seen = read_row(base, row_bytes * rows, seen);
  } else {
    size_t ahead = 1 + AHEAD_BYTES / row_bytes;
    for (size_t j = 0; j < rows; j++) {
      if (j + ahead < rows) prefetch(base + index[j + ahead] * row_bytes, row_bytes);
      seen = read_row(base + index[j] * row_bytes, row_bytes, seen);
    }
  }
  return seen[0] | seen[LANES - 1];
}

static void float_steps(arithmetic kind, size_t steps) {
  vfloat s[CHAINS] = {{0}}, x = {0}, y = {0};
  for (size_t i = 0; i < CHAINS; i++) s[i] = s[i] + 1.5f;
  x = x + 1.25f;
  KEEP(y);
  for (size_t step = 0; step < steps; step += CHAINS) {
#pragma GCC unroll 8
    for (size_t i = 0; i < CHAINS; i++) {
      KEEP(x);
      if (kind == ARITHMETIC_DIVIDE) {
        s[i] = s[i] / x;
      } else {
        vfloat d = kind == ARITHMETIC_L2 ? x - y : x;
        s[i] += d * (kind == ARITHMETIC_L2 ? d : y);
      }
    }
  }
  for (size_t i = 0; i < CHAINS; i++) KEEP(s[i]);
}

#if defined(__AVX512VNNI__)
typedef __m512i vbytes;
static inline vbytes step_bytes(vbytes s, vbytes x, vbytes q) { return _mm512_dpbusd_epi32(s, x, q); }
#elif defined(__AVX2__)
typedef __m256i vbytes;
static inline vbytes step_bytes(vbytes s, vbytes x, vbytes q) {
  return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(x, q), q));
}
#elif defined(__SSSE3__)
typedef __m128i vbytes;
static inline vbytes step_bytes(vbytes s, vbytes x, vbytes q) {
  return _mm_add_epi32(s, _mm_madd_epi16(_mm_maddubs_epi16(x, q), q));
}
#elif defined(__aarch64__)
typedef int32x4_t vbytes;
static inline vbytes step_bytes(vbytes s, vbytes x, vbytes q) {
  int8x16_t a = vreinterpretq_s8_s32(x), b = vreinterpretq_s8_s32(q);
  return vpadalq_s16(vpadalq_s16(s, vmull_s8(vget_low_s8(a), vget_low_s8(b))), vmull_high_s8(a, b));
}
#endif

typedef uint8_t vlook __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t vhalf __attribute__((vector_size(VECTOR_BYTES)));

static inline vlook look_up(vlook table, vlook index) {
#if VECTOR_BYTES == 64
  return (vlook)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
#elif VECTOR_BYTES == 32
  return (vlook)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
#elif defined(__x86_64__)
  return (vlook)_mm_shuffle_epi8((__m128i)table, (__m128i)index);
#else
  return (vlook)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
#endif
}

static void byte_steps(size_t steps) {
  vbytes s[CHAINS], x, q;
  memset(s, 0, sizeof s);
  memset(&x, 1, sizeof x);
  memset(&q, 1, sizeof q);
  for (size_t step = 0; step < steps; step += CHAINS) {
#pragma GCC unroll 8
    for (size_t i = 0; i < CHAINS; i++) {
      KEEP(x);
      s[i] = step_bytes(s[i], x, q);
    }
  }
  for (size_t i = 0; i < CHAINS; i++) KEEP(s[i]);
}

/* A step takes the codes of one register: two masks, a shift, two shuffles, and two sums of bytes. */
static void look_up_steps(size_t steps) {
  vlook low[CHAINS / 2], high[CHAINS / 2], codes, table;
  memset(low, 0, sizeof low);
  memset(high, 0, sizeof high);
  memset(&codes, 1, sizeof codes);
  memset(&table, 1, sizeof table);
  for (size_t step = 0; step < steps; step += CHAINS / 2) {
#pragma GCC unroll 4
    for (size_t i = 0; i < CHAINS / 2; i++) {
      KEEP(codes);
      low[i] += look_up(table, codes & 15);
      high[i] += look_up(table, (vlook)((vhalf)codes >> 4) & 15);
    }
  }
  for (size_t i = 0; i < CHAINS / 2; i++) {
    KEEP(low[i]);
    KEEP(high[i]);
  }
}

static void scan_signs(const uint8_t *lut, const uint8_t *blocks, size_t padded, size_t count, float *out) {
  sign_query query = {lut, 0.01f, 1};
  size_t bytes = block_bytes(padded), ahead = 1 + AHEAD_BYTES / bytes;
  for (size_t j = 0; j < count; j++) {
    if (j + ahead < count) prefetch(blocks + (j + ahead) * bytes, bytes);
    sign_scan(&query, blocks + j * bytes, padded, 1, 0, out + j * BLOCK_ENTRIES);
  }
}

static void steps_of(arithmetic kind, size_t steps) {
  switch (kind) {
    case ARITHMETIC_L2: float_steps(ARITHMETIC_L2, steps); break;
    case ARITHMETIC_DOT: float_steps(ARITHMETIC_DOT, steps); break;
    case ARITHMETIC_DIVIDE: float_steps(ARITHMETIC_DIVIDE, steps); break;
    case ARITHMETIC_LOOK_UP: look_up_steps(steps); break;
    case ARITHMETIC_BYTES: byte_steps(steps); break;
    default: break;
  }
}

static void plain_sq8(const int8_t *query, const float *query_factors, const uint8_t *codes, const float *factors,
                      size_t dim, size_t count, float *out) {
  for (size_t j = 0; j < count; j++, codes += dim, factors += 2) {
    int32_t dot = 0;
    for (size_t i = 0; i < dim; i++) dot += ((int32_t)codes[i] - 128) * query[i];
    out[j] = (query_factors[1] + factors[1]) - 2 * (query_factors[0] * factors[0] * (float)dot);
  }
}

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
const roofline KERNEL(roofline) = {TEXT(DRIFT_ISA), read_rows, steps_of, VECTOR_BYTES, plain_sq8, scan_signs};
