// SPDX-License-Identifier: Apache-2.0
//
// For an interface that vrouter shares with the host, an uplink: only tunnel packets to one of our endpoints, and whatever is
// sent to an address that is ours alone, go to the socket. All else stays with the host, and these too while no socket is there.
//
// ARP and neighbour discovery stay with the host as well; the router gets a copy by a ring buffer. (Neighbour discovery that is sent
// to an address of ours alone is not for the host: it goes to the socket like all else that is sent there.)
//
// Packets to our own addresses are known by the address alone, so all fragments of a datagram go the same way. Tagged ones are
// for the host's VLANs.
//
// Tunnels must not be fragmented, but what arrives is counted where possible: the first fragment, which shows the UDP port,
// goes to the socket and is dropped there with a reason. Later fragments show no port and may belong to anybody on the host:
// they pass.
#include "uplink.bpf.h"

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

struct icmpv6_start {
	__u8 type;
	__u8 code;
	__be16 checksum;
};

// The socket of each receive queue. The loader sets the size.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// Copies the start of the frame for the router. The copy is lost when the router does not keep up; the host has the frame.
static __always_inline int show_to_router(struct xdp_md *context)
{
	__u64 length = bpf_xdp_get_buff_len(context);
	struct neighbour_copy *copy = bpf_ringbuf_reserve(&neighbours, sizeof(*copy), 0);

	if (!copy)
		return XDP_PASS;
	// The verifier has to see the bounds on the very register that is passed on.
	asm volatile("" : "+r"(length));
	if (length > COPY_BYTES)
		length = COPY_BYTES;
	asm volatile("" : "+r"(length));
	if (length < 1 || bpf_xdp_load_bytes(context, 0, copy->bytes, length) < 0) {
		bpf_ringbuf_discard(copy, 0);
		return XDP_PASS;
	}
	copy->length = length;
	bpf_ringbuf_submit(copy, 0);
	return XDP_PASS;
}

static __always_inline int to_socket(struct xdp_md *context)
{
	return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}

static __always_inline int to_port(struct xdp_md *context, __be16 port)
{
	switch (bpf_ntohs(port)) {
	case VXLAN_PORT:
	case MPLS_PORT:
	case OLD_MPLS_PORT:
		return to_socket(context);
	default:
		return XDP_PASS;
	}
}

static __always_inline int from_udp(struct xdp_md *context, struct udphdr *udp, void *end)
{
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	return to_port(context, udp->dest);
}

static __always_inline int from_arp(struct xdp_md *context, struct arp_start *arp, void *end)
{
	if ((void *)(arp + 1) > end)
		return XDP_PASS;
	if (arp->operation != bpf_htons(ARP_REQUEST) && arp->operation != bpf_htons(ARP_REPLY))
		return XDP_PASS;
	return show_to_router(context);
}

// `at` is where in the frame the header is, and behind the Ethernet header alone when there is no tag. Options are skipped by a helper: without CAP_PERFMON, the verifier forbids to add a
// variable to a packet pointer.
static __always_inline int from_ipv4(struct xdp_md *context, struct iphdr *ip, void *end, __u32 at)
{
	struct udphdr udp;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	if (at == sizeof(struct ethhdr) && bpf_map_lookup_elem(&owned_v4, &ip->daddr))
		return to_socket(context);
	if (ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	// Not the first fragment: no UDP header here.
	if (ip->frag_off & bpf_htons(0x1fff))
		return XDP_PASS;
	if (!bpf_map_lookup_elem(&vteps_v4, &ip->daddr))
		return XDP_PASS;
	if (ip->ihl == 5)
		return from_udp(context, (void *)(ip + 1), end);
	if (bpf_xdp_load_bytes(context, at + ip->ihl * 4, &udp, sizeof(udp)) < 0)
		return XDP_PASS;
	return to_port(context, udp.dest);
}

static __always_inline int from_ipv6(struct xdp_md *context, struct ipv6hdr *ip, void *end, __u32 at)
{
	void *next = ip + 1;
	__u8 protocol;

	if (next > end)
		return XDP_PASS;
	if (at == sizeof(struct ethhdr) && bpf_map_lookup_elem(&owned_v6, &ip->daddr))
		return to_socket(context);
	protocol = ip->nexthdr;
	if (protocol == NEXT_HEADER_FRAGMENT) {
		struct fragment_header *fragment = next;

		if ((void *)(fragment + 1) > end || fragment->offset & bpf_htons(0xfff8))
			return XDP_PASS;
		protocol = fragment->next_header;
		next = fragment + 1;
	}
	if (protocol == IPPROTO_UDP) {
		if (!bpf_map_lookup_elem(&vteps_v6, &ip->daddr))
			return XDP_PASS;
		return from_udp(context, next, end);
	}
	if (protocol == NEXT_HEADER_ICMPV6) {
		struct icmpv6_start *icmp = next;

		if ((void *)(icmp + 1) > end || icmp->type < ND_FIRST || icmp->type > ND_LAST)
			return XDP_PASS;
		return show_to_router(context);
	}
	return XDP_PASS;
}

SEC("xdp.frags")
int vrouter_steer(struct xdp_md *context)
{
	void *start = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = start;
	void *next = ethernet + 1;
	__u32 at = sizeof(*ethernet);
	__be16 ethertype;

	if (next > end)
		return XDP_PASS;
	ethertype = ethernet->h_proto;
	if (ethertype == bpf_htons(ETH_P_8021Q)) {
		struct vlan_tag *tag = next;

		if ((void *)(tag + 1) > end)
			return XDP_PASS;
		ethertype = tag->ethertype;
		next = tag + 1;
		at += sizeof(*tag);
	}
	if (ethertype == bpf_htons(ETH_P_IP))
		return from_ipv4(context, next, end, at);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return from_ipv6(context, next, end, at);
	if (ethertype == bpf_htons(ETH_P_ARP))
		return from_arp(context, next, end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Apache-2.0";
