/* harness [--calls N] [--seed N] [--from CASE] [--family NAME]: runs cases until N calls are made, or dies at the first that
 * is wrong, after saying how to run that case again. Case i draws from (seed, i) alone. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"

enum { MOST_FAMILIES = 64 };

static const family *current;
static uint64_t seed = 1, case_number, calls;
static uint64_t calls_of[MOST_FAMILIES][DRIFT_VARIANTS + 1];
static size_t current_index;
static int variant = -1;

static void say_where(void) {
  char text[256];
  int length = snprintf(text, sizeof text, "\nin %s, variant %s: --seed %llu --from %llu --calls 1%s%s\n",
                        current ? current->name : "start", variant >= 0 ? drift_variant_name(variant) : "none",
                        (unsigned long long)seed, (unsigned long long)case_number,
                        current_index >= MOST_FAMILIES ? " --family " : "",
                        current_index >= MOST_FAMILIES ? current->name : "");
  if (write(2, text, (size_t)length) != length) _exit(2);
}

/* The address sanitizer calls back before it ends the program; the other one raises SIGABRT when it is told to. */
void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1"; }

static void on_fault(int number) {
  say_where();
  signal(number, SIG_DFL);
  raise(number);
}

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  say_where();
  exit(1);
}

static void begin_call(int column) {
  memory_check_inputs();
  memory_spoil_outputs();
  calls++;
  if (current_index < MOST_FAMILIES) calls_of[current_index][column]++;
}

const drift_kernels *next_variant(void) {
  while (++variant < DRIFT_VARIANTS) {
    const drift_kernels *kernels = drift_variant(variant);
    if (!kernels) continue;
    begin_call(variant);
    return kernels;
  }
  variant = -1;
  return NULL;
}

void single_build(void) { begin_call(DRIFT_VARIANTS); }

/* Of processor time, as a machine may have other work. No case takes a hundredth of it; an endless loop is a fault like others. */
static const struct itimerval CASE_TIME = {.it_value = {.tv_sec = 30}};

static void run_case(const family *chosen, size_t index) {
  setitimer(ITIMER_PROF, &CASE_TIME, NULL);
  current = chosen;
  current_index = index;
  seed_draws(seed * 0x9e3779b97f4a7c15 + case_number);
  chosen->run();
  memory_check_inputs();
  memory_reset();
}

static const family *by_name(const family *list, const char *name) {
  for (; list->name; list++) {
    if (strcmp(list->name, name) == 0) return list;
  }
  return NULL;
}

static uint64_t number(const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (*end || !(value >= 0 && value < 0x1p53)) {
    fprintf(stderr, "%s is not a whole number\n", text);
    exit(2);
  }
  return (uint64_t)value;
}

static void report(size_t families) {
  printf("%-24s", "family");
  for (int i = 0; i < DRIFT_VARIANTS; i++) {
    if (drift_variant(i)) printf("%12s", drift_variant_name(i));
  }
  printf("%12s\n", "one build");
  for (size_t f = 0; f < families; f++) {
    printf("%-24s", FAMILIES[f].name);
    for (int i = 0; i <= DRIFT_VARIANTS; i++) {
      if (i == DRIFT_VARIANTS || drift_variant(i)) printf("%12llu", (unsigned long long)calls_of[f][i]);
    }
    printf("\n");
  }
  printf("%llu calls, cases to %llu, seed %llu: all right\n", (unsigned long long)calls,
         (unsigned long long)case_number, (unsigned long long)seed);
}

int main(int count, char **arguments) {
  uint64_t wanted = 10000;
  const family *only = NULL;
  for (int i = 1; i + 1 < count; i += 2) {
    const char *option = arguments[i], *value = arguments[i + 1];
    if (strcmp(option, "--calls") == 0) wanted = number(value);
    else if (strcmp(option, "--seed") == 0) seed = number(value);
    else if (strcmp(option, "--from") == 0) case_number = number(value);
    else if (strcmp(option, "--family") == 0 && (only = by_name(FAMILIES, value))) continue;
    else if (strcmp(option, "--family") == 0 && (only = by_name(FAULTS, value))) continue;
    else {
      fprintf(stderr, "%s %s: no such option or family\n", option, value);
      return 2;
    }
  }
  size_t families = 0;
  while (FAMILIES[families].name) families++;
  if (families > MOST_FAMILIES) fail("room for %d families", MOST_FAMILIES);
  signal(SIGABRT, on_fault);
  signal(SIGPROF, on_fault);
  if (__sanitizer_set_death_callback) {
    __sanitizer_set_death_callback(say_where);
  } else {
    for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, 0}; *s; s++) signal(*s, on_fault);
  }
  int is_fault = only && !by_name(FAMILIES, only->name);
  for (; calls < wanted; case_number++) {
    size_t index = only ? (is_fault ? MOST_FAMILIES : (size_t)(only - FAMILIES)) : case_number % families;
    run_case(only ? only : FAMILIES + index, index);
  }
  report(families);
  return 0;
}
