// The same in C on epoll, in one thread: close to the minimum that a server can take.
//
//     epoll SERVICE PORT

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
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT = 64 * 1024, OUTPUT = 2 * INPUT, MAX_MESSAGE = 64 * 1024, EVENTS = 256 };

struct peer {
  int fd;
  char *rest;  // a message that has not come whole
  size_t rest_size;
  char *unsent;
  size_t unsent_size;
  struct peer *previous, *next;
};

static int epoll;
static char input[MAX_MESSAGE + INPUT], output[OUTPUT];
static struct peer subscribers = {.previous = &subscribers, .next = &subscribers};

static void watch(struct peer *peer, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  epoll_ctl(epoll, operation, peer->fd, &event);
}

static void keep(char **kept, size_t *kept_size, const char *data, size_t size) {
  char *copy = size > 0 ? malloc(size) : NULL;
  if (size > 0) memcpy(copy, data, size);
  free(*kept);
  *kept = copy;
  *kept_size = size;
}

// Bytes that the connection does not take are kept. While there are some, nothing more is read.
static void say(struct peer *peer, const char *data, size_t size) {
  if (size == 0 || peer->unsent_size > 0) return;
  ssize_t count = send(peer->fd, data, size, MSG_NOSIGNAL);
  if (count < 0) count = errno == EAGAIN ? 0 : (ssize_t)size;
  if ((size_t)count == size) return;
  keep(&peer->unsent, &peer->unsent_size, data + count, size - (size_t)count);
  watch(peer, EPOLL_CTL_MOD, EPOLLOUT);
}

static void say_unsent(struct peer *peer) {
  ssize_t count = send(peer->fd, peer->unsent, peer->unsent_size, MSG_NOSIGNAL);
  if (count < 0) return;
  keep(&peer->unsent, &peer->unsent_size, peer->unsent + count, peer->unsent_size - (size_t)count);
  if (peer->unsent_size == 0) watch(peer, EPOLL_CTL_MOD, EPOLLIN);
}

static size_t line_size(const char *data, size_t size) {
  const char *end = memchr(data, '\n', size);
  return end == NULL ? 0 : (size_t)(end - data) + 1;
}

static size_t frame_size(const char *data, size_t size) {
  uint32_t length;
  if (size < sizeof length) return 0;
  memcpy(&length, data, sizeof length);
  size_t whole = sizeof length + ntohl(length);
  return size < whole ? 0 : whole;
}

// Answers each message with itself, and all of them in one write.
static void answer(struct peer *peer, size_t size, size_t (*size_of)(const char *, size_t)) {
  size_t at = 0, written = 0;
  for (size_t next; (next = size_of(input + at, size - at)) > 0; at += next) {
    memcpy(output + written, input + at, next);
    written += next;
  }
  if (size > at || peer->rest_size > 0) keep(&peer->rest, &peer->rest_size, input + at, size - at);
  say(peer, output, written);
}

static void lines(struct peer *peer, size_t size) { answer(peer, size, line_size); }

static void frames(struct peer *peer, size_t size) { answer(peer, size, frame_size); }

static void echo(struct peer *peer, size_t size) { say(peer, input, size); }

static void greeting(struct peer *peer, size_t size) {
  int length = snprintf(output, OUTPUT, "hello, %.*s!", (int)size, input);
  say(peer, output, (size_t)length);
}

static void broadcast(struct peer *peer, size_t size) {
  (void)peer;
  for (struct peer *to = subscribers.next; to != &subscribers; to = to->next) say(to, input, size);
}

static const struct service {
  const char *name;
  void (*on_input)(struct peer *, size_t);
  const char *hello;
} services[] = {
    {"echo", echo, ""},
    {"lines", lines, ""},
    {"frames", frames, ""},
    {"greeting", greeting, "welcome!"},
    {"broadcast", broadcast, "welcome!"},
};

static void welcome(int listener, const struct service *service) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct peer *peer = calloc(1, sizeof *peer);
  *peer = (struct peer){.fd = fd, .previous = &subscribers, .next = subscribers.next};
  peer->previous->next = peer->next->previous = peer;
  watch(peer, EPOLL_CTL_ADD, EPOLLIN);
  say(peer, service->hello, strlen(service->hello));
}

static void hear(struct peer *peer, const struct service *service) {
  size_t rest = peer->rest_size;
  if (rest > MAX_MESSAGE) rest = 0;
  if (rest > 0) memcpy(input, peer->rest, rest);
  ssize_t count = recv(peer->fd, input + rest, INPUT, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count > 0) {
    service->on_input(peer, rest + (size_t)count);
    return;
  }
  peer->previous->next = peer->next;
  peer->next->previous = peer->previous;
  close(peer->fd);
  free(peer->rest);
  free(peer->unsent);
  free(peer);
}

int main(int count, char **arguments) {
  const struct service *service = services;
  if (count != 3) return 2;
  while (strcmp(service->name, arguments[1]) != 0) service++;
  signal(SIGUSR2, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 511) != 0) {
    perror("epoll");
    return 1;
  }
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct peer door = {.fd = listener};
  watch(&door, EPOLL_CTL_ADD, EPOLLIN);
  for (struct epoll_event events[EVENTS];;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (peer == &door) welcome(listener, service);
      else if (peer->unsent_size > 0) say_unsent(peer);
      else hear(peer, service);
    }
  }
}
