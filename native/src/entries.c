/* Reading buckets: chains of blocks whose entries are row numbers. Each entry costs a look at the row's two buckets, anywhere in
 * memory, so those of a whole block are asked for before the first is looked at. */
#include "kernels.h"

enum { BLOCK_ENTRIES = 32 };
#define NONE UINT32_MAX

size_t drift_collect_rows(const uint32_t *entries, const uint32_t *next, size_t blocks, const uint32_t *heads,
                          const uint32_t *buckets, size_t count, const uint32_t *home, const uint32_t *second,
                          const uint32_t *marks, size_t mark_count, uint32_t mark, uint32_t row_limit, uint32_t *out,
                          size_t room) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t bucket = buckets[i];
    if (i + 1 < count && heads[buckets[i + 1]] < blocks) {
      const char *ahead = (const char *)(entries + (size_t)heads[buckets[i + 1]] * BLOCK_ENTRIES);
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + 64);
    }
    /* A chain has at most all blocks: a damaged one ends too. */
    size_t left = blocks;
    for (uint32_t block = heads[bucket]; block < blocks && left-- > 0; block = next[block]) {
      const uint32_t *entry = entries + (size_t)block * BLOCK_ENTRIES;
      for (size_t j = 0; j < BLOCK_ENTRIES && entry[j] != NONE; j++) {
        if (entry[j] >= row_limit) continue;
        __builtin_prefetch(home + entry[j]);
        __builtin_prefetch(second + entry[j]);
      }
      for (size_t j = 0; j < BLOCK_ENTRIES; j++) {
        uint32_t row = entry[j];
        if (row == NONE) goto next_bucket;
        if (row >= row_limit) continue;
        uint32_t at = home[row];
        if (at != bucket && (second[row] != bucket || (at < mark_count && marks[at] == mark))) continue;
        if (found < room) out[found] = row;
        found++;
      }
    }
  next_bucket:;
  }
  return found;
}
