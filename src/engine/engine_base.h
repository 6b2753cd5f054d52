/** @file
 * What every implementation of an engine begins with.
 */
#ifndef PADDOCK_ENGINE_ENGINE_BASE_H
#define PADDOCK_ENGINE_ENGINE_BASE_H

#include "engine/engine.h"

/** The first member of each implementation's own struct. */
struct engine {
    const struct engine_ops *ops;
};

#endif
