/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fast_path.h"

#include <errno.h>

#include "fastpath/packet_filter.h"

static void log_attached(const struct fastpath *fastpath, bool is_generic, struct log *log)
{
    const char *interface = fastpath_interfaces(fastpath);
    if (is_generic)
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", interface), log_text("mode", "generic"),
                  log_text("reason", "--xdp-attach generic asks for it; native is faster"));
    else
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "xdp attached"),
                  log_text("interface", interface), log_text("mode", "native"));
    if (packet_filter_exists())
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "pings are answered before this host's packet filter sees "
                                      "them: its rules do not apply to them"),
                  log_text("interface", interface));
}

static void warn_about_ineffective(const struct process_settings *settings, struct log *log)
{
    bool is_off = settings->xdp == PROCESS_XDP_OFF;
    bool is_automatic = settings->xdp == PROCESS_XDP_AUTO;
    const struct {
        const char *name;
        bool is_ineffective;
    } rows[] = {
        {"service.udp.xdp.network-interface", is_off && settings->xdp_interfaces[0] != '\0'},
        {"xdp-attach", (is_off && settings->xdp_attach_given) ||
                           (is_automatic && settings->xdp_attach == PROCESS_XDP_GENERIC)}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].is_ineffective)
            LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "this setting has no effect"),
                      log_text("setting", rows[i].name), log_text("xdp", is_off ? "off" : "auto"));
    }
}

int fast_path_open(struct fastpath **fastpath, const struct config *config,
                   const struct service_ops *const *services, struct log *log, struct error *error)
{
    const struct process_settings *settings = config_settings(config, &process_section);
    bool is_automatic = settings->xdp == PROCESS_XDP_AUTO;
    bool is_generic = settings->xdp_attach == PROCESS_XDP_GENERIC && !is_automatic;
    struct fastpath_options options = {.interfaces = settings->xdp_interfaces,
                                       .mode = is_generic ? XDP_MODE_GENERIC : XDP_MODE_NATIVE,
                                       .automatic = is_automatic};
    struct error reason;

    *fastpath = NULL;
    warn_about_ineffective(settings, log);
    if (settings->xdp == PROCESS_XDP_OFF)
        return 0;
    for (size_t i = 0; services[i] != NULL && options.listen_count == 0; i++) {
        if (services[i]->listen != NULL && services[i]->is_wanted(config))
            options.listen_count = services[i]->listen(config, &options.listen);
    }
    int code = fastpath_open(fastpath, &options, &reason);
    if (code == 0) {
        log_attached(*fastpath, is_generic, log);
        return 0;
    }
    if (is_automatic) {
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "sockets answer without xdp"),
                  log_text("reason", reason.text));
        return 0;
    }
    return error_set(error, code, "cannot answer by XDP: %s%s", reason.text,
                     code == -EOPNOTSUPP && !is_generic ? " (--xdp-attach generic)" : "");
}

void fast_path_report(const struct fastpath *fastpath, enum fastpath_event event, struct log *log)
{
    const char *reason = NULL;
    switch (event) {
    case FASTPATH_NOTHING:
        return;
    case FASTPATH_LOSING:
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "the interface loses answers of xdp; on veth the peer needs "
                                      "an XDP program, too"),
                  log_text("interface", fastpath_interfaces(fastpath)),
                  log_uint("lost", fastpath_transmit_errors(fastpath)));
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
    LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "xdp detached: the sockets go on alone"),
              log_text("interface", fastpath_interfaces(fastpath)), log_text("reason", reason));
}
