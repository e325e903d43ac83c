#define _GNU_SOURCE
#include "system.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>

int drift_flock(int fd, int exclusive, int wait) {
  int operation = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);
  while (flock(fd, operation) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

enum { HUGE_PAGE_BYTES = 2 << 20 };

void drift_advise_huge_pages(void *start, size_t bytes) {
#ifdef MADV_HUGEPAGE
  uintptr_t mask = HUGE_PAGE_BYTES - 1;
  uintptr_t from = ((uintptr_t)start + mask) & ~mask;
  uintptr_t to = ((uintptr_t)start + bytes) & ~mask;
  /* EINVAL where the kernel has no huge pages: the memory then works as it is. */
  if (from < to) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)start;
  (void)bytes;
#endif
}

enum { SMALL_PAGE_BYTES = 4096 };

void drift_touch(void *start, size_t bytes) {
  char *at = start;
  for (size_t i = 0; i < bytes; i += SMALL_PAGE_BYTES) __atomic_fetch_or(at + i, 0, __ATOMIC_RELAXED);
}

void drift_give_way(void) { sched_yield(); }
