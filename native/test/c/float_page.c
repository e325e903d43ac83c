/* Float pages and bit packing: every variant writes the bytes of the plain one and reads back every bit, whole and in parts; a page
 * that holds anything at all is refused or gives some values, within its arguments. */
#include "harness.h"

enum { MOST_VALUES = 3000, PAGE_HEADER_BYTES = 64 };

/* Values of a kind that one codec or another is for, and of none. */
static void *draw_values(size_t element_bytes, size_t count) {
  uint8_t *values = memory(count * element_bytes);
  uint32_t kind = draw() % 6, mask = draw() | draw(), set = draw() & draw();
  double divisor = pow(10, (double)below(6));
  for (size_t i = 0; i < count; i++) {
    double value = kind == 0 ? (double)below(256) : kind == 1 ? floor(signed_unit() * 1e5f) / divisor : signed_unit() / 20;
    if (kind == 2) value = set;
    if (below(kind == 3 ? 9 : 1000) == 0) value = (double[]){NAN, INFINITY, -0.0, 5e-324}[below(4)];
    float single = (float)value;
    uint64_t bits = (uint64_t)draw() << 32 | draw();
    if (kind == 5) bits = (bits & ((uint64_t)mask << 32 | mask)) | (uint64_t)set << 32 | set;
    const void *from = kind >= 4 ? (const void *)&bits : element_bytes == 4 ? (const void *)&single : (const void *)&value;
    memcpy(values + i * element_bytes, from, element_bytes);
  }
  return values;
}

void run_float_pages(void) {
  size_t element_bytes = below(2) ? 4 : 8, count = below(4) ? below(300) : below(MOST_VALUES);
  uint8_t *values = draw_values(element_bytes, count);
  size_t room = PAGE_HEADER_BYTES + count * element_bytes, first = below(count + 1), some = below(count - first + 1);
  inputs_end();
  uint8_t *page = memory(room), *plain = memory(room), *out = memory(count * element_bytes), *part = memory(some * element_bytes);
  size_t cut = below(room + 1);
  for (const drift_kernels *k; (k = next_variant());) {
    size_t length = k->float_page_encode(element_bytes, values, count, page);
    if (length > room) fail("a page of %zu bytes for %zu values", length, count);
    check_equal("bytes of the page", 0, length, drift_variant(0)->float_page_encode(element_bytes, values, count, plain));
    if (memcmp(page, plain, length) != 0) fail("a page differs from the plain one");
    check_equal("decode", 0, (uint64_t)k->float_page_decode(element_bytes, page, length, count, 0, count, out), 0);
    if (memcmp(out, values, count * element_bytes) != 0) fail("a page does not come back");
    check_equal("decode of a part", 0, (uint64_t)k->float_page_decode(element_bytes, page, length, count, first, some, part), 0);
    if (memcmp(part, values + first * element_bytes, some * element_bytes) != 0) fail("a part of a page does not come back");
    if (cut < length && k->float_page_decode(element_bytes, page, cut, count, 0, count, out) == 0 && count > 0) {
      fail("a page of %zu bytes is read from %zu", length, cut);
    }
  }
}

void run_damaged_pages(void) {
  size_t element_bytes = below(2) ? 4 : 8, count = below(4) ? below(300) : below(MOST_VALUES);
  const uint8_t *values = draw_values(element_bytes, count);
  static uint8_t whole[PAGE_HEADER_BYTES + 8 * MOST_VALUES];
  size_t length = drift_variant(0)->float_page_encode(element_bytes, values, count, whole);
  /* Most damage to the header, where it means something. */
  for (size_t i = 0, faults = 1 + below(4); i < faults; i++) {
    whole[below(4) ? below(PAGE_HEADER_BYTES) : below(length)] = (uint8_t)(below(2) ? draw() >> 24 : below(9));
  }
  size_t kept = below(4) ? length : below(length + 1), asked = below(8) ? count : below(MOST_VALUES);
  uint8_t *page = memory(kept);
  memcpy(page, whole, kept);
  size_t first = below(asked + 1), some = below(asked - first + 1);
  inputs_end();
  uint8_t *out = memory(some * element_bytes);
  for (const drift_kernels *k; (k = next_variant());) {
    int fault = k->float_page_decode(element_bytes, page, kept, asked, first, some, out);
    if (fault < 0 || fault > DRIFT_PAGE_EXCEPTIONS) fail("an answer of %d", fault);
  }
}

void run_bits(void) {
  size_t count = below(4) ? below(300) : below(MOST_VALUES), width = below(64);
  uint64_t *given = memory(count * sizeof *given);
  for (size_t i = 0; i < count; i++) given[i] = ((uint64_t)draw() << 32 | draw()) & (((uint64_t)1 << width) - 1);
  inputs_end();
  /* Lines of 128 bytes, a row of 16 values taking `width` bits of each lane. */
  size_t rows = (count % 1024 + 15) / 16, lines = count / 1024 * width + (rows * width + 63) / 64;
  uint8_t *packed = memory(lines * 128);
  uint64_t *out = memory(count * sizeof *out);
  for (const drift_kernels *k; (k = next_variant());) {
    k->bits_pack(given, count, width, packed);
    k->bits_unpack(packed, count, width, out);
    if (memcmp(out, given, count * sizeof *out) != 0) fail("%zu words of %zu bits do not come back", count, width);
  }
}
