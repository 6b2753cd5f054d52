#include "admin/admin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <microhttpd.h>

#include "admin/listener.h"
#include "admin/reply.h"
#include "base/clock.h"
#include "net/address.h"

#define NS_PER_MS 1000000
#define MEMORY_BYTES                                                                               \
    ((size_t)8192) /* of a connection: a request header must fit, and a reply's                    \
                    */
#define ACCEPT_RETRY_MS 5
#define RELIEF_MS 100

/* A connection. libmicrohttpd tells of its beginning and its end, and closes its socket. */
struct slot {
    int fd; /* -1: free */
    bool dropped;
    int64_t since_ns;
};

struct admin {
    struct MHD_Daemon *daemon;
    int epoll_fd; /* libmicrohttpd's */
    int listen_fd;
    int wake_fd;
    pthread_t thread;
    struct admin_callbacks callbacks;
    void *user;
    int64_t deadline_ns;
    int64_t accept_after_ns; /* not before, after an error */
    int64_t relief_after_ns; /* no other connection is dropped for want of descriptors before */
    unsigned slot_count;
    struct slot slots[];
};

static struct slot *find_free(struct admin *admin)
{
    for (unsigned i = 0; i < admin->slot_count; i++)
        if (admin->slots[i].fd < 0)
            return &admin->slots[i];
    return NULL;
}

/* Of those that have not been dropped; NULL where there is none. */
static struct slot *find_oldest(struct admin *admin)
{
    struct slot *oldest = NULL;
    for (unsigned i = 0; i < admin->slot_count; i++) {
        struct slot *slot = &admin->slots[i];
        if (slot->fd >= 0 && !slot->dropped &&
            (oldest == NULL || slot->since_ns < oldest->since_ns))
            oldest = slot;
    }
    return oldest;
}

/* libmicrohttpd finds the socket at its end, and closes it: the descriptor stays its own. */
static void drop(struct slot *slot)
{
    slot->dropped = true;
    shutdown(slot->fd, SHUT_RDWR);
}

static void drop_oldest(struct admin *admin)
{
    struct slot *oldest = find_oldest(admin);
    if (oldest != NULL)
        drop(oldest);
}

static void drop_late(struct admin *admin)
{
    int64_t now_ns = clock_monotonic_ns();
    struct slot *oldest;
    while ((oldest = find_oldest(admin)) != NULL && oldest->since_ns + admin->deadline_ns <= now_ns)
        drop(oldest);
}

static void note_connection(void *user, struct MHD_Connection *connection, void **context,
                            enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct slot *slot = find_free(user);
        *context = slot;
        if (slot != NULL)
            *slot = (struct slot){.fd = info->connect_fd, .since_ns = clock_monotonic_ns()};
    } else if (*context != NULL) {
        struct slot *slot = *context;
        slot->fd = -1;
    }
}

/* Called for the header, for each piece of a body, which nobody wants, and at the end of the
 * request. libmicrohttpd decides on the parameters. */
/* NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_bytes, void **context)
{
    const struct admin *admin = user;
    (void)version;
    (void)upload_data;
    if (*context == NULL) {
        *context = user;
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        *upload_bytes = 0;
        return MHD_YES;
    }
    struct reply_request request = {.connection = connection, .path = url, .method = method};
    return reply_send(&request, &admin->callbacks, admin->user);
}

/* Of descriptors or memory. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Whether there is nothing more to do about an error than to accept again: it took the connection
 * with it, or there was none. */
static bool is_over(int error)
{
    return error == EAGAIN || error == EINTR || error == ECONNABORTED || error == EPERM;
}

/* Another error may last, and must not become a busy loop. One connection less helps against a
 * shortage, where it was us; the next only if that was not enough, since each may be an answer
 * under way. */
static void pause_accepting(struct admin *admin, int error)
{
    int64_t now_ns = clock_monotonic_ns();
    admin->accept_after_ns = now_ns + (int64_t)ACCEPT_RETRY_MS * NS_PER_MS;
    if (!is_shortage(error) || now_ns < admin->relief_after_ns)
        return;
    admin->relief_after_ns = now_ns + (int64_t)RELIEF_MS * NS_PER_MS;
    drop_oldest(admin);
}

static void accept_one(struct admin *admin)
{
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;
    if (find_free(admin) == NULL) {
        drop_oldest(admin);
        MHD_run(admin->daemon);
        if (find_free(admin) == NULL)
            return;
    }
    int fd = accept4(admin->listen_fd, (struct sockaddr *)&peer, &peer_bytes,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        MHD_add_connection(admin->daemon, fd, (struct sockaddr *)&peer, peer_bytes);
    else if (!is_over(errno))
        pause_accepting(admin, errno);
}

static int min_timeout(int timeout_ms, int64_t other_ms)
{
    if (other_ms < 0)
        other_ms = 0;
    return timeout_ms < 0 || other_ms < timeout_ms ? (int)other_ms : timeout_ms;
}

/* How long nothing needs to be done, rounded up: a poll that ends too early would be repeated. */
static int timeout_ms(struct admin *admin, bool accepting)
{
    MHD_UNSIGNED_LONG_LONG daemon_ms;
    int64_t now_ns = clock_monotonic_ns();
    int timeout = -1;
    const struct slot *oldest = find_oldest(admin);
    if (oldest != NULL)
        timeout = min_timeout(
            timeout, (oldest->since_ns + admin->deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
    if (!accepting)
        timeout =
            min_timeout(timeout, (admin->accept_after_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
    if (MHD_get_timeout(admin->daemon, &daemon_ms) == MHD_YES)
        timeout = min_timeout(timeout, daemon_ms < 60000 ? (int64_t)daemon_ms : 60000);
    return timeout;
}

static void *serve(void *argument)
{
    struct admin *admin = argument;
    for (;;) {
        bool accepting = clock_monotonic_ns() >= admin->accept_after_ns;
        struct pollfd fds[] = {{.fd = admin->wake_fd, .events = POLLIN},
                               {.fd = admin->epoll_fd, .events = POLLIN},
                               {.fd = accepting ? admin->listen_fd : -1, .events = POLLIN}};
        poll(fds, 3, timeout_ms(admin, accepting));
        if (fds[0].revents != 0)
            return NULL;
        if (fds[2].revents != 0)
            accept_one(admin);
        drop_late(admin);
        MHD_run(admin->daemon);
    }
}

static int daemon_start(struct admin *admin)
{
    admin->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, handle, admin,
        MHD_OPTION_NOTIFY_CONNECTION, note_connection, admin, MHD_OPTION_CONNECTION_LIMIT,
        admin->slot_count, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_BYTES, MHD_OPTION_END);
    if (admin->daemon == NULL)
        return -ENOMEM;
    admin->epoll_fd = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return 0;
}

static int thread_start(struct admin *admin)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits it */
    int error = pthread_create(&admin->thread, NULL, serve, admin);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_setname_np(admin->thread, "admin");
    return -error;
}

static struct admin *admin_new(const struct admin_options *options)
{
    unsigned slots = options->connections != 0 ? options->connections : ADMIN_CONNECTIONS;
    unsigned deadline_ms = options->deadline_ms != 0 ? options->deadline_ms : ADMIN_DEADLINE_MS;
    struct admin *admin = calloc(1, sizeof *admin + slots * sizeof admin->slots[0]);
    if (admin == NULL)
        return NULL;
    admin->callbacks = options->callbacks;
    admin->user = options->user;
    admin->deadline_ns = (int64_t)deadline_ms * NS_PER_MS;
    admin->slot_count = slots;
    for (unsigned i = 0; i < slots; i++)
        admin->slots[i].fd = -1;
    return admin;
}

int admin_start(struct admin **admin, const struct admin_options *options)
{
    struct admin *started = admin_new(options);
    if (started == NULL)
        return -ENOMEM;
    int error = 0;
    started->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (started->wake_fd < 0) {
        error = -errno;
        goto fail;
    }
    started->listen_fd = error = listener_open(options->address);
    if (error < 0)
        goto fail_wake;
    error = daemon_start(started);
    if (error != 0)
        goto fail_listen;
    error = thread_start(started);
    if (error != 0)
        goto fail_daemon;
    *admin = started;
    return 0;

fail_daemon:
    MHD_stop_daemon(started->daemon);
fail_listen:
    close(started->listen_fd);
fail_wake:
    close(started->wake_fd);
fail:
    free(started);
    return error;
}

uint16_t admin_port(const struct admin *admin)
{
    return address_bound_port(admin->listen_fd);
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    eventfd_write(admin->wake_fd, 1);
    pthread_join(admin->thread, NULL);
    MHD_stop_daemon(admin->daemon);
    close(admin->listen_fd);
    close(admin->wake_fd);
    free(admin);
}
