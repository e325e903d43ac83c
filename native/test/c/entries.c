/* drift_collect_rows, also over chains that are damaged: blocks that do not exist, circles, rows beyond the limit. */
#include "harness.h"

enum { BLOCK_ENTRIES = 32 };

typedef struct {
  const uint32_t *entries, *next, *heads, *buckets, *home, *second, *marks;
  size_t blocks, count, mark_count;
  uint32_t mark, row_limit;
} chains;

static size_t plain_collect(const chains *c, uint32_t *out, size_t room) {
  size_t found = 0;
  for (size_t i = 0; i < c->count; i++) {
    uint32_t bucket = c->buckets[i], block = c->heads[bucket];
    for (size_t step = 0; step < c->blocks && block < c->blocks; step++, block = c->next[block]) {
      size_t j = 0;
      for (; j < BLOCK_ENTRIES && c->entries[block * BLOCK_ENTRIES + j] != UINT32_MAX; j++) {
        uint32_t row = c->entries[block * BLOCK_ENTRIES + j];
        if (row >= c->row_limit) continue;
        uint32_t home = c->home[row];
        int counts = home == bucket;
        if (!counts && c->second[row] == bucket) counts = !(home < c->mark_count && c->marks[home] == c->mark);
        if (!counts) continue;
        if (found < room) out[found] = row;
        found++;
      }
      if (j < BLOCK_ENTRIES) break;
    }
  }
  return found;
}

void run_collect_rows(void) {
  size_t blocks = below(12), bucket_count = 1 + below(6), row_count = 1 + below(60);
  chains c = {.blocks = blocks, .count = below(8), .mark = 2, .mark_count = below(bucket_count + 1)};
  c.row_limit = (uint32_t)below(row_count + 1);
  uint32_t *entries = words(blocks * BLOCK_ENTRIES, row_count + 2);
  for (size_t b = 0; b < blocks; b++) {
    if (below(2)) entries[b * BLOCK_ENTRIES + below(BLOCK_ENTRIES)] = UINT32_MAX;
  }
  uint32_t *home = words(row_count, bucket_count), *second = words(row_count, bucket_count + 1);
  for (size_t r = 0; r < row_count; r++) {
    if (below(10) == 0) home[r] = second[r] = UINT32_MAX;
  }
  c.entries = entries;
  c.home = home;
  c.second = second;
  c.next = words(blocks, blocks + 2);
  c.heads = words(bucket_count, blocks + 1);
  c.buckets = words(c.count, bucket_count);
  c.marks = words(c.mark_count, 3);
  static uint32_t want[8 * 12 * BLOCK_ENTRIES];
  size_t expected = plain_collect(&c, want, sizeof want / sizeof *want);
  size_t room = below(2) ? expected : below(expected + 1);
  inputs_end();
  uint32_t *out = memory(room * sizeof *out);
  single_build();
  size_t found = drift_collect_rows(c.entries, c.next, blocks, c.heads, c.buckets, c.count, home, second, c.marks,
                                    c.mark_count, c.mark, c.row_limit, out, room);
  check_equal("rows found", 0, found, expected);
  for (size_t j = 0; j < room; j++) check_equal("row", j, out[j], want[j]);
}
