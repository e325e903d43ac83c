/* Working memory of one call, cut from the thread's scratch: reserved once, so a search allocates nothing once it is warm. */
#ifndef DRIFT_ARENA_H
#define DRIFT_ARENA_H

#include <stdlib.h>

#include "isa.h"

enum { ARENA_ALIGN = 64 };

typedef struct {
  char *at, *end;
} arena;

static inline size_t arena_size(size_t bytes) { return (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1); }

/* An arena of `bytes` bytes; returns 0 when memory is short. What an earlier call left in it is lost. */
static inline int arena_open(drift_scratch *scratch, size_t bytes, arena *out) {
  if (scratch->arena_bytes < bytes) {
    free(scratch->arena);
    size_t room = arena_size(bytes + bytes / 2);
    scratch->arena = aligned_alloc(ARENA_ALIGN, room);
    scratch->arena_bytes = scratch->arena ? room : 0;
    if (!scratch->arena) return 0;
  }
  *out = (arena){scratch->arena, (char *)scratch->arena + scratch->arena_bytes};
  return 1;
}

static inline void *arena_take(arena *from, size_t bytes) {
  void *taken = from->at;
  from->at += arena_size(bytes);
  return taken;
}

#endif
