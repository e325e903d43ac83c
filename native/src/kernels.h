/* The contract in C. A variant is one table of these functions; every table computes what lib/kernels.ts says, and
 * lib/reference.ts is the definition. Callers have checked lengths and row numbers.
 *
 * For all: no pointer needs alignment beyond its element's; outputs overlap no input; nothing is kept after the call
 * but the caller's memory and the scratch. A row is `dim` values; rows are contiguous. No read goes past the values
 * named. "out[j], j < count" is written and nothing else. */
#ifndef DRIFT_KERNELS_H
#define DRIFT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { DRIFT_L2 = 0, DRIFT_IP = 1 } drift_metric;

/* Memory of one thread that kernels may use during a call: grown on demand, never shrunk, freed by its owner.
 * Its contents mean nothing between calls. Start from zeros. */
typedef struct {
  uint32_t *stamps; /* per node: the visit in which it was last seen */
  size_t stamp_count;
  uint32_t visit;
  struct drift_found *candidates;
  size_t candidate_room;
  struct drift_found *best;
  size_t best_room;
} drift_scratch;

void drift_scratch_free(drift_scratch *scratch);

/* Instead of a count: */
enum { DRIFT_DAMAGED_GRAPH = -1, DRIFT_NO_MEMORY = -2 };

typedef struct {
  /* l2: out[j] = sum_i (query[i] - row[i])^2; ip: out[j] = -sum_i query[i] * row[i]. row = rows first + j. */
  void (*distances)(drift_metric metric, const float *query, const float *rows, size_t dim, size_t first,
                    size_t count, float *out);

  /* The same for row = index[j]. Prefetches. */
  void (*distances_gather)(drift_metric metric, const float *query, const float *rows, size_t dim,
                           const uint32_t *index, size_t count, float *out);

  /* out_distance[j] = min_c l2(row index[j], centroid c), out_centroid[j] = the lowest c that has it. k >= 1.
   * A row's result does not depend on the rows beside it. */
  void (*nearest)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *centroids,
                  size_t k, uint32_t *out_centroid, float *out_distance);

  /* Per row r of first .. first + count - 1: s = max|x| / 127, codes[r*dim + i] = round(x[i] / s) + 128 (ties to
   * even, within 1..255), factors[2r] = s, factors[2r + 1] = ||x||^2. s = 0: all codes 128. Codes and s are the
   * same bits everywhere. */
  void (*sq8_encode)(const float *rows, size_t dim, size_t first, size_t count, uint8_t *codes, float *factors);

  /* out[i] = round(x[i] / s), out_factors = s, ||x||^2, sum of out. */
  void (*sq8_query)(const float *query, size_t dim, int8_t *out, float *out_factors);

  /* p = (s_q * s_x) * sum_i (codes[i] - 128) * query[i], the sum an exact integer, each f32 step rounded once:
   * ip: -p; l2: (||q||^2 + ||x||^2) - 2p. Same bits everywhere. Query codes are within -127..127. */
  void (*sq8_distances)(drift_metric metric, const int8_t *query, const float *query_factors, const uint8_t *codes,
                        const float *factors, size_t dim, size_t first, size_t count, float *out);
  void (*sq8_distances_gather)(drift_metric metric, const int8_t *query, const float *query_factors,
                               const uint8_t *codes, const float *factors, size_t dim, const uint32_t *index,
                               size_t count, float *out);

  /* Positions of the k smallest, ascending, ties by position, NaN skipped. k <= count. The outputs (k entries)
   * are the working memory. Returns how many. */
  size_t (*top_k)(const float *distances, size_t count, size_t k, uint32_t *out_position, float *out_distance);

  /* The graph's layout: hnsw.h. `rows` holds row_count rows. Returns the nodes linked, or a negative code. */
  int64_t (*hnsw_insert)(uint32_t *graph, drift_metric metric, const float *rows, size_t row_count, size_t dim,
                         size_t count, drift_scratch *scratch);

  /* live: live_words words, bit r & 31 of word r >> 5; rows beyond are dead. Returns the results written, at most
   * room, or a negative code. */
  int64_t (*hnsw_search)(uint32_t *graph, drift_metric metric, const float *rows, size_t row_count, size_t dim,
                         const float *query, size_t ef, const uint32_t *live, size_t live_words, uint32_t *out_row,
                         float *out_distance, size_t room, drift_scratch *scratch);

  /* float_page.c. element_bytes: 4 or 8. The smallest page of the values, exact to the bit, into 64 + size bytes. Returns its length. */
  size_t (*float_page_encode)(size_t element_bytes, const void *values, size_t count, uint8_t *page);
  /* Checks the page, which may hold anything, and decodes values first .. first + count - 1 of `values`. Returns 0 or DRIFT_PAGE_. */
  int (*float_page_decode)(size_t element_bytes, const uint8_t *page, size_t length, size_t values, size_t first,
                           size_t count, void *out);
  /* bitpack.h, lanes of 64 bits, width < 64. */
  void (*bits_pack)(const uint64_t *words, size_t count, size_t width, uint8_t *out);
  void (*bits_unpack)(const uint8_t *in, size_t count, size_t width, uint64_t *out);
} drift_kernels;

/* Why a page cannot be decoded: shorter than its content, of a later version, with fields that its codec does not write, with exceptions
 * that make no sense. */
enum { DRIFT_PAGE_LENGTH = 1, DRIFT_PAGE_UNKNOWN = 2, DRIFT_PAGE_FIELDS = 3, DRIFT_PAGE_EXCEPTIONS = 4 };

/* One build for all variants. */

/* Rows that count in buckets[0 .. count), the first `room` of them into out. entries: blocks * 32 row numbers; heads and next:
 * first and following block, one >= blocks ends the chain, and so does the entry UINT32_MAX. An entry counts in a bucket when
 * row < row_limit and home[row] is the bucket, or second[row] is and marks[home[row]] is not `mark`. Returns how many count. */
size_t drift_collect_rows(const uint32_t *entries, const uint32_t *next, size_t blocks, const uint32_t *heads,
                          const uint32_t *buckets, size_t count, const uint32_t *home, const uint32_t *second,
                          const uint32_t *marks, size_t mark_count, uint32_t mark, uint32_t row_limit, uint32_t *out,
                          size_t room);

/* crc: of the bytes before, 0 at the start. */
uint32_t drift_crc32c(const uint8_t *bytes, size_t length, uint32_t crc);
uint64_t drift_hash64(const uint8_t *bytes, size_t length, uint64_t seed);

/* dispatch.c: the variants this CPU and system can run, slowest first; i < DRIFT_VARIANTS, NULL where one cannot. */
enum { DRIFT_VARIANTS = 4 };
const char *drift_variant_name(int i);
const drift_kernels *drift_variant(int i);

#ifdef __cplusplus
}
#endif
#endif
