/* What is timed. To add a kernel: its bytes and values for each row, and its call. */
#include "bench.h"
#include "index.h"

static size_t floats_of(size_t dim) { return 4 * dim; }
static size_t codes_of(size_t dim) { return dim; }
static size_t sign_entry_of(size_t dim) { return dim / 8 + 12; }
static size_t sign_bytes(size_t dim) { return dim / 8; }
static size_t one_float(size_t dim) { return (void)dim, sizeof(float); }
static size_t each_value(size_t dim) { return dim; }
static size_t each_pair(size_t dim) { return dim * CENTROIDS; }
static size_t no_values(size_t dim) { return (void)dim, 0; }

static void distances_l2(const drift_kernels *k, const workload *w) {
  k->distances(DRIFT_L2, w->query, w->rows, w->dim, 0, w->count, w->out);
}
static void distances_ip(const drift_kernels *k, const workload *w) {
  k->distances(DRIFT_IP, w->query, w->rows, w->dim, 0, w->count, w->out);
}
static void distances_gather(const drift_kernels *k, const workload *w) {
  k->distances_gather(DRIFT_L2, w->query, w->rows, w->dim, w->index, w->count, w->out);
}
static void nearest(const drift_kernels *k, const workload *w) {
  k->nearest(w->rows, w->dim, w->index, w->count, w->centroids, CENTROIDS, w->out_words, w->out);
}
static void sq8_encode(const drift_kernels *k, const workload *w) {
  k->sq8_encode(w->rows, w->dim, 0, w->count, w->out_bytes, w->out);
}
static void sq8_distances(const drift_kernels *k, const workload *w) {
  k->sq8_distances(DRIFT_L2, w->query_codes, w->query_factors, w->codes, w->factors, w->dim, 0, w->count, w->out);
}
static void sq8_plain(const workload *w) {
  w->of->plain_sq8(w->query_codes, w->query_factors, w->codes, w->factors, w->dim, w->count, w->out);
}
static void sq8_gather(const drift_kernels *k, const workload *w) {
  k->sq8_distances_gather(DRIFT_L2, w->query_codes, w->query_factors, w->codes, w->factors, w->dim, w->index, w->count,
                          w->out);
}
static void scan_signs(const drift_kernels *k, const workload *w) {
  (void)k;
  w->of->scan_signs((const uint8_t *)w->centroids, w->codes, w->dim, w->count / BLOCK_ENTRIES, w->out);
}
static void rotate(const drift_kernels *k, const workload *w) {
  k->rotate(w->rows, w->dim, w->dim, 0, w->count, w->flips, 4, (float *)w->out_bytes);
}
static void top_k(const drift_kernels *k, const workload *w) {
  k->top_k(w->rows, w->count, 10, w->out_words, w->out);
}
static void crc32c(const drift_kernels *k, const workload *w) {
  w->out_words[0] = k->crc32c(w->codes, w->count * w->dim * sizeof(float), 0);
}
static void hash64(const drift_kernels *k, const workload *w) {
  (void)k;
  w->out_words[0] = (uint32_t)drift_hash64(w->codes, w->count * w->dim * sizeof(float), 0);
}

const bench_case CASES[] = {
    {"distances l2", floats_of, .kind = ARITHMETIC_L2, .values = each_value, .call = distances_l2},
    {"distances ip", floats_of, .kind = ARITHMETIC_DOT, .values = each_value, .call = distances_ip},
    {"distances_gather l2", floats_of, .gathers = 1, .kind = ARITHMETIC_L2, .values = each_value, .call = distances_gather},
    {"nearest of 64", floats_of, .gathers = 1, .in_cache_only = 1, .kind = ARITHMETIC_L2, .values = each_pair, .call = nearest},
    {"sq8_encode", floats_of, .kind = ARITHMETIC_DIVIDE, .values = each_value, .call = sq8_encode},
    {"sq8_distances l2", codes_of, .kind = ARITHMETIC_BYTES, .values = each_value, .call = sq8_distances, .plain = sq8_plain},
    {"sq8_distances_gather", codes_of, .gathers = 1, .kind = ARITHMETIC_BYTES, .values = each_value, .call = sq8_gather},
    {"scan of 1-bit entries", sign_entry_of, .kind = ARITHMETIC_LOOK_UP, .values = sign_bytes, .call = scan_signs},
    {"rotate, 4 rounds", floats_of, .in_cache_only = 1, .values = no_values, .call = rotate},
    {"top_k of 10", one_float, .one_dim = 1, .values = no_values, .call = top_k},
    {"crc32c", floats_of, .one_dim = 1, .values = no_values, .call = crc32c},
    {"hash64", floats_of, .one_dim = 1, .one_build = 1, .values = no_values, .call = hash64},
    {.name = NULL},
};
