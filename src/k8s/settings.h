/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the provider that watches Kubernetes.
 */
#ifndef PADDOCK_K8S_SETTINGS_H
#define PADDOCK_K8S_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define K8S_MAX_NAMESPACES 32
/** Room for a name of Kubernetes. */
#define K8S_NAME_BYTES 254

/** Namespaces, each once. */
struct k8s_namespaces {
    char items[K8S_MAX_NAMESPACES][K8S_NAME_BYTES];
    size_t count;
};

/** A Service; zeroed: none. */
struct k8s_service_name {
    char namespace[K8S_NAME_BYTES], name[K8S_NAME_BYTES];
};

/** Which addresses of a game server are taken. */
enum k8s_ip_kind {
    K8S_IP_ANY,
    K8S_IP_V4,
    K8S_IP_V6
};

/** What of the environment leads to an API server; "" for what is not set. */
struct k8s_places {
    char kubeconfig[CONFIG_PATH_BYTES], home[CONFIG_PATH_BYTES];
    char host[64], port[8]; /**< within a cluster */
};

struct k8s_settings {
    bool reads_filters, reads_game_servers, elects;
    char namespace[K8S_NAME_BYTES]; /**< where the ConfigMap and the Lease are */
    char id[256]; /**< the name of this replica in the Lease; "": that of the service */
    char lease[K8S_NAME_BYTES];
    struct k8s_namespaces namespaces,
        old_namespaces; /**< where game servers are looked for; check() joins them */
    bool has_namespaces;
    char address_type[64]; /**< "": status.address */
    enum k8s_ip_kind ip_kind;
    bool has_ip_kind;
    struct k8s_service_name service;
    struct k8s_places places;
};

/** Its settings are a struct k8s_settings. */
extern const struct config_section k8s_section;

#endif
