/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Where the API server of Kubernetes is, and how it knows this client: a kubeconfig, or what a pod
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

/** Finds out: the kubeconfig of the environment, or that of the home folder, or the cluster around.
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

/** Where files that a kubeconfig names are found, and who is to know of them. */
struct credentials_files {
    const char *folder;                           /**< from which relative paths go */
    void (*opened)(const char *path, void *user); /**< before each is read; NULL: nobody */
    void *user;
};

/** Reads a kubeconfig, and the files that it names.
 * @param text YAML or JSON.
 * @param[out] facts untouched on failure; released by credentials_facts_fini().
 * @return 0; or a negative errno value, with a text. */
int credentials_parse(const char *text, size_t bytes, const struct credentials_files *files,
                      struct credentials_facts *facts, struct error *error);

/** Zeroed facts are fine. */
void credentials_facts_fini(struct credentials_facts *facts);

#endif
