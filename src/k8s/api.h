/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Calls of the API server of Kubernetes.
 */
#ifndef PADDOCK_K8S_API_H
#define PADDOCK_K8S_API_H

#include <jansson.h>

#include "base/log.h"
#include "fetch/fetch.h"
#include "k8s/credentials.h"

/** What all calls share. */
struct api {
    struct fetcher *fetcher;
    struct credentials *credentials;
    struct log *log;
};

#define API_REFUSAL_BYTES 4096

/** What became of a call. */
struct api_result {
    unsigned status;   /**< the response's, as of HTTP; 0: no response came */
    const char *error; /**< for people; NULL: it was a success, and the whole response has come */
    int64_t retry_ns;  /**< how long the server asks to wait; 0: it does not say */
    bool is_out_of_time;
};

/** One call, in the caller's memory; zeroed: none is under way. */
struct api_call {
    struct fetch *fetch; /**< NULL: none is under way */
    char refusal[API_REFUSAL_BYTES + 1];
    size_t refusal_bytes;
    /** As fetch_request.data of a success: first with 0 bytes, when its headers have come. */
    int (*data)(const char *data, size_t bytes, void *user);
    /** The call is over; another may be started. */
    void (*done)(const struct api_result *result, void *user);
    void *user;
};

/** What is asked for. */
struct api_request {
    const char *path;   /**< with its query */
    const char *method; /**< NULL: GET */
    const char *type;   /**< of the body: its media type */
    json_t *body;       /**< borrowed; NULL: none */
    int64_t total_ns;   /**< the most for all of it */
};

/** Starts a call, whose callbacks and user are set.
 * @return 0 or -ENOMEM. */
int api_start(struct api *api, struct api_call *call, const struct api_request *request);

/** Ends a call without done(). Not from data(). None under way is fine. */
void api_cancel(struct api_call *call);

#endif
