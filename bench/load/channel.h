// Bytes in and out of one connection, with TLS over it or without.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include "figures.h"
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

// What reading and writing answer besides a count of bytes.
enum { ENDED = 0, NOT_NOW = -1, LOST = -2 };

struct channel {
  int fd;
#ifdef WITH_TLS
  SSL *ssl;
#endif
};

// Connects to a port on loopback. Each address of our own has ports of its own: with enough of them, connections that
// were closed a moment ago (TIME_WAIT) do not stand in the way of new ones.
static int dial(int port, unsigned number) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) FAIL("no socket: %s", strerror(errno));
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct sockaddr_in own = {.sin_family = AF_INET};
  own.sin_addr.s_addr = htonl(0x7f000002 + number % 64);
  if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0) FAIL("cannot bind: %s", strerror(errno));
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) != 0) {
    FAIL("cannot connect to port %d: %s", port, strerror(errno));
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static ssize_t outcome_of(ssize_t count) {
  if (count >= 0) return count;
  return errno == EAGAIN || errno == EINTR ? NOT_NOW : LOST;
}

#ifdef WITH_TLS

static struct channel open_channel(int port, unsigned number, int tls) {
  static SSL_CTX *context;
  struct channel channel = {dial(port, number), NULL};
  if (!tls) return channel;
  if (context == NULL) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  }
  channel.ssl = SSL_new(context);
  SSL_set_fd(channel.ssl, channel.fd);
  SSL_set_connect_state(channel.ssl);
  return channel;
}

static ssize_t tls_outcome_of(struct channel *channel, int count) {
  if (count > 0) return count;
  int error = SSL_get_error(channel->ssl, count);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return NOT_NOW;
  // OpenSSL 3 takes an end without close_notify for an error.
  return error == SSL_ERROR_ZERO_RETURN || errno == 0 ? ENDED : LOST;
}

// 1 when there is nothing left to agree on.
static ssize_t shake_hands(struct channel *channel) {
  if (channel->ssl == NULL) return 1;
  errno = 0;
  return tls_outcome_of(channel, SSL_do_handshake(channel->ssl));
}

static ssize_t receive(struct channel *channel, char *buffer, size_t size) {
  if (channel->ssl == NULL) return outcome_of(recv(channel->fd, buffer, size, 0));
  errno = 0;
  return tls_outcome_of(channel, SSL_read(channel->ssl, buffer, (int)size));
}

static ssize_t transmit(struct channel *channel, const char *data, size_t size) {
  if (channel->ssl == NULL) return outcome_of(send(channel->fd, data, size, MSG_NOSIGNAL));
  errno = 0;
  return tls_outcome_of(channel, SSL_write(channel->ssl, data, (int)size));
}

static int is_encrypted(const struct channel *channel) { return channel->ssl != NULL; }

static void finish(struct channel *channel) {
  if (channel->ssl != NULL) SSL_shutdown(channel->ssl);
  shutdown(channel->fd, SHUT_WR);
}

static void close_channel(struct channel *channel) {
  SSL_free(channel->ssl);
  close(channel->fd);
}

#else

static struct channel open_channel(int port, unsigned number, int tls) {
  if (tls) FAIL("this generator was built without OpenSSL");
  return (struct channel){dial(port, number)};
}

static ssize_t shake_hands(struct channel *channel) {
  (void)channel;
  return 1;
}

static ssize_t receive(struct channel *channel, char *buffer, size_t size) {
  return outcome_of(recv(channel->fd, buffer, size, 0));
}

static ssize_t transmit(struct channel *channel, const char *data, size_t size) {
  return outcome_of(send(channel->fd, data, size, MSG_NOSIGNAL));
}

static int is_encrypted(const struct channel *channel) {
  (void)channel;
  return 0;
}

static void finish(struct channel *channel) { shutdown(channel->fd, SHUT_WR); }

static void close_channel(struct channel *channel) { close(channel->fd); }

#endif
