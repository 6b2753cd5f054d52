/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The sessions of one worker: which player talks to which server, and by which upstream socket. A
 * table without I/O: sockets are opened and closed by calls that are given, time is passed in.
 *
 * One upstream socket carries at most one player for each server, and many servers, so there are as
 * many sockets as the fullest server has players. Two sessions never have one pair of server and
 * port number. A pair rests after its session, since late answers would reach a stranger: for one
 * time-out after the last datagram from the server, #SESSIONS_SHORT_REST_NS where it never
 * answered. A socket is closed with its last session; its number may come back for other servers
 * meanwhile. Workers each have a table, so a number is one worker's until it rests for no server.
 *
 * Where no number is left for a server, a session with it that is #SESSIONS_PATIENCE_NS old and was
 * never answered ends for each one that is refused, so that strangers hold no numbers for long.
 *
 * No calls but sessions_make() and sessions_tick() allocate. One thread uses a table.
 */
#ifndef PADDOCK_PROXY_SESSIONS_H
#define PADDOCK_PROXY_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "net/endpoint.h"

#define SESSIONS_SHORT_REST_NS INT64_C(2000000000)
#define SESSIONS_PATIENCE_NS INT64_C(250000000)

/** How exact the order of sessions by age is: in a flood they are evicted soon after they were
 * made, and those in use must not stand before them. */
#define SESSIONS_AGE_NS INT64_C(16000000)

/** No session, as an index. */
#define SESSION_NONE UINT32_MAX

struct sessions;
struct upstream;
struct session_server;

/** The datagrams of one direction. */
struct session_count {
    uint64_t packets, bytes;
};

/** A session. Read only, but for what its owner counts. */
struct session {
    struct endpoint player;
    struct endpoint local; /**< the address that the player sent to; the owner's to renew */
    struct session_server *server;
    struct upstream *upstream; /**< NULL while its pair rests */
    void *port;                /**< the owner's: where the player's datagrams came in */
    uint16_t listener;         /**< the owner's: the port's, see struct proxy_entry */
    bool has_header : 1;       /**< the owner's: whether the server learns the player's address */
    bool has_come : 1, has_come_again : 1; /**< the player's first datagram, and a second one */
    uint16_t number;                       /**< of the upstream socket, host order */
    char country[2];                       /**< the owner's, where the session is counted */
    struct session_count read, written;
    /** The owner's: up to when the datagrams that were read and written have used what they may. */
    struct session_limits {
        int64_t packets_ns, bytes_ns;
    } limits[2];
    int64_t began_ns, last_ns, answered_ns; /**< monotonic; answered_ns 0: never */
    int64_t placed_ns;                      /**< in the order by age */
    uint64_t token;                         /**< the owner's: as of homes_token(); 0: none */
    uint16_t migrations; /**< new addresses of the player; the most stands for more */
    uint16_t network;    /**< the owner's, where the session is counted: as of places_add() */
    uint32_t index;
    uint32_t next_of_player, next_of_pair; /**< in the buckets of the two tables */
    struct session_links {
        uint32_t before, next;
    } links[3]; /**< in the lists of its server, of its age, and of a second of the wheel */
};

/** Why a session ended, or was not made. */
enum session_end {
    SESSION_IDLE,    /**< its time was over */
    SESSION_EVICTED, /**< for another, when there were as many as there may be */
    SESSION_REMOVED, /**< its endpoint is gone, and the policy is to drop */
    SESSION_MOVED,   /**< its endpoint is gone, and the player's datagrams go elsewhere */
    SESSION_STOPPED, /**< at the end of the service */
    SESSION_ENDS
};

/** Its name, as metrics and log have it: "idle". */
const char *session_end_name(enum session_end end);

enum session_refusal {
    SESSION_MADE,
    SESSION_NO_MEMORY,
    SESSION_NO_SOCKET,       /**< no descriptor left */
    SESSION_NO_PORT,         /**< no port number left that does not rest for the server */
    SESSION_TOO_MANY_OF_ONE, /**< the player's address has as many as it may have */
    SESSION_TOO_MANY_REST    /**< as many pairs rest as may */
};

/** How a table works. */
struct sessions_options {
    uint32_t max;             /**< sessions at a time, at least 1 */
    uint32_t max_per_address; /**< of one address of players; 0: as many as there may be */
    uint32_t max_resting;     /**< pairs that rest, from which on no session is made */
    int64_t timeout_ns;
    struct siphash_key key; /**< for the tables: players choose what is hashed */
    /** Opens an upstream socket, on a number that no other table has.
     * @param[in,out] number the one that is wanted; 0: any.
     * @return 0 or a negative errno value, -EADDRINUSE where there is no such number. */
    int (*open)(void *user, struct upstream **upstream, uint16_t *number);
    void (*close)(void *user, struct upstream *upstream);
    /** Hears of a number that has neither a socket nor a pair any more. */
    void (*freed)(void *user, uint16_t number);
    /** Hears of each session that ends, before it does. */
    void (*ended)(void *user, const struct session *session, enum session_end end);
    /** Brings an answered session's last_ns, answered_ns and the owner's members up to date, where
     * datagrams pass that the table is not told of; NULL: none do. */
    void (*refresh)(void *user, struct session *session);
    void *user;
};

/** Makes a table. @param[out] sessions untouched on failure; freed with sessions_free().
 * @return 0 or -ENOMEM. */
int sessions_new(struct sessions **sessions, const struct sessions_options *options);

/** Ends all sessions, closes all sockets, frees. NULL is fine. */
void sessions_free(struct sessions *sessions);

/** The session of a player with a server, or NULL. */
struct session *sessions_find(struct sessions *sessions, const struct endpoint *player,
                              const struct endpoint *server);

/** The newest session of a player, or the next one after @p after, or NULL. */
const struct session *sessions_next_of_player(const struct sessions *sessions,
                                              const struct endpoint *player,
                                              const struct session *after);

/** The session of an index, unless it has ended: then NULL, or another one. Any index is fine. */
struct session *sessions_at(struct sessions *sessions, uint32_t index);

/** Gives a session to another address of its player. It may have others with the server: then
 * sessions_find() finds one of them.
 * @return false where that has as many as it may have. */
bool sessions_migrate(struct sessions *sessions, struct session *session,
                      const struct endpoint *player);

/** How many sessions a server has; those that rest are none. */
uint32_t sessions_of_server(const struct sessions *sessions, const struct endpoint *where);

/** Makes a session that sessions_find() has not found. Where there are as many as there may be, one
 * that was never answered ends for it, or else the one that was idle longest.
 * @param[out] session set with #SESSION_MADE alone. */
enum session_refusal sessions_make(struct sessions *sessions, const struct endpoint *player,
                                   const struct endpoint *where, int64_t now_ns,
                                   struct session **made);

/** The session to which a server's datagram belongs, or NULL. A pair that rests does so from now
 * on, as its server still sends. */
struct session *sessions_answered(struct sessions *sessions, const struct endpoint *server,
                                  uint16_t number, int64_t now_ns);

/** The session with a server that has an upstream port number, or NULL; a pair that rests is none.
 */
struct session *sessions_of_pair(struct sessions *sessions, const struct endpoint *server,
                                 uint16_t number);

/** Notes a datagram of a session. @param is_answer whether the server sent it. */
void sessions_touch(struct sessions *sessions, struct session *session, bool is_answer,
                    int64_t now_ns);

/** Ends a session. */
void sessions_end(struct sessions *sessions, struct session *session, enum session_end end,
                  int64_t now_ns);

/** Ends all sessions of a server; an unknown one is fine. */
void sessions_end_server(struct sessions *sessions, const struct endpoint *where,
                         enum session_end end, int64_t now_ns);

/** Ends the sessions of a player, but for those with servers that are kept. */
void sessions_end_player(struct sessions *sessions, const struct endpoint *player,
                         bool (*is_kept)(const struct endpoint *server, void *user), void *user,
                         enum session_end end, int64_t now_ns);

/** Ends what is idle, and the rest of pairs; to be called about every second. The cost is that of
 * the sessions whose second it is. */
void sessions_tick(struct sessions *sessions, int64_t now_ns);

/** Changes the time-out, also of the sessions that there are. */
void sessions_set_timeout(struct sessions *sessions, int64_t timeout_ns);

/** The address of a session's server. */
const struct endpoint *session_server_at(const struct session_server *server);

/** Sessions and resting pairs of a server whose players sent one datagram and no more, as spoofed
 * ones do. */
uint32_t sessions_strangers(struct sessions *sessions, const struct endpoint *where);

/** Sessions, sockets that are open, and pairs that rest, at the moment. */
struct sessions_size {
    uint32_t sessions, sockets, resting;
};
struct sessions_size sessions_size(const struct sessions *sessions);

/** Calls a function for each session, the one that was idle longest first, answered ones last. */
void sessions_each(const struct sessions *sessions,
                   void (*call)(const struct session *session, void *user), void *user);

/** Calls a function for each server that has sessions. It may end them. */
void sessions_each_server(struct sessions *sessions,
                          void (*call)(const struct endpoint *server, void *user), void *user);

#endif
