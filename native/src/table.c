/* The kernels of one ISA as one table. */
#include "isa.h"

void KERNEL(distances)(drift_metric, const float *, const float *, size_t, size_t, size_t, float *);
void KERNEL(distances_gather)(drift_metric, const float *, const float *, size_t, const uint32_t *, size_t, float *);
void KERNEL(nearest)(const float *, size_t, const uint32_t *, size_t, const float *, size_t, uint32_t *, float *);
void KERNEL(sq8_encode)(const float *, size_t, size_t, size_t, uint8_t *, float *);
void KERNEL(sq8_query)(const float *, size_t, int8_t *, float *);
void KERNEL(sq8_distances)(drift_metric, const int8_t *, const float *, const uint8_t *, const float *, size_t, size_t,
                           size_t, float *);
void KERNEL(sq8_distances_gather)(drift_metric, const int8_t *, const float *, const uint8_t *, const float *, size_t,
                                  const uint32_t *, size_t, float *);
size_t KERNEL(top_k)(const float *, size_t, size_t, uint32_t *, float *);
int64_t KERNEL(hnsw_insert)(uint32_t *, drift_metric, const float *, size_t, size_t, size_t, drift_scratch *);
int64_t KERNEL(hnsw_search)(uint32_t *, drift_metric, const float *, size_t, size_t, const float *, size_t,
                            const uint32_t *, size_t, uint32_t *, float *, size_t, drift_scratch *);
size_t KERNEL(float_page_encode)(size_t, const void *, size_t, uint8_t *);
int KERNEL(float_page_decode)(size_t, const uint8_t *, size_t, size_t, size_t, size_t, void *);
void KERNEL(bits_pack)(const uint64_t *, size_t, size_t, uint8_t *);
void KERNEL(bits_unpack)(const uint8_t *, size_t, size_t, uint64_t *);

const drift_kernels KERNEL(kernels) = {
    .distances = KERNEL(distances),
    .distances_gather = KERNEL(distances_gather),
    .nearest = KERNEL(nearest),
    .sq8_encode = KERNEL(sq8_encode),
    .sq8_query = KERNEL(sq8_query),
    .sq8_distances = KERNEL(sq8_distances),
    .sq8_distances_gather = KERNEL(sq8_distances_gather),
    .top_k = KERNEL(top_k),
    .hnsw_insert = KERNEL(hnsw_insert),
    .hnsw_search = KERNEL(hnsw_search),
    .float_page_encode = KERNEL(float_page_encode),
    .float_page_decode = KERNEL(float_page_decode),
    .bits_pack = KERNEL(bits_pack),
    .bits_unpack = KERNEL(bits_unpack),
};
