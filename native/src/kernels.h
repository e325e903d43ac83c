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
  uint8_t *stamps; /* per node: the visit in which it was last seen */
  size_t stamp_count;
  uint8_t visit;
  struct drift_found *beam;
  size_t beam_room;
  struct drift_found *waiting;
  size_t waiting_room;
  void *arena; /* what one search works in */
  size_t arena_bytes;
} drift_scratch;

void drift_scratch_free(drift_scratch *scratch);

/* What a graph stands for: count rows, exact and, unless NULL, as sq8_encode made them (code_dim bytes a row, of the
 * rows themselves or of their image under one rotation). With codes a graph is built and walked by sq8_distances, and
 * found rows get their exact distances. */
typedef struct {
  const float *values;
  const uint8_t *codes;
  const float *factors;
  size_t count, dim, code_dim;
} drift_rows;

/* The partitioned index as it lies in shared slabs; see index.h. D = padded. */
typedef struct drift_index {
  drift_metric metric;  /* of the rows */
  drift_metric routing; /* by which buckets are ranked */
  size_t dim, padded;
  const uint32_t *flips; /* of the rotation: rounds * D words, 0 or the sign bit */
  size_t rounds;
  const float *vectors;   /* rows * dim, not rotated; NULL: distances come from the codes */
  const uint8_t *codes;   /* rows * D: SQ8 of the rotated rows */
  const float *factors;   /* rows * 2 */
  const uint32_t *live;   /* one bit a row */
  size_t row_limit;       /* rows from here on are not seen */
  const float *centroids; /* buckets * D, rotated */
  const uint8_t *centroid_codes;
  const float *centroid_factors;
  uint8_t *router;       /* blocks of 32 centroids in order: entries of a bucket around `center`, under l2 */
  const float *center;   /* D values */
  size_t bucket_count;
  const uint32_t *heads; /* first block of every bucket */
  const uint32_t *sizes; /* entries of every bucket, dead ones included: what a scan reads */
  const uint32_t *lives; /* of those, the ones that count */
  const uint32_t *next;  /* following block, or one >= block_count */
  uint8_t *blocks;
  size_t block_count;
  int reads_all; /* of what is scanned every row's codes are compared, whatever its entry says */
  /* By which entries are coded, instead of signs: D/4 groups of 16 codewords of 4 values, value b of word m of group g at 64 g + 16 b + m; then
   * what a residual's length is brought to before its words are chosen. NULL: entries are signs. */
  const float *codebooks;
  /* The buckets in groups, an index of D dimensions under l2 whose rows are the buckets and whose buckets are the groups, so that not
   * every bucket is looked at to find the nearest; no vectors, live or lives. NULL: there are none. */
  const struct drift_index *groups;
} drift_index;

/* A bucket that was scanned. */
typedef struct {
  uint32_t bucket, rank; /* rank: by distance, from 0 */
  float distance;        /* of the centroid by its codes, in the routing metric */
  float hits;            /* expected, in the units of the estimate */
} drift_probe;

/* What a query asks for. */
typedef struct {
  size_t k;
  size_t probes;         /* buckets to scan, nearest first; 0: by `floor` */
  float floor;           /* scan every bucket of at least so many expected hits per row of cost (estimate.h) */
  size_t least;          /* and the nearest until they have so many entries that count */
  float by_rank, by_ratio, by_size; /* exponents of the estimate */
  float mean_lives;      /* entries of a bucket that count, over all buckets */
  float near;            /* without `allow`: d_0 of the estimate is of so many entries that count */
  float flat, flat_times; /* of a query that is flatter than `flat`, the floor is `floor` times `flat_times` (estimate.h) */
  float far, far_times;   /* and times `far_times` of one whose d_0^2 is above `far`; of both, the lower */
  size_t rerank;         /* rows beyond k whose exact distance may be computed */
  size_t part, parts;    /* scan every parts-th bucket of the list only, from `part` on; parts >= 1 */
  const uint32_t *allow; /* one bit a row, of live rows alone: only these count; NULL: all */
  size_t allow_words;
  /* With `allow`, what is known of it, kept by the caller from one search to the next while neither the bits nor any entry changes:
   * by bucket, its entries of allowed rows, or UINT32_MAX where they are not counted yet; by block of a counted bucket, which of its
   * entries these are. Searches fill both in. */
  uint32_t *counts, *masks;
  const uint32_t *extra; /* rows to look at besides those in buckets */
  size_t extra_count;
  /* Rows in no bucket that have entries all the same, each tail around a reference of its own: one after the other, the number of its
   * blocks, the D floats of its reference, the blocks. Whole; blocks that are not there count for nothing. */
  const uint32_t *tails;
  size_t tail_words;
  drift_probe *trace;    /* gets the scanned buckets, `trace_room` at most; NULL: nobody asks */
  size_t trace_room;
} drift_query;

/* What a search did: buckets scanned, their entries and, with `allow`, those of tails that it allows; rows whose codes were read. */
typedef struct {
  uint32_t buckets, entries, rows;
} drift_effort;

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

  /* The same when l2(heads[j], centroid_heads[c]) - slack <= l2(row index[j], centroid c) for all j, c, heads being
   * head_dim values each. centroid: in, a guess; out, the nearest. Fewer pairs are computed, the better the guess and the
   * closer the heads; returns how many. Bit for bit what nearest gives. */
  int64_t (*nearest_by_heads)(const float *rows, size_t dim, const uint32_t *index, size_t count,
                              const float *centroids, size_t k, const float *heads, size_t head_dim,
                              const float *centroid_heads, float slack, uint32_t *centroid, float *out_distance);

  /* out[j * (width + 1) + b] = (row index[j] - middle) . direction b for b < width, and at b = width |row - middle|^2.
   * Returns 0 or DRIFT_NO_MEMORY. */
  int (*project)(const float *rows, size_t dim, const uint32_t *index, size_t count, const float *middle,
                 const float *directions, size_t width, float *out);

  /* sums[group[j] * dim + i] += value i of row index[j], for j = 0 .. count - 1 in order. Same bits everywhere. */
  void (*sum_rows)(const float *rows, size_t dim, const uint32_t *index, const uint32_t *group, size_t count,
                   double *sums);

  /* Per row r of first .. first + count - 1: step = max|x| / 127, codes[r*dim + i] = round(x[i] / step) + 128 (ties to
   * even, within 1..255), factors[2r] = s = ||x||^2 / <codes - 128, x> (sq8.h), factors[2r + 1] = ||x||^2. Zeros: all codes
   * 128, s = 0. Codes and s are the same bits everywhere. */
  void (*sq8_encode)(const float *rows, size_t dim, size_t first, size_t count, uint8_t *codes, float *factors);

  /* out[i] = round(x[i] / step), out_factors = s, ||x||^2, sum of out. */
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

  /* The graph's layout: hnsw.h. Returns the nodes linked, or a negative code. */
  int64_t (*hnsw_insert)(uint32_t *graph, drift_metric metric, const drift_rows *rows, size_t count,
                         drift_scratch *scratch);

  /* query_codes and query_factors: NULL exactly when rows->codes is. live: live_words words, bit r & 31 of word
   * r >> 5; rows beyond are dead. Returns the results written, at most room, or a negative code. */
  int64_t (*hnsw_search)(uint32_t *graph, drift_metric metric, const drift_rows *rows, const float *query,
                         const int8_t *query_codes, const float *query_factors, size_t ef, const uint32_t *live,
                         size_t live_words, uint32_t *out_row, float *out_distance, size_t room,
                         drift_scratch *scratch);

  /* out[j] = sum_i lut[i * 256 + codes[(first + j) * width + i]]. Same bits everywhere: see lib/reference/pq.ts. */
  void (*lut_distances)(const float *lut, size_t width, const uint8_t *codes, size_t first, size_t count, float *out);

  /* out[32b + j] = sum_g lut[16g + n], n the low (j < 16) or high nibble of blocks[b * stride + 16g + j % 16], modulo
   * 65536. lut: groups * 16 entries of 0..127; larger ones give sums that mean nothing. Reads groups * 16 bytes of each
   * block; writes 32 * count. Same bits everywhere. */
  void (*fast_scan)(const uint8_t *lut, size_t groups, const uint8_t *blocks, size_t stride, size_t count,
                    uint16_t *out);

  /* gap_i = offset[i] - step[i] * codes[(first + j) * dim + i]; l2: out[j] = sum_i gap_i^2; ip: sum_i gap_i. */
  void (*affine_distances)(drift_metric metric, const float *offset, const float *step, const uint8_t *codes,
                           size_t dim, size_t first, size_t count, float *out);

  /* out[j * padded ..] = the rotation of row first + j of dim values; see rotate.c. The same bits everywhere. */
  void (*rotate)(const float *rows, size_t dim, size_t padded, size_t first, size_t count, const uint32_t *flips,
                 size_t rounds, float *out);

  /* out[j] = the sum of the squares of row j, in doubles: the same bits in every variant. */
  void (*squared_lengths)(const float *rows, size_t dim, size_t count, double *out);

  /* Row j of `out` is row j scaled to unit length, in doubles; none is all zeros. The same bits in every variant. out: rows, or apart. */
  void (*normalise)(const float *rows, size_t dim, size_t count, float *out);

  /* Row sources[j] of `from` becomes row places[j] of `kept`, scaled to unit length when is_unit (it is not all zeros then), and the
   * rotation of that becomes row rows[j] of codes and factors, as sq8_encode makes them; j < count. `from` overlaps no output.
   * Returns 0 or DRIFT_NO_MEMORY. */
  int64_t (*encode_rows)(const float *from, size_t dim, const uint32_t *sources, size_t count, int is_unit, float *kept,
                         const uint32_t *places, size_t padded, const uint32_t *flips, size_t rounds,
                         const uint32_t *rows, uint8_t *codes, float *factors, drift_scratch *scratch);

  /* The k nearest rows that the probed buckets, ask->tails and ask->extra hold, nearest first. Returns how many, or a negative code. */
  int64_t (*index_search)(const drift_index *index, const drift_query *ask, const float *query, drift_scratch *scratch,
                          uint32_t *out_row, float *out_distance, drift_effort *effort);

  /* Entry slots[j] (32 * block + place) of a bucket's chain becomes rows[j] in buckets[j], from the row's codes. */
  int64_t (*index_append)(const drift_index *index, const uint32_t *rows, const uint32_t *buckets,
                          const uint32_t *slots, size_t count, drift_scratch *scratch);

  /* Entry slots[j] of a tail becomes rows[j], from the row's codes, around `reference`, D values. */
  int64_t (*index_append_tail)(const drift_index *index, const float *reference, const uint32_t *rows, const uint32_t *slots,
                               size_t count, drift_scratch *scratch);

  /* Entry to[j] becomes what entry from[j] is, in order of j. */
  void (*index_copy)(const drift_index *index, const uint32_t *from, const uint32_t *to, size_t count);

  /* A bucket without its dead entries. Of the first `entries` entries in the chain from block `from` those count that are of rows below
   * row_count which have the bucket as home or second, and of each row the newest alone. They are copied, newest first and `room` at most, to
   * the beginning of the chain from block `to`. Returns how many, or DRIFT_NO_MEMORY. */
  int64_t (*index_compact)(const drift_index *index, const uint32_t *home, const uint32_t *second, size_t row_count, uint32_t bucket,
                           uint32_t from, size_t entries, uint32_t to, size_t room, drift_scratch *scratch);

  /* The router's entries of buckets first .. first + count - 1, from `centroids` and `center`. */
  void (*index_route_entries)(const drift_index *index, size_t first, size_t count);

  /* The two buckets of each row: assign.c. second: UINT32_MAX where there is none; NULL: not asked. near: those of row j are chosen
   * among near[j * width ..], unless none of these is there; NULL: among all. weights: NULL, or of each bucket what its squared distance
   * is multiplied by; then second is NULL. */
  int64_t (*index_assign)(const drift_index *index, const uint32_t *rows, size_t count, const uint32_t *near, size_t width,
                          const float *weights, uint32_t *home, uint32_t *second, drift_scratch *scratch);

  /* out[j * width ..] = the `width` buckets nearest to row j, first its home, then by their codes; UINT32_MAX behind the last. */
  int64_t (*index_near)(const drift_index *index, const uint32_t *rows, size_t count, size_t width, uint32_t *out,
                        drift_scratch *scratch);

  /* The two halves of a bucket's rows, the first `own` of which call it home: 2-means of these, by what the codes say; the others go to the
   * nearer half. first, second: in [0, 1), by which two rows are drawn to start from. side[j], j < count: 0 or 1. centroids:
   * 2 * D values. blocks: room for count / 32 + 2, of which the entries of half 0 fill the first, in order of j, those of half 1 those
   * behind. Returns how many are those of half 0; 0: there are no two halves, and outputs mean nothing. Or DRIFT_NO_MEMORY. */
  int64_t (*index_halve)(const drift_index *index, const uint32_t *rows, size_t own, size_t count, float first, float second,
                         uint32_t *side, float *centroids, uint8_t *blocks, drift_scratch *scratch);

  /* out[j * width ..] = the `width` buckets nearest to bucket first + j, itself among them; UINT32_MAX behind the last. */
  int64_t (*index_neighbours)(const drift_index *index, size_t first, size_t count, size_t width, uint32_t *out,
                              drift_scratch *scratch);

  /* float_page.c. element_bytes: 4 or 8. The smallest page of the values, exact to the bit, into 64 + size bytes. Returns its length. */
  size_t (*float_page_encode)(size_t element_bytes, const void *values, size_t count, uint8_t *page);
  /* Checks the page, which may hold anything, and decodes values first .. first + count - 1 of `values`. Returns 0 or DRIFT_PAGE_. */
  int (*float_page_decode)(size_t element_bytes, const uint8_t *page, size_t length, size_t values, size_t first,
                           size_t count, void *out);
  /* bitpack.h, lanes of 64 bits, width < 64. */
  void (*bits_pack)(const uint64_t *words, size_t count, size_t width, uint8_t *out);
  void (*bits_unpack)(const uint8_t *in, size_t count, size_t width, uint64_t *out);

  /* crc: of the bytes before, 0 at the start. */
  uint32_t (*crc32c)(const uint8_t *bytes, size_t length, uint32_t crc);
} drift_kernels;

/* Why a page cannot be decoded: shorter than its content, of a later version, with fields that its codec does not write, with exceptions
 * that make no sense. */
enum { DRIFT_PAGE_LENGTH = 1, DRIFT_PAGE_UNKNOWN = 2, DRIFT_PAGE_FIELDS = 3, DRIFT_PAGE_EXCEPTIONS = 4 };

/* One build for all variants. */

uint64_t drift_hash64(const uint8_t *bytes, size_t length, uint64_t seed);
/* out[i] = a[i] & b[i], i < words. Returns the bits set in out, which may be a or b. */
size_t drift_bits_and(const uint32_t *a, const uint32_t *b, size_t words, uint32_t *out);

/* dispatch.c: the variants this CPU and system can run, slowest first; i < DRIFT_VARIANTS, NULL where one cannot. */
enum { DRIFT_VARIANTS = 4 };
const char *drift_variant_name(int i);
const drift_kernels *drift_variant(int i);

#ifdef __cplusplus
}
#endif
#endif
