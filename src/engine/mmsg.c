#include "engine/engine.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/engine_base.h"
#include "engine/mmsg_worker.h"
#include "net/address.h"
#include "net/udp_socket.h"

/* The least that a datagram costs the kernel: what a receive buffer holds at most, follows. */
#define LEAST_COST_BYTES 256

struct mmsg {
    struct engine base;
    bool ipv6;
    uint16_t port;
    size_t buffer_bytes; /* asked for */
    unsigned workers_count;
    uint64_t drops;
    int wake_fd;          /* readable for good once the engine stops */
    atomic_bool stopping; /* relaxed: nothing else is handed over with it */
    struct mmsg_worker workers[];
};

static struct mmsg *from_engine(struct engine *engine)
{
    return (struct mmsg *)engine;
}

static void workers_fini(struct mmsg *mmsg)
{
    for (unsigned i = 0; i < mmsg->workers_count; i++)
        mmsg_worker_fini(&mmsg->workers[i]);
}

/* Opens a socket for each worker on one address. `::` for IPv6 alone is nothing on a host without.
 */
static int address_open(struct mmsg *mmsg, struct udp_binding binding, uint16_t port, int *fds)
{
    int error = udp_sockets_open(fds, mmsg->workers_count, &binding, port);
    if (error == -EAFNOSUPPORT && binding.ipv6_only && IN6_IS_ADDR_UNSPECIFIED(&binding.address))
        return 0;
    if (error != 0)
        return error;
    mmsg->port = address_bound_port(fds[0]);
    mmsg->ipv6 = mmsg->ipv6 || udp_binding_is_ipv6(&binding);
    for (unsigned i = 0; i < mmsg->workers_count; i++) {
        int failed = mmsg_worker_add(&mmsg->workers[i], fds[i]);
        error = error != 0 ? error : failed;
    }
    return error;
}

static bool has_ipv4(const struct engine_options *options)
{
    bool found = false;
    for (size_t i = 0; i < options->addresses_count; i++)
        found = found || IN6_IS_ADDR_V4MAPPED(&options->addresses[i]);
    return found;
}

/* In floating point, because no length of time overflows it. */
static size_t buffer_bytes(int64_t length_ns)
{
    double datagrams = (double)length_ns * 1e-9 * ENGINE_FULL_RATE;
    double bytes = datagrams * ENGINE_DATAGRAM_COST_BYTES;
    return bytes < INT_MAX ? (size_t)bytes : INT_MAX;
}

static int addresses_open(struct mmsg *mmsg, const struct engine_options *options)
{
    int *fds = calloc(options->workers, sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    int error = 0;
    mmsg->port = options->port;
    mmsg->buffer_bytes = buffer_bytes(options->receive_buffer_ns);
    for (size_t i = 0; i < options->addresses_count && error == 0; i++) {
        struct udp_binding binding = {.address = options->addresses[i],
                                      .ipv6_only = has_ipv4(options),
                                      .buffer_bytes = mmsg->buffer_bytes};
        error = address_open(mmsg, binding, mmsg->port, fds);
        if (error != 0 && options->failed_address != NULL)
            *options->failed_address = i;
    }
    free(fds);
    return error;
}

static int workers_init(struct mmsg *mmsg, const struct engine_options *options)
{
    int error = 0;
    for (unsigned i = 0; i < mmsg->workers_count && error == 0; i++)
        error = mmsg_worker_init(&mmsg->workers[i], options, i, mmsg->wake_fd);
    return error;
}

static struct mmsg *mmsg_new(const struct engine_options *options)
{
    size_t bytes = sizeof(struct mmsg) + options->workers * sizeof(struct mmsg_worker);
    struct mmsg *mmsg = aligned_alloc(alignof(struct mmsg), bytes);
    assert(options->workers >= 1);
    assert(options->addresses_count >= 1 && options->addresses_count <= ENGINE_MAX_ADDRESSES);
    if (mmsg == NULL)
        return NULL;
    memset(mmsg, 0, bytes);
    mmsg->base.ops = &engine_mmsg;
    mmsg->workers_count = options->workers;
    for (unsigned i = 0; i < options->workers; i++)
        mmsg->workers[i].wait_fd = -1;
    return mmsg;
}

static int mmsg_open(struct engine **engine, const struct engine_options *options)
{
    struct mmsg *mmsg = mmsg_new(options);
    if (mmsg == NULL)
        return -ENOMEM;
    int error = 0;
    mmsg->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mmsg->wake_fd < 0) {
        error = -errno;
        goto fail;
    }
    error = workers_init(mmsg, options);
    if (error == 0)
        error = addresses_open(mmsg, options);
    if (error != 0)
        goto fail_workers;
    *engine = &mmsg->base;
    return 0;

fail_workers:
    workers_fini(mmsg);
    close(mmsg->wake_fd);
fail:
    free(mmsg);
    return error;
}

static uint16_t mmsg_port(const struct engine *engine)
{
    return ((const struct mmsg *)engine)->port;
}

static bool mmsg_ipv6(const struct engine *engine)
{
    return ((const struct mmsg *)engine)->ipv6;
}

static void mmsg_run(struct engine *engine, unsigned index)
{
    struct mmsg *mmsg = from_engine(engine);
    struct mmsg_worker *worker = &mmsg->workers[index];
    while (!atomic_load_explicit(&mmsg->stopping, memory_order_relaxed))
        mmsg_worker_turn(worker);
    mmsg_worker_drain(worker, mmsg->buffer_bytes / LEAST_COST_BYTES + MMSG_BATCH);
}

static uint64_t mmsg_drops(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    for (unsigned i = 0; i < mmsg->workers_count; i++) {
        struct mmsg_worker *worker = &mmsg->workers[i];
        for (unsigned j = 0; j < worker->sources_count; j++) {
            struct mmsg_source *source = &worker->sources[j];
            uint32_t before = source->drops;
            /* On a failure the count stays as it is; the next call makes up for it. */
            udp_socket_drops(source->fd, &source->drops);
            mmsg->drops += (uint32_t)(source->drops - before);
        }
    }
    return mmsg->drops;
}

static void mmsg_receive_buffer(const struct engine *engine, size_t *asked, size_t *granted)
{
    const struct mmsg *mmsg = (const struct mmsg *)engine;
    *asked = mmsg->buffer_bytes;
    *granted = udp_socket_buffer(mmsg->workers[0].sources[0].fd);
}

static void mmsg_stop(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    atomic_store_explicit(&mmsg->stopping, true, memory_order_relaxed);
    eventfd_write(mmsg->wake_fd, 1);
}

static void mmsg_close(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    workers_fini(mmsg);
    close(mmsg->wake_fd);
    free(mmsg);
}

const struct engine_ops engine_mmsg = {
    .name = "mmsg",
    .hands_over_all = true,
    .open = mmsg_open,
    .port = mmsg_port,
    .ipv6 = mmsg_ipv6,
    .drops = mmsg_drops,
    .receive_buffer = mmsg_receive_buffer,
    .run = mmsg_run,
    .stop = mmsg_stop,
    .close = mmsg_close,
};
