/* Kernels that are wrong on purpose, in the ways that a kernel can be. A harness that lets one pass proves nothing. */
#include "harness.h"

static volatile float sink;

static void over_read(void) {
  size_t count = 1 + below(40);
  float *rows = floats(count, 1);
  inputs_end();
  single_build();
  sink = rows[count];
}

static void under_read(void) {
  float *rows = floats(8 * (1 + below(40)), 1);
  inputs_end();
  single_build();
  sink = rows[-1];
}

static void over_write(void) {
  size_t count = 1 + below(40);
  inputs_end();
  volatile float *out = outputs(count);
  single_build();
  out[count] = 1;
}

static void input_write(void) {
  float *query = floats(1 + below(40), 1);
  inputs_end();
  single_build();
  query[0] += 1;
}

static void nothing_written(void) {
  inputs_end();
  float *out = outputs(1);
  single_build();
  check_bits("value", 0, out[0], 1);
}

static void rounded_twice(void) {
  single_build();
  check_sum("sum", 0, 1 + 0x1p-10f, 1, 1, 128);
}

/* Noticed by the sanitizers alone. */
static void overflow(void) {
  volatile int32_t largest = INT32_MAX;
  single_build();
  sink = (float)(largest + 1);
}

const family FAULTS[] = {
    {"over_read", over_read},     {"under_read", under_read},           {"over_write", over_write},
    {"input_write", input_write}, {"nothing_written", nothing_written}, {"rounded_twice", rounded_twice},
    {"overflow", overflow},       {NULL, NULL},
};
