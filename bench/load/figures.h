// What is measured: clocks, a histogram of latencies, and the line of JSON that reports them.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAIL(...) (fprintf(stderr, "load: " __VA_ARGS__), fputc('\n', stderr), exit(1))

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint64_t now(void) { return nanoseconds(CLOCK_MONOTONIC); }

// The user and system time of all threads of a process, including those that have ended. It is what fields 14 and 15 of
// /proc/PID/stat say, which are rounded to 10 ms.
static uint64_t own_cpu_time(int pid) {
  clockid_t clock;
  if (clock_getcpuclockid(pid, &clock) != 0) FAIL("there is no process %d", pid);
  return nanoseconds(clock);
}

// The same with the processes that it has started, and theirs.
static uint64_t cpu_time(int pid) {
  uint64_t total = own_cpu_time(pid);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
  FILE *children = fopen(path, "r");
  if (children == NULL) return total; // this kernel does not tell
  for (int child; fscanf(children, "%d", &child) == 1;) total += cpu_time(child);
  fclose(children);
  return total;
}

// Buckets of 1/64 of a power of two each, so that latencies are exact to 1.6 %.
enum { STEPS = 64, BUCKETS = 48 * STEPS };

struct histogram {
  uint64_t counts[BUCKETS];
  uint64_t total;
};

static void record(struct histogram *histogram, uint64_t value) {
  if (value < STEPS) value = STEPS;
  int power = 63 - __builtin_clzll(value) - 6;
  int bucket = power * STEPS + (int)(value >> power);
  histogram->counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
  histogram->total++;
}

// The latency that this share of all is not over, in microseconds: the middle of its bucket.
static double percentile(const struct histogram *histogram, double share) {
  uint64_t wanted = (uint64_t)(share * (double)histogram->total);
  uint64_t seen = 0;
  for (int bucket = STEPS; bucket < BUCKETS; bucket++) {
    seen += histogram->counts[bucket];
    if (seen <= wanted) continue;
    int power = bucket / STEPS - 1;
    return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(1ull << power) / 1000;
  }
  return 0;
}

struct sample {
  uint64_t at, server_cpu, own_cpu;
};

static struct sample take_sample(int pid) {
  struct sample sample = {now(), cpu_time(pid), nanoseconds(CLOCK_PROCESS_CPUTIME_ID)};
  return sample;
}

static void tell(struct sample from, struct sample to, uint64_t units, const struct histogram *h) {
  printf(
      "{\"units\":%llu,\"seconds\":%.9f,\"serverSeconds\":%.9f,\"loadSeconds\":%.9f,"
      "\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f}\n",
      (unsigned long long)units, (double)(to.at - from.at) / 1e9,
      (double)(to.server_cpu - from.server_cpu) / 1e9, (double)(to.own_cpu - from.own_cpu) / 1e9,
      percentile(h, 0.5), percentile(h, 0.99), percentile(h, 0.999));
  fflush(stdout);
}
