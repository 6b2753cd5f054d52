#include "daemon/fast_path.h"

#include <errno.h>
#include <stdio.h>

#include "fastpath/packet_filter.h"

static void log_attached(const struct xdp *xdp, enum xdp_mode mode, struct log *log)
{
    if (mode == XDP_MODE_GENERIC)
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", xdp_interface(xdp)), log_text("mode", "generic"),
                  log_text("reason", "--xdp-attach generic asks for it; native is faster"));
    else
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", xdp_interface(xdp)), log_text("mode", "native"));
    if (xdp_packet_filter_exists())
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "pings are answered before this host's packet filter sees "
                                      "them: its rules do not apply to them"),
                  log_text("interface", xdp_interface(xdp)));
}

/* Of what is asked for with the flags of XDP. */
static void warn_about_ineffective(const struct process_settings *process, struct log *log)
{
    bool sockets = process->xdp == PROCESS_XDP_OFF;
    bool automatic = process->xdp == PROCESS_XDP_AUTO;
    bool generic = process->xdp_attach == PROCESS_XDP_GENERIC;
    const struct {
        const char *name;
        bool is_ineffective;
    } settings[] = {
        {"service.udp.xdp.network-interface", sockets && process->xdp_interface[0] != '\0'},
        {"xdp-attach", (sockets && process->xdp_attach_given) || (automatic && generic)}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (settings[i].is_ineffective)
            LOG_EVENT(log, LOG_LEVEL_WARN,
                      log_text("message", "this setting has no effect with this --xdp"),
                      log_text("setting", settings[i].name),
                      log_text("xdp", sockets ? "off" : "auto"));
    }
}

int fast_path_open(struct xdp **xdp, const struct process_settings *process,
                   const struct qcmp_settings *qcmp, struct log *log)
{
    char error[XDP_ERROR_BYTES];
    bool automatic = process->xdp == PROCESS_XDP_AUTO;
    bool generic = process->xdp_attach == PROCESS_XDP_GENERIC;
    struct xdp_options options = {.interface = process->xdp_interface,
                                  .mode =
                                      generic && !automatic ? XDP_MODE_GENERIC : XDP_MODE_NATIVE,
                                  .automatic = automatic,
                                  .listen = qcmp->listen,
                                  .listen_count = qcmp->listen_count};
    *xdp = NULL;
    warn_about_ineffective(process, log);
    if (process->xdp == PROCESS_XDP_OFF)
        return 0;
    int code = xdp_open(xdp, &options, error, sizeof error);
    if (code == 0) {
        log_attached(*xdp, options.mode, log);
        return 0;
    }
    if (automatic) {
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "sockets answer without xdp"),
                  log_text("reason", error));
        return 0;
    }
    bool other_mode = code == -EOPNOTSUPP && options.mode == XDP_MODE_NATIVE;
    fprintf(stderr, "paddock: cannot answer by XDP: %s%s\n", error,
            other_mode ? " (--xdp-attach generic)" : "");
    return code;
}

void fast_path_report(const struct xdp *xdp, enum xdp_event event, struct log *log)
{
    const char *reason = NULL;
    switch (event) {
    case XDP_NOTHING:
        return;
    case XDP_LOSING:
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "the interface loses answers of xdp; on veth the peer needs "
                                      "an XDP program, too"),
                  log_text("interface", xdp_interface(xdp)),
                  log_uint("lost", xdp_transmit_errors(xdp)));
        return;
    case XDP_GONE:
        reason = "the interface is gone, or somebody took the program off it";
        break;
    case XDP_LOSSES:
        reason = "the interface loses answers";
        break;
    case XDP_FAILED:
        reason = "the addresses of this host cannot be followed";
        break;
    case XDP_UNRULED:
        reason = "it does not take the new limits and access lists";
        break;
    }
    LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "xdp detached: the sockets go on alone"),
              log_text("interface", xdp_interface(xdp)), log_text("reason", reason));
}
