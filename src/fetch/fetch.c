/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

#define MILLISECOND_NS INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

struct fetch {
    struct fetcher *fetcher;
    struct fetch *next, **place;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    int (*data)(unsigned status, const char *data, size_t bytes, void *user);
    void (*done)(const struct fetch_result *result, void *user);
    void *user;
    bool follows;   /* redirects */
    bool has_begun; /* the headers have come */
    char error[CURL_ERROR_SIZE];
};

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer;
    struct fetch *first;
};

/* A descriptor that libcurl waits for. */
struct watched {
    struct loop_watch watch;
    struct fetcher *fetcher;
};

static void fetch_free(struct fetch *fetch)
{
    *fetch->place = fetch->next;
    if (fetch->next != NULL)
        fetch->next->place = fetch->place;
    curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->connect_to);
    free(fetch);
}

static unsigned status_of(const struct fetch *fetch)
{
    long status = 0;

    curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

/* The fetch is gone before done() is called, so that done() may do anything. */
static void end(struct fetch *fetch, CURLcode code)
{
    void (*done)(const struct fetch_result *, void *) = fetch->done;
    void *user = fetch->user;
    struct fetch_result result = {.is_out_of_time = code == CURLE_OPERATION_TIMEDOUT,
                                  .is_memory_short = code == CURLE_OUT_OF_MEMORY};
    char error[CURL_ERROR_SIZE];
    curl_off_t wait_s = 0;

    result.status = status_of(fetch);
    curl_easy_getinfo(fetch->easy, CURLINFO_RETRY_AFTER, &wait_s);
    if (wait_s > 0 && wait_s < INT32_MAX)
        result.retry_ns = wait_s * SECOND_NS;
    if (code != CURLE_OK) {
        snprintf(error, sizeof error, "%s",
                 fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(code));
        result.error = error;
    }
    fetch_free(fetch);
    done(&result, user);
}

static void act(struct fetcher *fetcher, curl_socket_t fd, int events)
{
    int running, left;
    CURLMsg *message;

    curl_multi_socket_action(fetcher->multi, fd, events, &running);
    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        struct fetch *fetch;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
        end(fetch, code);
    }
}

static void handle(uint32_t events, void *user)
{
    struct watched *watched = user;
    int mask = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
               ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
               ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);

    act(watched->fetcher, watched->watch.fd, mask);
}

static void fire(void *user)
{
    act(user, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct fetcher *fetcher = user;

    (void)multi;
    if (timeout_ms < 0)
        loop_timer_stop(fetcher->loop, &fetcher->timer);
    else
        loop_timer_set(fetcher->loop, &fetcher->timer,
                       clock_monotonic_ns() + timeout_ms * MILLISECOND_NS);
    return 0;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *own)
{
    struct fetcher *fetcher = user;
    struct watched *watched = own;
    uint32_t events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                      ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL)
            loop_remove(fetcher->loop, &watched->watch);
        free(watched);
        return 0;
    }
    if (watched != NULL)
        return loop_change(fetcher->loop, &watched->watch, events);
    watched = malloc(sizeof *watched);
    if (watched == NULL)
        return -1;
    *watched = (struct watched){{.fd = fd, .ready = handle, .user = watched}, fetcher};
    if (loop_add(fetcher->loop, &watched->watch, events) != 0) {
        free(watched);
        return -1;
    }
    curl_multi_assign(fetcher->multi, fd, watched);
    return 0;
}

/* As the filter of system calls admits them. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    static const int probes = 3;
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)user;
    (void)purpose;
    if (fd >= 0) /* otherwise a peer that is gone is waited for a minute longer */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    return fd;
}

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct fetch *fetch = user;
    size_t bytes = size * count;

    return fetch->data(status_of(fetch), data, bytes, fetch->user) == 0 ? bytes : 0;
}

/* A header, or the empty line behind them. */
static size_t take_header(char *data, size_t size, size_t count, void *user)
{
    struct fetch *fetch = user;
    size_t bytes = size * count;
    unsigned status = status_of(fetch);

    if (fetch->has_begun || data[0] != '\r' || status < 200 ||
        (fetch->follows && status >= 300 && status < 400))
        return bytes;
    fetch->has_begun = true;
    return fetch->data(status, data, 0, fetch->user) == 0 ? bytes : 0;
}

int fetcher_new(struct fetcher **fetcher, struct loop *loop)
{
    struct fetcher *made = calloc(1, sizeof *made);

    if (made == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(made);
        return -ENOMEM;
    }
    made->loop = loop;
    made->timer = (struct loop_timer){.fire = fire, .user = made};
    made->multi = curl_multi_init();
    if (made->multi == NULL) {
        fetcher_free(made);
        return -ENOMEM;
    }
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(made->multi, CURLMOPT_SOCKETDATA, made);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(made->multi, CURLMOPT_TIMERDATA, made);
    *fetcher = made;
    return 0;
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    while (fetcher->first != NULL)
        fetch_free(fetcher->first);
    curl_multi_cleanup(fetcher->multi);
    loop_timer_stop(fetcher->loop, &fetcher->timer);
    curl_global_cleanup();
    free(fetcher);
}

static CURLcode set_pem(CURL *easy, CURLoption option, const struct fetch_text *text)
{
    /* libcurl copies it, and only reads. */
    struct curl_blob blob = {(void *)(uintptr_t)text->data, text->bytes, CURL_BLOB_COPY};

    return text->data != NULL ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

static CURLcode set_tls(CURL *easy, const struct fetch_tls *tls)
{
    CURLcode code = set_pem(easy, CURLOPT_CAINFO_BLOB, &tls->authorities);

    if (code == CURLE_OK &&
        tls->authorities.data != NULL) /* instead of the system's, not besides */
        code = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (code == CURLE_OK)
        code = set_pem(easy, CURLOPT_SSLCERT_BLOB, &tls->certificate);
    if (code == CURLE_OK)
        code = set_pem(easy, CURLOPT_SSLKEY_BLOB, &tls->key);
    if (code == CURLE_OK && tls->is_unverified) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return code;
}

static CURLcode append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);

    if (longer != NULL)
        *list = longer;
    return longer != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static long to_ms(int64_t ns)
{
    return (long)((ns + MILLISECOND_NS - 1) / MILLISECOND_NS);
}

/* Options that only fail where libcurl was built without them are not looked at. */
static CURLcode set_up(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    bool is_https = strncmp(request->url, "https:", 6) == 0;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, request->url);

    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 20L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, is_https ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)request->redirects);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, to_ms(request->connect_ns));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, to_ms(request->total_ns));
    if (request->idle_ns > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(request->idle_ns / SECOND_NS));
    }
    if (request->body.data != NULL && code == CURLE_OK) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request->body.bytes);
        code = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body.data);
    }
    if (request->method != NULL && code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL && code == CURLE_OK;
         i++)
        code = append(&fetch->headers, request->headers[i]);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    if (request->connect_to != NULL && code == CURLE_OK)
        code = append(&fetch->connect_to, request->connect_to);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, fetch->connect_to);
    return code == CURLE_OK ? set_tls(easy, &request->tls) : code;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    if (fetch == NULL)
        return NULL;
    *fetch = (struct fetch){.fetcher = fetcher,
                            .next = fetcher->first,
                            .place = &fetcher->first,
                            .easy = curl_easy_init(),
                            .data = request->data,
                            .done = request->done,
                            .follows = request->redirects > 0,
                            .user = request->user};
    if (fetch->next != NULL)
        fetch->next->place = &fetch->next;
    fetcher->first = fetch;
    if (fetch->easy == NULL || set_up(fetch, request) != CURLE_OK ||
        curl_multi_add_handle(fetcher->multi, fetch->easy) != CURLM_OK) {
        fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
    fetch_free(fetch);
}
