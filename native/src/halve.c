/* The two halves of a bucket that grew too large: 2-means (Lloyd 1982) over what the codes of its rows say, from two rows drawn as
 * k-means++ does (Arthur and Vassilvitskii 2007); and the entries of each half, in blocks that can be taken over as they are.
 * Which of two centroids is nearer is one inner product with their difference, so a pass over fifty rows takes about a microsecond. */
#include <math.h>

#include "arena.h"
#include "coded.h"
#include "pair.h"
#include "words.h"

/* Times that the centroids move, at most: 2-means of about fifty rows has settled by then. */
enum { MOVES = 8 };

static float dot_coded(const uint8_t *codes, float scale, const float *with, size_t padded) {
  vfloat s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (size_t i = 0; i < padded; i += 4 * LANES) {
    s0 += coded_values(codes + i) * load(with + i);
    s1 += coded_values(codes + i + LANES) * load(with + i + LANES);
    s2 += coded_values(codes + i + 2 * LANES) * load(with + i + 2 * LANES);
    s3 += coded_values(codes + i + 3 * LANES) * load(with + i + 3 * LANES);
  }
  return scale * sum((s0 + s1) + (s2 + s3));
}

/* out += the row. */
static void add_coded(const uint8_t *codes, float scale, size_t padded, float *out) {
  for (size_t i = 0; i < padded; i += LANES) {
    vfloat to = load(out + i) + scale * coded_values(codes + i);
    memcpy(out + i, &to, sizeof to);
  }
}

static float squared_distance(const uint8_t *codes, float scale, const float *from, size_t padded) {
  vfloat s0 = {0}, s1 = {0};
  for (size_t i = 0; i < padded; i += 2 * LANES) {
    vfloat d0 = scale * coded_values(codes + i) - load(from + i);
    vfloat d1 = scale * coded_values(codes + i + LANES) - load(from + i + LANES);
    s0 += d0 * d0;
    s1 += d1 * d1;
  }
  return sum(s0 + s1);
}

/* Two rows into the centroids: one drawn evenly, one by its squared distance from it. Returns 0 when all are the same point. */
static int draw_two(const drift_index *index, const uint32_t *rows, size_t count, float first, float second, float *distance,
                    float *centroids) {
  size_t padded = index->padded, at = (size_t)(first * (float)count);
  decode_row(index, rows[at < count ? at : count - 1], centroids);
  double total = 0;
  for (size_t j = 0; j < count; j++) {
    distance[j] = squared_distance(index->codes + rows[j] * padded, index->factors[2 * rows[j]], centroids, padded);
    total += distance[j];
  }
  if (!(total > 0)) return 0;
  double target = second * total, reached = 0;
  size_t chosen = count;
  for (size_t j = 0; j < count && !(reached > target); j++) {
    if (!(distance[j] > 0)) continue;
    reached += distance[j];
    chosen = j;
  }
  if (chosen == count) return 0; /* distances that are no numbers */
  decode_row(index, rows[chosen], centroids + padded);
  return 1;
}

/* What tells the halves: a row is in half 1 when its inner product with `along` is above `limit`. */
static float divide(const float *centroids, size_t padded, float *along) {
  const float *other = centroids + padded;
  for (size_t i = 0; i < padded; i++) along[i] = other[i] - centroids[i];
  return (pair_dot(other, other, padded) - pair_dot(centroids, centroids, padded)) / 2;
}

/* Returns how many changed sides. */
static size_t choose_sides(const drift_index *index, const uint32_t *rows, size_t count, const float *along, float limit,
                           uint32_t *side) {
  size_t padded = index->padded, changed = 0;
  for (size_t j = 0; j < count; j++) {
    uint32_t half = dot_coded(index->codes + rows[j] * padded, index->factors[2 * rows[j]], along, padded) > limit;
    changed += side[j] != half;
    side[j] = half;
  }
  return changed;
}

/* The means of both halves. Returns 0 when one is empty. */
static int move(const drift_index *index, const uint32_t *rows, size_t count, const uint32_t *side, float *centroids) {
  size_t padded = index->padded, in[2] = {0};
  for (size_t j = 0; j < count; j++) in[side[j]]++;
  if (in[0] == 0 || in[1] == 0) return 0;
  memset(centroids, 0, 2 * padded * sizeof *centroids);
  for (size_t j = 0; j < count; j++) {
    add_coded(index->codes + rows[j] * padded, index->factors[2 * rows[j]], padded, centroids + side[j] * padded);
  }
  for (size_t half = 0; half < 2; half++) {
    for (size_t i = 0; i < padded; i++) centroids[half * padded + i] /= (float)in[half];
  }
  return 1;
}

static void clear_blocks(uint8_t *blocks, size_t count, size_t padded) {
  memset(blocks, 0, count * block_bytes(padded));
  for (size_t b = 0; b < count; b++) {
    uint8_t *block = blocks + b * block_bytes(padded);
    for (size_t j = 0; j < BLOCK_ENTRIES; j++) block_add(block, padded)[j] = INFINITY, block_rows(block, padded)[j] = NO_ROW;
  }
}

int64_t KERNEL(index_halve)(const drift_index *index, const uint32_t *rows, size_t own, size_t count, float first, float second,
                            uint32_t *side, float *centroids, uint8_t *blocks, drift_scratch *scratch) {
  size_t padded = index->padded, bytes = block_bytes(padded);
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded) + arena_size(4 * own), &memory)) return DRIFT_NO_MEMORY;
  float *x = arena_take(&memory, 4 * padded), *distance = arena_take(&memory, 4 * own);
  for (size_t j = 0; j < count; j++) prefetch(index->codes + rows[j] * padded, padded);
  if (own < 2 || !draw_two(index, rows, own, first, second, distance, centroids)) return 0;
  memset(side, 0, count * sizeof *side);
  float limit = divide(centroids, padded, x);
  choose_sides(index, rows, own, x, limit, side);
  for (int moves = 0; moves < MOVES; moves++) {
    if (!move(index, rows, own, side, centroids)) return 0;
    limit = divide(centroids, padded, x);
    if (choose_sides(index, rows, own, x, limit, side) == 0) break;
  }
  size_t in[2] = {0}, filled[2] = {0};
  choose_sides(index, rows + own, count - own, x, limit, side + own);
  for (size_t j = 0; j < count; j++) in[side[j]]++;
  if (in[0] == 0 || in[1] == 0) return 0;
  size_t before = (in[0] + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES;
  clear_blocks(blocks, before + (in[1] + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES, padded);
  for (size_t j = 0; j < count; j++) {
    size_t half = side[j], at = filled[half]++;
    decode_row(index, rows[j], x);
    entry_write(index, x, centroids + half * padded, blocks + (half * before + at / BLOCK_ENTRIES) * bytes, at % BLOCK_ENTRIES,
                rows[j]);
  }
  return (int64_t)before;
}
