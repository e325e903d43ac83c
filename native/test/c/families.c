/* Every family. What is not here is not tested at its edges; the report of main.c counts the calls of each. */
#include "harness.h"

void run_distances(void);
void run_nearest(void);
void run_sq8_encode(void);
void run_sq8_distances(void);
void run_top_k(void);
void run_rotate(void);
void run_squared_lengths(void);
void run_normalise(void);
void run_encode_rows(void);
void run_index(void);
void run_lut_distances(void);
void run_fast_scan(void);
void run_affine_distances(void);
void run_hnsw(void);
void run_checksums(void);
void run_nearest_by_heads(void);
void run_project(void);
void run_sum_rows(void);
void run_float_pages(void);
void run_damaged_pages(void);
void run_bits(void);

const family FAMILIES[] = {
    {"distances", run_distances},
    {"nearest", run_nearest},
    {"sq8_encode", run_sq8_encode},
    {"sq8_distances", run_sq8_distances},
    {"top_k", run_top_k},
    {"rotate", run_rotate},
    {"squared_lengths", run_squared_lengths},
    {"normalise", run_normalise},
    {"encode_rows", run_encode_rows},
    {"index", run_index},
    {"lut_distances", run_lut_distances},
    {"fast_scan", run_fast_scan},
    {"affine_distances", run_affine_distances},
    {"hnsw", run_hnsw},
    {"checksums", run_checksums},
    {"nearest_by_heads", run_nearest_by_heads},
    {"project", run_project},
    {"sum_rows", run_sum_rows},
    {"float_pages", run_float_pages},
    {"damaged_pages", run_damaged_pages},
    {"bits", run_bits},
    {NULL, NULL},
};
