/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/number.h"

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
    uid_t user;
    gid_t group;
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

/* What a worker does, and what the C library and the sanitizers do to run and to end a thread. */
static const int WORKER_CALLS[] = {
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(prctl),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(write),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(bind),
    SCMP_SYS(close),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
};

/* SCMP_A0() and the like leave a member out, of which clang warns. */
static struct scmp_arg_cmp equals(unsigned argument, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value};
}

int privileges_confine_worker(void)
{
    static const scmp_datum_t levels[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, SOL_UDP};
    const scmp_datum_t type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL)
        return -ENOMEM;

    int error = 0;
    for (size_t i = 0; i < sizeof WORKER_CALLS / sizeof WORKER_CALLS[0] && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, WORKER_CALLS[i], 0);
    for (size_t i = 0; i < 2 && error == 0; i++) /* UDP alone */
        error =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
                             equals(0, i == 0 ? AF_INET : AF_INET6), equals(1, type), equals(2, 0));
    for (size_t i = 0; i < sizeof levels / sizeof levels[0] && error == 0; i++)
        error =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1, equals(1, levels[i]));
    if (error == 0) /* a wake-up, and nothing of a file's size */
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(read), 1,
                                 equals(2, sizeof(uint64_t)));
    if (error == 0)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error;
}
