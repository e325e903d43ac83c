/* The kernels of one ISA as one table. */
#include "isa.h"

void KERNEL(distances)(drift_metric, const float *, const float *, size_t, size_t, size_t, float *);
void KERNEL(distances_gather)(drift_metric, const float *, const float *, size_t, const uint32_t *, size_t, float *);
void KERNEL(nearest)(const float *, size_t, const uint32_t *, size_t, const float *, size_t, uint32_t *, float *);
int64_t KERNEL(nearest_by_heads)(const float *, size_t, const uint32_t *, size_t, const float *, size_t, const float *,
                                 size_t, const float *, float, uint32_t *, float *);
int KERNEL(project)(const float *, size_t, const uint32_t *, size_t, const float *, const float *, size_t, float *);
void KERNEL(sq8_encode)(const float *, size_t, size_t, size_t, uint8_t *, float *);
void KERNEL(sq8_query)(const float *, size_t, int8_t *, float *);
void KERNEL(sq8_distances)(drift_metric, const int8_t *, const float *, const uint8_t *, const float *, size_t, size_t,
                           size_t, float *);
void KERNEL(sq8_distances_gather)(drift_metric, const int8_t *, const float *, const uint8_t *, const float *, size_t,
                                  const uint32_t *, size_t, float *);
size_t KERNEL(top_k)(const float *, size_t, size_t, uint32_t *, float *);
int64_t KERNEL(hnsw_insert)(uint32_t *, drift_metric, const drift_rows *, size_t, drift_scratch *);
int64_t KERNEL(hnsw_search)(uint32_t *, drift_metric, const drift_rows *, const float *, const int8_t *, const float *,
                            size_t, const uint32_t *, size_t, uint32_t *, float *, size_t, drift_scratch *);
void KERNEL(sum_rows)(const float *, size_t, const uint32_t *, const uint32_t *, size_t, double *);
void KERNEL(lut_distances)(const float *, size_t, const uint8_t *, size_t, size_t, float *);
void KERNEL(fast_scan)(const uint8_t *, size_t, const uint8_t *, size_t, size_t, uint16_t *);
void KERNEL(affine_distances)(drift_metric, const float *, const float *, const uint8_t *, size_t, size_t, size_t,
                              float *);
void KERNEL(rotate)(const float *, size_t, size_t, size_t, size_t, const uint32_t *, size_t, float *);
void KERNEL(squared_lengths)(const float *, size_t, size_t, double *);
void KERNEL(normalise)(const float *, size_t, size_t, float *);
int64_t KERNEL(encode_rows)(const float *, size_t, const uint32_t *, size_t, int, float *, const uint32_t *, size_t,
                            const uint32_t *, size_t, const uint32_t *, uint8_t *, float *, drift_scratch *);
int64_t KERNEL(index_search)(const drift_index *, const drift_query *, const float *, drift_scratch *, uint32_t *, float *,
                             drift_effort *);
int64_t KERNEL(index_append)(const drift_index *, const uint32_t *, const uint32_t *, const uint32_t *, size_t,
                             drift_scratch *);
int64_t KERNEL(index_append_tail)(const drift_index *, const float *, const uint32_t *, const uint32_t *, size_t, drift_scratch *);
void KERNEL(index_copy)(const drift_index *, const uint32_t *, const uint32_t *, size_t);
int64_t KERNEL(index_compact)(const drift_index *, const uint32_t *, const uint32_t *, size_t, uint32_t, uint32_t, size_t, uint32_t,
                              size_t, drift_scratch *);
void KERNEL(index_route_entries)(const drift_index *, size_t, size_t);
int64_t KERNEL(index_assign)(const drift_index *, const uint32_t *, size_t, const uint32_t *, size_t, uint32_t *, uint32_t *,
                             drift_scratch *);
int64_t KERNEL(index_near)(const drift_index *, const uint32_t *, size_t, size_t, uint32_t *, drift_scratch *);
int64_t KERNEL(index_halve)(const drift_index *, const uint32_t *, size_t, size_t, float, float, uint32_t *, float *,
                            uint8_t *, drift_scratch *);
int64_t KERNEL(index_neighbours)(const drift_index *, size_t, size_t, size_t, uint32_t *, drift_scratch *);
size_t KERNEL(float_page_encode)(size_t, const void *, size_t, uint8_t *);
int KERNEL(float_page_decode)(size_t, const uint8_t *, size_t, size_t, size_t, size_t, void *);
void KERNEL(bits_pack)(const uint64_t *, size_t, size_t, uint8_t *);
void KERNEL(bits_unpack)(const uint8_t *, size_t, size_t, uint64_t *);
uint32_t KERNEL(crc32c)(const uint8_t *, size_t, uint32_t);

const drift_kernels KERNEL(kernels) = {
    .distances = KERNEL(distances),
    .distances_gather = KERNEL(distances_gather),
    .nearest = KERNEL(nearest),
    .nearest_by_heads = KERNEL(nearest_by_heads),
    .project = KERNEL(project),
    .sum_rows = KERNEL(sum_rows),
    .sq8_encode = KERNEL(sq8_encode),
    .sq8_query = KERNEL(sq8_query),
    .sq8_distances = KERNEL(sq8_distances),
    .sq8_distances_gather = KERNEL(sq8_distances_gather),
    .top_k = KERNEL(top_k),
    .hnsw_insert = KERNEL(hnsw_insert),
    .hnsw_search = KERNEL(hnsw_search),
    .lut_distances = KERNEL(lut_distances),
    .fast_scan = KERNEL(fast_scan),
    .affine_distances = KERNEL(affine_distances),
    .rotate = KERNEL(rotate),
    .squared_lengths = KERNEL(squared_lengths),
    .normalise = KERNEL(normalise),
    .encode_rows = KERNEL(encode_rows),
    .index_search = KERNEL(index_search),
    .index_append = KERNEL(index_append),
    .index_append_tail = KERNEL(index_append_tail),
    .index_copy = KERNEL(index_copy),
    .index_compact = KERNEL(index_compact),
    .index_route_entries = KERNEL(index_route_entries),
    .index_assign = KERNEL(index_assign),
    .index_near = KERNEL(index_near),
    .index_halve = KERNEL(index_halve),
    .index_neighbours = KERNEL(index_neighbours),
    .float_page_encode = KERNEL(float_page_encode),
    .float_page_decode = KERNEL(float_page_decode),
    .bits_pack = KERNEL(bits_pack),
    .bits_unpack = KERNEL(bits_unpack),
    .crc32c = KERNEL(crc32c),
};
