/* Preloaded into a process: writes down, in order, every change that it asks of the file system below one folder, every
 * sync that came back, and everything it prints. Replayed up to any point (trace.ts), that is what stable storage has to
 * hold there, and may hold. Calls that would change a file unseen end the process.
 *
 * DRIFT_TRACE_FOLDER: the folder, absolute. DRIFT_TRACE_FILE: an existing empty file outside it.
 *
 * A record is u32 kind, i32 number, u64 offset, u32 n, u32 m, then n and m bytes: two paths, or what was written. One lock
 * is held from before a call to after its record, so that the order of records is the order of calls; a sync's record is
 * written only after it succeeded. The process dies by SIGKILL when its standard input ends, and with that lock held, so that
 * nothing is done and not recorded. The trace needs no sync: the machine lives on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENED = 1, CLOSED, WROTE, SIZED, SYNCED, RENAMED, LINKED, REMOVED, FOLDER_MADE, PRINTED };

typedef struct {
  uint32_t kind;
  int32_t number;
  uint64_t offset;
  uint32_t first, second;
} record;

#define DESCRIPTORS 4096
static uint8_t watched[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void *die_at_end_of_input(void *input) {
  struct pollfd wait = {(int)(intptr_t)input, POLLIN, 0};
  while (poll(&wait, 1, -1) < 1) continue;
  pthread_mutex_lock(&lock);
  kill(getpid(), SIGKILL);
  return NULL;
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("DRIFT_TRACE_FILE");
  folder = getenv("DRIFT_TRACE_FOLDER");
  if (!path || !folder) return;
  folder_length = strlen(folder);
  trace = REAL(open)(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  pthread_t watcher;
  if (trace < 0 || input < 0 || pthread_create(&watcher, NULL, die_at_end_of_input, (void *)(intptr_t)input) != 0) _exit(70);
}

static void fail(const char *what) {
  fprintf(stderr, "shim: %s is not traced\n", what);
  _exit(70);
}

static void put(int kind, int number, uint64_t offset, const void *first, size_t n, const char *second) {
  size_t m = second ? strlen(second) : 0;
  record head = {kind, number, offset, n, m};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)first, n}, {(void *)second, m}};
  size_t all = sizeof head + n + m;
  static ssize_t (*real)(int, const struct iovec *, int);
  if (!real) real = REAL(writev);
  if (real(trace, parts, 3) != (ssize_t)all) fail("a record that the disk does not take");
}

static int inside(const char *path) {
  if (trace < 0 || !path) return 0;
  if (path[0] != '/') {
    char here[PATH_MAX];
    if (getcwd(here, sizeof here) && strncmp(here, folder, folder_length) == 0) fail("a relative path");
    return 0;
  }
  return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == 0 || path[folder_length] == '/');
}

static int is_watched(int fd) { return trace >= 0 && fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

static int opened(const char *path, int flags, int fd) {
  if (fd < 0 || fd == trace) return fd;
  if (fd >= DESCRIPTORS) fail("a descriptor that is so high");
  watched[fd] = 1;
  put(OPENED, fd, flags & O_CREAT ? 1 : 0, path, strlen(path), NULL);
  return fd;
}

/* Cutting by opening would be a change without a record; a file that is new has nothing to cut. */
#define OPEN(name, ...)                                                                                                 \
  mode_t mode = 0;                                                                                                      \
  if (flags & (O_CREAT | __O_TMPFILE)) {                                                                                \
    va_list rest;                                                                                                       \
    va_start(rest, flags);                                                                                              \
    mode = va_arg(rest, mode_t);                                                                                        \
    va_end(rest);                                                                                                       \
  }                                                                                                                     \
  if (!inside(path)) return REAL(name)(__VA_ARGS__, flags, mode);                                                       \
  if (flags & O_TRUNC && !(flags & O_EXCL)) fail("O_TRUNC");                                                                               \
  pthread_mutex_lock(&lock);                                                                                            \
  int fd = opened(path, flags, REAL(name)(__VA_ARGS__, flags, mode));                                                   \
  pthread_mutex_unlock(&lock);                                                                                          \
  return fd

int open(const char *path, int flags, ...) { OPEN(open, path); }
int open64(const char *path, int flags, ...) { OPEN(open64, path); }
int openat(int at, const char *path, int flags, ...) { OPEN(openat, at, path); }
int openat64(int at, const char *path, int flags, ...) { OPEN(openat64, at, path); }

int close(int fd) {
  if (!is_watched(fd)) return REAL(close)(fd);
  pthread_mutex_lock(&lock);
  watched[fd] = 0;
  put(CLOSED, fd, 0, NULL, 0, NULL);
  int result = REAL(close)(fd);
  pthread_mutex_unlock(&lock);
  return result;
}

/* libuv closes files by number of the call. A close that is missed leaves the number watched, and the next pipe that gets it is
 * taken for a file of the folder. Rings would change files unseen, so there are none: libuv goes on with threads. */
long syscall(long number, ...) {
  long given[6];
  va_list rest;
  va_start(rest, number);
  for (int i = 0; i < 6; i++) given[i] = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_close) return close((int)given[0]);
  if (trace >= 0 && number == SYS_io_uring_setup) {
    errno = ENOSYS;
    return -1;
  }
  return REAL(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

/* Writes without an offset: what is printed. Of a pipe the record comes first, so that no reader knows more than the trace. */
ssize_t write(int fd, const void *bytes, size_t n) {
  if (is_watched(fd)) fail("a write without an offset");
  if (trace >= 0 && fd == STDOUT_FILENO) put(PRINTED, fd, 0, bytes, n, NULL);
  return REAL(write)(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (is_watched(fd)) fail("a write without an offset");
  if (trace >= 0 && fd == STDOUT_FILENO)
    for (int i = 0; i < count; i++) put(PRINTED, fd, 0, parts[i].iov_base, parts[i].iov_len, NULL);
  return REAL(writev)(fd, parts, count);
}

#define PWRITE(name)                                                                                                    \
  if (!is_watched(fd)) return REAL(name)(fd, bytes, n, offset);                                                         \
  pthread_mutex_lock(&lock);                                                                                            \
  ssize_t done = REAL(name)(fd, bytes, n, offset);                                                                      \
  if (done > 0) put(WROTE, fd, offset, bytes, done, NULL);                                                              \
  pthread_mutex_unlock(&lock);                                                                                          \
  return done

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) { PWRITE(pwrite); }
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) { PWRITE(pwrite64); }

#define PWRITEV(name)                                                                                                   \
  if (!is_watched(fd)) return REAL(name)(fd, parts, count, offset);                                                     \
  pthread_mutex_lock(&lock);                                                                                            \
  ssize_t done = REAL(name)(fd, parts, count, offset), left = done;                                                     \
  for (int i = 0; i < count && left > 0; i++) {                                                                         \
    size_t n = (size_t)left < parts[i].iov_len ? (size_t)left : parts[i].iov_len;                                       \
    put(WROTE, fd, offset + (done - left), parts[i].iov_base, n, NULL);                                                 \
    left -= n;                                                                                                          \
  }                                                                                                                     \
  pthread_mutex_unlock(&lock);                                                                                          \
  return done

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { PWRITEV(pwritev); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { PWRITEV(pwritev64); }

#define BY_DESCRIPTOR(name, record_kind, record_offset, ...)                                                            \
  if (!is_watched(fd)) return REAL(name)(__VA_ARGS__);                                                                  \
  pthread_mutex_lock(&lock);                                                                                            \
  int result = REAL(name)(__VA_ARGS__);                                                                                 \
  if (result == 0) put(record_kind, fd, record_offset, NULL, 0, NULL);                                                  \
  pthread_mutex_unlock(&lock);                                                                                          \
  return result

int ftruncate(int fd, off_t bytes) { BY_DESCRIPTOR(ftruncate, SIZED, bytes, fd, bytes); }
int ftruncate64(int fd, off64_t bytes) { BY_DESCRIPTOR(ftruncate64, SIZED, bytes, fd, bytes); }
int fsync(int fd) { BY_DESCRIPTOR(fsync, SYNCED, 0, fd); }
int fdatasync(int fd) { BY_DESCRIPTOR(fdatasync, SYNCED, 0, fd); }

#define BY_PATH(name, record_kind, from, to, ...)                                                                       \
  if (!inside(from) && !inside(to)) return REAL(name)(__VA_ARGS__);                                                     \
  pthread_mutex_lock(&lock);                                                                                            \
  int result = REAL(name)(__VA_ARGS__);                                                                                 \
  if (result == 0) put(record_kind, 0, 0, from, strlen(from), to);                                                      \
  pthread_mutex_unlock(&lock);                                                                                          \
  return result

int rename(const char *from, const char *to) { BY_PATH(rename, RENAMED, from, to, from, to); }
int link(const char *from, const char *to) { BY_PATH(link, LINKED, from, to, from, to); }
int unlink(const char *path) { BY_PATH(unlink, REMOVED, path, NULL, path); }
int rmdir(const char *path) { BY_PATH(rmdir, REMOVED, path, NULL, path); }
int mkdir(const char *path, mode_t mode) { BY_PATH(mkdir, FOLDER_MADE, path, NULL, path, mode); }

/* Nobody uses these here; whoever does one day is told. */
#define NEVER(type, name, parameters, ...)                                                                              \
  type name parameters {                                                                                                \
    if (is_watched(fd)) fail(#name);                                                                                    \
    return REAL(name)(__VA_ARGS__);                                                                                     \
  }
NEVER(int, fallocate, (int fd, int mode, off_t at, off_t n), fd, mode, at, n)
NEVER(int, fallocate64, (int fd, int mode, off64_t at, off64_t n), fd, mode, at, n)
NEVER(int, posix_fallocate, (int fd, off_t at, off_t n), fd, at, n)
NEVER(int, posix_fallocate64, (int fd, off64_t at, off64_t n), fd, at, n)
NEVER(ssize_t, copy_file_range, (int in, off64_t *at, int fd, off64_t *to, size_t n, unsigned flags), in, at, fd, to, n, flags)
NEVER(ssize_t, sendfile, (int fd, int in, off_t *at, size_t n), fd, in, at, n)
NEVER(ssize_t, sendfile64, (int fd, int in, off64_t *at, size_t n), fd, in, at, n)
NEVER(int, dup, (int fd), fd)
