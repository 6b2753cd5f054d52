/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Where the API server of Kubernetes is, and how it knows this client: kubeconfigs, or what a pod
 * finds. Files are read again when they change, as tokens are rotated.
 */
#ifndef PADDOCK_K8S_CREDENTIALS_H
#define PADDOCK_K8S_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/log.h"
#include "k8s/settings.h"

/** Where a pod finds its token, the authorities and its namespace. */
#define CREDENTIALS_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/** Bytes on the heap, and a zero behind them; zeroed: none. */
struct credentials_text {
    char *data;
    size_t bytes;
};

/** What is in force. Read only; until the next credentials_refresh(). */
struct credentials_facts {
    char *server;      /**< `https://HOST[:PORT][/PATH]`, without a slash at its end */
    char *server_name; /**< that the server's certificate has, if not its host; or NULL */
    bool is_unverified;
    struct credentials_text authorities, certificate, key; /**< PEM */
    struct credentials_text token;
};

struct credentials;

/** The most kubeconfigs. */
#define CREDENTIALS_MAX_SOURCES 16

/** Finds out: the kubeconfigs of the environment, with colons between them, of which those that are
 * not there are left out; or that of the home folder, or the cluster around.
 * @param places borrowed as long as there are credentials.
 * @param account the folder in which a pod finds its token; borrowed likewise.
 * @param[out] credentials untouched on failure; freed with credentials_free().
 * @return 0; or a negative errno value, with a text that says which file and why. */
int credentials_new(struct credentials **credentials, const struct k8s_places *places,
                    const char *account, struct error *error);

/** NULL is fine. */
void credentials_free(struct credentials *credentials);

/** Reads the files again, if one of them has changed. What cannot be used leaves the old in force,
 * and is logged once. Blocks as long as reading files does. */
void credentials_refresh(struct credentials *credentials, struct log *log);

const struct credentials_facts *credentials_facts(const struct credentials *credentials);

/** A kubeconfig. */
struct credentials_source {
    const char *path; /**< for errors; relative paths in it go from its folder */
    const char *text; /**< YAML or JSON */
    size_t bytes;
};

/** Who is to know of files that a kubeconfig names. */
struct credentials_files {
    void (*opened)(const char *path, void *user); /**< before each is read; NULL: nobody */
    void *user;
};

/** Reads kubeconfigs, and the files that they name. The first that has a current context, or a
 * context, a cluster or a user of a name, is the one that counts for it, as for kubectl.
 * @param count at most #CREDENTIALS_MAX_SOURCES.
 * @param[out] facts untouched on failure; released by credentials_facts_fini().
 * @return 0; or a negative errno value, with a text that begins with the path of the source. */
int credentials_parse(const struct credentials_source *sources, size_t count,
                      const struct credentials_files *files, struct credentials_facts *facts,
                      struct error *error);

/** Zeroed facts are fine. */
void credentials_facts_fini(struct credentials_facts *facts);

#endif
