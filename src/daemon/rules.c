#include "daemon/rules.h"

#include <errno.h>

int rules_new(struct rules **rules, const struct rules_options *options, struct guard_set *table,
              const struct siphash_key *key)
{
    struct rules *made = guard_secret_new(sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    int error = access_new(&made->access, options->allow, options->deny);
    if (error != 0) {
        guard_secret_free(made, sizeof *made);
        return error;
    }
    made->responder.access = made->access;
    if (options->guard != NULL) {
        guard_parameters_init(&made->limits, options->guard, key);
        made->responder.limits = &made->limits;
        made->responder.table = table;
    }
    *rules = made;
    return 0;
}

void rules_free(struct rules *rules)
{
    while (rules != NULL) {
        struct rules *next = rules->next;
        access_free(rules->access);
        guard_secret_free(rules, sizeof *rules);
        rules = next;
    }
}
