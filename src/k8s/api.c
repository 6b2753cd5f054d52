/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_NS INT64_C(5000000000)

static int take(unsigned status, const char *data, size_t bytes, void *user)
{
    struct api_call *call = user;
    size_t room = API_REFUSAL_BYTES - call->refusal_bytes;

    if (status < 300)
        return call->data(data, bytes, call->user);
    if (bytes > 0)
        memcpy(call->refusal + call->refusal_bytes, data, bytes < room ? bytes : room);
    call->refusal_bytes += bytes < room ? bytes : room;
    return 0;
}

/* What the server says of it, which is a Status, or text of something before the server. */
static void describe(struct api_call *call, unsigned status, char *text, size_t room)
{
    json_t *json = json_loadb(call->refusal, call->refusal_bytes, 0, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));

    call->refusal[call->refusal_bytes] = '\0';
    snprintf(text, room, "%u %.400s", status, message != NULL ? message : call->refusal);
    json_decref(json);
}

static void done(const struct fetch_result *result, void *user)
{
    struct api_call *call = user;
    struct api_result own = {.status = result->status,
                             .error = result->error,
                             .retry_ns = result->retry_ns,
                             .is_out_of_time = result->is_out_of_time};
    char text[512];

    call->fetch = NULL;
    if (own.error == NULL && own.status >= 300) {
        describe(call, own.status, text, sizeof text);
        own.error = text;
    }
    call->done(&own, call->user);
}

/* A certificate has another name than the URL's host: the URL gets the name, and the connection
 * goes to the host all the same. */
static int rename_host(const struct credentials_facts *facts, const char *path, char **url,
                       char **connect_to)
{
    const char *host = strstr(facts->server, "://") + 3;
    size_t length = strcspn(host, "/");
    const char *colon = memchr(host, ':', length);
    const char *port = host[0] == '[' ? strstr(host, "]:") : colon;
    int scheme = (int)(host - facts->server);

    *connect_to = NULL;
    if (facts->server_name == NULL)
        return asprintf(url, "%s%s", facts->server, path);
    port = port == NULL ? ":443" : port + (host[0] == '[');
    if (asprintf(connect_to, "::%.*s%s", (int)length, host,
                 memchr(host, ':', length) == NULL ? ":443" : "") < 0) {
        *connect_to = NULL;
        return -1;
    }
    return asprintf(url, "%.*s%s%.*s%s%s", scheme, facts->server, facts->server_name,
                    (int)strcspn(port, "/"), port, host + length, path);
}

int api_start(struct api *api, struct api_call *call, const struct api_request *request)
{
    char *url = NULL, *connect_to = NULL, *token = NULL, *type = NULL;
    char *body = NULL;

    credentials_refresh(api->credentials, api->log);
    const struct credentials_facts *facts = credentials_facts(api->credentials);
    const char *headers[4] = {"Accept: application/json"};
    size_t count = 1;
    bool is_fine = rename_host(facts, request->path, &url, &connect_to) >= 0;
    if (!is_fine)
        url = NULL;
    if (is_fine && facts->token.data != NULL) {
        is_fine = asprintf(&token, "Authorization: Bearer %s", facts->token.data) >= 0;
        headers[count++] = token;
    }
    if (is_fine && request->body != NULL) {
        is_fine = asprintf(&type, "Content-Type: %s", request->type) >= 0;
        headers[count++] = type;
        body = json_dumps(request->body, JSON_COMPACT);
        is_fine &= body != NULL;
    }
    call->refusal_bytes = 0;
    if (is_fine) {
        const struct fetch_request fetch = {
            .url = url,
            .connect_to = connect_to,
            .method = request->method,
            .headers = headers,
            .body = {body, body != NULL ? strlen(body) : 0},
            .tls = {.authorities = {facts->authorities.data, facts->authorities.bytes},
                    .certificate = {facts->certificate.data, facts->certificate.bytes},
                    .key = {facts->key.data, facts->key.bytes},
                    .is_unverified = facts->is_unverified},
            .connect_ns = CONNECT_NS,
            .total_ns = request->total_ns,
            .data = take,
            .done = done,
            .user = call};

        call->fetch = fetch_start(api->fetcher, &fetch);
    }
    free(url);
    free(connect_to);
    free(token);
    free(type);
    free(body);
    return is_fine && call->fetch != NULL ? 0 : -ENOMEM;
}

void api_cancel(struct api_call *call)
{
    if (call->fetch != NULL)
        fetch_cancel(call->fetch);
    call->fetch = NULL;
}
