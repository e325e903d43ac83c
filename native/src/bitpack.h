/* Bit packing in blocks of 1024 words, after FastLanes (Afroozeh and Boncz 2023), rows in their natural order. No guard:
 * included once with BITS 32 and once with 64.
 *
 * Value i of a block stands in lane i % LANES, row i / LANES. Row r owns bits [r * width, (r + 1) * width) of its lane's
 * own stream of words, lowest bits first; word w of all lanes is line w, 128 bytes. A last block of fewer values ends
 * with the last line that its rows reach. The loop over lanes is inside, so every SIMD width reads the same bytes. */
#define NAME_(name, bits) name##bits
#define NAME_OF(name, bits) NAME_(name, bits)
#define N(name) NAME_OF(name, BITS)

#if BITS == 32
typedef uint32_t word32;
typedef float float_32;
#else
typedef uint64_t word64;
typedef double float_64;
#endif
typedef N(word) N(vword) __attribute__((vector_size(VECTOR_BYTES)));

#define WORD N(word)
#define VWORD N(vword)
#define LANES_IN_LINE (LINE_BYTES / (BITS / 8))

ALWAYS_INLINE VWORD N(load_words)(const void *from) {
  VWORD v;
  memcpy(&v, from, sizeof v);
  return v;
}

/* Bytes of `values` values, at most 2^32, of `width` bits. */
static inline uint64_t N(packed_bytes)(uint64_t values, unsigned width) {
  uint64_t rows = (values % BLOCK_VALUES + LANES_IN_LINE - 1) / LANES_IN_LINE;
  uint64_t lines = values / BLOCK_VALUES * width + (rows * width + BITS - 1) / BITS;
  return lines * LINE_BYTES;
}

static inline WORD N(low_bits)(unsigned width) { return ((WORD)1 << width) - 1; }

/* Vector v of row `row`, each word in the highest `width` bits of its lane above bits that mean nothing. 0 < width < BITS. */
ALWAYS_INLINE VWORD N(unpack)(const uint8_t *in, unsigned width, unsigned row, unsigned v) {
  unsigned end = row * width % BITS + width;
  const uint8_t *at = in + row * width / BITS * LINE_BYTES + v * VECTOR_BYTES;
  VWORD words = N(load_words)(at);
  if (end <= BITS) return words << (BITS - end);
  return words >> (end - BITS) | N(load_words)(at + LINE_BYTES) << (2 * BITS - end);
}

/* A block of `fill` > 0 words and, behind them, the first again. @returns whole. */
static const WORD *N(fill_up)(const WORD *in, unsigned fill, WORD whole[BLOCK_VALUES]) {
  for (unsigned i = 0; i < BLOCK_VALUES; i++) whole[i] = in[i < fill ? i : 0];
  return whole;
}

/* Takes the rows of a block one after the other. */
typedef struct {
  uint8_t *line;
  unsigned width, shift;
  VWORD pending[VECTORS];
} N(packer);

/* words < 2^width, 0 < width < BITS. */
ALWAYS_INLINE void N(pack_row)(N(packer) * to, const VWORD words[VECTORS]) {
  unsigned end = to->shift + to->width;
  for (int v = 0; v < VECTORS; v++) to->pending[v] |= words[v] << to->shift;
  if (end < BITS) {
    to->shift = end;
    return;
  }
  for (int v = 0; v < VECTORS; v++) memcpy(to->line + v * VECTOR_BYTES, &to->pending[v], VECTOR_BYTES);
  to->line += LINE_BYTES;
  for (int v = 0; v < VECTORS; v++) to->pending[v] = words[v] >> 1 >> (BITS - 1 - to->shift);
  to->shift = end - BITS;
}

ALWAYS_INLINE void N(pack_end)(const N(packer) * to) {
  if (to->shift == 0) return;
  for (int v = 0; v < VECTORS; v++) memcpy(to->line + v * VECTOR_BYTES, &to->pending[v], VECTOR_BYTES);
}

/* words: whole rows. */
static void N(pack_block)(const WORD *words, unsigned rows, unsigned width, uint8_t *out) {
  if (width == 0) return;
  N(packer) to = {.line = out, .width = width};
  for (unsigned row = 0; row < rows; row++) {
    VWORD line[VECTORS];
    for (int v = 0; v < VECTORS; v++) line[v] = N(load_words)((const uint8_t *)words + row * LINE_BYTES + v * VECTOR_BYTES);
    N(pack_row)(&to, line);
  }
  N(pack_end)(&to);
}
