// Sends datagrams to an echo, each socket the next one when the last has come back, and prints how many have.
//
//     datagrams PORT SOCKETS SIZE SECONDS

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_SOCKETS 256
#define MAX_SIZE 65507
#define PATIENCE 200 // how long to wait for an echo before all send again, in milliseconds

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  static char buffer[MAX_SIZE];
  static struct pollfd sockets[MAX_SOCKETS];
  if (argc != 5) return 2;
  int count = atoi(argv[2]), size = atoi(argv[3]);
  if (count < 1 || count > MAX_SOCKETS || size < 0 || size > MAX_SIZE) return 2;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(buffer, 'x', sizeof buffer);
  for (int i = 0; i < count; i++) {
    sockets[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
    sockets[i].events = POLLIN;
    if (connect(sockets[i].fd, (struct sockaddr *)&server, sizeof server) != 0) return 1;
    send(sockets[i].fd, buffer, size, 0);
  }
  long echoes = 0;
  for (double end = now() + atof(argv[4]); now() < end;) {
    int ready = poll(sockets, count, PATIENCE);
    for (int i = 0; i < count; i++) {
      if (ready > 0 && !(sockets[i].revents & POLLIN)) continue;
      if (ready > 0 && recv(sockets[i].fd, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) echoes++;
      send(sockets[i].fd, buffer, size, 0);
    }
  }
  printf("%ld\n", echoes);
  return 0;
}
