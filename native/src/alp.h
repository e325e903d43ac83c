/* ALP (Afroozeh, Kuffo and Boncz 2023) in the division form: x = (base + word) / divisor, word packed in `width` bits. Numerator
 * and divisor are exact, so IEEE division gives what reading the decimal text would, and one candidate per number of digits
 * is enough. Included once per BITS. */

#if BITS == 32
enum { ALP_WIDTH_MAX32 = 25 };
static const double ALP_LIMIT32 = 0x1p24;
/* 10^k = 2^k 5^k is exact while 5^k < 2^24. */
enum { ALP_POWERS32 = 11 };
#else
enum { ALP_WIDTH_MAX64 = 52 };
/* Numerators that the rounding by addition gets right; base may be twice that large in a page of another writer. */
static const double ALP_LIMIT64 = 0x1p51;
enum { ALP_POWERS64 = 23 };
#endif

#if BITS == 32
typedef int32_t integer32;
typedef float vfloat32 __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vinteger32 __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t integer64;
typedef double vfloat64 __attribute__((vector_size(VECTOR_BYTES)));
#endif

/* Rows of a block. */
static void N(alp_decode_block)(const uint8_t *in, const page_header *page, unsigned width, unsigned rows, WORD *out) {
  N(vfloat) divisor = (N(vfloat)){0} + (N(float_))page->divisor;
  N(float_) base = (N(float_))page->base;
  (void)base;
  for (unsigned row = 0; row < rows; row++) {
    for (unsigned v = 0; v < VECTORS; v++) {
      VWORD words = N(unpack)(in, width, row, v) >> (BITS - width);
#if BITS == 32
      vinteger32 integers = (vinteger32)(words + (uint32_t)page->base);
      N(vfloat) values = __builtin_convertvector(integers, vfloat32) / divisor;
#else
      /* No conversion from 64 bits before AVX-512: as the low bits of a double of 2^52. */
      N(vfloat) values = ((vfloat64)(words | 0x4330000000000000u) - 0x1p52 + base) / divisor;
#endif
      memcpy((uint8_t *)out + row * LINE_BYTES + v * VECTOR_BYTES, &values, VECTOR_BYTES);
    }
  }
}

/* The numerator of x, or NO_INTEGER when it has none that gives back its bits. */
static const N(integer) N(NO_INTEGER) = (N(integer))((WORD)1 << (BITS - 1));

ALWAYS_INLINE N(integer) N(alp_integer)(WORD bits, double divisor) {
  /* 1.5 * 2^52: adding it leaves no fraction bits; ties go to even. */
  const double rounder = 0x1.8p52;
  N(float_) x, back;
  memcpy(&x, &bits, sizeof x);
  double scaled = (double)x * divisor;
  double inside = scaled > -N(ALP_LIMIT) && scaled < N(ALP_LIMIT) ? scaled : 0;
  double shifted = inside + rounder, whole = shifted - rounder;
  back = (N(float_))whole / (N(float_))divisor;
  WORD back_bits;
  memcpy(&back_bits, &back, sizeof back);
  /* The same number as an integer: all of AVX2, where no conversion to 64 bits exists. */
  int64_t low, zero = 0x4338000000000000;
  memcpy(&low, &shifted, sizeof low);
  return back_bits == bits && whole > -N(ALP_LIMIT) && whole < N(ALP_LIMIT) ? (N(integer))(low - zero) : N(NO_INTEGER);
}

static unsigned N(bit_length)(WORD x) { return x == 0 ? 0 : 64 - (unsigned)__builtin_clzll(x); }

/* What the sample costs by this divisor, in bits. */
static uint64_t N(alp_cost)(const WORD *sample, unsigned count, double divisor) {
  N(integer) min = 0, max = 0;
  unsigned hits = 0;
  for (unsigned i = 0; i < count; i++) {
    N(integer) n = N(alp_integer)(sample[i], divisor);
    if (n == N(NO_INTEGER)) continue;
    if (hits == 0 || n < min) min = n;
    if (hits == 0 || n > max) max = n;
    hits++;
  }
  return (uint64_t)count * N(bit_length)((WORD)max - (WORD)min) + (uint64_t)(count - hits) * (POSITION_BITS + BITS);
}

/* Whether most of a glimpse are no multiples. */
static int N(alp_hopeless)(const WORD glimpse[GLIMPSE], double divisor) {
  unsigned misses = 0;
  for (unsigned i = 0; i < GLIMPSE; i++) misses += N(alp_integer)(glimpse[i], divisor) == N(NO_INTEGER);
  return misses > GLIMPSE / 2;
}

/* The divisor by which the sample costs least, 0 when none saves anything. */
static double N(alp_choose)(const WORD *sample, unsigned count) {
  uint64_t best = (uint64_t)count * BITS;
  double chosen = 0;
  WORD glimpse[GLIMPSE];
  for (unsigned i = 0; i < GLIMPSE; i++) glimpse[i] = sample[i * count / GLIMPSE];
  for (int i = 0; i < N(ALP_POWERS) + OTHER_DIVISORS; i++) {
    double divisor = i < N(ALP_POWERS) ? POWERS[i] : OTHERS[i - N(ALP_POWERS)];
    if (N(alp_hopeless)(glimpse, divisor)) continue;
    uint64_t cost = N(alp_cost)(sample, count, divisor);
    if (cost >= best) continue;
    best = cost;
    chosen = divisor;
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
    for (uint32_t i = 0; i < fill; i++) block[i] = N(alp_integer)(in[start + i], divisor);
    N(integer) low = (N(integer))~(WORD)N(NO_INTEGER), high = N(NO_INTEGER);
    for (uint32_t i = 0; i < fill; i++) {
      N(integer) or_none = block[i] == N(NO_INTEGER) ? (N(integer))~(WORD)N(NO_INTEGER) : block[i];
      low = or_none < low ? or_none : low;
      high = block[i] > high ? block[i] : high;
    }
    memcpy(page + PAGE_HEADER_BYTES + (uint64_t)start * sizeof(WORD), block, fill * sizeof(WORD));
    if (high == N(NO_INTEGER)) continue;
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
