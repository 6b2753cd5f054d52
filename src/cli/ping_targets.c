/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "base/text.h"
#include "net/address.h"
#include "net/target.h"

/* Names that are looked up at once. */
#define RESOLVERS 16

#define SHOWN_BYTES 300

/* A target whose host is to be resolved. */
struct lookup {
    struct target target;
    char port[8];
    struct ping_target *result;
};

/* What the threads that resolve have in common. */
struct lookups {
    struct lookup *all;
    size_t count;
    enum qcmp_family family;
    atomic_size_t next; /* relaxed: each index is taken once, and the joins order the results */
};

static bool is_unicast(const struct addrinfo *found)
{
    struct sockaddr_storage address = {0};

    memcpy(&address, found->ai_addr, found->ai_addrlen);
    struct in6_addr ipv6 = address_from_socket(&address);
    return address_is_unicast(&ipv6);
}

/* The first address from one on that belongs to a single host, or NULL. */
static const struct addrinfo *first_unicast(const struct addrinfo *found)
{
    while (found != NULL && !is_unicast(found))
        found = found->ai_next;
    return found;
}

static void address_set(struct ping_target *target, const struct addrinfo *found)
{
    target->address = found;
    target->next = first_unicast(found->ai_next);
    qcmp_endpoint_from_sockaddr(&target->endpoint, found->ai_addr, found->ai_addrlen);
    qcmp_endpoint_format(&target->endpoint, target->endpoint_text, sizeof target->endpoint_text);
}

static void look_up(const struct lookup *lookup, enum qcmp_family family)
{
    static const int families[] = {
        [QCMP_FAMILY_ANY] = AF_UNSPEC, [QCMP_FAMILY_IPV4] = AF_INET, [QCMP_FAMILY_IPV6] = AF_INET6};
    const struct addrinfo hints = {
        .ai_family = families[family], .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct ping_target *target = lookup->result;
    int error = getaddrinfo(lookup->target.host, lookup->port, &hints, &target->found);

    if (error != 0) {
        /* strerror() would not be static storage. */
        const char *text = error == EAI_SYSTEM ? strerrordesc_np(errno) : NULL;
        target->error = text != NULL ? text : gai_strerror(error);
        target->found = NULL;
        return;
    }
    const struct addrinfo *first = first_unicast(target->found);
    if (first == NULL)
        target->error = "its address is not one of a single host";
    address_set(target, first != NULL ? first : target->found);
}

static void *resolver_main(void *argument)
{
    struct lookups *lookups = argument;

    for (;;) {
        size_t i = atomic_fetch_add_explicit(&lookups->next, 1, memory_order_relaxed);
        if (i >= lookups->count)
            return NULL;
        if (lookups->all[i].result->address == NULL)
            look_up(&lookups->all[i], lookups->family);
    }
}

/* Many names at once, so that one that has no answer does not hold up all others. In threads of our
 * own: those of getaddrinfo_a() outlive it, and no program with ThreadSanitizer survives them. */
static void resolve(struct lookups *lookups)
{
    pthread_t threads[RESOLVERS - 1];
    size_t names = 0, started = 0;

    for (size_t i = 0; i < lookups->count; i++)
        names += lookups->all[i].result->address == NULL;
    while (started < RESOLVERS - 1 && started + 1 < names &&
           pthread_create(&threads[started], NULL, resolver_main, lookups) == 0)
        started++;
    resolver_main(lookups);
    while (started > 0)
        pthread_join(threads[--started], NULL);
}

/* Returns what keeps a numeric address from being pinged, or NULL. */
static const char *address_flaw(const struct ping_target *target, enum qcmp_family family)
{
    struct in6_addr address;
    char interface[IF_NAMESIZE];

    memcpy(&address, target->endpoint.address, sizeof address);
    if (family == QCMP_FAMILY_IPV4 && !IN6_IS_ADDR_V4MAPPED(&address))
        return "not an IPv4 address";
    if (family == QCMP_FAMILY_IPV6 && IN6_IS_ADDR_V4MAPPED(&address))
        return "not an IPv6 address";
    if (!address_is_unicast(&address))
        return "no address to ping: try 127.0.0.1 or [::1], or the address of one host";
    if (!address_is_link_local(&address))
        return NULL;
    if (target->endpoint.scope == 0)
        return "a link-local address needs its interface, as in fe80::1%eth0";
    return if_indextoname(target->endpoint.scope, interface) != NULL ? NULL : "no such interface";
}

/* Returns what is wrong with a host that is no numeric address: it is an IPv6 address with a scope
 * that is none. */
static const char *scope_flaw(const char *host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t length = strcspn(host, "%");

    if (host[length] == '\0' || length >= sizeof text)
        return NULL;
    memcpy(text, host, length);
    text[length] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1)
        return NULL;
    return address_is_link_local(&address) ? "no such interface"
                                           : "only a link-local address takes an interface";
}

static int parse(struct lookup *lookup, enum qcmp_family family, struct error *error)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                                          .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    struct ping_target *target = lookup->result;
    char shown[SHOWN_BYTES];
    enum target_error wrong = target_parse(target->text, QCMP_PORT, &lookup->target);
    const char *flaw = wrong != TARGET_OK ? target_error_text(wrong) : NULL;

    if (flaw == NULL) {
        snprintf(lookup->port, sizeof lookup->port, "%u", (unsigned)lookup->target.port);
        if (getaddrinfo(lookup->target.host, lookup->port, &hints, &target->found) == 0) {
            address_set(target, target->found);
            flaw = address_flaw(target, family);
        } else {
            target->found = NULL;
            flaw = scope_flaw(lookup->target.host);
        }
    }
    if (flaw == NULL)
        return 0;
    text_escape(target->text, shown, sizeof shown);
    return error_set(error, -EINVAL, "target '%s': %s", shown, flaw);
}

static int compare_address(const struct qcmp_endpoint *a, const struct qcmp_endpoint *b)
{
    int order = memcmp(a->address, b->address, sizeof a->address);
    return order != 0 ? order : (a->scope > b->scope) - (a->scope < b->scope);
}

static int compare_endpoint(const struct qcmp_endpoint *a, const struct qcmp_endpoint *b)
{
    int order = compare_address(a, b);
    return order != 0 ? order : (a->port > b->port) - (a->port < b->port);
}

/* For qsort: by endpoint, then as given. */
static int compare_targets(const void *left, const void *right)
{
    const struct ping_target *a = *(struct ping_target *const *)left;
    const struct ping_target *b = *(struct ping_target *const *)right;
    int order = compare_endpoint(&a->endpoint, &b->endpoint);
    return order != 0 ? order : (a > b) - (a < b);
}

static void index_targets(struct ping_run *run)
{
    run->by_endpoint_count = 0;
    for (size_t i = 0; i < run->targets_count; i++) {
        if (run->targets[i].error == NULL)
            run->by_endpoint[run->by_endpoint_count++] = &run->targets[i];
    }
    if (run->by_endpoint_count > 1)
        qsort(run->by_endpoint, run->by_endpoint_count, sizeof(struct ping_target *),
              compare_targets);
}

/* The index of the first target that does not come before an endpoint. */
static size_t lower_bound(const struct ping_run *run, const struct qcmp_endpoint *endpoint)
{
    size_t low = 0, high = run->by_endpoint_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_endpoint(&run->by_endpoint[middle]->endpoint, endpoint) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct ping_target *ping_targets_find(const struct ping_run *run, const struct qcmp_endpoint *peer)
{
    size_t i = lower_bound(run, peer);
    if (i < run->by_endpoint_count && compare_endpoint(&run->by_endpoint[i]->endpoint, peer) == 0)
        return run->by_endpoint[i];
    struct qcmp_endpoint least = *peer;
    least.port = 0;
    i = lower_bound(run, &least);
    if (i < run->by_endpoint_count && compare_address(&run->by_endpoint[i]->endpoint, peer) == 0)
        return run->by_endpoint[i];
    return NULL;
}

bool ping_targets_move(struct ping_run *run, struct ping_target *target)
{
    if (target->next == NULL)
        return false;
    address_set(target, target->next);
    index_targets(run);
    return true;
}

int ping_targets_init(struct ping_run *run, const char *const *texts, size_t count,
                      enum qcmp_family family, struct error *error)
{
    int result = 0;
    struct lookups lookups = {.count = count, .family = family};
    lookups.all = calloc(count, sizeof *lookups.all);
    run->targets = calloc(count, sizeof *run->targets);
    run->by_endpoint = calloc(count, sizeof(struct ping_target *));
    if (lookups.all == NULL || run->targets == NULL || run->by_endpoint == NULL) {
        result = error_system(error, -ENOMEM, "cannot take the targets");
        goto out;
    }
    run->targets_count = count;
    for (size_t i = 0; i < count; i++) {
        lookups.all[i].result = &run->targets[i];
        run->targets[i].text = texts[i];
        result = parse(&lookups.all[i], family, error);
        if (result != 0)
            goto out;
    }
    resolve(&lookups);
    index_targets(run);
out:
    free(lookups.all);
    if (result != 0)
        ping_targets_fini(run);
    return result;
}

void ping_targets_fini(struct ping_run *run)
{
    for (size_t i = 0; run->targets != NULL && i < run->targets_count; i++) {
        free(run->targets[i].pings);
        if (run->targets[i].found != NULL)
            freeaddrinfo(run->targets[i].found);
    }
    free(run->targets);
    free(run->by_endpoint);
    run->targets = NULL;
    run->by_endpoint = NULL;
    run->by_endpoint_count = 0;
    run->targets_count = 0;
}
