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

static int address_family(enum qcmp_family family)
{
    switch (family) {
    case QCMP_FAMILY_IPV4:
        return AF_INET;
    case QCMP_FAMILY_IPV6:
        return AF_INET6;
    case QCMP_FAMILY_ANY:
        break;
    }
    return AF_UNSPEC;
}

static struct addrinfo hints_for(enum qcmp_family family, int flags)
{
    return (struct addrinfo){.ai_family = address_family(family),
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICSERV | flags};
}

static void address_set(struct ping_target *target, const struct addrinfo *found)
{
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->address_bytes = found->ai_addrlen;
    qcmp_endpoint_from_sockaddr(&target->endpoint, found->ai_addr, found->ai_addrlen);
    qcmp_endpoint_format(&target->endpoint, target->endpoint_text, sizeof target->endpoint_text);
}

/* Returns true when the target's host is a numeric address, and takes it. */
static bool take_numeric(const struct lookup *lookup)
{
    struct addrinfo hints = hints_for(QCMP_FAMILY_ANY, AI_NUMERICHOST);
    struct addrinfo *found;
    if (getaddrinfo(lookup->target.host, lookup->port, &hints, &found) != 0)
        return false;
    address_set(lookup->result, found);
    freeaddrinfo(found);
    return true;
}

static bool other_family(const struct ping_target *target, enum qcmp_family family)
{
    return family != QCMP_FAMILY_ANY && target->address_bytes != 0 &&
           target->address.ss_family != address_family(family);
}

static bool is_unicast(const struct qcmp_endpoint *endpoint)
{
    struct in6_addr address;
    memcpy(&address, endpoint->address, sizeof address);
    return address_is_unicast(&address);
}

/* In static storage, which strerror() would not be. */
static const char *resolver_error_text(int error, int os_error)
{
    const char *text = error == EAI_SYSTEM ? strerrordesc_np(os_error) : NULL;
    return text != NULL ? text : gai_strerror(error);
}

static void look_up(const struct lookup *lookup, enum qcmp_family family)
{
    struct addrinfo hints = hints_for(family, 0);
    struct addrinfo *found;
    int error = getaddrinfo(lookup->target.host, lookup->port, &hints, &found);
    if (error != 0) {
        lookup->result->error = resolver_error_text(error, errno);
        return;
    }
    address_set(lookup->result, found);
    freeaddrinfo(found);
    if (!is_unicast(&lookup->result->endpoint))
        lookup->result->error = "its address is not one of a single host";
}

static void *resolver_main(void *argument)
{
    struct lookups *lookups = argument;
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&lookups->next, 1, memory_order_relaxed);
        if (i >= lookups->count)
            return NULL;
        if (lookups->all[i].result->address_bytes == 0)
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
        names += lookups->all[i].result->address_bytes == 0;
    while (started < RESOLVERS - 1 && started + 1 < names &&
           pthread_create(&threads[started], NULL, resolver_main, lookups) == 0)
        started++;
    resolver_main(lookups);
    while (started > 0)
        pthread_join(threads[--started], NULL);
}

/* What keeps a numeric address from being pinged, or NULL. */
static const char *address_flaw(const struct ping_target *target, enum qcmp_family family)
{
    const struct qcmp_endpoint *endpoint = &target->endpoint;
    struct in6_addr address;
    char interface[IF_NAMESIZE];
    memcpy(&address, endpoint->address, sizeof address);
    if (other_family(target, family))
        return family == QCMP_FAMILY_IPV4 ? "not an IPv4 address" : "not an IPv6 address";
    if (!address_is_unicast(&address))
        return "no address to ping: try 127.0.0.1 or [::1], or the address of one host";
    if (!address_is_link_local(&address))
        return NULL;
    if (endpoint->scope == 0)
        return "a link-local address needs its interface, as in fe80::1%eth0";
    return if_indextoname(endpoint->scope, interface) != NULL ? NULL : "no such interface";
}

/* The same for a host that is no numeric address: an IPv6 address with a scope that is none. */
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

static const char *flaw_of(struct lookup *lookup, enum qcmp_family family)
{
    enum target_error error = target_parse(lookup->result->text, QCMP_PORT, &lookup->target);
    if (error != TARGET_OK)
        return target_error_text(error);
    snprintf(lookup->port, sizeof lookup->port, "%u", (unsigned)lookup->target.port);
    return take_numeric(lookup) ? address_flaw(lookup->result, family)
                                : scope_flaw(lookup->target.host);
}

static int parse(struct lookup *lookup, enum qcmp_family family, char *message, size_t capacity)
{
    const char *flaw = flaw_of(lookup, family);
    if (flaw == NULL)
        return 0;
    char shown[SHOWN_BYTES];
    text_escape(lookup->result->text, shown, sizeof shown);
    snprintf(message, capacity, "target '%s': %s", shown, flaw);
    return -1;
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

int ping_targets_init(struct ping_run *run, char *const *texts, size_t count,
                      enum qcmp_family family, char *message, size_t capacity)
{
    int result = -1;
    struct lookups lookups = {.count = count, .family = family};
    lookups.all = calloc(count, sizeof *lookups.all);
    run->targets = calloc(count, sizeof *run->targets);
    run->by_endpoint = calloc(count, sizeof(struct ping_target *));
    if (lookups.all == NULL || run->targets == NULL || run->by_endpoint == NULL) {
        snprintf(message, capacity, "%s", strerror(ENOMEM));
        goto out;
    }
    run->targets_count = count;
    for (size_t i = 0; i < count; i++) {
        lookups.all[i].result = &run->targets[i];
        run->targets[i].text = texts[i];
        if (parse(&lookups.all[i], family, message, capacity) != 0)
            goto out;
    }
    resolve(&lookups);
    index_targets(run);
    result = 0;
out:
    free(lookups.all);
    if (result != 0)
        ping_targets_fini(run);
    return result;
}

void ping_targets_fini(struct ping_run *run)
{
    for (size_t i = 0; run->targets != NULL && i < run->targets_count; i++)
        free(run->targets[i].pings);
    free(run->targets);
    free(run->by_endpoint);
    run->targets = NULL;
    run->by_endpoint = NULL;
    run->by_endpoint_count = 0;
    run->targets_count = 0;
}
