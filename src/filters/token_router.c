/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

struct router {
    char name[FILTER_NAME_BYTES];
    int token; /* index of metadata */
};

enum {
    NO_TOKEN,
    NO_MATCH
};
static const char *const reasons[] = {[NO_TOKEN] = "filter::token_router::no token found",
                                      [NO_MATCH] = "filter::token_router::no endpoint match",
                                      NULL};

static const struct field fields[] = {
    {.key = "metadataKey",
     .help = "the name under which an earlier filter left the token",
     .kind = FIELD_TEXT,
     .default_text = FILTER_DEFAULT_NAME,
     FIELD_AT(struct router, name)},
    {0},
};

static int open_router(void *filter, struct filter_names *names, struct error *error)
{
    struct router *router = filter;
    router->token = filter_name(names, router->name);
    if (router->token < 0)
        return error_set(error, router->token, "expected at most %d names of metadata",
                         FILTER_MAX_NAMES);
    return 0;
}

/* Decides alone: what an earlier filter chose does not count. */
static enum filter_result read_router(const void *filter, void *mine, struct filter_call *call)
{
    const struct router *router = filter;
    const struct metadata *token = &call->metadata[router->token];
    (void)mine;

    if (token->kind == METADATA_NONE) {
        call->reason = NO_TOKEN;
        return FILTER_DROP;
    }
    call->is_chosen = true;
    call->token = token;
    call->chosen_count = 0;
    if (token->kind == METADATA_BYTES)
        call->chosen_count = call->world->find_token(call->world, token->data, token->bytes,
                                                     call->chosen, FILTER_MAX_CHOSEN);
    call->reason = NO_MATCH;
    return call->chosen_count > 0 ? FILTER_NEXT : FILTER_DROP;
}

#define ROUTER(id_)                                                                                \
    {                                                                                              \
        .id = (id_), .fields = fields, .reasons = reasons, .filter_bytes = sizeof(struct router),  \
        .open = open_router, .read = read_router, .repeats = filter_always_repeats                 \
    }

const struct filter_ops filter_token_router =
    ROUTER("quilkin.filters.token_router.v1alpha1.TokenRouter");
const struct filter_ops filter_hashed_token_router =
    ROUTER("quilkin.filters.token_router.v1alpha1.HashedTokenRouter");
