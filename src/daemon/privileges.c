#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

static void warn(struct log *log, const char *what, int error)
{
    LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "privileges kept"), log_text("step", what),
              log_text("error", strerror(error)));
}

/* The bounding set limits what a program that is started by this process could gain. */
static void empty_bounding_set(struct log *log)
{
    for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (cap == CAP_NET_BIND_SERVICE || cap_get_bound(cap) <= 0)
            continue;
        if (cap_drop_bound(cap) != 0) {
            warn(log, "empty the bounding set", errno);
            return;
        }
    }
}

static int keep_one_capability(void)
{
    const cap_value_t kept[] = {CAP_NET_BIND_SERVICE};
    cap_flag_value_t permitted = CAP_CLEAR;
    cap_t now = cap_get_proc();
    cap_t wanted = cap_init();
    int result = -1;
    if (now != NULL && wanted != NULL &&
        cap_get_flag(now, kept[0], CAP_PERMITTED, &permitted) == 0 &&
        (permitted == CAP_CLEAR || (cap_set_flag(wanted, CAP_PERMITTED, 1, kept, CAP_SET) == 0 &&
                                    cap_set_flag(wanted, CAP_EFFECTIVE, 1, kept, CAP_SET) == 0)))
        result = cap_set_proc(wanted);
    int error = result != 0 ? -errno : 0;
    cap_free(now);
    cap_free(wanted);
    return error;
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

/* Groups first, the user last: after that nothing of it is permitted any more. */
static int become(const struct passwd *user)
{
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setgroups(0, NULL) != 0 ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
        return -errno;
    return 0;
}

static int become_user(const char *name, struct log *log)
{
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        fprintf(stderr, "paddock: there is no user '%s' to become\n", name);
        return errno != 0 ? -errno : -ENOENT;
    }
    int error = -EPERM;
    if (has_capability(CAP_SETUID) && has_capability(CAP_SETGID)) {
        empty_bounding_set(log);
        error = become(user);
    }
    /* A user namespace without this user says EINVAL. What can be given up still is. */
    bool refused = error == -EPERM || error == -EINVAL;
    if (refused)
        warn(log, "become another user", -error);
    if (refused || error == 0)
        error = keep_one_capability();
    if (refused && error == 0)
        return 0;
    if (error != 0) {
        fprintf(stderr, "paddock: cannot become user '%s': %s\n", name, strerror(-error));
        return error;
    }
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "privileges dropped"),
              log_text("user", name), log_text("capabilities", "cap_net_bind_service"));
    return 0;
}

static bool has_more_capabilities(void)
{
    bool found = false;
    cap_t now = cap_get_proc();
    for (cap_value_t cap = 0; cap <= CAP_LAST_CAP && now != NULL; cap++) {
        cap_flag_value_t permitted = CAP_CLEAR;
        if (cap != CAP_NET_BIND_SERVICE && cap_get_flag(now, cap, CAP_PERMITTED, &permitted) == 0)
            found = found || permitted == CAP_SET;
    }
    cap_free(now);
    return found;
}

/* Of a user who was given some, for XDP as a rule: they have served by now. */
static int drop_capabilities(struct log *log)
{
    if (!has_more_capabilities())
        return 0;
    int error = keep_one_capability();
    if (error != 0)
        fprintf(stderr, "paddock: cannot give up capabilities: %s\n", strerror(-error));
    else
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "capabilities dropped"),
                  log_text("capabilities", "cap_net_bind_service"));
    return error;
}

int privileges_drop(const char *user, struct log *log)
{
    int error = geteuid() == 0 ? become_user(user, log) : drop_capabilities(log);
    if (error != 0)
        return error;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        warn(log, "gain no new privileges", errno);
    else
        LOG_EVENT(log, LOG_LEVEL_DEBUG, log_text("message", "no new privileges can be gained"));
    return 0;
}

/* What a worker does: receive, send, wait, read clocks; and what the C library and the sanitizers
 * do to run and to end a thread. */
static const int WORKER_CALLS[] = {
    SCMP_SYS(recvmmsg),     SCMP_SYS(sendmsg),         SCMP_SYS(poll),
    SCMP_SYS(ppoll),        SCMP_SYS(clock_gettime),   SCMP_SYS(futex),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),      SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction),    SCMP_SYS(restart_syscall),
    SCMP_SYS(sigaltstack),  SCMP_SYS(sched_yield),     SCMP_SYS(mmap),
    SCMP_SYS(munmap),       SCMP_SYS(mprotect),        SCMP_SYS(madvise),
    SCMP_SYS(brk),          SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(getpid),       SCMP_SYS(gettid),          SCMP_SYS(tgkill),
    SCMP_SYS(prctl),        SCMP_SYS(nanosleep),       SCMP_SYS(clock_nanosleep),
    SCMP_SYS(write),
};

int privileges_confine_worker(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL)
        return -ENOMEM;
    int error = 0;
    for (size_t i = 0; i < sizeof WORKER_CALLS / sizeof WORKER_CALLS[0] && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, WORKER_CALLS[i], 0);
    if (error == 0)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error;
}
