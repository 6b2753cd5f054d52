#include "cli/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "base/target.h"

/* A name that is being resolved, in the form that getaddrinfo_a wants. */
struct lookup {
    struct gaicb request;
    struct target target;
    char port[8];
    struct ping_target *result;
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

static void take_answer(struct lookup *lookup)
{
    int error = gai_error(&lookup->request);
    if (error == 0 && lookup->request.ar_result != NULL)
        address_set(lookup->result, lookup->request.ar_result);
    else
        lookup->result->error = gai_strerror(error != 0 ? error : EAI_NONAME);
    if (lookup->request.ar_result != NULL)
        freeaddrinfo(lookup->request.ar_result);
}

/* All names at once, so that one that has no answer holds up no other. */
static void resolve(struct lookup *lookups, struct gaicb **requests, size_t count,
                    enum qcmp_family family)
{
    struct addrinfo hints = hints_for(family, 0);
    int names = 0;
    for (size_t i = 0; i < count; i++) {
        if (lookups[i].result->address_bytes != 0)
            continue;
        lookups[i].request = (struct gaicb){
            .ar_name = lookups[i].target.host, .ar_service = lookups[i].port, .ar_request = &hints};
        requests[names++] = &lookups[i].request;
    }
    int error = names > 0 ? getaddrinfo_a(GAI_WAIT, requests, names, NULL) : 0;
    for (size_t i = 0; i < count; i++) {
        if (lookups[i].result->address_bytes != 0)
            continue;
        if (error == 0)
            take_answer(&lookups[i]);
        else
            lookups[i].result->error = gai_strerror(error);
    }
}

static int parse(struct lookup *lookup, enum qcmp_family family, char *message, size_t capacity)
{
    const char *text = lookup->result->text;
    enum target_error error = target_parse(text, QCMP_PORT, &lookup->target);
    if (error != TARGET_OK) {
        snprintf(message, capacity, "target '%s': %s", text, target_error_text(error));
        return -1;
    }
    snprintf(lookup->port, sizeof lookup->port, "%u", (unsigned)lookup->target.port);
    if (take_numeric(lookup) && other_family(lookup->result, family)) {
        snprintf(message, capacity, "target '%s': not an %s address", text,
                 family == QCMP_FAMILY_IPV4 ? "IPv4" : "IPv6");
        return -1;
    }
    return 0;
}

int ping_targets_init(struct ping_run *run, char *const *texts, size_t count,
                      enum qcmp_family family, char *message, size_t capacity)
{
    int result = -1;
    struct lookup *lookups = calloc(count, sizeof *lookups);
    struct gaicb **requests = calloc(count, sizeof(struct gaicb *));
    run->targets = calloc(count, sizeof *run->targets);
    if (lookups == NULL || requests == NULL || run->targets == NULL) {
        snprintf(message, capacity, "%s", strerror(ENOMEM));
        goto out;
    }
    run->targets_count = count;
    for (size_t i = 0; i < count; i++) {
        lookups[i].result = &run->targets[i];
        run->targets[i].text = texts[i];
        if (parse(&lookups[i], family, message, capacity) != 0)
            goto out;
    }
    resolve(lookups, requests, count, family);
    result = 0;
out:
    free(lookups);
    free(requests);
    if (result != 0)
        ping_targets_fini(run);
    return result;
}

void ping_targets_fini(struct ping_run *run)
{
    for (size_t i = 0; run->targets != NULL && i < run->targets_count; i++)
        free(run->targets[i].pings);
    free(run->targets);
    run->targets = NULL;
    run->targets_count = 0;
}
