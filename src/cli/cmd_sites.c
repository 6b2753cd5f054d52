/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <qcmp/wire.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/ping.h"

#define MAX_PROXIES 10000
/* Of one proxy. */
#define MAX_SITES 4096
#define MAX_TABLE_BYTES ((size_t)1 << 20)
/* Proxies that are asked at a time, so that one that is silent delays few others. */
#define ASKING 64
/* No way is as long; a day. */
#define MAX_NS 86400e9
#define LINE_BYTES 512
#define MS_NS 1e6

/* Where Phoenix and its responder are: one number, TCP and UDP. */
struct proxy {
    char text[LINE_BYTES]; /* host and port, as for a ping */
    struct target target;
    const char *error; /* why it has no part in the result; NULL: none */
    double rtt_ns;     /* the least; below 0: no ping was answered */
};

/* The best way to a site. */
struct way {
    char icao_code[5];
    const struct proxy *proxy;
    double onward_ns; /* from the proxy to the site */
};

struct arguments {
    struct ping_run run;
    struct family_options family;
    bool is_json, help;
    struct proxy *proxies;
    size_t proxies_count;
    struct way *ways;
    size_t ways_count;
};

static const struct field fields[] = {
    OPTION_AMOUNT(struct arguments, run.amount),
    OPTION_TIMEOUT(struct arguments, run.timeout_ns, "how long to wait for an answer to a ping",
                   PING_MAX_INTERVAL_NS),
    OPTION_FAMILIES(struct arguments, family),
    OPTION_FORMAT(struct arguments, is_json, "format", "how to print the results"),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "sites",
    .help_name = "sites",
    .about =
        "Usage: paddock sites [OPTION...] URL|FILE\n"
        "\n"
        "Ranks data centres by the round trip from here over a proxy (paddock\n"
        "--service.phoenix and --service.qcmp on one port number) to each of them: pings the\n"
        "proxy, asks it for its latencies, and adds the two. URL is http://host:port, with\n"
        "7600 as the port if it is left out. FILE has such a URL, or host:port, on each line,\n"
        "and comments behind #: then the best proxy counts for each data centre.\n",
    .exit_status = "0 if every proxy has answered, 1 if one has not, 2 for wrong usage or a file "
                   "that\n"
                   "cannot be used, 255 if none has answered, or the output fails.",
    .fields = fields};

static bool is_url(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0;
}

/* Takes a URL without a path, or host and port. Returns what is wrong, or NULL. */
static const char *take_proxy(struct arguments *arguments, const char *text)
{
    struct proxy *proxy = &arguments->proxies[arguments->proxies_count];

    if (is_url(text))
        text += 7;
    size_t length = strcspn(text, "/");
    if (text[length] == '/' && text[length + 1] != '\0')
        return "a URL without a path is expected";
    if (length >= sizeof proxy->text)
        return "it is too long";
    memcpy(proxy->text, text, length);
    proxy->text[length] = '\0';
    if (!text_is_plain(proxy->text))
        return "it has characters that no host has";
    enum target_error wrong = target_parse(proxy->text, QCMP_PORT, &proxy->target);
    if (wrong != TARGET_OK)
        return target_error_text(wrong);
    proxy->rtt_ns = -1;
    arguments->proxies_count++;
    return NULL;
}

/* Takes the lines of a file. */
static int read_file(struct arguments *arguments, const char *path, struct error *error)
{
    char line[LINE_BYTES], shown[LINE_BYTES];
    const char *wrong = NULL;
    unsigned number = 0;
    FILE *file = fopen(path, "re");

    text_escape(path, shown, sizeof shown);
    if (file == NULL)
        return error_system(error, -errno, "cannot read '%s'", shown);
    while (wrong == NULL && fgets(line, sizeof line, file) != NULL) {
        number++;
        if (strchr(line, '\n') == NULL && !feof(file)) {
            wrong = "the line is too long";
            break;
        }
        line[strcspn(line, "#\r\n")] = '\0';
        char *text = line + strspn(line, " \t");
        text[strcspn(text, " \t")] = '\0';
        if (*text != '\0' && arguments->proxies_count == MAX_PROXIES)
            wrong = "too many proxies";
        else if (*text != '\0')
            wrong = take_proxy(arguments, text);
    }
    int code = ferror(file) ? -EIO : 0;
    fclose(file);
    if (code != 0)
        return error_system(error, code, "cannot read '%s'", shown);
    if (wrong != NULL)
        return error_set(error, -EINVAL, "%s:%u: %s", shown, number, wrong);
    if (arguments->proxies_count == 0)
        return error_set(error, -EINVAL, "%s: there is no proxy in it", shown);
    return 0;
}

static int take_proxies(struct arguments *arguments, const char *word, struct error *error)
{
    char shown[LINE_BYTES];

    arguments->proxies = calloc(MAX_PROXIES, sizeof *arguments->proxies);
    if (arguments->proxies == NULL)
        return error_system(error, -ENOMEM, "cannot begin");
    if (!is_url(word))
        return read_file(arguments, word, error);
    const char *wrong = take_proxy(arguments, word);
    text_escape(word, shown, sizeof shown);
    return wrong == NULL ? 0 : error_set(error, -EINVAL, "'%s': %s", shown, wrong);
}

/* Pings all proxies at once. */
static int ping_proxies(struct arguments *arguments, struct error *error)
{
    struct ping_run *run = &arguments->run;
    const char **texts = calloc(arguments->proxies_count, sizeof *texts);
    char message[LINE_BYTES];

    if (texts == NULL)
        return error_system(error, -ENOMEM, "cannot ping");
    for (size_t i = 0; i < arguments->proxies_count; i++)
        texts[i] = arguments->proxies[i].text;
    int code = ping_targets_init(run, texts, arguments->proxies_count,
                                 command_family(&arguments->family), error);
    free(texts);
    if (code != 0)
        return code;
    code = ping_run(run);
    for (size_t i = 0; i < arguments->proxies_count; i++) {
        struct proxy *proxy = &arguments->proxies[i];
        const struct ping_target *target = &run->targets[i];

        for (size_t j = 0; j < target->sent; j++) {
            double rtt_ns = (double)target->pings[j].sample.rtt_ns;
            if (target->pings[j].status == PING_OK && (proxy->rtt_ns < 0 || rtt_ns < proxy->rtt_ns))
                proxy->rtt_ns = rtt_ns;
        }
        if (proxy->rtt_ns < 0)
            proxy->error = target->error != NULL ? target->error : "does not answer pings";
    }
    if (code == 0)
        return 0;
    qcmp_error_format(code, message, sizeof message);
    return error_set(error, -EIO, "cannot ping: %s", message);
}

static double total_ns(const struct way *way)
{
    return way->proxy->rtt_ns + way->onward_ns;
}

/* Takes the way over a proxy to a site, if there is none that is as good. */
static int take_way(struct arguments *arguments, const struct way *way)
{
    size_t i = 0;

    while (i < arguments->ways_count && strcmp(arguments->ways[i].icao_code, way->icao_code) != 0)
        i++;
    if (i == arguments->ways_count) {
        struct way *more = realloc(arguments->ways, (i + 1) * sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        arguments->ways = more;
        arguments->ways[arguments->ways_count++] = *way;
    } else if (total_ns(way) < total_ns(&arguments->ways[i])) {
        arguments->ways[i] = *way;
    }
    return 0;
}

static bool is_code(const char *text)
{
    return strlen(text) == 4 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 4;
}

/* Takes what a proxy tells: a table, or why there is none. */
static int take_table(struct arguments *arguments, struct proxy *proxy, int fetched, json_t *table)
{
    json_t *value;
    const char *code;
    int error = 0;

    if (fetched != 0 || !json_is_object(table) || json_object_size(table) > MAX_SITES) {
        proxy->error =
            fetched == -ENOTCONN ? "does not answer over HTTP" : "tells no latencies over HTTP";
        return 0;
    }
    json_object_foreach(table, code, value)
    {
        struct way way = {.proxy = proxy, .onward_ns = json_number_value(value)};
        if (error != 0 || !is_code(code) || !json_is_number(value) ||
            !(way.onward_ns >= 0 && way.onward_ns < MAX_NS))
            continue;
        memcpy(way.icao_code, code, sizeof way.icao_code);
        error = take_way(arguments, &way);
    }
    return error;
}

struct asking {
    struct arguments *arguments;
    pthread_mutex_t lock; /* over the rest, and what the arguments have of ways */
    size_t next;
    int error;
};

/* Asks one proxy after the other for its latencies, until all are asked. A number that no integer
 * can hold is one number that cannot be, and not the end of its table. */
static void *ask_proxies(void *user)
{
    struct asking *asking = user;

    pthread_mutex_lock(&asking->lock);
    while (asking->next < asking->arguments->proxies_count && asking->error == 0) {
        struct proxy *proxy = &asking->arguments->proxies[asking->next++];
        json_t *table = NULL;
        if (proxy->error != NULL)
            continue;
        pthread_mutex_unlock(&asking->lock);
        int fetched =
            fetch_json(&proxy->target, "/", MAX_TABLE_BYTES, JSON_DECODE_INT_AS_REAL, &table);
        pthread_mutex_lock(&asking->lock);
        int error = take_table(asking->arguments, proxy, fetched, table);
        asking->error = error != 0 ? error : asking->error;
        json_decref(table);
    }
    pthread_mutex_unlock(&asking->lock);
    return NULL;
}

/* Asks many at once; where no thread can be had, fewer. */
static int ask_all(struct arguments *arguments)
{
    struct asking asking = {.arguments = arguments, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[ASKING - 1];
    size_t count = 0;

    while (count + 1 < arguments->proxies_count && count < ASKING - 1 &&
           pthread_create(&threads[count], NULL, ask_proxies, &asking) == 0)
        count++;
    ask_proxies(&asking);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return asking.error;
}

static int compare_ways(const void *left, const void *right)
{
    const struct way *a = left, *b = right;
    double a_ns = total_ns(a), b_ns = total_ns(b);
    return a_ns != b_ns ? (a_ns > b_ns) - (a_ns < b_ns) : strcmp(a->icao_code, b->icao_code);
}

static void print_table(const struct arguments *arguments)
{
    printf("%-6s %12s %12s %12s  %s\n", "SITE", "TO PROXY", "TO SITE", "TOTAL", "PROXY");
    for (size_t i = 0; i < arguments->ways_count; i++) {
        const struct way *way = &arguments->ways[i];
        printf("%-6s %9.2f ms %9.2f ms %9.2f ms  %s\n", way->icao_code, way->proxy->rtt_ns / MS_NS,
               way->onward_ns / MS_NS, total_ns(way) / MS_NS, way->proxy->text);
    }
}

static int print_json(const struct arguments *arguments)
{
    json_t *sites = json_array(), *proxies = json_array();
    int error = 0;

    for (size_t i = 0; i < arguments->ways_count; i++) {
        const struct way *way = &arguments->ways[i];
        error |= json_array_append_new(
            sites,
            json_pack("{s:s, s:s, s:I, s:I, s:I}", "icao_code", way->icao_code, "proxy",
                      way->proxy->text, "to_proxy_ns", (json_int_t)way->proxy->rtt_ns, "to_site_ns",
                      (json_int_t)way->onward_ns, "total_ns", (json_int_t)total_ns(way)));
    }
    for (size_t i = 0; i < arguments->proxies_count; i++) {
        const struct proxy *proxy = &arguments->proxies[i];
        error |= json_array_append_new(
            proxies, json_pack("{s:s, s:s?}", "proxy", proxy->text, "error", proxy->error));
    }
    json_t *all = json_pack("{s:o, s:o}", "sites", sites, "proxies", proxies);
    if (error != 0 || all == NULL || json_dumpf(all, stdout, JSON_INDENT(2)) != 0 || puts("") < 0)
        error = -1;
    json_decref(all);
    return error;
}

static int run_and_print(struct arguments *arguments)
{
    struct error error = {.code = 0};
    size_t failed = 0;
    int code = ping_proxies(arguments, &error);

    if (code == 0 && (code = ask_all(arguments)) != 0)
        error_system(&error, code, "cannot go on");
    if (code != 0)
        return command_fail(&command, error.text);
    for (size_t i = 0; i < arguments->proxies_count; i++) {
        const struct proxy *proxy = &arguments->proxies[i];
        if (proxy->error != NULL)
            fprintf(stderr, "paddock sites: %s %s\n", proxy->text, proxy->error);
        failed += proxy->error != NULL;
    }
    if (arguments->ways_count > 1)
        qsort(arguments->ways, arguments->ways_count, sizeof *arguments->ways, compare_ways);
    if (!arguments->is_json)
        print_table(arguments);
    else if (print_json(arguments) != 0)
        return command_fail(&command, "cannot write the results");
    int status = output_finish();
    if (status != 0 || failed == 0)
        return status;
    return failed < arguments->proxies_count ? 1 : EXIT_FAILED;
}

int cmd_sites(int argc, char *const *argv)
{
    struct arguments arguments = {.help = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof(char *))};
    struct error error;
    int status;

    field_defaults(fields, &arguments);
    arguments.run.interval_ns = 100 * (int64_t)MS_NS;
    if (words.items == NULL)
        status = command_fail(&command, strerror(ENOMEM));
    else if (flags_parse(&table, argc, argv, &words, &error) != 0)
        status = command_usage(&command, error.text); /* NOLINT(bugprone-branch-clone) */
    else if (arguments.help)
        status = command_help(&command);
    else if (arguments.family.ipv4 && arguments.family.ipv6)
        status = command_usage(&command, "-4 and -6 exclude each other");
    else if (words.count != 1)
        status = command_usage(&command, "a URL or a file is expected");
    else if (take_proxies(&arguments, words.items[0], &error) != 0)
        status = command_usage(&command, error.text);
    else
        status = run_and_print(&arguments);
    ping_targets_fini(&arguments.run);
    free(arguments.ways);
    free(arguments.proxies);
    free(words.items);
    return status;
}
