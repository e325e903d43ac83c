/* Slots of address space with forbidden pages between them. Data lies at the very end of its slot or at the very
 * start, so the first byte beyond that side faults; under AddressSanitizer the rest of the slot is forbidden too, to
 * the byte behind the data and to eight bytes before it. */
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

/* The largest argument: 2 500 centroids of 64 floats, rounded up to pages of any size in use. */
enum { SLOT_BYTES = 1 << 20, SLOTS = 40 };

typedef struct {
  char *at;
  size_t bytes;
  uint64_t hash;
} piece;

static char *region;
static size_t guard_bytes;
static piece pieces[SLOTS];
static size_t used, input_count;

static char *slot(size_t i) { return region + guard_bytes + i * (SLOT_BYTES + guard_bytes); }

static uint64_t hash_of(const piece *p) { return drift_hash64((const uint8_t *)p->at, p->bytes, 0); }

static void reserve(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  guard_bytes = page;
  size_t total = guard_bytes + SLOTS * (SLOT_BYTES + guard_bytes);
  region = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) fail("no memory for the slots");
  for (size_t i = 0; i < SLOTS; i++) {
    if (mprotect(slot(i), SLOT_BYTES, PROT_READ | PROT_WRITE) != 0) fail("mprotect failed");
    ASAN_POISON_MEMORY_REGION(slot(i), SLOT_BYTES);
  }
}

void *memory(size_t bytes) {
  if (!region) reserve();
  if (bytes > SLOT_BYTES || used == SLOTS) fail("an argument of %zu bytes, piece %zu", bytes, used);
  char *at = below(2) ? slot(used) : slot(used) + SLOT_BYTES - bytes;
  ASAN_UNPOISON_MEMORY_REGION(at, bytes);
  pieces[used++] = (piece){at, bytes, 0};
  return at;
}

float *floats(size_t count, float scale) {
  float *at = memory(count * sizeof *at);
  for (size_t i = 0; i < count; i++) at[i] = signed_unit() * scale;
  return at;
}

float *outputs(size_t count) { return memory(count * sizeof(float)); }

uint8_t *bytes(size_t count) {
  uint8_t *at = memory(count);
  for (size_t i = 0; i < count; i++) at[i] = (uint8_t)(draw() >> 24);
  return at;
}

uint32_t *words(size_t count, size_t limit) {
  uint32_t *at = memory(count * sizeof *at);
  for (size_t i = 0; i < count; i++) at[i] = (uint32_t)below(limit);
  return at;
}

void inputs_end(void) {
  input_count = used;
  for (size_t i = 0; i < used; i++) pieces[i].hash = hash_of(pieces + i);
}

void memory_check_inputs(void) {
  for (size_t i = 0; i < input_count; i++) {
    if (hash_of(pieces + i) != pieces[i].hash) fail("the call changed input %zu of the case", i);
  }
}

void memory_spoil_outputs(void) {
  for (size_t i = input_count; i < used; i++) memset(pieces[i].at, 0xa5, pieces[i].bytes);
}

void memory_reset(void) {
  for (size_t i = 0; i < used; i++) {
    /* In whole granules, or the first bytes of one stay allowed. */
    char *from = (char *)((uintptr_t)pieces[i].at & ~(uintptr_t)7);
    char *to = (char *)(((uintptr_t)pieces[i].at + pieces[i].bytes + 7) & ~(uintptr_t)7);
    ASAN_POISON_MEMORY_REGION(from, (size_t)(to - from));
  }
  used = input_count = 0;
}
