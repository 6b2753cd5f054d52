/** @file
 * One worker of the socket engine: its sockets, a batch of datagrams, and the way from receiving
 * one to sending what the handler makes of each. Nothing is shared with other workers.
 */
#ifndef PADDOCK_ENGINE_MMSG_WORKER_H
#define PADDOCK_ENGINE_MMSG_WORKER_H

#include <netinet/in.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "engine/engine.h"
#include "net/udp_info.h"

/** Datagrams that one call receives at most. */
#define MMSG_BATCH 32

/** One socket of a worker. */
struct mmsg_source {
    int fd;
    bool can_segment; /**< several replies to one client can leave in one call */
    unsigned pause;   /**< batches of which each reply leaves by itself all the same */
    uint32_t drops;   /**< as the kernel counted them last */
};

/** Where one datagram of a batch is received, and where its reply goes. */
struct mmsg_slot {
    struct sockaddr_in6 from;    /**< on an IPv4 socket a sockaddr_in, with anything behind it */
    struct in6_addr source;      /**< where it is as v4-mapped in neither of the buffers */
    struct in6_addr destination; /**< the same */
    struct iovec data_vector;
    struct msghdr reply_header; /**< to `from`, with the vector below */
    struct iovec reply_vector;
    alignas(size_t) char control[256]; /**< as the headers in it are aligned */
    uint8_t data[ENGINE_DATA_BYTES];
};

struct mmsg_worker {
    alignas(COUNTERS_CACHE_LINE) struct counters *counters;
    engine_handler_fn *handler;
    void *user;
    unsigned index;
    bool is_unusual; /**< control messages of this batch are not where they mostly are */
    int wait_fd;     /**< an epoll of all sockets and the engine's wake_fd; -1: not open */
    int wake_fd;     /**< the engine's */
    unsigned sources_count;
    struct mmsg_source sources[ENGINE_MAX_ADDRESSES];
    struct mmsghdr messages[MMSG_BATCH];
    struct mmsg_slot slots[MMSG_BATCH];
    struct exchange exchanges[MMSG_BATCH]; /**< one for each slot */
};

/**
 * Prepares a zeroed worker without sockets.
 * @param options as in engine/engine.h: handler, user and the worker's counters are kept.
 * @param index of the worker.
 * @param wake_fd readable when the worker shall look up; the caller's.
 * @return 0 or a negative errno value; mmsg_worker_fini() is due either way.
 */
int mmsg_worker_init(struct mmsg_worker *worker, const struct engine_options *options,
                     unsigned index, int wake_fd);

/** Gives a socket to the worker, which closes it at its end, also on failure.
 * @return 0 or a negative errno value. */
int mmsg_worker_add(struct mmsg_worker *worker, int fd);

/** Handles a batch from each socket, and waits where there was none: at most ENGINE_TURN_MS. */
void mmsg_worker_turn(struct mmsg_worker *worker);

/** Handles what had arrived: until each socket is empty, but no more than @p most datagrams of one,
 * because a flood may keep it filled. A failure to receive is tried again for a short while. */
void mmsg_worker_drain(struct mmsg_worker *worker, size_t most);

/** Closes what the worker has. */
void mmsg_worker_fini(struct mmsg_worker *worker);

#endif
