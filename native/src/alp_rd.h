/* ALP-RD (Afroozeh, Kuffo and Boncz 2023) with its two streams merged in one: word = [sign] code right, highest bits first. A value is cut into
 * left bits, for which the code stands by a dictionary of at most 8, `right` bits as they are, and `trim` lowest bits that are 0 in all
 * values. Where both signs are frequent the sign may stand apart, so that it does not double the dictionary.
 * Integers only: every bit of a NaN stays. Included once per BITS. */

/* A value is (its sign) | left << shift | its bits of `keep`. */
typedef struct {
  unsigned shift, code_shift;
  WORD keep;
  WORD left[8]; /* dictionary << shift, again and again: a sign above a short code changes nothing */
  VWORD halves; /* the dictionary in 16 bits an entry, repeated per 128 bits */
} N(rd_cut);

static unsigned N(rd_left_bits)(const page_header *page) {
  return BITS - page->trim - page->right - (page->flags & FLAG_SIGN);
}

static N(rd_cut) N(rd_make_cut)(const page_header *page) {
  N(rd_cut) cut = {.shift = page->trim + page->right};
  unsigned sign = page->flags & FLAG_SIGN, prefix = sign + page->code_bits;
  uint16_t halves[VECTOR_BYTES / 2];
  cut.code_shift = prefix == 0 ? BITS - 1 : BITS - prefix;
  cut.keep = (WORD)sign << (BITS - 1) | N(low_bits)(page->right) << page->trim;
  for (unsigned c = 0; c < VECTOR_BYTES / 2; c++) halves[c] = page->dictionary[c & ((1u << page->code_bits) - 1)];
  for (unsigned c = 0; c < 8; c++) cut.left[c] = (WORD)halves[c] << cut.shift;
  memcpy(&cut.halves, halves, sizeof halves);
  return cut;
}

/* left[code], of which only the lowest three bits count. No gather: those take longer than the rest of the loop. */
ALWAYS_INLINE VWORD N(rd_look_up)(const N(rd_cut) * cut, VWORD code) {
#if BITS == 32 && defined(__AVX512F__)
  __m512i entries = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)cut->left));
  return (VWORD)_mm512_permutexvar_epi32((__m512i)code, entries);
#elif BITS == 32 && defined(__AVX2__)
  return (VWORD)_mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)cut->left), (__m256i)code);
#else
  /* Bytes 2 code and 2 code + 1 into the low half, zeros above. */
  const WORD none = (WORD)0x8080808080808080u & ~(WORD)0xffff;
  code &= 7;
  VWORD bytes = (code << 1 | code << 9) + (none | 0x100);
#if defined(__AVX512F__)
  VWORD found = (VWORD)_mm512_shuffle_epi8((__m512i)cut->halves, (__m512i)bytes);
#elif defined(__AVX2__)
  VWORD found = (VWORD)_mm256_shuffle_epi8((__m256i)cut->halves, (__m256i)bytes);
#elif defined(__SSSE3__)
  VWORD found = (VWORD)_mm_shuffle_epi8((__m128i)cut->halves, (__m128i)bytes);
#else
  VWORD found = (VWORD)vqtbl1q_u8((uint8x16_t)cut->halves, (uint8x16_t)bytes);
#endif
  return found << cut->shift;
#endif
}

/* words: in the highest bits. back: how far they go down, so that the right bits are in their place. */
ALWAYS_INLINE VWORD N(rd_decode)(const N(rd_cut) * cut, VWORD words, unsigned back) {
#if BITS == 32
  /* The sign stays, as the highest bit of its extension. */
  VWORD kept = (VWORD)((vinteger32)words >> back) & cut->keep;
#else
  VWORD kept = (words >> back & (cut->keep & ~(WORD)0 >> 1)) | (words & (cut->keep & (WORD)1 << 63));
#endif
  return kept | N(rd_look_up)(cut, words >> cut->code_shift);
}

#if BITS == 32
/* A whole block. With the width a constant it takes 15 % less time. Row after row: when `out` comes from memory, lines that are written in
 * order take a sixth less time; stores around the caches take 1.6 times as much. */
ALWAYS_INLINE void rd_decode_width(const uint8_t *in, const rd_cut32 *page_cut, unsigned width, unsigned trim, uint32_t *out) {
  const rd_cut32 cut = *page_cut;
#pragma GCC unroll 32
  for (unsigned row = 0; row < BITS; row++) {
#pragma GCC unroll(VECTORS == 2 ? 2 : 1)
    for (unsigned v = 0; v < VECTORS; v++) {
      VWORD values = rd_decode32(&cut, unpack32(in, width, row, v), BITS - width - trim);
      memcpy((uint8_t *)out + row * LINE_BYTES + v * VECTOR_BYTES, &values, VECTOR_BYTES);
    }
  }
}

static void rd_decode_whole(const uint8_t *in, const rd_cut32 *cut, unsigned width, unsigned trim, uint32_t *out) {
#ifdef __SANITIZE_ADDRESS__
  /* Each copy costs the compiler seconds here; the guard pages of the other harness see them all. */
  rd_decode_width(in, cut, width, trim, out);
#else
#define WIDTH(w) \
  case w: rd_decode_width(in, cut, w, trim, out); break;
#define WIDTHS(w) WIDTH(w) WIDTH(w + 1) WIDTH(w + 2) WIDTH(w + 3) WIDTH(w + 4) WIDTH(w + 5) WIDTH(w + 6) WIDTH(w + 7)
  switch (width) { WIDTHS(0) WIDTHS(8) WIDTHS(16) WIDTHS(24) }
#undef WIDTHS
#undef WIDTH
#endif
}
#endif

/* Rows of a block. */
static void N(rd_decode_block)(const uint8_t *in, const N(rd_cut) * cut, unsigned width, unsigned trim, unsigned rows, WORD *out) {
#if BITS == 32
  if (rows == BITS) {
    rd_decode_whole(in, cut, width, trim, out);
    return;
  }
#endif
  for (unsigned row = 0; row < rows; row++) {
    for (unsigned v = 0; v < VECTORS; v++) {
      VWORD values = N(rd_decode)(cut, N(unpack)(in, width, row, v), BITS - width - trim);
      memcpy((uint8_t *)out + row * LINE_BYTES + v * VECTOR_BYTES, &values, VECTOR_BYTES);
    }
  }
}

/* Packs whole rows; left bits that are not in the dictionary get code 0 and are left to the exceptions. */
static void N(rd_pack_block)(const WORD *in, const page_header *page, unsigned rows, uint8_t *out) {
  unsigned right = page->right, trim = page->trim, sign = page->flags & FLAG_SIGN;
  VWORD entries[DICTIONARY_MAX];
  /* Left bits are never all ones in a word. */
  for (unsigned c = 0; c < DICTIONARY_MAX; c++) {
    entries[c] = (VWORD){0} + (c < page->entries ? page->dictionary[c] : ~(WORD)0);
  }
  if (page->width == 0) return;
  N(packer) to = {.line = out, .width = page->width};
  for (unsigned row = 0; row < rows; row++) {
    VWORD words[VECTORS];
    for (unsigned v = 0; v < VECTORS; v++) {
      VWORD bits = N(load_words)((const uint8_t *)in + row * LINE_BYTES + v * VECTOR_BYTES);
      VWORD left = bits << sign >> sign >> trim >> right, code = {0};
      for (unsigned c = 1; c < DICTIONARY_MAX; c++) code |= (VWORD)(left == entries[c]) & c;
      words[v] = code << right | (bits >> trim & N(low_bits)(right));
      if (sign) words[v] |= bits >> (BITS - 1) << (page->width - 1);
    }
    N(pack_row)(&to, words);
  }
  N(pack_end)(&to);
}

/* The cut by which the sample costs least, into the header. @returns that cost in bits; it may be more than the values have. */
static uint64_t N(rd_choose)(const WORD *sample, unsigned count, unsigned trim, page_header *header) {
  WORD any = 0, all = ~(WORD)0;
  uint16_t keys[SAMPLE];
  for (unsigned i = 0; i < count; i++) {
    any |= sample[i];
    all &= sample[i];
    keys[i] = (uint16_t)(sample[i] >> (BITS - LEFT_BITS_MAX));
  }
  header->codec = CODEC_ALP_RD;
  header->trim = (uint8_t)trim;
  uint64_t best = rd_choose_cut(keys, count, BITS - trim, 0, UINT64_MAX, BITS, header);
  if ((any ^ all) >> (BITS - 1) == 0) return best;
  for (unsigned i = 0; i < count; i++) keys[i] = (uint16_t)(sample[i] << 1 >> (BITS - LEFT_BITS_MAX));
  return rd_choose_cut(keys, count, BITS - trim - 1, 1, best, BITS, header);
}
