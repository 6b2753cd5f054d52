/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/endpoint.h"

static void set_keepalive(int fd)
{
    static const int on = 1, idle = 20, interval = 5, count = 3, unacknowledged_ms = 20000;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static struct sockaddr_in6 find_peer(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
    socklen_t bytes = sizeof address;

    if (getpeername(fd, (struct sockaddr *)&address, &bytes) == 0) {
        struct endpoint endpoint = endpoint_from_socket((struct sockaddr *)&address);

        peer.sin6_addr = endpoint.address;
        peer.sin6_port = endpoint.port;
    }
    return peer;
}

int transport_open(struct transport *transport, int fd, bool is_server, SSL_CTX *tls,
                   const char *host)
{
    struct in6_addr address;

    set_keepalive(fd);
    *transport = (struct transport){.fd = fd,
                                    .tls = tls != NULL ? SSL_new(tls) : NULL,
                                    .peer = find_peer(fd),
                                    .is_connecting = !is_server};
    if (tls == NULL)
        return 0;
    if (transport->tls == NULL || SSL_set_fd(transport->tls, fd) != 1)
        return -ENOMEM;
    SSL_set_mode(transport->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
    if (is_server) {
        SSL_set_accept_state(transport->tls);
        return 0;
    }
    SSL_set_connect_state(transport->tls);
    char *only_read = (char *)(uintptr_t)host; /* the macro casts without const */
    bool is_address =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    bool is_set = is_address
                      ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(transport->tls), host) == 1
                      : SSL_set1_host(transport->tls, host) == 1 &&
                            SSL_set_tlsext_host_name(transport->tls, only_read) == 1;
    return is_set ? 0 : -EINVAL;
}

void transport_close(struct transport *transport)
{
    SSL_free(transport->tls);
    close(transport->fd);
    free(transport->unsent);
}

static void fail(struct transport *transport, const char *reason)
{
    if (transport->failure == NULL)
        transport->failure = reason;
}

static bool must_wait(const struct transport *transport, int result)
{
    if (transport->tls == NULL)
        return errno == EAGAIN || errno == EINTR;
    int error = SSL_get_error(transport->tls, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

uint32_t transport_advance(struct transport *transport)
{
    const unsigned char *protocol = NULL;
    unsigned protocol_bytes = 0;
    int failure = 0;
    socklen_t bytes = sizeof failure;

    if (transport->is_connecting) {
        if (getsockopt(transport->fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0 ||
            failure != 0) {
            fail(transport, failure != 0 ? strerrordesc_np(failure) : "not connected");
            return 0;
        }
        transport->is_connecting = false;
    }
    if (transport->tls != NULL) {
        ERR_clear_error();
        int result = SSL_do_handshake(transport->tls);
        if (result != 1 && must_wait(transport, result))
            return SSL_want_write(transport->tls) ? EPOLLOUT : EPOLLIN;
        if (result != 1) {
            const char *why = ERR_reason_error_string(ERR_peek_last_error());

            fail(transport, why != NULL ? why : "TLS failed");
            return 0;
        }
        SSL_get0_alpn_selected(transport->tls, &protocol, &protocol_bytes);
        if (protocol_bytes != 2 || memcmp(protocol, "h2", 2) != 0) {
            fail(transport, "TLS without h2");
            return 0;
        }
    }
    transport->is_open = true;
    return 0;
}

size_t transport_read(struct transport *transport, uint8_t *data, size_t bytes)
{
    ssize_t got;

    if (transport->tls == NULL) {
        got = recv(transport->fd, data, bytes, 0);
    } else {
        ERR_clear_error();
        got = SSL_read(transport->tls, data, (int)bytes);
    }
    if (got > 0)
        return (size_t)got;
    if (got == 0 && transport->tls == NULL)
        fail(transport, "the peer hung up");
    else if (!must_wait(transport, (int)got))
        fail(transport, "the connection was lost");
    return 0;
}

/* Returns what the socket has taken. */
static size_t put(struct transport *transport, const uint8_t *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t taken;

        if (transport->tls == NULL) {
            taken = send(transport->fd, data + done, bytes - done, MSG_NOSIGNAL);
        } else {
            ERR_clear_error();
            taken = SSL_write(transport->tls, data + done, (int)(bytes - done));
        }
        if (taken <= 0) {
            if (!must_wait(transport, (int)taken))
                fail(transport, "the connection was lost");
            break;
        }
        done += (size_t)taken;
    }
    return done;
}

bool transport_flush(struct transport *transport)
{
    if (transport->unsent != NULL)
        transport->unsent_done += put(transport, transport->unsent + transport->unsent_done,
                                      transport->unsent_bytes - transport->unsent_done);
    if (transport->unsent_done < transport->unsent_bytes)
        return false;
    free(transport->unsent);
    transport->unsent = NULL;
    transport->unsent_bytes = transport->unsent_done = 0;
    return transport->failure == NULL;
}

void transport_write(struct transport *transport, const uint8_t *data, size_t bytes)
{
    size_t done = put(transport, data, bytes);

    if (done == bytes)
        return;
    transport->unsent = malloc(bytes - done);
    if (transport->unsent == NULL) {
        fail(transport, "out of memory");
        return;
    }
    memcpy(transport->unsent, data + done, bytes - done);
    transport->unsent_bytes = bytes - done;
}

size_t transport_unsent(const struct transport *transport)
{
    return transport->unsent_bytes - transport->unsent_done;
}
