/* SPDX-License-Identifier: Apache-2.0 */
/* The least that an XDP program can do, to compare with. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int drop(struct xdp_md *context)
{
    (void)context;
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Apache-2.0";
