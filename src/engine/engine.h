/** @file
 * How packets move. An engine receives datagrams in batches, with the kernel's time, hands each
 * batch to one handler, and does what the handler's verdicts say. It knows nothing of what it
 * carries. Engines differ in speed alone: one table of functions stands for each, and one test
 * suite runs against all of them.
 *
 * An engine has a number of workers that share nothing: each has its own socket, buffers and
 * counters, and is run by one thread.
 */
#ifndef PADDOCK_ENGINE_ENGINE_H
#define PADDOCK_ENGINE_ENGINE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/datagram.h"
#include "metrics/counters.h"
#include "net/address.h"

/** Bytes of a datagram that a handler sees; longer ones are cut, but their size is told. */
#define ENGINE_DATA_BYTES 64

/** What sizes a receive buffer in time: datagrams a second that a worker handles at its full rate,
 * and bytes that a small one costs the kernel (768 on loopback; drivers take up to 2304). */
#define ENGINE_FULL_RATE 300000
#define ENGINE_DATAGRAM_COST_BYTES 1280

/**
 * Decides about each datagram of a batch: writes its verdict, and the reply if there is one. Called
 * on the packet path by any worker's thread: must not block, allocate, lock or log.
 */
typedef void engine_handler_fn(const struct batch *batch, void *user);

/** Addresses that one engine can listen on. */
#define ENGINE_MAX_ADDRESSES NET_MAX_ADDRESSES

/** A worker's loop turns at least this often, also without traffic. What a handler finds in memory
 * that others replace, it may use until its worker's `turns` grows, and no longer. */
#define ENGINE_TURN_MS 2000

/** How to open an engine. */
struct engine_options {
    uint16_t port; /**< UDP; 0 takes a free one, the same for all addresses */
    /** Where to listen, IPv4 as v4-mapped. `::` takes IPv4 as well, unless IPv4 addresses are
     * listed beside it; on a host without IPv6 it becomes 0.0.0.0, or nothing if they are. */
    const struct in6_addr *addresses;
    size_t addresses_count;    /**< 1 to ENGINE_MAX_ADDRESSES */
    size_t *failed_address;    /**< gets the index of the address that could not be had, if it is
                                    for that that opening fails; may be NULL */
    int64_t receive_buffer_ns; /**< how long a worker at its full rate takes to empty its buffer */
    bool low_latency; /**< waits poll the network device for a while, at the price of CPU time;
                           where the system cannot, opening fails with -ENOTTY */
    unsigned workers; /**< at least 1 */
    struct counters *counters; /**< one a worker; the caller's, must outlive the engine */
    engine_handler_fn *handler;
    void *user; /**< for the handler; used by all workers at once */
};

struct engine;

/** One implementation. */
struct engine_ops {
    const char *name;
    /** Whether every datagram is the handler's to decide about, so that whatever it refuses is
     * refused. An engine that answers some by itself says false, and is not given what it does not
     * enforce: see qcmp_service_open(). */
    bool hands_over_all;
    int (*open)(struct engine **engine, const struct engine_options *options);
    uint16_t (*port)(const struct engine *engine);
    bool (*ipv6)(const struct engine *engine);
    uint64_t (*drops)(struct engine *engine);
    void (*receive_buffer)(const struct engine *engine, size_t *asked, size_t *granted);
    void (*run)(struct engine *engine, unsigned worker);
    void (*stop)(struct engine *engine);
    void (*close)(struct engine *engine);
};

/** Sockets, with recvmmsg. */
extern const struct engine_ops engine_mmsg;

/**
 * Binds the port and gets everything ready; nothing is answered before engine_run(). A port that
 * another process has is an error, and so is one that another engine of this process has.
 * @param[out] engine allocated; untouched on failure. Closed with engine_close().
 * @return 0 or a negative errno value.
 */
int engine_open(struct engine **engine, const struct engine_ops *ops,
                const struct engine_options *options);

/** The port in use, host order. */
uint16_t engine_port(const struct engine *engine);

/** Whether IPv6 is served, on any of the addresses. */
bool engine_ipv6(const struct engine *engine);

/** Datagrams that the kernel dropped because nobody took them in time, since the engine was opened;
 * exact at the call. Not to be called by two threads at once, and often enough that no socket drops
 * 2^32 in between. */
uint64_t engine_drops(struct engine *engine);

/** The receive buffer of one socket: bytes that its length in time comes to, and what the system
 * granted, which may be less. */
void engine_receive_buffer(const struct engine *engine, size_t *asked, size_t *granted);

/** Does the work of one worker in the calling thread, until engine_stop(). */
void engine_run(struct engine *engine, unsigned worker);

/** Tells all workers to answer what had been received by now, and to return. From any thread; does
 * not wait for them. */
void engine_stop(struct engine *engine);

/** Closes and frees; no worker may be running. NULL is fine. */
void engine_close(struct engine *engine);

#endif
