// Loads a server and reports the result. Built and started by `harness/generator.ts`, with arguments name=value:
//
//     load mode=talk port=1234 pid=42 service=echo connections=64 depth=16 size=64 warmup=400 duration=1000
//
// talk     keeps `depth` requests of `size` bytes in flight on each connection, for `duration` milliseconds
// connect  connects, asks once and leaves, over and over, on `connections` at a time
// publish  has one connection send `depth` requests and all receive them, over and over; with `mqtt`, all others do
// hold     sends one request on every connection, and keeps it open
// cpu      prints the CPU time of the process `pid`
//
// It prints one line of JSON and then keeps its connections until the end of its standard input. `pid` is the server's,
// whose CPU time is taken at the same moments as the count of replies: when no request is under way.

#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include "client.h"

enum { BATCH = 64, EVENTS = 256, PATIENCE = 20000 };

static struct {
  const char *mode, *service;
  int port, pid, connections, depth, size, warmup, duration, tls;
} options = {.mode = "talk", .service = "echo", .connections = 1, .depth = 1, .size = 64};

static struct client *clients;
static unsigned begun;     // connections of `connect` so far, which numbers them
static unsigned active;    // clients of `connect` that have not stopped
static uint64_t ended;     // connections of `connect` that have ended
static unsigned known;     // clients that the server has let in
static uint64_t deadline;  // when nothing new is begun any more

static void set_option(const char *argument) {
  struct {
    const char *name;
    int *number;
    const char **text;
  } known[] = {
      {"mode", NULL, &options.mode},           {"service", NULL, &options.service},
      {"port", &options.port, NULL},           {"pid", &options.pid, NULL},
      {"connections", &options.connections, NULL},
      {"depth", &options.depth, NULL},
      {"size", &options.size, NULL},           {"warmup", &options.warmup, NULL},
      {"duration", &options.duration, NULL},   {"tls", &options.tls, NULL},
  };
  const char *value = strchr(argument, '=');
  for (size_t i = 0; value != NULL && i < sizeof known / sizeof *known; i++) {
    size_t length = strlen(known[i].name);
    if (length != (size_t)(value - argument) || strncmp(argument, known[i].name, length)) continue;
    if (known[i].text != NULL) *known[i].text = value + 1;
    else *known[i].number = atoi(value + 1);
    return;
  }
  FAIL("unknown argument %s", argument);
}

static int is(const char *mode) { return strcmp(options.mode, mode) == 0; }

// Has `on_ready` called for each client that can be asked for more, until `is_over`.
static void pump(void (*on_ready)(struct client *), int (*is_over)(void)) {
  struct epoll_event events[EVENTS];
  while (!is_over()) {
    int count = epoll_wait(load.epoll, events, EVENTS, PATIENCE);
    if (count == 0) FAIL("no reply for %d ms", PATIENCE);
    for (int i = 0; i < count; i++) {
      struct client *client = events[i].data.ptr;
      if (advance(client, events[i].events)) on_ready(client);
    }
  }
}

static int is_quiet(void) { return load.outstanding == 0; }

// Asks once, which shows that the server has accepted the connection. Where servers tell it by a hello, that will do.
static void meet(struct client *client) {
  if (client->is_known) return;
  client->is_known = 1;
  known++;
  if (!is("publish")) ask(client, 1, now());
}

static unsigned expected;

static int all_known(void) { return known == expected && is_quiet(); }

// Connects all clients, in batches that fit into any server's backlog.
static void enter_all(void) {
  for (int i = 0; i < options.connections; i++) {
    size_t first = is("publish") ? 0 : (size_t)i * 7 % load.script.count;
    expected++;
    if (enter(&clients[i], (unsigned)i, first)) meet(&clients[i]);
    if (expected % BATCH == 0 || i == options.connections - 1) pump(meet, all_known);
  }
}

static void ask_more(struct client *client) {
  if (now() < deadline) ask(client, load.depth - client->waiting, now());
}

static void talk(void) {
  for (int i = 0; i < options.connections; i++) ask_more(&clients[i]);
  pump(ask_more, is_quiet);
}

static void publish(struct client *client) {
  (void)client;
  if (load.outstanding > 0 || now() >= deadline) return;
  uint64_t at = now();
  int is_deaf = load.script.publisher_hello_size < load.script.hello_size;
  for (int i = is_deaf; i < options.connections; i++) expect(&clients[i], load.depth, at);
  say(&clients[0], load.depth);
}

static void publish_on(void) {
  publish(NULL);
  pump(publish, is_quiet);
}

static void go_on(struct client *client);

static void connect_again(struct client *client) {
  unsigned number = begun++;
  if (enter(client, number, number * 7 % load.script.count)) go_on(client);
}

// What comes next on a connection of `connect`. The latency counts from connecting to the reply.
static void go_on(struct client *client) {
  if (client->state == TALKING && !client->is_known) {
    client->is_known = 1;
    ask(client, 1, client->entered_at);
  } else if (client->state == TALKING && client->waiting == 0) {
    leave(client);
  } else if (client->state == AWAY) {
    ended++;
    if (now() < deadline) connect_again(client);
    else active--;
  }
}

static int all_away(void) { return active == 0; }

static void connect_over_and_over(void) {
  active = (unsigned)options.connections;
  for (int i = 0; i < options.connections; i++) connect_again(&clients[i]);
  pump(go_on, all_away);
}

static void run(int duration) {
  deadline = now() + (uint64_t)duration * 1000000;
  load.replies = ended = 0;
  memset(&load.latencies, 0, sizeof load.latencies);
  if (is("connect")) connect_over_and_over();
  else if (is("publish")) publish_on();
  else talk();
}

static void prepare(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGPIPE, SIG_IGN);
  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  load.port = options.port;
  load.tls = options.tls;
  load.depth = (unsigned)options.depth;
  load.script = write_script(options.service, (size_t)options.size);
  clients = calloc((size_t)options.connections, sizeof *clients);
  for (int i = 0; i < options.connections; i++) {
    clients[i].asked_at = calloc(load.depth, sizeof(uint64_t));
  }
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) set_option(arguments[i]);
  if (is("cpu")) {
    printf("{\"seconds\":%.9f}\n", (double)cpu_time(options.pid) / 1e9);
    return 0;
  }
  prepare();
  if (!is("connect")) enter_all();
  struct sample before = take_sample(options.pid);
  if (!is("hold")) {
    run(options.warmup);
    before = take_sample(options.pid);
    run(options.duration);
  }
  struct sample after = take_sample(options.pid);
  tell(before, after, is("connect") ? ended : load.replies, &load.latencies);
  char none;
  while (read(STDIN_FILENO, &none, 1) > 0) continue;
  return 0;
}
