// The protocol: the server's hello, a cycle of requests, and their expected replies.
#pragma once
#include "figures.h"

struct script {
  const char *hello;
  size_t hello_size;
  size_t count;  // requests before they begin again
  size_t request_size, reply_size;
  char *requests, *replies;  // `count` of them, one after the other
};

static char random_letter(void) {
  static uint64_t state = 88172645463325252u;  // xorshift64
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (char)('a' + state % 26);
}

static void write_request(char *at, size_t size, const char *service) {
  size_t from = 0;
  if (strcmp(service, "frames") == 0) {
    size_t length = size - 4;
    for (; from < 4; from++) at[from] = (char)(length >> (24 - 8 * from));
  }
  for (; from < size; from++) at[from] = random_letter();
  if (strcmp(service, "lines") == 0) at[size - 1] = '\n';
}

// `service` is one of echo, lines, frames, greeting, broadcast; `size` is that of a request.
static struct script write_script(const char *service, size_t size) {
  int greets = strcmp(service, "greeting") == 0;
  const char *before = greets ? "hello, " : "", *after = greets ? "!" : "";
  struct script script = {.hello = "", .request_size = size};
  if (greets || strcmp(service, "broadcast") == 0) script.hello = "welcome!";
  script.hello_size = strlen(script.hello);
  script.reply_size = strlen(before) + size + strlen(after);
  script.count = size < 4096 ? 65536 / size : 16;
  script.requests = malloc(script.count * script.request_size);
  script.replies = malloc(script.count * script.reply_size);
  for (size_t i = 0; i < script.count; i++) {
    char *request = script.requests + i * script.request_size;
    char *reply = script.replies + i * script.reply_size;
    write_request(request, size, service);
    memcpy(reply, before, strlen(before));
    memcpy(reply + strlen(before), request, size);
    memcpy(reply + strlen(before) + size, after, strlen(after));
  }
  return script;
}
