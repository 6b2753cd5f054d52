/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fastpath/shared.h"

/* More than any driver has. */
#define MAX_COUNTERS 65536

static int ask(int fd, unsigned long request, struct ifreq *interface)
{
    return ioctl(fd, request, interface) == 0 ? 0 : -errno;
}

static int ask_ethtool(int fd, struct ifreq *interface, void *question)
{
    interface->ifr_data = question;
    return ask(fd, SIOCETHTOOL, interface);
}

/* Returns a socket to ask with, and fills in the name; or a negative errno value. */
static int open_question(unsigned interface, struct ifreq *question)
{
    *question = (struct ifreq){.ifr_ifindex = 0};
    if (if_indextoname(interface, question->ifr_name) == NULL)
        return -ENODEV;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

int fastpath_device_read(unsigned interface, struct fastpath_device *device)
{
    struct ifreq question;
    struct fastpath_device read = {.has_ethernet = false};
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    uint32_t first;
    uint16_t last;

    int fd = open_question(interface, &question);
    if (fd < 0)
        return fd;
    memcpy(read.name, question.ifr_name, sizeof read.name);
    int error = ask(fd, SIOCGIFFLAGS, &question);
    read.is_loopback = (question.ifr_flags & IFF_LOOPBACK) != 0;
    read.is_up = (question.ifr_flags & IFF_UP) != 0;
    if (error == 0)
        error = ask(fd, SIOCGIFMTU, &question);
    read.mtu = (uint32_t)question.ifr_mtu;
    if (error == 0)
        error = ask(fd, SIOCGIFHWADDR, &question);
    if (error == 0) {
        memcpy(&first, question.ifr_hwaddr.sa_data, sizeof first);
        memcpy(&last, question.ifr_hwaddr.sa_data + sizeof first, sizeof last);
        read.mac = fastpath_mac(first, last);
        read.has_ethernet = question.ifr_hwaddr.sa_family == ARPHRD_ETHER || read.is_loopback;
        /* Drivers of what is software alone leave the place on a bus empty, or write something
         * that is none. */
        bool is_told = ask_ethtool(fd, &question, &driver) == 0;
        read.is_veth = is_told && strcmp(driver.driver, "veth") == 0;
        read.is_hardware = is_told && driver.bus_info[0] != '\0' &&
                           strcmp(driver.bus_info, "N/A") != 0 && strcmp(driver.driver, "tun") != 0;
        *device = read;
    }
    close(fd);
    return error;
}

bool fastpath_device_is_transmit_error(const char *counter)
{
    bool is_of_another = strncmp(counter, "tx", 2) == 0 && strstr(counter, "xdp_tx") == NULL;
    return strstr(counter, "xdp") != NULL && strstr(counter, "tx") != NULL && !is_of_another &&
           (strstr(counter, "err") != NULL || strstr(counter, "drop") != NULL ||
            strstr(counter, "full") != NULL);
}

/* Some drivers count by queue, some as a whole, some both. */
static uint64_t sum_errors(const struct ethtool_gstrings *names, const struct ethtool_stats *values,
                           uint32_t count)
{
    uint64_t whole = 0, by_queue = 0;
    for (uint32_t i = 0; i < count; i++) {
        char name[ETH_GSTRING_LEN + 1] = "";
        memcpy(name, names->data + (size_t)i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
        if (!fastpath_device_is_transmit_error(name))
            continue;
        if (strpbrk(name, "0123456789") != NULL)
            by_queue += values->data[i];
        else
            whole += values->data[i];
    }
    return whole > by_queue ? whole : by_queue;
}

static uint32_t count_counters(int fd, struct ifreq *question)
{
    struct ethtool_sset_info head = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_STATS};
    alignas(struct ethtool_sset_info) char set[sizeof head + sizeof(uint32_t)] = {0};
    uint32_t count;
    memcpy(set, &head, sizeof head);
    if (ask_ethtool(fd, question, set) != 0)
        return 0;
    memcpy(&head, set, sizeof head);
    memcpy(&count, set + sizeof head, sizeof count);
    return head.sset_mask != 0 && count <= MAX_COUNTERS ? count : 0;
}

int fastpath_device_transmit_errors(unsigned interface, uint64_t *errors)
{
    struct ifreq question;
    int fd = open_question(interface, &question);
    if (fd < 0)
        return fd;

    uint32_t count = count_counters(fd, &question);
    struct ethtool_gstrings *names = calloc(1, sizeof *names + (size_t)count * ETH_GSTRING_LEN);
    struct ethtool_stats *values = calloc(1, sizeof *values + count * sizeof values->data[0]);
    int result = names == NULL || values == NULL ? -ENOMEM : 0;
    if (result == 0 && count > 0) {
        *names = (struct ethtool_gstrings){
            .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = count};
        *values = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = count};
        if (ask_ethtool(fd, &question, names) != 0 || ask_ethtool(fd, &question, values) != 0 ||
            names->len != count || values->n_stats != count)
            result = -EIO;
    }
    if (result == 0) /* a driver without counters has lost nothing that could be known */
        *errors = sum_errors(names, values, count);
    free(names);
    free(values);
    close(fd);
    return result;
}
