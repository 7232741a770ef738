// One client: asks, and checks every byte that it hears.
#pragma once
#include <sys/epoll.h>
#include "channel.h"
#include "script.h"

enum { MAX_DEPTH = 256 };

enum state {
  AWAY,      // not connected
  ENTERING,  // while TLS shakes hands, and the server's hello comes
  TALKING,
  LEAVING,  // has said all, and waits for the server to finish
};

struct client {
  struct channel channel;
  enum state state;
  int shaken;               // whether TLS has nothing left to agree on
  int is_known;             // whether it was asked for the first time
  int is_blocked;           // whether the events are asked for that tell of room to write
  size_t hello_at;          // how much of the hello was heard
  size_t hello_size;        // and how much there is for this client
  size_t send_at, hear_at;  // positions on the tapes of requests and replies
  size_t unsent;            // bytes of requests that are to go out
  size_t heard;             // bytes of the reply that is under way
  unsigned waiting;         // requests without a reply
  unsigned oldest;          // where in `asked_at` the oldest of them is
  uint64_t *asked_at;       // when, of the requests without a reply
  uint64_t entered_at;
};

// What all clients share.
static struct {
  int epoll;
  int port, tls;
  unsigned depth;
  struct script script;
  struct histogram latencies;
  unsigned outstanding;  // requests of all clients without a reply
  uint64_t replies;
  char buffer[256 * 1024];
} load;

static void watch(struct client *client, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = client};
  epoll_ctl(load.epoll, operation, client->channel.fd, &event);
}

// Connects. Returns whether the client can be asked at once. `first` is the request that it begins with.
static int enter(struct client *client, unsigned number, size_t first) {
  *client = (struct client){
      .send_at = first * load.script.request_size,
      .hear_at = first * load.script.reply_size,
      .asked_at = client->asked_at,
      .entered_at = now(),
      .shaken = !load.tls,
      .hello_size = number == 0 ? load.script.publisher_hello_size : load.script.hello_size,
  };
  size_t opening = number == 0 ? load.script.publisher_opening_size : load.script.opening_size;
  client->state = load.tls || load.script.hello_size > 0 ? ENTERING : TALKING;
  client->channel = open_channel(load.port, number, load.tls);
  watch(client, EPOLL_CTL_ADD, EPOLLIN | (load.tls ? EPOLLOUT : 0));
  if (opening > 0 && transmit(&client->channel, load.script.opening, opening) != (ssize_t)opening) {
    FAIL("a client could not open");
  }
  return client->state == TALKING;
}

static void transmit_unsent(struct client *client) {
  size_t tape = load.script.count * load.script.request_size;
  int must_wait = 0;
  while (client->unsent > 0 && !must_wait) {
    size_t size = tape - client->send_at < client->unsent ? tape - client->send_at : client->unsent;
    ssize_t count = transmit(&client->channel, load.script.requests + client->send_at, size);
    if (count == LOST) FAIL("a connection was lost: %s", strerror(errno));
    must_wait = count == NOT_NOW;
    if (must_wait) break;
    client->unsent -= (size_t)count;
    client->send_at = (client->send_at + (size_t)count) % tape;
  }
  if (must_wait != client->is_blocked) {
    client->is_blocked = must_wait;
    watch(client, EPOLL_CTL_MOD, EPOLLIN | (must_wait ? EPOLLOUT : 0));
  }
}

// Expects so many replies more.
static void expect(struct client *client, unsigned count, uint64_t since) {
  for (unsigned i = 0; i < count; i++) {
    client->asked_at[(client->oldest + client->waiting++) % load.depth] = since;
  }
  load.outstanding += count;
}

static void say(struct client *client, unsigned count) {
  client->unsent += count * load.script.request_size;
  transmit_unsent(client);
}

static void ask(struct client *client, unsigned count, uint64_t since) {
  if (count == 0) return;
  expect(client, count, since);
  say(client, count);
}

static void check(const char *got, const char *wanted, size_t size) {
  if (memcmp(got, wanted, size) == 0) return;
  size_t at = 0;
  while (got[at] == wanted[at]) at++;
  FAIL("a reply is wrong: wanted %.*s, got %.*s", (int)(size - at < 40 ? size - at : 40),
       wanted + at, (int)(size - at < 40 ? size - at : 40), got + at);
}

static void count_replies(struct client *client, size_t bytes) {
  uint64_t at = now();
  for (client->heard += bytes; client->heard >= load.script.reply_size && client->waiting > 0;) {
    client->heard -= load.script.reply_size;
    record(&load.latencies, at - client->asked_at[client->oldest]);
    client->oldest = (client->oldest + 1) % load.depth;
    client->waiting--;
    load.outstanding--;
    load.replies++;
  }
}

static void check_input(struct client *client, const char *input, size_t size) {
  size_t rest = client->hello_size - client->hello_at;
  size_t hello = size < rest ? size : rest;
  check(input, load.script.hello + client->hello_at, hello);
  client->hello_at += hello;
  input += hello;
  size -= hello;
  size_t tape = load.script.count * load.script.reply_size;
  for (size_t left = size; left > 0;) {
    size_t part = tape - client->hear_at < left ? tape - client->hear_at : left;
    check(input, load.script.replies + client->hear_at, part);
    client->hear_at = (client->hear_at + part) % tape;
    input += part;
    left -= part;
  }
  if (size > 0) count_replies(client, size);
}

// Reads what there is. Returns whether the server has finished.
static int hear(struct client *client) {
  for (;;) {
    ssize_t count = receive(&client->channel, load.buffer, sizeof load.buffer);
    if (count == NOT_NOW) return 0;
    if (count == ENDED || (count == LOST && client->state == LEAVING)) return 1;
    if (count == LOST) FAIL("a connection was lost: %s", strerror(errno));
    check_input(client, load.buffer, (size_t)count);
    if ((size_t)count < sizeof load.buffer && !is_encrypted(&client->channel)) return 0;
  }
}

static void leave(struct client *client) {
  client->state = LEAVING;
  finish(&client->channel);
}

static void vanish(struct client *client) {
  close_channel(&client->channel);
  client->state = AWAY;
}

// Goes on with an event. Returns whether the client can be asked for more, or is away.
static int advance(struct client *client, uint32_t events) {
  if (!client->shaken) {
    ssize_t outcome = shake_hands(&client->channel);
    if (outcome == NOT_NOW) return 0;
    if (outcome != 1) FAIL("the TLS handshake failed");
    client->shaken = 1;
    if (load.tls) watch(client, EPOLL_CTL_MOD, EPOLLIN);
  }
  if (events & EPOLLOUT && client->unsent > 0) transmit_unsent(client);
  if (hear(client)) {
    if (client->state != LEAVING) FAIL("the server closed a connection");
    vanish(client);
    return 1;
  }
  if (client->state == ENTERING && client->hello_at == client->hello_size) {
    client->state = TALKING;
  }
  return client->state == TALKING;
}
