/* ALP (Afroozeh, Kuffo and Boncz 2023) in the division form: x = (base + word) / divisor, word packed in `width` bits. Numerator
 * and divisor are exact, so IEEE division gives what reading the decimal text would, and one candidate per number of digits
 * is enough. Included once per BITS. */

#if BITS == 32
enum { ALP_WIDTH_MAX32 = 25 };
static const double ALP_LIMIT32 = 0x1p24;
/* 10^k = 2^k 5^k is exact while 5^k < 2^24. */
enum { ALP_POWERS32 = 11 };
enum { ALP_SMALL32 = 1 << 11 };
#else
enum { ALP_WIDTH_MAX64 = 52 };
/* Numerators that the rounding by addition gets right; base may be twice that large in a page of another writer. */
static const double ALP_LIMIT64 = 0x1p51;
enum { ALP_POWERS64 = 23 };
enum { ALP_SMALL64 = 1 << 24 };
#endif

#if BITS == 32
typedef int32_t integer32;
typedef float vfloat32 __attribute__((vector_size(VECTOR_BYTES)));
typedef float vhalf __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef double vfloat64 __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vinteger32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t vinteger64 __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t integer64;
#endif

ALWAYS_INLINE void N(alp_decode_rows)(const uint8_t *in, const page_header *page, unsigned width, unsigned rows, int divided, WORD *out) {
  N(vfloat) divisor = (N(vfloat)){0} + (N(float_))page->divisor;
#if BITS == 64
  double base = (double)page->base;
#endif
  for (unsigned row = 0; row < rows; row++) {
    for (unsigned v = 0; v < VECTORS; v++) {
      VWORD words = N(unpack)(in, width, row, v) >> (BITS - width);
#if BITS == 32
      N(vfloat) values = __builtin_convertvector((vinteger32)(words + (uint32_t)page->base), vfloat32);
#else
      /* No conversion from 64 bits before AVX-512: as the low bits of a double of 2^52. */
      N(vfloat) values = (vfloat64)(words | 0x4330000000000000u) - 0x1p52 + base;
#endif
      if (divided) values /= divisor;
      memcpy((uint8_t *)out + row * LINE_BYTES + v * VECTOR_BYTES, &values, VECTOR_BYTES);
    }
  }
}

/* Rows of a block. A number over 1 is itself, and dividing would take half of the time. */
static void N(alp_decode_block)(const uint8_t *in, const page_header *page, unsigned width, unsigned rows, WORD *out) {
  if (page->divisor == 1) N(alp_decode_rows)(in, page, width, rows, 0, out);
  else N(alp_decode_rows)(in, page, width, rows, 1, out);
}

/* Stands for a value that is no numerator over the divisor. */
static const N(integer) N(NO_INTEGER) = (N(integer))((WORD)1 << (BITS - 1));

#if BITS == 32
/* The halves of a vector of floats, scaled, to the nearest integers, ties to even. What has none within 32 bits becomes a number that
 * is no numerator. */
ALWAYS_INLINE vinteger32 alp_round(vfloat64 low, vfloat64 high) {
#if defined(__AVX512F__)
  __m512i first = _mm512_castsi256_si512(_mm512_cvtpd_epi32((__m512d)low));
  return (vinteger32)_mm512_inserti64x4(first, _mm512_cvtpd_epi32((__m512d)high), 1);
#elif defined(__AVX2__)
  return (vinteger32)_mm256_set_m128i(_mm256_cvtpd_epi32((__m256d)high), _mm256_cvtpd_epi32((__m256d)low));
#elif defined(__SSE4_1__)
  return (vinteger32)_mm_unpacklo_epi64(_mm_cvtpd_epi32((__m128d)low), _mm_cvtpd_epi32((__m128d)high));
#else
  return (vinteger32)vcombine_s32(vqmovn_s64(vcvtnq_s64_f64((float64x2_t)low)), vqmovn_s64(vcvtnq_s64_f64((float64x2_t)high)));
#endif
}
#endif

/* Numerators of the values, NO_INTEGER where none gives back the bits of its value, and the least and the greatest of them: low > high
 * when there are none. Reads and writes whole vectors; values behind `count` are to repeat others. */
static void N(alp_integers)(const WORD *in, unsigned count, double divisor, N(integer) *out, N(integer) *low, N(integer) *high) {
  enum { LANES_IN_VECTOR = VECTOR_BYTES / sizeof(WORD) };
  const N(integer) most = (N(integer))~(WORD)N(NO_INTEGER);
  N(vfloat) over = (N(vfloat)){0} + (N(float_))divisor;
  N(vinteger) least = (N(vinteger)){0} + most, greatest = (N(vinteger)){0} + N(NO_INTEGER);
  for (unsigned i = 0; i < count; i += LANES_IN_VECTOR) {
    VWORD bits = N(load_words)(in + i);
#if BITS == 32
    vhalf half[2];
    memcpy(half, in + i, sizeof half);
    vinteger32 whole = alp_round(__builtin_convertvector(half[0], vfloat64) * divisor, __builtin_convertvector(half[1], vfloat64) * divisor);
    VWORD back = (VWORD)(__builtin_convertvector(whole, vfloat32) / over);
    vinteger32 good = (vinteger32)(back == bits) & (whole > -(1 << 24)) & (whole < 1 << 24);
#else
    /* 1.5 * 2^52: adding it leaves no fraction bits, ties go to even, and the number stands in the lowest bits: all of AVX2, where
     * no conversion to 64 bits exists. */
    const double rounder = 0x1.8p52;
    vfloat64 scaled = (vfloat64)bits * divisor;
    vinteger64 inside = (scaled > -ALP_LIMIT64) & (scaled < ALP_LIMIT64);
    vfloat64 shifted = (vfloat64)((vinteger64)scaled & inside) + rounder, number = shifted - rounder;
    vinteger64 whole = (vinteger64)shifted - 0x4338000000000000;
    VWORD back = (VWORD)(number / over);
    vinteger64 good = (vinteger64)(back == bits) & (number > -ALP_LIMIT64) & (number < ALP_LIMIT64);
#endif
    N(vinteger) for_least = (whole & good) | (most & ~good), for_greatest = (whole & good) | (N(NO_INTEGER) & ~good);
    N(vinteger) less = for_least < least, more = for_greatest > greatest;
    least = (for_least & less) | (least & ~less);
    greatest = (for_greatest & more) | (greatest & ~more);
    memcpy(out + i, &for_greatest, sizeof for_greatest);
  }
  *low = most;
  *high = N(NO_INTEGER);
  for (unsigned lane = 0; lane < LANES_IN_VECTOR; lane++) {
    if (least[lane] < *low) *low = least[lane];
    if (greatest[lane] > *high) *high = greatest[lane];
  }
}

static unsigned N(bit_length)(WORD x) { return x == 0 ? 0 : 64 - (unsigned)__builtin_clzll(x); }

static unsigned N(alp_hits)(const N(integer) *numerators, unsigned count) {
  unsigned hits = 0;
  for (unsigned i = 0; i < count; i++) hits += numerators[i] != N(NO_INTEGER);
  return hits;
}

/* What the sample costs by this divisor, in bits.
 * final: whether no higher power of ten can cost less, if this is one. All values are small numerators n then. Over 10^m more they are 10^m n
 * while that is below half of the limit, which takes no fewer bits. Beyond it 10^m is so large (> 2 ALP_SMALL) that two different values take
 * no fewer bits either, even when their numerators are rounded by one: so all that are still multiples must be equal, the smallest, and the
 * others exceptions. */
static uint64_t N(alp_cost)(const WORD sample[SAMPLE], unsigned count, double divisor, int *final) {
  _Alignas(64) N(integer) numerators[SAMPLE];
  N(integer) low, high, least = N(ALP_SMALL);
  N(alp_integers)(sample, count, divisor, numerators, &low, &high);
  unsigned width = low > high ? 0 : N(bit_length)((WORD)high - (WORD)low), smallest = 0;
  unsigned hits = N(alp_hits)(numerators, count);
  uint64_t cost = (uint64_t)count * width + (uint64_t)(count - hits) * (POSITION_BITS + BITS);
  *final = hits == count && low > -N(ALP_SMALL) && high < N(ALP_SMALL);
  if (!*final) return cost;
  for (unsigned i = 0; i < count; i++) {
    if (numerators[i] < 0) numerators[i] = -numerators[i];
    least = numerators[i] < least ? numerators[i] : least;
  }
  for (unsigned i = 0; i < count; i++) smallest += numerators[i] == least;
  *final = (uint64_t)(count - smallest) * (POSITION_BITS + BITS) >= cost;
  return cost;
}

/* Whether most of a glimpse are no multiples. */
static int N(alp_hopeless)(const WORD glimpse[LANES_MAX], double divisor) {
  _Alignas(64) N(integer) numerators[LANES_MAX];
  N(integer) low, high;
  N(alp_integers)(glimpse, GLIMPSE, divisor, numerators, &low, &high);
  return N(alp_hits)(numerators, GLIMPSE) < GLIMPSE - GLIMPSE / 2;
}

/* The divisor by which the sample costs least, 0 when none saves anything. */
static double N(alp_choose)(const WORD sample[SAMPLE], unsigned count) {
  uint64_t best = (uint64_t)count * BITS;
  double chosen = 0;
  WORD glimpse[LANES_MAX];
  for (unsigned i = 0; i < LANES_MAX; i++) glimpse[i] = sample[i % GLIMPSE * count / GLIMPSE];
  for (int i = 0, final; i < N(ALP_POWERS) + OTHER_DIVISORS; i++) {
    double divisor = i < N(ALP_POWERS) ? POWERS[i] : OTHERS[i - N(ALP_POWERS)];
    if (N(alp_hopeless)(glimpse, divisor)) continue;
    uint64_t cost = N(alp_cost)(sample, count, divisor, &final);
    if (cost < best) {
      best = cost;
      chosen = divisor;
    }
    if (!final || i >= N(ALP_POWERS)) continue;
    /* 127 n and 255 n take more bits than n. */
    if (divisor == 1) break;
    i = N(ALP_POWERS) - 1;
  }
  return chosen;
}

/* Packs `values` words after the header at `page` and fills in the header. Words that are no multiple are packed as 0 and left to the
 * exceptions. @returns the end of the packed words, or 0 when it lies after `limit` <= the header and the raw values: before
 * they are packed, the integers lie where the packed words will. */
static uint64_t N(alp_pack)(const WORD *in, uint32_t values, double divisor, uint8_t *page, uint64_t limit,
                            page_header *header) {
  N(integer) min = 0, max = 0;
  int any = 0;
  _Alignas(64) N(integer) block[BLOCK_VALUES];
  for (uint32_t start = 0; start < values; start += BLOCK_VALUES) {
    uint32_t fill = values - start < BLOCK_VALUES ? values - start : BLOCK_VALUES;
    const WORD *from = in + start;
    _Alignas(64) WORD whole[BLOCK_VALUES];
    if (fill < BLOCK_VALUES) from = N(fill_up)(from, fill, whole);
    N(integer) low, high;
    N(alp_integers)(from, fill, divisor, block, &low, &high);
    memcpy(page + PAGE_HEADER_BYTES + (uint64_t)start * sizeof(WORD), block, fill * sizeof(WORD));
    if (low > high) continue;
    min = !any || low < min ? low : min;
    max = !any || high > max ? high : max;
    any = 1;
  }
  header->codec = CODEC_ALP;
  header->width = (uint8_t)N(bit_length)((WORD)max - (WORD)min);
  header->base = min;
  header->divisor = divisor;
  uint64_t end = PAGE_HEADER_BYTES + N(packed_bytes)(values, header->width);
  if (end > limit) return 0;
  for (uint32_t start = 0; start < values; start += BLOCK_VALUES) {
    uint32_t fill = values - start < BLOCK_VALUES ? values - start : BLOCK_VALUES;
    memcpy(block, page + PAGE_HEADER_BYTES + (uint64_t)start * sizeof(WORD), fill * sizeof(WORD));
    WORD *words = (WORD *)block;
    for (uint32_t i = 0; i < fill; i++) words[i] = block[i] == N(NO_INTEGER) ? 0 : words[i] - (WORD)min;
    memset(words + fill, 0, (BLOCK_VALUES - fill) * sizeof(WORD));
    unsigned rows = (fill + LANES_IN_LINE - 1) / LANES_IN_LINE;
    N(pack_block)(words, rows, header->width, page + PAGE_HEADER_BYTES + N(packed_bytes)(start, header->width));
  }
  return end;
}
