/* SPDX-License-Identifier: Apache-2.0 */
/* A build without BPF: there is no fast path, so that nothing is called with one. All functions are
 * one that does nothing, by many names; their header is not included, as it has other types. */

#define NOTHING(name) void name(void) __attribute__((alias("proxy_fast_nothing")))

void proxy_fast_nothing(void);

void proxy_fast_nothing(void)
{
}

NOTHING(proxy_fast_open);
NOTHING(proxy_fast_close);
NOTHING(proxy_fast_bytes);
NOTHING(proxy_fast_suspend);
NOTHING(proxy_fast_resume);
NOTHING(proxy_fast_sample);
NOTHING(proxy_fast_version);
NOTHING(proxy_fast_count);
NOTHING(proxy_fast_sessions);
NOTHING(proxy_fast_claim);
NOTHING(proxy_fast_lane);
NOTHING(proxy_passage_is_possible);
NOTHING(proxy_lane_offer);
NOTHING(proxy_lane_renew);
NOTHING(proxy_lane_is_open);
NOTHING(proxy_lane_settle);
NOTHING(proxy_lane_waits);
NOTHING(proxy_lane_open);
NOTHING(proxy_lane_version);
NOTHING(proxy_lane_window);
NOTHING(proxy_lane_player);
NOTHING(proxy_lane_withdraw);
NOTHING(proxy_lane_take);
