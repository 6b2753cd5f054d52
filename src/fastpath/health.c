#include "fastpath/health.h"

bool xdp_health_is_bad(struct xdp_health *health, uint64_t answered, uint64_t errors)
{
    if (errors < health->errors)
        *health = (struct xdp_health){.answered = answered, .errors = errors};
    uint64_t new_answers = answered - health->answered;
    uint64_t new_errors = errors - health->errors;
    bool is_bad = new_errors >= XDP_HEALTH_ERRORS && new_errors >= new_answers / XDP_HEALTH_ANSWERS;
    if (is_bad || new_answers / XDP_HEALTH_ANSWERS >= XDP_HEALTH_ERRORS)
        *health = (struct xdp_health){.answered = answered, .errors = errors};
    return is_bad;
}
