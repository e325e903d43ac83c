/* Which variants this machine runs, by the exact feature bits that their flags in binding.gyp let the compiler use.
 * __builtin_cpu_supports also looks at XCR0: AVX counts only when the system saves its registers. */
#include "kernels.h"

#if defined(__x86_64__)

extern const drift_kernels drift_kernels_c, drift_kernels_avx2, drift_kernels_avx512;

/* SSE4.2, POPCNT: x86-64-v2. PCLMUL: crc32c.c. */
static int has_c(void) {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("pclmul");
}

static int has_avx2(void) { return has_c() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

const char *drift_variant_name(int i) {
  static const char *const names[DRIFT_VARIANTS] = {"c", "avx2", "avx512", ""};
  return names[i];
}

const drift_kernels *drift_variant(int i) {
  __builtin_cpu_init();
  if (i == 0 && has_c()) return &drift_kernels_c;
  if (i == 1 && has_avx2()) return &drift_kernels_avx2;
  if (i == 2 && has_avx512()) return &drift_kernels_avx512;
  return NULL;
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
static int has_crc(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
/* Every Apple arm64 CPU has it. */
static int has_crc(void) { return 1; }
#endif

extern const drift_kernels drift_kernels_neon;

const char *drift_variant_name(int i) { return i == 0 ? "neon" : ""; }

const drift_kernels *drift_variant(int i) { return i == 0 && has_crc() ? &drift_kernels_neon : NULL; }

#endif
