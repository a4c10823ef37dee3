// SPDX-License-Identifier: Apache-2.0
//
// For an interface that belongs to vrouter alone, such as the host's end of a container's veth: every frame goes to the
// socket of the queue it came in by. While no socket is there, nothing passes. Frames may be larger than a page.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

// The socket of each receive queue. The loader sets the size.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

SEC("xdp.frags")
int vrouter_access(struct xdp_md *context)
{
	return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_DROP);
}

char LICENSE[] SEC("license") = "Apache-2.0";
