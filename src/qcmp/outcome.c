#include "qcmp/outcome.h"

enum outcome_kind outcome_kind(enum outcome outcome)
{
    static const enum outcome_kind kinds[OUTCOME_COUNT] = {
#define OUTCOME_KIND_ROW(name, kind, reason) [OUTCOME_##name] = OUTCOME_KIND_##kind,
        OUTCOMES(OUTCOME_KIND_ROW)
#undef OUTCOME_KIND_ROW
    };
    return kinds[outcome];
}

const char *outcome_reason(enum outcome outcome)
{
    static const char *const reasons[OUTCOME_COUNT] = {
#define OUTCOME_REASON_ROW(name, kind, reason) [OUTCOME_##name] = (reason),
        OUTCOMES(OUTCOME_REASON_ROW)
#undef OUTCOME_REASON_ROW
    };
    return reasons[outcome];
}
