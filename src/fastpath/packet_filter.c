/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/packet_filter.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "net/netlink.h"

/* Hooks that all families have: before routing (for a device: as it comes in), and to this host. */
#define LAST_INPUT_HOOK NF_INET_LOCAL_IN

struct chain {
    bool is_base;
    bool is_filter;
    uint32_t hook;
    uint32_t policy;
    uint32_t use; /* rules in it, and jumps to it */
};

static uint32_t read_number(const void *value, size_t bytes)
{
    uint32_t number = 0;
    if (bytes >= sizeof number)
        memcpy(&number, value, sizeof number);
    return ntohl(number);
}

static void take_hook(unsigned type, const void *value, size_t bytes, void *user)
{
    struct chain *chain = user;
    if (type != NFTA_HOOK_HOOKNUM)
        return;
    chain->is_base = true;
    chain->hook = read_number(value, bytes);
}

static void take_chain_attribute(unsigned type, const void *value, size_t bytes, void *user)
{
    static const char filter[] = "filter";
    struct chain *chain = user;
    if (type == NFTA_CHAIN_HOOK)
        netlink_attributes(value, bytes, take_hook, chain);
    else if (type == NFTA_CHAIN_POLICY)
        chain->policy = read_number(value, bytes);
    else if (type == NFTA_CHAIN_USE)
        chain->use = read_number(value, bytes);
    else if (type == NFTA_CHAIN_TYPE)
        chain->is_filter = bytes >= sizeof filter && memcmp(value, filter, sizeof filter) == 0;
}

static void take_chain(const struct nlmsghdr *message, void *user)
{
    bool *found = user;
    struct chain chain = {.policy = NF_ACCEPT};
    struct nfgenmsg head;
    if (!netlink_header(message, &head, sizeof head))
        return;
    if (head.nfgen_family == NFPROTO_ARP || head.nfgen_family == NFPROTO_BRIDGE)
        return;
    netlink_message_attributes(message, sizeof head, take_chain_attribute, &chain);
    if (chain.is_base && chain.is_filter && chain.hook <= LAST_INPUT_HOOK &&
        (chain.use > 0 || chain.policy == NF_DROP))
        *found = true;
}

static bool has_nftables(void)
{
    struct nfgenmsg head = {.nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0};
    struct netlink_question question = {.protocol = NETLINK_NETFILTER,
                                        .type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN,
                                        .header = &head,
                                        .header_bytes = sizeof head};
    bool found = false;
    netlink_list(&question, take_chain, &found);
    return found;
}

/* The old iptables makes a table when it is first used; what is in it, it tells itself alone. */
static bool has_table(const char *path)
{
    char line[64];
    bool found = false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = strcmp(line, "filter\n") == 0;
    fclose(file);
    return found;
}

bool packet_filter_exists(void)
{
    return has_nftables() || has_table("/proc/net/ip_tables_names") ||
           has_table("/proc/net/ip6_tables_names");
}
