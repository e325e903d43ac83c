/* The end of a thread's scratch; hnsw.c and arena.h grow it. */
#include <stdlib.h>

#include "kernels.h"

void drift_scratch_free(drift_scratch *scratch) {
  free(scratch->stamps);
  free(scratch->waiting);
  free(scratch->beam);
  free(scratch->arena);
}
