/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/seccomp.h>

#include "base/number.h"
#include "daemon/confine.h"

/* LeakSanitizer looks at other threads by ptrace(2). */
#if defined __SANITIZE_ADDRESS__
#define HAS_LEAK_CHECK
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECK
#endif
#endif

#define NAMES_BYTES 256

static void log_done(struct log *log, const char *step)
{
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
              log_text("step", step));
}

static void log_kept(struct log *log, enum log_level level, const char *step, int error)
{
    LOG_EVENT(log, level, log_text("message", "privileges kept"), log_text("step", step),
              log_text("error", strerror(error)));
}

static bool is_in(uint64_t set, cap_value_t capability)
{
    return (set & PRIVILEGES_CAPABILITY(capability)) != 0;
}

/* The bounding set limits what a program that is started by this process could gain. Who is not
 * root may not change it, and needs not: nothing can be gained from it without new privileges. */
static void empty_bounding_set(uint64_t keep, bool is_root, struct log *log)
{
    static const char step[] = "empty the bounding set";
    for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (is_in(keep, cap) || cap_get_bound(cap) <= 0)
            continue;
        if (cap_drop_bound(cap) != 0) {
            log_kept(log, is_root ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, step, errno);
            return;
        }
    }
    log_done(log, step);
}

static void add_name(char names[NAMES_BYTES], cap_value_t capability)
{
    size_t length = strlen(names);
    char *name = cap_to_name(capability);
    snprintf(names + length, NAMES_BYTES - length, "%s%s", length > 0 ? " " : "",
             name != NULL ? name : "?");
    cap_free(name);
}

/* Into `wanted` what of `keep` is permitted now, and into `names` what that is called. */
static int choose_capabilities(cap_t wanted, cap_t now, uint64_t keep, char names[NAMES_BYTES])
{
    names[0] = '\0';
    for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
        cap_flag_value_t permitted = CAP_CLEAR;
        if (!is_in(keep, cap) || cap_get_flag(now, cap, CAP_PERMITTED, &permitted) != 0 ||
            permitted == CAP_CLEAR)
            continue;
        if (cap_set_flag(wanted, CAP_PERMITTED, 1, &cap, CAP_SET) != 0 ||
            cap_set_flag(wanted, CAP_EFFECTIVE, 1, &cap, CAP_SET) != 0)
            return -errno;
        add_name(names, cap);
    }
    return 0;
}

/* Ambient ones go with the inheritable ones. */
static int keep_capabilities(uint64_t keep, struct log *log, struct error *error)
{
    char names[NAMES_BYTES];
    cap_t now = cap_get_proc();
    cap_t wanted = cap_init();
    int code = now != NULL && wanted != NULL ? 0 : -errno;
    if (code == 0)
        code = choose_capabilities(wanted, now, keep, names);
    if (code == 0 && cap_set_proc(wanted) != 0)
        code = -errno;
    cap_free(now);
    cap_free(wanted);
    if (code != 0)
        return error_system(error, code, "cannot give up capabilities");
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
              log_text("step", "keep capabilities that are needed"),
              log_text("capabilities", names[0] != '\0' ? names : "none"));
    return 0;
}

static bool has_capability(cap_value_t capability)
{
    cap_flag_value_t effective = CAP_CLEAR;
    cap_t now = cap_get_proc();
    if (now != NULL)
        cap_get_flag(now, capability, CAP_EFFECTIVE, &effective);
    cap_free(now);
    return effective == CAP_SET;
}

/* The user and the group that a name or a number stands for. An image without a passwd file has no
 * names; the one that is meant then is known all the same. */
static int find_user(const char *name, uid_t *user, gid_t *group)
{
    uint64_t number;
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    int error = errno;

    if (entry == NULL && number_parse(name, 0, UINT32_MAX - 1, &number) == 0) {
        *user = (uid_t)number;
        *group = (gid_t)number;
        entry = getpwuid(*user);
        if (entry != NULL)
            *group = entry->pw_gid;
        return 0;
    }
    if (entry == NULL && strcmp(name, "nobody") == 0) {
        *user = 65534;
        *group = 65534;
        return 0;
    }
    if (entry == NULL)
        return error != 0 ? -error : -ENOENT;
    *user = entry->pw_uid;
    *group = entry->pw_gid;
    return 0;
}

/* Groups first, the user last: after that nothing of it is permitted any more. */
static int become(uid_t user, gid_t group)
{
    if (!has_capability(CAP_SETUID) || !has_capability(CAP_SETGID))
        return -EPERM;
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgroups(0, NULL) != 0 ||
        setresgid(group, group, group) != 0 || setresuid(user, user, user) != 0)
        return -errno;
    return 0;
}

static int become_user(const char *name, struct log *log, struct error *error)
{
    static const char step[] = "become another user";
    uid_t user = 0;
    gid_t group = 0;
    int code = find_user(name, &user, &group);
    if (code == -EMFILE || code == -ENFILE)
        return error_system(error, code, "cannot look for the user '%s'", name);
    if (code != 0)
        return error_set(error, code, "there is no user '%s' to become", name);

    code = become(user, group);
    /* A user namespace without this user says EINVAL. What can be given up still is. */
    if (code == -EPERM || code == -EINVAL) {
        log_kept(log, LOG_LEVEL_WARN, step, -code);
        return 0;
    }
    if (code != 0)
        return error_system(error, code, "cannot become user '%s'", name);
    if (user == 0) /* whose files it may still write, without any capability */
        LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "privileges kept"),
                  log_text("step", step),
                  log_text("error", "the user that it is to become is root"));
    else
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
                  log_text("step", step), log_text("user", name));
    return 0;
}

static void gain_no_new(struct log *log)
{
    static const char step[] = "gain no new privileges";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_kept(log, LOG_LEVEL_WARN, step, errno);
    else
        log_done(log, step);
}

int privileges_drop(const char *user, uint64_t keep, struct log *log, struct error *error)
{
    bool is_root = geteuid() == 0;
    /* First, as it takes a privilege that the other steps give up. */
    empty_bounding_set(keep, is_root, log);
    int code = is_root ? become_user(user, log, error) : 0;
    if (code == 0)
        code = keep_capabilities(keep, log, error);
    if (code == 0)
        gain_no_new(log);
    return code;
}

/* clang-format off */
#define ALLOW(call) {__NR_##call, SECCOMP_RET_ALLOW, 0, {{0, 0}}}
#define KILL(call) {__NR_##call, SECCOMP_RET_KILL_PROCESS, 0, {{0, 0}}}
#define ALLOW_SOCKET(family, type, protocol) \
    {__NR_socket, SECCOMP_RET_ALLOW, 3, {{0, family}, {1, type}, {2, protocol}}}
#define ALLOW_OPTION(level, option) {__NR_setsockopt, SECCOMP_RET_ALLOW, 2, {{1, level}, {2, option}}}
#define FILTER(table, rest) \
    (struct confine_filter){(table), sizeof(table) / sizeof(table)[0], (rest)}
/* clang-format on */
#define UDP_TYPE (SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* What a worker does, and what the C library and the sanitizers do to run and to end a thread. The
 * frequent ones stand first; the options are those of net/bind.c. Not every architecture has the
 * older calls. */
static const struct confine_rule worker_rules[] = {
    ALLOW(recvmmsg),
    ALLOW(sendmsg),
    ALLOW(sendmmsg),
#ifdef __NR_epoll_wait
    ALLOW(epoll_wait),
#endif
    ALLOW(epoll_pwait),
    ALLOW(getsockopt),
    ALLOW(clock_gettime),
    ALLOW(futex),
#ifdef __NR_poll
    ALLOW(poll),
#endif
    ALLOW(ppoll),
#ifdef __NR_clock_gettime64 /* 32 bits */
    ALLOW(clock_gettime64),
    ALLOW(futex_time64),
    ALLOW(recvmmsg_time64),
    ALLOW(ppoll_time64),
    ALLOW(clock_nanosleep_time64),
    ALLOW(mmap2),
#endif
    /* A wake-up, and nothing of a file's size. */
    {__NR_read, SECCOMP_RET_ALLOW, 1, {{2, sizeof(uint64_t)}}},
    ALLOW(write),
    ALLOW(epoll_ctl),
    ALLOW(bind),
    ALLOW(close),
    ALLOW(getsockname),
    ALLOW_SOCKET(AF_INET, UDP_TYPE, 0),
    ALLOW_SOCKET(AF_INET6, UDP_TYPE, 0),
    ALLOW_OPTION(SOL_SOCKET, SO_RCVBUF),
    ALLOW_OPTION(SOL_SOCKET, SO_RCVBUFFORCE),
    ALLOW_OPTION(SOL_SOCKET, SO_SNDBUF),
    ALLOW_OPTION(SOL_SOCKET, SO_SNDBUFFORCE),
    ALLOW_OPTION(SOL_SOCKET, SO_TIMESTAMPING),
    ALLOW_OPTION(SOL_UDP, UDP_GRO),
    ALLOW_OPTION(SOL_SOCKET, SO_ATTACH_FILTER),
    ALLOW_OPTION(IPPROTO_IP, IP_PKTINFO),
    ALLOW_OPTION(IPPROTO_IP, IP_FREEBIND),
    ALLOW_OPTION(IPPROTO_IP, IP_RECVERR),
    ALLOW_OPTION(IPPROTO_IP, IP_RECVTOS),
    ALLOW_OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
    ALLOW_OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO),
    ALLOW_OPTION(IPPROTO_IPV6, IPV6_FREEBIND),
    ALLOW_OPTION(IPPROTO_IPV6, IPV6_RECVERR),
    ALLOW_OPTION(IPPROTO_IPV6, IPV6_RECVTCLASS),
    ALLOW(exit),
    ALLOW(exit_group),
    ALLOW(rt_sigreturn),
    ALLOW(rt_sigaction),
    ALLOW(rt_sigprocmask),
    ALLOW(sigaltstack),
    ALLOW(restart_syscall),
    ALLOW(sched_yield),
#ifdef __NR_mmap
    ALLOW(mmap),
#endif
    ALLOW(munmap),
    ALLOW(mremap),
    ALLOW(mprotect),
    ALLOW(madvise),
    ALLOW(brk),
    ALLOW(rseq),
    ALLOW(set_robust_list),
    ALLOW(getpid),
    ALLOW(gettid),
    ALLOW(tgkill),
    ALLOW(prctl),
    ALLOW(nanosleep),
    ALLOW(clock_nanosleep),
};

/* What nothing in the process does after the start. Sockets are those of the services, of HTTP, of
 * the service manager, and those that ask the kernel for its lists. */
static const struct confine_rule process_rules[] = {
    KILL(execve),
    KILL(execveat),
    KILL(process_vm_readv),
    KILL(process_vm_writev),
    KILL(kexec_load),
    KILL(init_module),
    KILL(finit_module),
    KILL(delete_module),
    KILL(mount),
    KILL(umount2),
    KILL(pivot_root),
    KILL(chroot),
    KILL(setns),
    KILL(unshare),
    KILL(keyctl),
    KILL(add_key),
    KILL(request_key),
    KILL(userfaultfd),
    KILL(io_uring_setup),
    KILL(personality),
#ifndef HAS_LEAK_CHECK
    KILL(ptrace),
#endif
    ALLOW_SOCKET(AF_INET, UDP_TYPE, 0),
    ALLOW_SOCKET(AF_INET6, UDP_TYPE, 0),
    ALLOW_SOCKET(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    ALLOW_SOCKET(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    ALLOW_SOCKET(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    ALLOW_SOCKET(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), /* if_indextoname(3) */
    ALLOW_SOCKET(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
    ALLOW_SOCKET(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE),
    {__NR_socket, SECCOMP_RET_ERRNO | EPERM, 0, {{0, 0}}},
    KILL(bpf), /* the last one, which a process with XDP goes without */
};

static const struct confine_rule http_rules[] = {KILL(socket), KILL(connect), KILL(bpf)};

int privileges_confine_process(bool needs_bpf)
{
    struct confine_filter filter = FILTER(process_rules, SECCOMP_RET_ALLOW);
    filter.count -= needs_bpf;
    return confine(&filter);
}

int privileges_confine_http(void)
{
    return confine(&FILTER(http_rules, SECCOMP_RET_ALLOW));
}

int privileges_confine_worker(void)
{
    return confine(&FILTER(worker_rules, SECCOMP_RET_KILL_PROCESS));
}
