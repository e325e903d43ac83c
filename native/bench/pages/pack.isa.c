/* What encoding a page takes when the choice is made, as one variant has it: the choice, and the search for exceptions by decoding, take most
 * of the time of a page that is written. The addon has no such call. */
#include "isa.h"
#undef KERNEL
#define KERNEL(name) DRIFT_JOIN(bench_##name, DRIFT_ISA)
#include "float_page.c"

/* Of ALP or ALP-RD: the words again behind the header of a page of these values, and with `exceptions` what those need. @returns the end. */
#define PACK(bits)                                                                                                                \
  static uint64_t pack##bits(const void *values, uint8_t *page, int exceptions) {                                                 \
    page_header header;                                                                                                           \
    memcpy(&header, page, sizeof header);                                                                                         \
    uint64_t limit = PAGE_HEADER_BYTES + (uint64_t)header.values * sizeof(word##bits);                                            \
    uint64_t end = header.codec == CODEC_ALP ? alp_pack##bits(values, header.values, header.divisor, page, limit, &header)        \
                                             : rd_pack##bits(values, page, limit, &header);                                       \
    return exceptions ? add_exceptions##bits(values, page, end, limit, &header) : end;                                            \
  }
PACK(32)
PACK(64)

uint64_t KERNEL(pack)(size_t element_bytes, const void *values, uint8_t *page, int exceptions) {
  return element_bytes == 4 ? pack32(values, page, exceptions) : pack64(values, page, exceptions);
}
