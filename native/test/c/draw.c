/* Seeded numbers: sfc32, as in test/random.ts. */
#include "harness.h"

static uint32_t a, b, c, counter;

uint32_t draw(void) {
  uint32_t t = a + b + counter++;
  a = b ^ b >> 9;
  b = c + (c << 3);
  c = (c << 21 | c >> 11) + t;
  return t;
}

void seed_draws(uint64_t seed) {
  a = 0x9e3779b9;
  b = (uint32_t)(seed >> 32);
  c = (uint32_t)seed;
  counter = 1;
  for (int i = 0; i < 12; i++) draw();
}

size_t below(size_t n) { return (size_t)((uint64_t)draw() * n >> 32); }

float unit(void) { return (float)(draw() >> 8) * 0x1p-24f; }

float signed_unit(void) { return (float)((int32_t)draw() >> 7) * 0x1p-24f; }

size_t some_dim(void) {
  switch (below(8)) {
    case 0: return 8 * (1 + below(130)) + below(3) - 1;
    case 1: return 1 + below(1100);
    case 2: return 1 + below(300);
    default: return 1 + below(130);
  }
}

float some_scale(void) { return below(4) ? 1 : powf(10, (float)below(61) - 42); }
