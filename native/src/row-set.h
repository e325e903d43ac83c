/* Rows met already in one call: open addressing over row + 1, in the call's working memory. Twice as large when it is half full. */
#ifndef DRIFT_ROW_SET_H
#define DRIFT_ROW_SET_H

#include <string.h>

#include "arena.h"

typedef struct {
  uint32_t *slots;
  size_t mask, count;
} row_set;

enum { FIRST_SLOTS = 1024 };

static inline size_t row_set_slot(const row_set *set, uint32_t row) {
  size_t at = (row * 2654435761u >> 8) & set->mask;
  while (set->slots[at] != 0 && set->slots[at] != row + 1) at = (at + 1) & set->mask;
  return at;
}

static inline void row_set_clear(row_set *set, size_t slots, arena *memory) {
  set->slots = arena_take(memory, slots * sizeof *set->slots);
  memset(set->slots, 0, slots * sizeof *set->slots);
  set->mask = slots - 1;
}

/* What a set and those before it take when `rows` rows are met. */
static inline size_t row_set_bytes(size_t rows) {
  size_t slots = FIRST_SLOTS;
  while (slots < 4 * rows) slots *= 2;
  return 2 * arena_size(slots * sizeof(uint32_t));
}

static inline row_set row_set_open(arena *memory) {
  row_set set = {0};
  row_set_clear(&set, FIRST_SLOTS, memory);
  return set;
}

/* Returns whether the row is met for the first time. */
static inline int row_set_meet(row_set *set, uint32_t row, arena *memory) {
  size_t at = row_set_slot(set, row);
  if (set->slots[at] != 0) return 0;
  set->slots[at] = row + 1;
  if (2 * ++set->count > set->mask) {
    row_set old = *set;
    row_set_clear(set, 2 * (old.mask + 1), memory);
    for (size_t i = 0; i <= old.mask; i++) {
      if (old.slots[i] != 0) set->slots[row_set_slot(set, old.slots[i] - 1)] = old.slots[i];
    }
  }
  return 1;
}

#endif
