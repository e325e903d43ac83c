/* Services of the system that Node lacks. */
#ifndef DRIFT_SYSTEM_H
#define DRIFT_SYSTEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Advisory lock of a whole file, held by the open file description: the kernel frees it when the last descriptor
 * closes, also after kill -9. Returns 0 or errno (EWOULDBLOCK when another holds it and wait is 0). */
int drift_flock(int fd, int exclusive, int wait);

/* Ask for 2 MiB pages for the aligned inside of the range; a hint, so it cannot fail. Linux only. */
void drift_advise_huge_pages(void *start, size_t bytes);

/* Have the system put memory behind every page of the range now. What others write there meanwhile stays. */
void drift_touch(void *start, size_t bytes);

/* Let another thread that waits for this processor run first. */
void drift_give_way(void);

#ifdef __cplusplus
}
#endif
#endif
