/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/file_identity.h"
#include "config/yaml.h"

/* Kubeconfigs, and authorities, a certificate, a key, a token. */
#define MAX_FILES (CREDENTIALS_MAX_SOURCES + 4)
#define MAX_FILE_BYTES ((size_t)1048576)

struct file {
    char path[CONFIG_PATH_BYTES];
    struct file_identity known;
};

struct credentials {
    const struct k8s_places *places;
    const char *account;
    struct credentials_facts facts;
    struct file files[MAX_FILES];
    size_t files_count;
    bool is_stale; /* what has changed could not be used */
};

void credentials_facts_fini(struct credentials_facts *facts)
{
    free(facts->server);
    free(facts->server_name);
    free(facts->authorities.data);
    free(facts->certificate.data);
    free(facts->key.data);
    free(facts->token.data);
    *facts = (struct credentials_facts){0};
}

/* At most one byte more than there may be. */
static int read_all(int fd, struct credentials_text *text)
{
    size_t room = MAX_FILE_BYTES + 1, bytes = 0;
    char *data = malloc(room + 1);
    ssize_t got;

    if (data == NULL)
        return -ENOMEM;
    while ((got = read(fd, data + bytes, room - bytes)) > 0)
        bytes += (size_t)got;
    if (got < 0 || bytes == room) {
        int code = got < 0 ? -errno : -EFBIG;

        free(data);
        return code;
    }
    data[bytes] = '\0';
    char *fitting = realloc(data, bytes + 1);
    *text = (struct credentials_text){fitting != NULL ? fitting : data, bytes};
    return 0;
}

/* Of a pipe, as of a device, nothing is waited for. */
static int read_file(const char *path, struct credentials_text *text, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int code = fd >= 0 ? read_all(fd, text) : -errno;

    if (fd >= 0)
        close(fd);
    return code == 0 ? 0 : error_system(error, code, "cannot read %s", path);
}

/* Of a map's member that is a text and not empty; else NULL. */
static const char *find_text(const struct yaml_node *map, const char *name)
{
    const struct yaml_node *node = map != NULL ? yaml_find(map, name) : NULL;

    return node != NULL && node->type < YAML_LIST && node->type != YAML_NULL &&
                   node->text[0] != '\0'
               ? node->text
               : NULL;
}

/* A reading of kubeconfigs under way. */
struct reading {
    const struct credentials_source *sources;
    struct yaml_document documents[CREDENTIALS_MAX_SOURCES];
    size_t count;
    size_t at; /* the source of what is read */
    const struct credentials_files *files;
    struct error *error;
};

/* A member of the root of one source; or NULL. */
static const struct yaml_node *find_member(const struct reading *reading, size_t at,
                                           const char *name)
{
    const struct yaml_node *root = reading->documents[at].root;

    return root != NULL && root->type == YAML_MAP ? yaml_find(root, name) : NULL;
}

/* The part of a list that has a name: `users[].user` for one. The first source that has the name is
 * that of what is read from now on. */
static const struct yaml_node *find_part(struct reading *reading, const char *list,
                                         const char *part, const char *name)
{
    for (size_t at = 0; at < reading->count; at++) {
        const struct yaml_node *items = find_member(reading, at, list);

        if (items == NULL || items->type != YAML_LIST)
            continue;
        for (const struct yaml_node *item = items->first; item != NULL; item = item->next) {
            const char *own = item->type == YAML_MAP ? find_text(item, "name") : NULL;

            if (own == NULL || strcmp(own, name) != 0)
                continue;
            const struct yaml_node *found = yaml_find(item, part);

            reading->at = at;
            return found != NULL && found->type == YAML_MAP ? found : NULL;
        }
    }
    return NULL;
}

static int read_named(const struct reading *reading, const char *path,
                      struct credentials_text *text)
{
    const char *own = reading->sources[reading->at].path, *slash = strrchr(own, '/');
    int folder = path[0] != '/' && slash != NULL ? (int)(slash - own) + 1 : 0;
    char whole[CONFIG_PATH_BYTES];
    int length = snprintf(whole, sizeof whole, "%.*s%s", folder, own, path);

    if (length >= (int)sizeof whole)
        return error_set(reading->error, -ENAMETOOLONG, "the path of a file is too long");
    if (reading->files->opened != NULL)
        reading->files->opened(whole, reading->files->user);
    return read_file(whole, text, reading->error);
}

/* Base64 may stand in lines. */
static void join_lines(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '\n' && *from != '\r')
            *to++ = *from;
    }
    *to = '\0';
}

/* The data in the kubeconfig, or else the file that it names. */
static int take_pem(const struct reading *reading, const struct yaml_node *map, const char *name,
                    struct credentials_text *text)
{
    char data_name[64];

    snprintf(data_name, sizeof data_name, "%s-data", name);
    const char *data = find_text(map, data_name), *path = find_text(map, name);
    if (data == NULL)
        return path != NULL ? read_named(reading, path, text) : 0;
    char *joined = strdup(data);
    text->data = malloc(strlen(data) / 4 * 3 + 1);
    if (joined == NULL || text->data == NULL) {
        free(joined);
        return error_system(reading->error, -ENOMEM, "cannot read the kubeconfig");
    }
    join_lines(joined);
    int code = base64_decode(joined, (uint8_t *)text->data, &text->bytes);
    free(joined);
    if (code != 0)
        return error_set(reading->error, -EINVAL, "%s: expected base64", data_name);
    text->data[text->bytes] = '\0';
    return 0;
}

static int take_cluster(const struct reading *reading, const struct yaml_node *cluster,
                        struct credentials_facts *facts)
{
    const char *server = find_text(cluster, "server"),
               *name = find_text(cluster, "tls-server-name"),
               *unverified = find_text(cluster, "insecure-skip-tls-verify");

    if (find_text(cluster, "proxy-url") != NULL)
        return error_set(reading->error, -ENOTSUP, "proxy-url: proxies are not used");
    if (server == NULL ||
        (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0))
        return error_set(reading->error, -EINVAL, "server: expected an http or https URL");
    facts->server = strdup(server);
    facts->server_name = name != NULL ? strdup(name) : NULL;
    if (facts->server == NULL || (name != NULL && facts->server_name == NULL))
        return error_system(reading->error, -ENOMEM, "cannot read the kubeconfig");
    for (size_t end = strlen(facts->server); end > 0 && facts->server[end - 1] == '/'; end--)
        facts->server[end - 1] = '\0';
    facts->is_unverified = unverified != NULL && strcmp(unverified, "true") == 0;
    return take_pem(reading, cluster, "certificate-authority", &facts->authorities);
}

/* What a header can carry; a file ends with a newline, perhaps. */
static int check_token(struct credentials_text *token, struct error *error)
{
    while (token->bytes > 0 && strchr(" \r\n", token->data[token->bytes - 1]) != NULL)
        token->data[--token->bytes] = '\0';
    for (size_t i = 0; i < token->bytes; i++) {
        if (token->data[i] <= ' ' || token->data[i] > '~')
            return error_set(error, -EINVAL, "the token has a character that no token has");
    }
    return token->bytes > 0 ? 0 : error_set(error, -EINVAL, "the token is empty");
}

static int take_user(const struct reading *reading, const struct yaml_node *user,
                     struct credentials_facts *facts)
{
    static const char *const refused[] = {"exec", "auth-provider", "username",
                                          "as",   "as-uid",        "as-groups"};
    const char *token = find_text(user, "token"), *file = find_text(user, "tokenFile");
    int code;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct yaml_node *node = yaml_find(user, refused[i]);

        if (node != NULL && node->type != YAML_NULL)
            return error_set(reading->error, -ENOTSUP,
                             "user.%s: not supported, as no program is run for credentials, and "
                             "nobody is impersonated; expected token, tokenFile or "
                             "client-certificate",
                             refused[i]);
    }
    code = take_pem(reading, user, "client-certificate", &facts->certificate);
    if (code == 0)
        code = take_pem(reading, user, "client-key", &facts->key);
    if (code == 0 && (facts->certificate.data == NULL) != (facts->key.data == NULL))
        return error_set(reading->error, -EINVAL,
                         "client-certificate and client-key: one needs the other");
    if (code == 0 && file != NULL)
        code = read_named(reading, file, &facts->token);
    if (code == 0 && file == NULL && token != NULL) {
        facts->token = (struct credentials_text){strdup(token), strlen(token)};
        if (facts->token.data == NULL)
            return error_system(reading->error, -ENOMEM, "cannot read the kubeconfig");
    }
    if (code == 0 && facts->token.data != NULL)
        code = check_token(&facts->token, reading->error);
    return code;
}

static int take_current(struct reading *reading, struct credentials_facts *facts)
{
    const char *name = NULL;

    for (size_t at = 0; at < reading->count && name == NULL; at++) {
        const struct yaml_node *root = reading->documents[at].root;

        if (root != NULL && root->type == YAML_MAP)
            name = find_text(root, "current-context");
        reading->at = name != NULL ? at : 0;
    }
    if (name == NULL)
        return error_set(reading->error, -EINVAL, "expected a map with current-context");
    const struct yaml_node *context = find_part(reading, "contexts", "context", name);
    const char *cluster_name = find_text(context, "cluster"),
               *user_name = find_text(context, "user");
    if (cluster_name == NULL)
        return error_set(reading->error, -EINVAL, "contexts: none is '%.80s' and has a cluster",
                         name);
    const struct yaml_node *cluster = find_part(reading, "clusters", "cluster", cluster_name);
    if (cluster == NULL)
        return error_set(reading->error, -EINVAL, "clusters: none is '%.80s'", cluster_name);
    int code = take_cluster(reading, cluster, facts);
    if (code != 0 || user_name == NULL)
        return code;
    const struct yaml_node *user = find_part(reading, "users", "user", user_name);
    return user != NULL ? take_user(reading, user, facts)
                        : error_set(reading->error, -EINVAL, "users: none is '%.80s'", user_name);
}

int credentials_parse(const struct credentials_source *sources, size_t count,
                      const struct credentials_files *files, struct credentials_facts *facts,
                      struct error *error)
{
    struct error inner = {0};
    struct reading reading = {.sources = sources, .files = files, .error = &inner};
    struct credentials_facts taken = {0};
    int code = 0;

    for (; reading.count < count && code == 0; reading.count++) {
        reading.at = reading.count;
        code = yaml_parse(sources[reading.at].text, sources[reading.at].bytes,
                          &reading.documents[reading.at], &inner);
    }
    if (code == 0)
        code = take_current(&reading, &taken);
    for (size_t i = 0; i < reading.count; i++)
        yaml_fini(&reading.documents[i]);
    if (code == 0) {
        *facts = taken;
        return 0;
    }
    credentials_facts_fini(&taken);
    return error_set(error, code, "%s: %.900s", sources[reading.at].path, inner.text);
}

static void note_file(const char *path, void *user)
{
    struct credentials *credentials = user;
    struct file *file = &credentials->files[credentials->files_count];

    if (credentials->files_count == MAX_FILES)
        return;
    snprintf(file->path, sizeof file->path, "%s", path);
    file->known = file_identity_read(path);
    credentials->files_count++;
}

/* Reads those files that are there. Returns -ENOENT where none is. */
static int read_sources(struct credentials *credentials, char *paths, const char *separators,
                        struct credentials_source sources[CREDENTIALS_MAX_SOURCES], size_t *count,
                        struct error *error)
{
    int code = error_set(error, -ENOENT, "KUBECONFIG: expected a file");

    for (char *path; (path = strsep(&paths, separators)) != NULL;) {
        struct credentials_text text = {0};

        if (path[0] == '\0')
            continue;
        if (credentials->files_count == CREDENTIALS_MAX_SOURCES)
            return error_set(error, -E2BIG, "KUBECONFIG: expected at most %d files",
                             CREDENTIALS_MAX_SOURCES);
        note_file(path, credentials);
        code = read_file(path, &text, error);
        if (code == 0)
            sources[(*count)++] = (struct credentials_source){path, text.data, text.bytes};
        else if (code != -ENOENT)
            return code;
    }
    return *count > 0 ? 0 : code;
}

static int load_kubeconfigs(struct credentials *credentials, const char *paths,
                            const char *separators, struct credentials_facts *facts,
                            struct error *error)
{
    struct credentials_source sources[CREDENTIALS_MAX_SOURCES] = {{.path = paths}};
    const struct credentials_files files = {note_file, credentials};
    size_t count = 0;
    char *copy = strdup(paths);

    if (copy == NULL)
        return error_system(error, -ENOMEM, "cannot read the kubeconfig");
    int code = read_sources(credentials, copy, separators, sources, &count, error);
    if (code == 0)
        code = credentials_parse(sources, count, &files, facts, error);
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)sources[i].text);
    free(copy);
    return code;
}

static int load_account(struct credentials *credentials, struct credentials_facts *facts,
                        struct error *error)
{
    const struct k8s_places *places = credentials->places;
    bool has_colon = strchr(places->host, ':') != NULL;
    char path[CONFIG_PATH_BYTES], server[128];
    int code;

    snprintf(server, sizeof server, "https://%s%s%s:%s", has_colon ? "[" : "", places->host,
             has_colon ? "]" : "", places->port[0] != '\0' ? places->port : "443");
    facts->server = strdup(server);
    if (facts->server == NULL)
        return error_system(error, -ENOMEM, "cannot read the service account");
    snprintf(path, sizeof path, "%s/ca.crt", credentials->account);
    note_file(path, credentials);
    code = read_file(path, &facts->authorities, error);
    if (code == 0) {
        snprintf(path, sizeof path, "%s/token", credentials->account);
        note_file(path, credentials);
        code = read_file(path, &facts->token, error);
    }
    return code == 0 ? check_token(&facts->token, error) : code;
}

/* The identity of a file is noted before it is read, so that a change meanwhile is seen. */
static int load(struct credentials *credentials, struct credentials_facts *facts,
                struct error *error)
{
    const struct k8s_places *places = credentials->places;
    char path[CONFIG_PATH_BYTES + 16];

    credentials->files_count = 0;
    if (places->kubeconfig[0] != '\0')
        return load_kubeconfigs(credentials, places->kubeconfig, ":", facts, error);
    snprintf(path, sizeof path, "%s/.kube/config", places->home);
    if (places->home[0] != '\0' && strlen(path) < CONFIG_PATH_BYTES &&
        (places->host[0] == '\0' || file_identity_read(path).exists))
        return load_kubeconfigs(credentials, path, "", facts, error);
    if (places->host[0] == '\0')
        return error_set(error, -ENOENT,
                         "no cluster: neither KUBECONFIG nor ~/.kube/config, and not in a pod");
    return load_account(credentials, facts, error);
}

int credentials_new(struct credentials **credentials, const struct k8s_places *places,
                    const char *account, struct error *error)
{
    struct credentials *made = calloc(1, sizeof *made);
    int code;

    if (made == NULL)
        return error_system(error, -ENOMEM, "cannot read credentials");
    made->places = places;
    made->account = account;
    code = load(made, &made->facts, error);
    if (code != 0) {
        credentials_free(made);
        return code;
    }
    *credentials = made;
    return 0;
}

void credentials_free(struct credentials *credentials)
{
    if (credentials != NULL)
        credentials_facts_fini(&credentials->facts);
    free(credentials);
}

void credentials_refresh(struct credentials *credentials, struct log *log)
{
    struct credentials_facts fresh = {0};
    struct error error = {0};
    bool is_changed = false;

    for (size_t i = 0; i < credentials->files_count; i++) {
        struct file_identity now = file_identity_read(credentials->files[i].path);

        is_changed |= !file_identity_equal(&now, &credentials->files[i].known);
    }
    if (!is_changed && !credentials->is_stale)
        return;
    if (load(credentials, &fresh, &error) == 0) {
        credentials->is_stale = false;
        credentials_facts_fini(&credentials->facts);
        credentials->facts = fresh;
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "kubernetes credentials read again"));
    } else {
        credentials->is_stale = true; /* it may be for lack of descriptors, and succeed later */
        credentials_facts_fini(&fresh);
        if (is_changed)
            LOG_EVENT(
                log, LOG_LEVEL_WARN,
                log_text("message", "kubernetes credentials not read: the old ones stay in use"),
                log_text("error", error.text));
    }
}

const struct credentials_facts *credentials_facts(const struct credentials *credentials)
{
    return &credentials->facts;
}
