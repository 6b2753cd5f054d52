#include "admin/reply.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "admin/accept.h"

#define TYPE_PLAIN "text/plain; charset=utf-8"

/* What is to be sent. The body is on the heap, and goes to libmicrohttpd. */
struct reply {
    unsigned status;
    const char *type;
    const char *allow; /* NULL = none */
    char *body;
    size_t body_bytes;
};

struct call {
    const struct reply_request *request;
    const struct admin_callbacks *callbacks;
    void *user;
    FILE *out; /* of the reply's body */
};

static void write_text(const struct call *call, struct reply *reply, unsigned status,
                       const char *text)
{
    reply->status = status;
    reply->type = TYPE_PLAIN;
    fputs(text, call->out);
}

static void reply_live(const struct call *call, struct reply *reply)
{
    bool live = call->callbacks->live(call->user);
    write_text(call, reply, live ? 200 : 500, live ? "ok\n" : "broken\n");
}

static void reply_ready(const struct call *call, struct reply *reply)
{
    bool ready = call->callbacks->ready(call->user);
    write_text(call, reply, ready ? 200 : 500, ready ? "ok\n" : "not ready\n");
}

/* What had been written when a callback failed must not be taken for the whole. */
static void reply_written(const struct call *call, struct reply *reply, const char *type, int error)
{
    reply->status = 200;
    reply->type = type;
    if (error == 0)
        return;
    rewind(call->out);
    write_text(call, reply, 500, "failed\n");
}

static void reply_metrics(const struct call *call, struct reply *reply)
{
    const char *accept =
        MHD_lookup_connection_value(call->request->connection, MHD_HEADER_KIND, "Accept");
    enum metrics_format format = accept_openmetrics(accept) ? METRICS_OPENMETRICS : METRICS_TEXT;
    int error = call->callbacks->metrics(call->out, format, call->user);
    reply_written(call, reply, metrics_content_type(format), error);
}

static void reply_config(const struct call *call, struct reply *reply)
{
    const char *access =
        MHD_lookup_connection_value(call->request->connection, MHD_GET_ARGUMENT_KIND, "access");
    bool with_access = access != NULL && strcmp(access, "true") == 0;
    int error = call->callbacks->config(call->out, with_access, call->user);
    reply_written(call, reply, "application/json", error);
}

typedef void reply_fn(const struct call *call, struct reply *reply);

static reply_fn *find(const char *path)
{
    static const struct {
        const char *path;
        reply_fn *answer;
    } paths[] = {{"/live", reply_live},    {"/livez", reply_live},      {"/ready", reply_ready},
                 {"/readyz", reply_ready}, {"/metrics", reply_metrics}, {"/config", reply_config}};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(path, paths[i].path) == 0)
            return paths[i].answer;
    return NULL;
}

static void answer(const struct call *call, struct reply *reply)
{
    const char *method = call->request->method;
    reply_fn *found = find(call->request->path);
    if (found == NULL) {
        write_text(call, reply, 404, "not found\n");
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        reply->allow = "GET, HEAD";
        write_text(call, reply, 405, "only GET and HEAD\n");
    } else {
        found(call, reply);
    }
}

/* Takes the body. */
static enum MHD_Result send_reply(struct MHD_Connection *connection, const struct reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body_bytes, reply->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(reply->body);
        return MHD_NO;
    }
    enum MHD_Result result = MHD_add_response_header(response, "Content-Type", reply->type);
    if (result == MHD_YES)
        result = MHD_add_response_header(response, "Connection", "close");
    if (result == MHD_YES && reply->allow != NULL)
        result = MHD_add_response_header(response, "Allow", reply->allow);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result reply_send(const struct reply_request *request,
                           const struct admin_callbacks *callbacks, void *user)
{
    struct reply reply = {0};
    struct call call = {.request = request, .callbacks = callbacks, .user = user};
    call.out = open_memstream(&reply.body, &reply.body_bytes);
    if (call.out == NULL)
        return MHD_NO;
    answer(&call, &reply);
    bool failed = ferror(call.out) != 0;
    if (fclose(call.out) != 0 || failed) {
        free(reply.body);
        return MHD_NO;
    }
    return send_reply(request->connection, &reply);
}
