/* load: HTTP requests over many connections of one thread, at a few microseconds each, so that the server is what is measured.
 *
 *   load PORT CONNECTIONS RATE MS TOTAL < requests > answers
 *
 * requests: each a uint32 of its length and its bytes, head and body; sent in turns. RATE 0: a connection has one request under
 * way and sends the next when it has the answer. Else request i is due i / RATE seconds after the start, waits for a
 * connection that is free, and its latency counts from when it was due; the connections are made before, those of the first
 * second are not told of, and time in which this program itself stood still is left out. Ends after MS milliseconds, TOTAL requests
 * (0: no limit) or SIGTERM, when the answers under way have come.
 * answers: seconds and seconds of processor time of this program as two doubles; then for each request a float32 of
 * microseconds and a uint32 of the status, 0 when no answer came. Answers need a content-length. Little-endian, as the machine. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HEAD = 8192, READ_BYTES = 65536, MAX_EVENTS = 256 };
/* How often requests that are due are sent, and how long answers may take once no more requests are sent. */
enum { TICK_NS = 200000, GRACE_MS = 10000 };
/* Who wakes this much too late did not run at all. In seconds. */
static const double STOOD_STILL = 1;
/* A rate that begins finds a server that does not know of it yet, and one that has just got connections is no better. */
static const double UNTOLD = 1;

typedef struct {
  const char *bytes;
  size_t length;
} request;

typedef struct {
  float us;
  uint32_t status;
} answer;

typedef struct {
  /* -1: opened when it is needed. */
  int fd;
  int busy;
  int closes;
  double from;
  const request *sending;
  size_t sent;
  size_t head_length;
  /* Of the answer's body, still to come; -1 while its head is not whole. */
  int64_t left;
  uint32_t status;
  char head[MAX_HEAD];
} connection;

static request *requests;
static size_t request_count;
static answer *answers;
static size_t answer_count, answer_room;
static connection *connections;
static size_t connection_count;
/* Connections that are free, the one used last on top. */
static size_t *idle;
static size_t idle_count;
static struct sockaddr_in server;
static int poller;
static volatile sig_atomic_t stopped;
/* Requests that were due before are not told of. */
static double told_from;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static void read_requests(void) {
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    char *bytes = malloc(length);
    if (!bytes || fread(bytes, 1, length, stdin) != length) fail("requests");
    requests = realloc(requests, (request_count + 1) * sizeof *requests);
    if (!requests) fail("requests");
    requests[request_count++] = (request){bytes, length};
  }
  if (request_count == 0) fail("requests");
}

static void record(double from, uint32_t status) {
  if (from < told_from) return;
  if (answer_count == answer_room) {
    answer_room = answer_room ? 2 * answer_room : 4096;
    answers = realloc(answers, answer_room * sizeof *answers);
    if (!answers) fail("answers");
  }
  answers[answer_count++] = (answer){(float)((now() - from) * 1e6), status};
}

static void open_connection(size_t i) {
  connection *c = &connections[i];
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0) fail("connect");
  if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) fail("nodelay");
  c->closes = 0;
  struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u64 = i}};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll");
}

static void close_connection(connection *c) {
  close(c->fd);
  c->fd = -1;
}

/* The answer came, or will not come. */
static void finish(size_t i, uint32_t status) {
  connection *c = &connections[i];
  record(c->from, status);
  c->busy = 0;
  c->sending = NULL;
  if (status == 0 || c->closes) close_connection(c);
  idle[idle_count++] = i;
}

static void send_more(connection *c) {
  while (c->sending && c->sent < c->sending->length) {
    ssize_t n = send(c->fd, c->sending->bytes + c->sent, c->sending->length - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return; /* full: there will be an event; or broken: reading tells */
    c->sent += (size_t)n;
  }
}

static void start(size_t sent, double from) {
  size_t i = idle[--idle_count];
  connection *c = &connections[i];
  if (c->fd < 0) open_connection(i);
  c->busy = 1;
  c->from = from;
  c->sending = &requests[sent % request_count];
  c->sent = 0;
  c->head_length = 0;
  c->left = -1;
  send_more(c);
}

/* Takes what belongs to the head. @returns how many of the bytes. */
static size_t take_head(connection *c, const char *bytes, size_t count) {
  size_t room = MAX_HEAD - 1 - c->head_length, before = c->head_length;
  size_t copied = count < room ? count : room;
  memcpy(c->head + before, bytes, copied);
  c->head_length += copied;
  c->head[c->head_length] = 0;
  const char *end = strstr(c->head, "\r\n\r\n");
  if (!end) {
    if (c->head_length == MAX_HEAD - 1) fail("an answer's head is too long");
    return copied;
  }
  const char *length = strcasestr(c->head, "\r\ncontent-length:");
  if (!length || length > end) {
    fprintf(stderr, "load: an answer has no content-length\n");
    exit(1);
  }
  const char *connection_field = strcasestr(c->head, "\r\nconnection: close");
  c->closes = connection_field != NULL && connection_field < end;
  c->status = (uint32_t)strtoul(c->head + sizeof "HTTP/1.1", NULL, 10);
  c->left = strtoll(length + sizeof "\r\ncontent-length:" - 1, NULL, 10);
  return (size_t)(end + 4 - c->head) - before;
}

static void receive(size_t i) {
  static char bytes[READ_BYTES];
  connection *c = &connections[i];
  while (c->fd >= 0) {
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (!c->busy) {
      /* The end of it, or an answer that says so. */
      close_connection(c);
      return;
    }
    if (n <= 0) {
      finish(i, 0);
      return;
    }
    size_t taken = c->left < 0 ? take_head(c, bytes, (size_t)n) : 0;
    if (c->left < 0) continue;
    c->left -= (int64_t)((size_t)n - taken);
    if (c->left < 0) fail("more bytes than content-length says");
    if (c->left == 0) {
      finish(i, c->status);
      return; /* one request at a time: there is nothing behind its answer but the end of the connection */
    }
    if ((size_t)n < sizeof bytes) return;
  }
}

static int start_ticks(void) {
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
  struct epoll_event event = {EPOLLIN, {.u64 = UINT64_MAX}};
  if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) != 0) fail("timer");
  if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event) != 0) fail("epoll");
  return timer;
}

static void wait_for_answers(int timer) {
  struct epoll_event events[MAX_EVENTS];
  int count = epoll_wait(poller, events, MAX_EVENTS, 100);
  if (count < 0 && errno != EINTR) fail("epoll");
  for (int e = 0; e < count; e++) {
    if (events[e].data.u64 == UINT64_MAX) {
      uint64_t ticks;
      if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("timer");
      continue;
    }
    size_t i = events[e].data.u64;
    if (events[e].events & EPOLLOUT) send_more(&connections[i]);
    if (events[e].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) receive(i);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: load PORT CONNECTIONS RATE MS TOTAL < requests > answers\n");
    return 2;
  }
  server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection_count = (size_t)atoi(argv[2]);
  double rate = atof(argv[3]), seconds = atof(argv[4]) / 1000;
  size_t total = strtoull(argv[5], NULL, 10), sent = 0;
  signal(SIGTERM, stop);
  read_requests();
  poller = epoll_create1(0);
  connections = calloc(connection_count, sizeof *connections);
  idle = calloc(connection_count, sizeof *idle);
  if (poller < 0 || !connections || !idle) fail("connections");
  for (size_t i = connection_count; i-- > 0;) {
    connections[i].fd = -1;
    idle[idle_count++] = i;
  }
  int timer = -1;
  if (rate > 0) {
    told_from = now() + 1e9;
    for (size_t i = 0; i < connection_count; i++) start(i, 0);
    while (idle_count < connection_count) wait_for_answers(timer);
    usleep((useconds_t)(UNTOLD * 1e6));
    timer = start_ticks();
  }
  double begun = now(), last_sent = begun, last = begun;
  told_from = rate > 0 ? begun + UNTOLD : 0;
  for (;;) {
    double at = now();
    if (at - last > STOOD_STILL) begun += at - last;
    last = at;
    int ended = stopped || (total > 0 && sent >= total) || (seconds > 0 && at - begun >= seconds);
    while (!ended && idle_count > 0) {
      double due = rate > 0 ? begun + (double)sent / rate : at;
      if (due > at || (total > 0 && sent >= total)) break;
      start(sent++, rate > 0 ? due : now());
      last_sent = at;
    }
    if (ended && (idle_count == connection_count || at - last_sent > GRACE_MS / 1e3)) break;
    wait_for_answers(timer);
  }
  double wall = now() - (rate > 0 ? told_from : begun);
  for (size_t i = 0; i < connection_count; i++) {
    if (connections[i].busy) record(connections[i].from, 0);
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
  fwrite(&wall, sizeof wall, 1, stdout);
  fwrite(&cpu, sizeof cpu, 1, stdout);
  fwrite(answers, sizeof *answers, answer_count, stdout);
  return 0;
}
