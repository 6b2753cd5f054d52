/** @file
 * What the admin server answers to a request.
 */
#ifndef PADDOCK_ADMIN_REPLY_H
#define PADDOCK_ADMIN_REPLY_H

#include <microhttpd.h>

#include "admin/admin.h"

/** One request, as libmicrohttpd gives it. */
struct reply_request {
    struct MHD_Connection *connection;
    const char *path; /**< without a query */
    const char *method;
};

/** Answers a request, which ends its connection.
 * @return MHD_NO when memory is short; the connection is to be dropped. */
enum MHD_Result reply_send(const struct reply_request *request,
                           const struct admin_callbacks *callbacks, void *user);

#endif
