// The protocol: the server's hello, a cycle of requests, and their expected replies.
#pragma once
#include "figures.h"

struct script {
  const char *opening;  // what a client says first
  size_t opening_size;
  const char *hello;
  size_t hello_size;
  // Where one client publishes to all others and hears nothing itself: how much of both is for that one.
  size_t publisher_opening_size, publisher_hello_size;
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

#define MQTT_CONNECT "\x10\x0c\0\4MQTT\4\2\0\0\0\0"
#define MQTT_SUBSCRIBE "\x82\x0a\0\1\0\5bench\0"
#define MQTT_CONNACK "\x20\2\0\0"
#define MQTT_SUBACK "\x90\3\0\1\0"

// A PUBLISH in QoS 0, of `size` bytes without the payload yet. Returns where that begins.
static size_t write_publish(char *at, size_t size) {
  size_t from = 0, left = size < 130 ? size - 2 : size - 3;
  at[from++] = 0x30;
  if (size < 130) at[from++] = (char)left;
  else {
    at[from++] = (char)(left % 128 + 128);
    at[from++] = (char)(left / 128);
  }
  memcpy(at + from, "\0\5bench", 7);
  return from + 7;
}

static void write_request(char *at, size_t size, const char *service) {
  size_t from = strcmp(service, "mqtt") == 0 ? write_publish(at, size) : 0;
  if (strcmp(service, "frames") == 0) {
    size_t length = size - 4;
    for (; from < 4; from++) at[from] = (char)(length >> (24 - 8 * from));
  }
  for (; from < size; from++) at[from] = random_letter();
  if (strcmp(service, "lines") == 0) at[size - 1] = '\n';
}

// `service` is one of echo, lines, frames, greeting, broadcast, mqtt; `size` is that of a request.
static struct script write_script(const char *service, size_t size) {
  int greets = strcmp(service, "greeting") == 0;
  const char *before = greets ? "hello, " : "", *after = greets ? "!" : "";
  struct script script = {.opening = "", .hello = "", .request_size = size};
  if (greets || strcmp(service, "broadcast") == 0) script.hello = "welcome!";
  script.hello_size = script.publisher_hello_size = strlen(script.hello);
  if (strcmp(service, "mqtt") == 0) {
    script.opening = MQTT_CONNECT MQTT_SUBSCRIBE;
    script.opening_size = sizeof MQTT_CONNECT MQTT_SUBSCRIBE - 1;
    script.publisher_opening_size = sizeof MQTT_CONNECT - 1;
    script.hello = MQTT_CONNACK MQTT_SUBACK;
    script.hello_size = sizeof MQTT_CONNACK MQTT_SUBACK - 1;
    script.publisher_hello_size = sizeof MQTT_CONNACK - 1;
  }
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
