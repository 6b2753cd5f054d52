#include "daemon/fast_path.h"

#include <errno.h>
#include <stdio.h>

#include "fastpath/packet_filter.h"

static void log_attached(const struct fastpath *xdp, enum xdp_mode mode, struct log *log)
{
    if (mode == XDP_MODE_GENERIC)
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", fastpath_interface(xdp)), log_text("mode", "generic"),
                  log_text("reason", "--xdp-mode generic asks for it; native is faster"));
    else
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", fastpath_interface(xdp)), log_text("mode", "native"));
    if (packet_filter_exists())
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "pings are answered before this host's packet filter sees "
                                      "them: its rules do not apply to them"),
                  log_text("interface", fastpath_interface(xdp)));
}

/* Of what is asked for with the flags of XDP. */
static void warn_about_ineffective(const struct config *config, struct log *log)
{
    bool sockets = config->engine == CONFIG_ENGINE_MMSG;
    bool automatic = config->engine == CONFIG_ENGINE_AUTO;
    const struct {
        const char *name;
        bool is_ineffective;
    } settings[] = {
        {"service.udp.xdp.network-interface", sockets && config->xdp_interface[0] != '\0'},
        {"xdp-mode", (sockets && config->xdp_mode_given) || (automatic && config->xdp_generic)}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (settings[i].is_ineffective)
            LOG_EVENT(log, LOG_LEVEL_WARN,
                      log_text("message", "this setting has no effect with this engine"),
                      log_text("setting", settings[i].name),
                      log_text("engine", sockets ? "mmsg" : "auto"));
    }
}

int fast_path_open(struct fastpath **xdp, struct qcmp_fast **fast, const struct config *config,
                   struct log *log)
{
    struct error error;
    bool automatic = config->engine == CONFIG_ENGINE_AUTO;
    struct fastpath_options options = {.interface = config->xdp_interface,
                                       .mode = config->xdp_generic && !automatic ? XDP_MODE_GENERIC
                                                                                 : XDP_MODE_NATIVE,
                                       .automatic = automatic,
                                       .listen = config->listen,
                                       .listen_count = config->listen_count};
    *xdp = NULL;
    *fast = NULL;
    warn_about_ineffective(config, log);
    if (config->engine == CONFIG_ENGINE_MMSG)
        return 0;
    int code = fastpath_open(xdp, &options, &error);
    if (code == 0) {
        code = qcmp_fast_open(fast, *xdp, &error);
        if (code != 0) {
            fastpath_close(*xdp);
            *xdp = NULL;
        }
    }
    if (code == 0) {
        log_attached(*xdp, options.mode, log);
        return 0;
    }
    if (automatic) {
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "sockets answer without xdp"),
                  log_text("reason", error.text));
        return 0;
    }
    bool other_mode = code == -EOPNOTSUPP && options.mode == XDP_MODE_NATIVE;
    fprintf(stderr, "paddock: cannot answer by XDP: %s%s\n", error.text,
            other_mode ? " (--xdp-mode generic)" : "");
    return code;
}

void fast_path_report(const struct fastpath *xdp, enum fastpath_event event, struct log *log)
{
    const char *reason = NULL;
    switch (event) {
    case FASTPATH_NOTHING:
        return;
    case FASTPATH_LOSING:
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "the interface loses answers of xdp; on veth the peer needs "
                                      "an XDP program, too"),
                  log_text("interface", fastpath_interface(xdp)),
                  log_uint("lost", fastpath_transmit_errors(xdp)));
        return;
    case FASTPATH_GONE:
        reason = "the interface is gone, or somebody took the program off it";
        break;
    case FASTPATH_LOSSES:
        reason = "the interface loses answers";
        break;
    case FASTPATH_FAILED:
        reason = "the addresses of this host cannot be followed";
        break;
    }
    fast_path_report_detached(xdp, reason, log);
}

void fast_path_report_detached(const struct fastpath *xdp, const char *reason, struct log *log)
{
    LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "xdp detached: the sockets go on alone"),
              log_text("interface", fastpath_interface(xdp)), log_text("reason", reason));
}
