/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/names.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "catalog/lookup.h"
#include "net/address.h"

#define SECOND_NS INT64_C(1000000000)

/* Names that are asked for at a time, and sockets for it. */
#define MAX_PENDING 64
#define MAX_SOCKETS 64

struct name {
    struct names *names;
    struct name *next;
    char *text;
    struct endpoint at;                              /* where ports go that were never refused */
    struct endpoint addresses[NAMES_MOST_ADDRESSES]; /* the resolver gave them last */
    struct endpoint *moved; /* of ports that were refused, with the port; NULL: none was */
    unsigned addresses_count, moved_count;
    bool has_address, is_pending, is_wanted, has_failed;
    int64_t due_ns;
};

struct socket {
    struct names *names;
    struct loop_watch watch;
    bool is_watched;
};

struct names {
    struct names_options options;
    ares_channel channel; /* NULL: none */
    struct socket sockets[MAX_SOCKETS];
    struct name *first;
    struct lookup *by_text; /* those that are wanted */
    unsigned pending;
    bool is_changed, is_closing;
};

/* As the filter of system calls admits them. */
static ares_socket_t open_socket(int family, int type, int protocol, void *user)
{
    (void)protocol;
    (void)user;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int close_socket(ares_socket_t fd, void *user)
{
    (void)user;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t bytes,
                          void *user)
{
    (void)user;
    return connect(fd, to, bytes);
}

/* NOLINTNEXTLINE(readability-function-size): the resolver's interface */
static ares_ssize_t receive(ares_socket_t fd, void *data, size_t bytes, int flags,
                            struct sockaddr *from, ares_socklen_t *from_bytes, void *user)
{
    (void)user;
    return recvfrom(fd, data, bytes, flags, from, from_bytes);
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count, void *user)
{
    (void)user;
    return writev(fd, pieces, count);
}

static const struct ares_socket_functions socket_functions = {open_socket, close_socket,
                                                              connect_socket, receive, send_pieces};

static void tell_changes(struct names *names)
{
    bool is_changed = names->is_changed;
    names->is_changed = false;
    if (is_changed)
        names->options.changed(names->options.user);
}

static void handle(uint32_t events, void *user)
{
    struct socket *own = user;
    struct names *names = own->names;
    int fd = own->watch.fd;
    ares_process_fd(names->channel, (events & ~(uint32_t)EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD,
                    (events & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
    tell_changes(names);
}

/* The resolver says for which events of a socket it waits. What finds no place here is tried again
 * when its time is over. */
static void watch_socket(void *user, ares_socket_t fd, int reads, int writes)
{
    struct names *names = user;
    uint32_t events = (reads ? (uint32_t)EPOLLIN : 0) | (writes ? (uint32_t)EPOLLOUT : 0);
    struct socket *own = NULL, *free_one = NULL;
    for (struct socket *i = names->sockets; i < names->sockets + MAX_SOCKETS; i++) {
        if (i->is_watched && i->watch.fd == fd)
            own = i;
        else if (!i->is_watched && free_one == NULL)
            free_one = i;
    }
    if (own != NULL && events != 0) {
        loop_change(names->options.loop, &own->watch, events);
    } else if (own != NULL) {
        loop_remove(names->options.loop, &own->watch);
        own->is_watched = false;
    } else if (events != 0 && free_one != NULL) {
        *free_one =
            (struct socket){.names = names, .watch = {.fd = fd, .ready = handle, .user = free_one}};
        free_one->is_watched = loop_add(names->options.loop, &free_one->watch, events) == 0;
    }
}

/* A new one whenever nothing is under way, so that it goes by the system's files as they are. */
static int open_channel(struct names *names)
{
    struct ares_options options = {
        .timeout = 2000, .tries = 3, .sock_state_cb = watch_socket, .sock_state_cb_data = names};
    if (names->channel != NULL)
        ares_destroy(names->channel);
    names->channel = NULL;
    int code = ares_init_options(&names->channel, &options,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (code != ARES_SUCCESS) {
        names->channel = NULL;
        return code == ARES_ENOMEM ? -ENOMEM : -EIO;
    }
    ares_set_socket_functions(names->channel, &socket_functions, names);
    if (names->options.servers != NULL &&
        ares_set_servers_ports_csv(names->channel, names->options.servers) != ARES_SUCCESS)
        return -EINVAL;
    return 0;
}

static void name_free(struct name *name)
{
    free(name->text);
    free(name->moved);
    free(name);
}

static void sweep(struct names *names)
{
    for (struct name **place = &names->first; *place != NULL;) {
        struct name *name = *place;
        if (name->is_wanted || name->is_pending) {
            place = &name->next;
            continue;
        }
        *place = name->next;
        name_free(name);
    }
}

static bool is_address(const struct endpoint *a, const struct endpoint *b)
{
    return IN6_ARE_ADDR_EQUAL(&a->address, &b->address) && a->scope == b->scope;
}

/* The place of an address among those of the last answer; their count if it is none. */
static unsigned find_address(const struct name *name, const struct endpoint *at)
{
    unsigned i = 0;
    while (i < name->addresses_count && !is_address(&name->addresses[i], at))
        i++;
    return i;
}

/* An address stays if it is among those of the answer; otherwise it is the first. The order is that
 * of getaddrinfo(3). */
static void take_addresses(struct name *name, const struct ares_addrinfo *answer)
{
    int64_t least_ns = NAMES_MOST_NS;
    unsigned count = 0, kept = 0;
    for (const struct ares_addrinfo_node *node = answer->nodes; node != NULL;
         node = node->ai_next) {
        struct endpoint at = endpoint_from_socket(node->ai_addr);
        at.port = 0;
        if (!address_is_unicast(&at.address))
            continue;
        if (node->ai_ttl * SECOND_NS < least_ns)
            least_ns = node->ai_ttl * SECOND_NS;
        if (count < NAMES_MOST_ADDRESSES)
            name->addresses[count++] = at;
    }
    name->has_failed = count == 0;
    if (least_ns < NAMES_LEAST_NS)
        least_ns = NAMES_LEAST_NS;
    name->due_ns = clock_monotonic_ns() + (count > 0 ? least_ns : NAMES_RETRY_NS);
    if (count == 0)
        return;
    name->addresses_count = count;
    for (unsigned i = 0; i < name->moved_count; i++) {
        if (find_address(name, &name->moved[i]) < count)
            name->moved[kept++] = name->moved[i];
    }
    if (kept == name->moved_count && name->has_address && find_address(name, &name->at) < count)
        return;
    name->moved_count = kept;
    if (!name->has_address || find_address(name, &name->at) == count)
        name->at = name->addresses[0];
    name->has_address = true;
    name->names->is_changed = true;
}

static void take_answer(void *user, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct name *name = user;
    struct names *names = name->names;
    bool had_failed = name->has_failed;
    (void)timeouts;
    name->is_pending = false;
    names->pending--;
    if (status == ARES_SUCCESS) {
        take_addresses(name, answer);
        ares_freeaddrinfo(answer);
    } else {
        name->has_failed = true;
        name->due_ns = clock_monotonic_ns() + NAMES_RETRY_NS;
    }
    if (name->has_failed && !had_failed && name->is_wanted && !names->is_closing)
        LOG_EVENT(
            names->options.log, LOG_LEVEL_WARN,
            log_text("message", name->has_address
                                    ? "a server's name is not resolved: its address stays as it was"
                                    : "a server's name is not resolved"),
            log_text("name", name->text),
            log_text("error", status == ARES_SUCCESS ? "no address" : ares_strerror(status)));
}

static void start_due(struct names *names, int64_t now_ns)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    bool is_open = names->pending > 0;
    for (struct name *name = names->first; name != NULL && names->pending < MAX_PENDING;
         name = name->next) {
        if (!name->is_wanted || name->is_pending || name->due_ns > now_ns)
            continue;
        if (!is_open && open_channel(names) != 0) {
            name->due_ns = now_ns + NAMES_RETRY_NS;
            return;
        }
        is_open = true;
        name->is_pending = true;
        names->pending++;
        ares_getaddrinfo(names->channel, name->text, NULL, &hints, take_answer, name);
    }
}

static bool has_text(const void *item, const struct lookup_key *key)
{
    const struct name *name = item;
    return strlen(name->text) == key->bytes && memcmp(name->text, key->data, key->bytes) == 0;
}

static struct lookup_key key_of(const char *text)
{
    return (struct lookup_key){.data = text, .bytes = strlen(text)};
}

int names_new(struct names **names, const struct names_options *options)
{
    struct names *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->by_text = lookup_new(has_text);
    if (made->by_text == NULL || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        lookup_free(made->by_text);
        free(made);
        return -ENOMEM;
    }
    made->options = *options;
    *names = made;
    return 0;
}

void names_free(struct names *names)
{
    if (names == NULL)
        return;
    names->is_closing = true;
    if (names->channel != NULL)
        ares_destroy(names->channel);
    while (names->first != NULL) {
        struct name *name = names->first;
        names->first = name->next;
        name_free(name);
    }
    lookup_free(names->by_text);
    ares_library_cleanup();
    free(names);
}

static int want(struct names *names, struct lookup *wanted, const char *text)
{
    const struct lookup_key key = key_of(text);
    void **place = lookup_place(wanted, &key);
    if (place == NULL)
        return -ENOMEM;
    if (*place != NULL)
        return 0;
    struct name *name = lookup_find(names->by_text, &key);
    if (name == NULL) {
        name = calloc(1, sizeof *name);
        char *copy = strdup(text);
        if (name == NULL || copy == NULL) {
            free(name);
            free(copy);
            return -ENOMEM;
        }
        *name = (struct name){.names = names, .next = names->first, .text = copy};
        names->first = name;
    }
    *place = name;
    return 0;
}

/* Takes over the names that are wanted now; a failure leaves them as they were, and new ones are
 * forgotten by the next call. */
static int follow(struct names *names, struct lookup *wanted, int error, int64_t now_ns)
{
    if (error != 0) {
        lookup_free(wanted);
        return error;
    }
    for (struct name *name = names->first; name != NULL; name = name->next) {
        const struct lookup_key key = key_of(name->text);
        name->is_wanted = lookup_find(wanted, &key) == name;
    }
    lookup_free(names->by_text);
    names->by_text = wanted;
    sweep(names);
    start_due(names, now_ns);
    names->is_changed = false; /* the caller looks at all of them now */
    return 0;
}

int names_follow(struct names *names, const struct clusters *clusters, int64_t now_ns)
{
    struct lookup *wanted = lookup_new(has_text);
    int error = wanted != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < clusters->count && error == 0; i++) {
        for (const struct cluster_endpoint *endpoint = clusters->items[i].cluster->endpoints;
             endpoint != NULL && error == 0; endpoint = endpoint->next) {
            if (endpoint->name != NULL)
                error = want(names, wanted, endpoint->name);
        }
    }
    return follow(names, wanted, error, now_ns);
}

int names_follow_nodes(struct names *names, const struct datacenters *datacenters, int64_t now_ns)
{
    struct lookup *wanted = lookup_new(has_text);
    size_t count = datacenters != NULL ? datacenters->count : 0;
    int error = wanted != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && error == 0; i++) {
        struct server_address host;
        if (server_host_parse(datacenters->items[i].address, &host) == 0 && host.name[0] != '\0')
            error = want(names, wanted, host.name);
    }
    return follow(names, wanted, error, now_ns);
}

void names_tick(struct names *names, int64_t now_ns)
{
    if (names->pending > 0)
        ares_process_fd(names->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    start_due(names, now_ns);
    tell_changes(names);
}

static struct name *find_name(const struct names *names, const char *text)
{
    const struct lookup_key key = key_of(text);
    return lookup_find(names->by_text, &key);
}

/* Where a name's port is: its own address once it was refused, or the name's. */
static struct endpoint *find_port(struct name *name, in_port_t port)
{
    for (unsigned i = 0; i < name->moved_count; i++) {
        if (name->moved[i].port == port)
            return &name->moved[i];
    }
    return &name->at;
}

void names_refuse(struct names *names, const char *text, const struct endpoint *at)
{
    struct name *name = find_name(names, text);
    struct endpoint *place = name != NULL ? find_port(name, at->port) : NULL;
    if (place == NULL || !is_address(place, at) || name->addresses_count < 2)
        return;

    unsigned next = (find_address(name, at) + 1) % name->addresses_count;
    if (place == &name->at && name->moved_count < NAMES_MOST_MOVED) {
        if (name->moved == NULL)
            name->moved = calloc(NAMES_MOST_MOVED, sizeof *name->moved);
        if (name->moved == NULL)
            return; /* the next refusal tries again */
        place = &name->moved[name->moved_count++];
    } else if (place == &name->at) {
        name->moved_count = 0;
    }
    *place = name->addresses[next];
    place->port = place == &name->at ? 0 : at->port;
    names->is_changed = true;

    char shown[ADDRESS_TEXT_BYTES];
    address_format(&place->address, ntohs(at->port), shown);
    LOG_EVENT(names->options.log, LOG_LEVEL_WARN,
              log_text("message", "a server was refused: the next address of its name is taken"),
              log_text("name", text), log_text("address", shown));
}

bool names_find(const struct names *names, const char *text, struct endpoint *at)
{
    struct name *name = find_name(names, text);
    if (name == NULL || !name->has_address)
        return false;
    const struct endpoint *found = find_port(name, at->port);
    at->address = found->address;
    at->scope = found->scope;
    return true;
}
