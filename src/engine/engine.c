#include "engine/engine.h"

#include <stddef.h>

#include "engine/engine_base.h"

int engine_open(struct engine **engine, const struct engine_ops *ops,
                const struct engine_options *options)
{
    return ops->open(engine, options);
}

uint16_t engine_port(const struct engine *engine)
{
    return engine->ops->port(engine);
}

bool engine_ipv6(const struct engine *engine)
{
    return engine->ops->ipv6(engine);
}

uint64_t engine_drops(struct engine *engine)
{
    return engine->ops->drops(engine);
}

void engine_receive_buffer(const struct engine *engine, size_t *asked, size_t *granted)
{
    engine->ops->receive_buffer(engine, asked, granted);
}

void engine_run(struct engine *engine, unsigned worker)
{
    engine->ops->run(engine, worker);
}

void engine_stop(struct engine *engine)
{
    engine->ops->stop(engine);
}

void engine_close(struct engine *engine)
{
    if (engine != NULL)
        engine->ops->close(engine);
}
