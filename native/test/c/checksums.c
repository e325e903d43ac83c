/* crc32c bit by bit. drift_hash64: the same wherever the bytes lie; its values are held to the reference elsewhere. */
#include "harness.h"

static uint32_t plain_crc32c(const uint8_t *at, size_t length, uint32_t crc) {
  crc = ~crc;
  for (size_t i = 0; i < length; i++) {
    crc ^= at[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

void run_checksums(void) {
  size_t length = below(8) ? below(500) : below(5000);
  uint8_t *data = bytes(length);
  uint8_t *copy = memory(length);
  memcpy(copy, data, length);
  uint32_t crc = below(2) ? 0 : draw();
  uint64_t seed = below(2) ? 0 : (uint64_t)draw() << 32 | draw();
  inputs_end();
  uint32_t expected = plain_crc32c(data, length, crc);
  for (const drift_kernels *k; (k = next_variant());) check_equal("crc32c", length, k->crc32c(data, length, crc), expected);
  single_build();
  check_equal("hash64", length, drift_hash64(data, length, seed), drift_hash64(copy, length, seed));
}
