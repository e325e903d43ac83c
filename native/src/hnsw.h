/* Words of the graph that lib/hnsw.ts lays out and draws; the two files change together. */
#ifndef DRIFT_HNSW_H
#define DRIFT_HNSW_H

enum {
  HNSW_CAPACITY = 1,
  HNSW_M = 2,
  HNSW_EF_CONSTRUCTION = 3,
  HNSW_WORDS = 5,
  HNSW_LINKED = 16,
  HNSW_ENTRY = 17,
  HNSW_ROWS = 32,
  HNSW_MAX_M = 256
};

#endif
