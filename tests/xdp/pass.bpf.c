/* SPDX-License-Identifier: Apache-2.0 */
/* Passes everything. On a veth pair its presence at the other end is what lets replies by XDP_TX
 * through. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *context)
{
    (void)context;
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Apache-2.0";
