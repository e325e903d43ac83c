/* The page of one element type. Included once per BITS. */

#if BITS == 32
static const double NORMAL_MIN32 = 0x1p-126, NORMAL_MAX32 = 0x1.fffffep127;
#else
static const double NORMAL_MIN64 = 0x1p-1022, NORMAL_MAX64 = 0x1.fffffffffffffp1023;
#endif
enum { N(ELEMENT) = BITS / 32 };

/* Rows of a block into `out`, which has room for whole rows. */
static void N(decode_block)(const uint8_t *in, const page_header *page, const N(rd_cut) * cut, unsigned rows, WORD *out) {
  static const uint8_t nothing[LINE_BYTES];
  /* Words without bits are the zeros of words of one bit. */
  unsigned width = page->width == 0 ? 1 : page->width;
  if (page->width == 0) in = nothing;
  if (page->codec == CODEC_ALP) {
    N(alp_decode_block)(in, page, width, rows, out);
  } else {
    N(rd_decode_block)(in, cut, width, page->trim, rows, out);
  }
}

static unsigned N(rows_of)(uint32_t fill) { return (fill + LANES_IN_LINE - 1) / LANES_IN_LINE; }

static unsigned N(exception_bytes)(const page_header *page) {
  if (page->codec == CODEC_ALP) return sizeof(WORD);
  return N(rd_left_bits)(page) > 8 ? 2 : 1;
}

/* Bit i: lane i differs. */
ALWAYS_INLINE uint32_t N(lanes_that_differ)(VWORD a, VWORD b) {
#if defined(__AVX512F__)
  return BITS == 32 ? _mm512_cmpneq_epi32_mask((__m512i)a, (__m512i)b) : _mm512_cmpneq_epi64_mask((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  VWORD differ = (VWORD)(a != b);
  return (uint32_t)(BITS == 32 ? _mm256_movemask_ps((__m256)differ) : _mm256_movemask_pd((__m256d)differ));
#elif defined(__SSE4_1__)
  VWORD differ = (VWORD)(a != b);
  return (uint32_t)(BITS == 32 ? _mm_movemask_ps((__m128)differ) : _mm_movemask_pd((__m128d)differ));
#else
  uint32_t mask = 0;
  for (unsigned i = 0; i < VECTOR_BYTES / sizeof(WORD); i++) mask |= (uint32_t)(a[i] != b[i]) << i;
  return mask;
#endif
}

/* Bit i: value i differs, i < count <= 32. */
ALWAYS_INLINE uint32_t N(values_that_differ)(const WORD *a, const WORD *b, unsigned count) {
  enum { LANES_IN_VECTOR = VECTOR_BYTES / sizeof(WORD) };
  uint32_t mask = 0;
  if (count == 32) {
    for (unsigned i = 0; i < 32; i += LANES_IN_VECTOR) {
      mask |= N(lanes_that_differ)(N(load_words)(a + i), N(load_words)(b + i)) << i;
    }
  } else {
    for (unsigned i = 0; i < count; i++) mask |= (uint32_t)(a[i] != b[i]) << i;
  }
  return mask;
}

/* Finds them by decoding what was packed and comparing, so that a page cannot differ from its values.
 * @returns the page's end, or 0 when it lies after limit. */
static uint64_t N(add_exceptions)(const WORD *in, uint8_t *page, uint64_t end, uint64_t limit, page_header *header) {
  const N(rd_cut) cut = N(rd_make_cut)(header);
  const unsigned value_bytes = N(exception_bytes)(header), sign = header->flags & FLAG_SIGN;
  /* Values grow up from the words; gaps grow down from the limit until their place is known. */
  uint64_t at = end, gaps = limit;
  uint32_t next = 0;
  for (uint32_t start = 0; start < header->values; start += BLOCK_VALUES) {
    _Alignas(64) WORD decoded[BLOCK_VALUES];
    uint32_t fill = header->values - start < BLOCK_VALUES ? header->values - start : BLOCK_VALUES;
    const uint8_t *lines = page + PAGE_HEADER_BYTES + N(packed_bytes)(start, header->width);
    N(decode_block)(lines, header, &cut, N(rows_of)(fill), decoded);
    for (uint32_t first = 0; first < fill; first += 32) {
      uint32_t mask = N(values_that_differ)(in + start + first, decoded + first, fill - first < 32 ? fill - first : 32);
      for (; mask != 0; mask &= mask - 1) {
        uint32_t i = start + first + (uint32_t)__builtin_ctz(mask), gap = i - next;
        WORD value = in[i];
        next = i + 1;
        if (gaps < at + value_bytes + 1 + gap / GAP_MAX) return 0;
        for (; gap >= GAP_MAX; gap -= GAP_MAX) page[--gaps] = GAP_MAX;
        page[--gaps] = (uint8_t)gap;
        if (header->codec == CODEC_ALP_RD) value = value << sign >> sign >> header->trim >> header->right;
        memcpy(page + at, &value, value_bytes);
        at += value_bytes;
      }
    }
  }
  header->exceptions = (uint32_t)((at - end) / value_bytes);
  header->exceptions_at = at > end ? (uint32_t)end : 0;
  uint64_t gap_bytes = limit - gaps;
  for (uint64_t i = 0, j = gap_bytes; i + 1 < j; i++) {
    uint8_t swapped = page[gaps + i];
    page[gaps + i] = page[gaps + --j];
    page[gaps + j] = swapped;
  }
  memmove(page + at, page + gaps, gap_bytes);
  return at + gap_bytes;
}

static uint64_t N(rd_pack)(const WORD *in, uint8_t *page, uint64_t limit, const page_header *header) {
  uint64_t end = PAGE_HEADER_BYTES + N(packed_bytes)(header->values, header->width);
  if (end > limit) return 0;
  for (uint32_t start = 0; start < header->values; start += BLOCK_VALUES) {
    uint32_t fill = header->values - start < BLOCK_VALUES ? header->values - start : BLOCK_VALUES;
    const WORD *from = in + start;
    _Alignas(64) WORD whole[BLOCK_VALUES];
    if (fill < BLOCK_VALUES) from = N(fill_up)(from, fill, whole);
    N(rd_pack_block)(from, header, N(rows_of)(fill), page + PAGE_HEADER_BYTES + N(packed_bytes)(start, header->width));
  }
  return end;
}

/* The smallest page of the values within 64 + size bytes. @returns its length. */
static size_t N(encode_page)(const WORD *in, uint32_t values, uint8_t *page) {
  const page_header plain = {.element = N(ELEMENT),
                             .values = values,
                             .blocks = values / BLOCK_VALUES + (values % BLOCK_VALUES != 0)};
  uint64_t raw = (uint64_t)values * sizeof(WORD);
  WORD any = 0, differ = 0;
  for (uint32_t i = 0; i < values; i++) {
    any |= in[i];
    differ |= in[i] ^ in[0];
  }
  page_header header = plain;
  if (values > 0 && differ == 0) {
    header.codec = CODEC_CONST;
    header.base = (int64_t)in[0];
    memcpy(page, &header, sizeof header);
    return sizeof header;
  }
  if (values > 0) {
    /* Less than 3 % is not worth the decoding. Offsets have 32 bits. */
    uint64_t limit = PAGE_HEADER_BYTES + raw - raw / 32;
    if (limit > UINT32_MAX) limit = UINT32_MAX;
    WORD sample[SAMPLE];
    unsigned count = values < SAMPLE ? values : SAMPLE;
    uint64_t step = ((uint64_t)values << 16) / count;
    for (unsigned i = 0; i < SAMPLE; i++) sample[i] = in[i < count ? i * step >> 16 : 0];
    double divisor = N(alp_choose)(sample, count);
    page_header alp = plain, rd = plain;
    uint64_t alp_end = divisor == 0 ? 0 : N(alp_pack)(in, values, divisor, page, limit, &alp);
    if (alp_end > 0) alp_end = N(add_exceptions)(in, page, alp_end, limit, &alp);
    uint64_t cost = N(rd_choose)(sample, count, (unsigned)__builtin_ctzll(any), &rd);
    uint64_t expected = PAGE_HEADER_BYTES + values * cost / (8 * count);
    if (alp_end > 0 && alp_end <= expected) {
      memcpy(page, &alp, sizeof alp);
      return alp_end;
    }
    if (alp_end > 0 && alp_end < limit) limit = alp_end;
    uint64_t rd_end = N(rd_pack)(in, page, limit, &rd);
    if (rd_end > 0) rd_end = N(add_exceptions)(in, page, rd_end, limit, &rd);
    if (rd_end > 0) {
      memcpy(page, &rd, sizeof rd);
      return rd_end;
    }
    if (alp_end > 0) {
      alp = plain;
      alp_end = N(alp_pack)(in, values, divisor, page, limit, &alp);
      alp_end = N(add_exceptions)(in, page, alp_end, limit, &alp);
      memcpy(page, &alp, sizeof alp);
      return alp_end;
    }
  }
  header.width = BITS;
  memcpy(page, &header, sizeof header);
  memcpy(page + sizeof header, in, raw);
  return sizeof header + raw;
}

static int N(is_plain)(const page_header *page) {
  static const uint16_t none[DICTIONARY_MAX];
  return !(page->right | page->flags | page->trim | page->entries | page->code_bits) &&
         memcmp(page->dictionary, none, sizeof none) == 0;
}

/* Whether the fields are those that the codec writes. */
static int N(fields_hold)(const page_header *page) {
  static const double zero = 0;
  int undivided = memcmp(&page->divisor, &zero, sizeof zero) == 0;
  int whole = page->exceptions == 0 && page->exceptions_at == 0;
  if (page->codec == CODEC_RAW) return N(is_plain)(page) && undivided && whole && page->width == BITS && page->base == 0;
  if (page->codec == CODEC_CONST) {
    return N(is_plain)(page) && undivided && whole && page->width == 0 && page->values > 0 &&
           (uint64_t)page->base <= (WORD)~(WORD)0;
  }
  if (page->codec == CODEC_ALP) {
    double limit = BITS == 32 ? 0x1p24 : 0x1p53;
    return N(is_plain)(page) && page->width <= N(ALP_WIDTH_MAX) && page->base > -(int64_t)limit &&
           page->base < (int64_t)limit && page->divisor >= N(NORMAL_MIN) && page->divisor <= N(NORMAL_MAX) &&
           (double)(N(float_))page->divisor == page->divisor;
  }
  if (!undivided || page->base != 0 || page->flags > FLAG_SIGN || page->trim >= BITS) return 0;
  int sign = page->flags & FLAG_SIGN, left = BITS - page->trim - page->right - sign;
  if (left < 1 || left > LEFT_BITS_MAX || page->code_bits > 3 || page->code_bits > left ||
      page->width != sign + page->code_bits + page->right || page->width >= BITS || page->entries == 0 ||
      page->entries > 1 << page->code_bits) {
    return 0;
  }
  for (int c = 0; c < DICTIONARY_MAX; c++) {
    if (page->dictionary[c] >> left != 0 || (c >= page->entries && page->dictionary[c] != 0)) return 0;
  }
  return 1;
}

/* Overwrites the exceptions among values first .. first + count - 1 of the page, which lie in `out`.
 * @returns whether all exceptions are values of the page and end inside it. */
static int N(patch)(const page_header *page, const N(rd_cut) * cut, const uint8_t *bytes, size_t length, uint64_t first,
                    uint64_t count, WORD *out) {
  if (page->exceptions == 0) return page->exceptions_at == 0;
  const unsigned value_bytes = N(exception_bytes)(page), left_bits = page->codec == CODEC_ALP ? 0 : N(rd_left_bits)(page);
  uint64_t room = length - page->exceptions_at;
  if (page->exceptions > page->values || room / (value_bytes + 1) < page->exceptions) return 0;
  const uint8_t *value = bytes + page->exceptions_at, *gap = value + (uint64_t)page->exceptions * value_bytes;
  const uint8_t *end = bytes + length;
  uint64_t at = 0;
  unsigned fault = 0;
  for (uint32_t left = page->exceptions; left > 0; left--, value += value_bytes, at++) {
    for (; gap < end && *gap == GAP_MAX; gap++) at += GAP_MAX;
    if (gap == end) return 0;
    at += *gap++;
    if (at >= page->values) return 0;
    if (at - first >= count) continue;
    WORD *patched = out + (at - first);
    if (page->codec == CODEC_ALP) {
      memcpy(patched, value, sizeof *patched);
      continue;
    }
    uint16_t high = *value;
    if (left_bits > 8) memcpy(&high, value, sizeof high);
    fault |= high >> left_bits;
    *patched = (*patched & cut->keep) | (WORD)high << cut->shift;
  }
  return !fault;
}

static int N(decode_page)(const uint8_t *bytes, size_t length, uint32_t values, size_t first, size_t wanted, WORD *out) {
  page_header page;
  if (length < sizeof page) return DRIFT_PAGE_LENGTH;
  memcpy(&page, bytes, sizeof page);
  if (page.codec > CODEC_ALP_RD || page.element < 1 || page.element > 2) return DRIFT_PAGE_UNKNOWN;
  uint64_t zeros;
  memcpy(&zeros, page.zeros, sizeof zeros);
  uint32_t blocks = values / BLOCK_VALUES + (values % BLOCK_VALUES != 0);
  if (page.element != N(ELEMENT) || page.values != values || page.blocks != blocks || zeros != 0) return DRIFT_PAGE_FIELDS;
  if (!N(fields_hold)(&page)) return DRIFT_PAGE_FIELDS;
  if (page.codec == CODEC_CONST) {
    for (size_t i = 0; i < wanted; i++) out[i] = (WORD)page.base;
    return 0;
  }
  const uint8_t *packed = bytes + sizeof page;
  if (page.codec == CODEC_RAW) {
    if (length - sizeof page < (uint64_t)values * sizeof(WORD)) return DRIFT_PAGE_LENGTH;
    memcpy(out, packed + first * sizeof(WORD), wanted * sizeof(WORD));
    return 0;
  }
  uint64_t end = sizeof page + N(packed_bytes)(values, page.width);
  if (length < end) return DRIFT_PAGE_LENGTH;
  if (page.exceptions > 0 && page.exceptions_at != end) return DRIFT_PAGE_EXCEPTIONS;

  const N(rd_cut) cut = N(rd_make_cut)(&page);
  for (uint64_t start = first / BLOCK_VALUES * BLOCK_VALUES; start < first + wanted; start += BLOCK_VALUES) {
    uint32_t fill = values - start < BLOCK_VALUES ? (uint32_t)(values - start) : BLOCK_VALUES;
    uint64_t from = first > start ? first : start, to = first + wanted < start + fill ? first + wanted : start + fill;
    _Alignas(64) WORD block[BLOCK_VALUES];
    WORD *decoded = to == from + BLOCK_VALUES ? out + (start - first) : block;
    N(decode_block)(packed + N(packed_bytes)(start, page.width), &page, &cut, N(rows_of)(fill), decoded);
    if (decoded == block) memcpy(out + (from - first), block + (from - start), (to - from) * sizeof(WORD));
  }
  return N(patch)(&page, &cut, bytes, length, first, wanted, out) ? 0 : DRIFT_PAGE_EXCEPTIONS;
}

#undef N
#undef NAME_OF
#undef NAME_
#undef WORD
#undef VWORD
#undef LANES_IN_LINE
