/* libFuzzer targets: what reads bytes that came from a file, given any bytes. Each argument has memory of its own, exactly
 * as long as it is said to be, so that the address sanitizer sees a step outside of it; and every variant has to answer
 * what the first one does. scripts/fuzz.mjs builds and runs them; DRIFT_FUZZ_TARGET names one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hnsw.h"
#include "kernels.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes numbers from the end of the input, so that what is decoded stays at its front. */
typedef struct {
  const uint8_t *data;
  size_t size;
} input;

static size_t take(input *in, size_t below) {
  size_t value = 0;
  for (int i = 0; i < 2 && in->size > 0; i++) value = value << 8 | in->data[--in->size];
  return below == 0 ? 0 : value % below;
}

static void *copy(const void *bytes, size_t size) {
  void *own = malloc(size);
  if (size > 0) memcpy(own, bytes, size);
  return own;
}

static void require(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

enum { MOST_VALUES = 3000, LINE_BYTES = 128 };

/* Any bytes as a page: the same fault, or the same values, from each variant; a part is what the whole has there. */
static void float_page(input in) {
  size_t element = take(&in, 2) ? 8 : 4, values = take(&in, MOST_VALUES), first = take(&in, values + 1);
  size_t some = take(&in, values - first + 1);
  uint8_t *page = copy(in.data, in.size);
  uint8_t *whole = malloc(values * element), *part = malloc(some * element), *other = malloc(values * element);
  int fault = drift_variant(0)->float_page_decode(element, page, in.size, values, 0, values, whole);
  int part_fault = drift_variant(0)->float_page_decode(element, page, in.size, values, first, some, part);
  require(fault >= 0 && fault <= DRIFT_PAGE_EXCEPTIONS, "a fault that is none");
  require(fault != 0 || part_fault == 0, "a part is refused of a page that is read");
  if (fault == 0 && some > 0) require(memcmp(part, whole + first * element, some * element) == 0, "a part differs");
  for (int i = 1; i < DRIFT_VARIANTS; i++) {
    const drift_kernels *k = drift_variant(i);
    if (!k) continue;
    require(k->float_page_decode(element, page, in.size, values, 0, values, other) == fault, "another fault");
    if (fault == 0 && values > 0) require(memcmp(other, whole, values * element) == 0, "other values");
  }
  free(page);
  free(whole);
  free(part);
  free(other);
}

/* Any values come back to the bit. */
static void float_values(input in) {
  size_t element = take(&in, 2) ? 8 : 4, values = in.size / element;
  void *given = copy(in.data, values * element), *out = malloc(values * element);
  uint8_t *page = malloc(64 + values * element), *plain = malloc(64 + values * element);
  size_t plain_length = drift_variant(0)->float_page_encode(element, given, values, plain);
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    const drift_kernels *k = drift_variant(i);
    if (!k) continue;
    size_t length = k->float_page_encode(element, given, values, page);
    require(length == plain_length && memcmp(page, plain, length) == 0, "another page");
    require(k->float_page_decode(element, page, length, values, 0, values, out) == 0, "its own page is refused");
    if (values > 0) require(memcmp(out, given, values * element) == 0, "values do not come back");
  }
  free(given);
  free(out);
  free(page);
  free(plain);
}

static void bits(input in) {
  size_t width = take(&in, 64), room = in.size / LINE_BYTES;
  /* As many words as the lines hold; rows of 16. */
  size_t count = width == 0 ? take(&in, MOST_VALUES) : room * 64 / width * 16;
  if (count > MOST_VALUES) count = MOST_VALUES;
  size_t rows = (count % 1024 + 15) / 16, lines = count / 1024 * width + (rows * width + 63) / 64;
  if (lines > room) return;
  uint8_t *packed = copy(in.data, lines * LINE_BYTES), *again = malloc(lines * LINE_BYTES);
  uint64_t *plain = malloc(count * sizeof *plain), *out = malloc(count * sizeof *out);
  drift_variant(0)->bits_unpack(packed, count, width, plain);
  for (size_t i = 0; i < count; i++) require(plain[i] >> width == 0, "a word wider than its width");
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    const drift_kernels *k = drift_variant(i);
    if (!k) continue;
    k->bits_unpack(packed, count, width, out);
    if (count > 0) require(memcmp(out, plain, count * sizeof *out) == 0, "other words");
    k->bits_pack(plain, count, width, again);
    k->bits_unpack(again, count, width, out);
    if (count > 0) require(memcmp(out, plain, count * sizeof *out) == 0, "words do not come back");
  }
  free(packed);
  free(again);
  free(plain);
  free(out);
}

/* Two halves give what the whole does, wherever it lies in memory. */
static void checksums(input in) {
  size_t shift = take(&in, 16), cut = take(&in, in.size + 1), seed = take(&in, 65536);
  uint8_t *own = malloc(in.size + shift), *bytes = own + shift;
  if (in.size > 0) memcpy(bytes, in.data, in.size);
  if (cut > in.size) cut = in.size;
  uint8_t *rest = copy(bytes + cut, in.size - cut);
  uint32_t whole = drift_variant(0)->crc32c(bytes, in.size, (uint32_t)seed);
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    const drift_kernels *k = drift_variant(i);
    if (k) require(k->crc32c(rest, in.size - cut, k->crc32c(bytes, cut, (uint32_t)seed)) == whole, "another CRC");
  }
  uint8_t *moved = copy(bytes, in.size);
  require(drift_hash64(bytes, in.size, seed) == drift_hash64(moved, in.size, seed), "another hash");
  free(own);
  free(rest);
  free(moved);
}

/* Any words behind a header that callers are held to: some answer, or DRIFT_DAMAGED_GRAPH. */
static void graph(input in) {
  enum { DIM = 3, ROWS = 24, ROOM = 8 };
  static float values[ROWS * DIM];
  for (size_t i = 0; i < ROWS * DIM; i++) values[i] = (float)((i * 7919) % 31);
  size_t capacity = 1 + take(&in, 20), M = 2 + take(&in, 6), count = HNSW_ROWS + capacity * (3 + 2 * M) + in.size / 4;
  size_t linked = take(&in, capacity + 1), inserted = take(&in, 4);
  uint32_t *words = calloc(count, sizeof *words);
  size_t start = HNSW_ROWS + capacity, given = in.size / 4;
  memcpy(words + start, in.data, (given < count - start ? given : count - start) * 4);
  words[HNSW_CAPACITY] = (uint32_t)capacity;
  words[HNSW_M] = (uint32_t)M;
  words[HNSW_EF_CONSTRUCTION] = 8;
  words[HNSW_WORDS] = (uint32_t)count;
  words[HNSW_LINKED] = (uint32_t)linked;
  words[HNSW_ENTRY] = (uint32_t)take(&in, linked == 0 ? 1 : linked);
  for (size_t i = 0; i < capacity; i++) words[HNSW_ROWS + i] = (uint32_t)(i * 5 % ROWS);
  uint32_t live[] = {UINT32_MAX}, row[ROOM];
  float distance[ROOM], query[DIM] = {3, 1, 4};
  drift_rows all = {values, NULL, NULL, ROWS, DIM};
  uint32_t *own = malloc(count * sizeof *own);
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    const drift_kernels *k = drift_variant(i);
    if (!k) continue;
    drift_scratch scratch = {0};
    memcpy(own, words, count * sizeof *own);
    int64_t found = k->hnsw_search(own, DRIFT_L2, &all, query, NULL, NULL, 10, live, 1, row, distance, ROOM, &scratch);
    require(found == DRIFT_DAMAGED_GRAPH || (found >= 0 && found <= ROOM), "more results than there is room for");
    for (int64_t j = 0; j < found; j++) require(row[j] < ROWS, "a row that is not there");
    if (linked + inserted <= capacity) {
      int64_t after = k->hnsw_insert(own, DRIFT_L2, &all, inserted, &scratch);
      require(after == DRIFT_DAMAGED_GRAPH || after == (int64_t)(linked + inserted), "another number of nodes");
    }
    drift_scratch_free(&scratch);
  }
  free(words);
  free(own);
}

static const struct {
  const char *name;
  void (*run)(input);
} TARGETS[] = {{"float_page", float_page}, {"float_values", float_values}, {"bits", bits}, {"checksums", checksums}, {"graph", graph}};

static void (*chosen)(input);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  const char *name = getenv("DRIFT_FUZZ_TARGET");
  for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
    if (name && strcmp(name, TARGETS[i].name) == 0) chosen = TARGETS[i].run;
  }
  if (chosen) return 0;
  fprintf(stderr, "DRIFT_FUZZ_TARGET names no target\n");
  exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  chosen((input){data, size});
  return 0;
}
