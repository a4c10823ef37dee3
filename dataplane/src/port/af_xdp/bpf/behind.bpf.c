// SPDX-License-Identifier: Apache-2.0
//
// For an interface that vrouter shares with the host, where packets are taken behind the kernel's receive offload (GRO) and not by
// XDP: what belongs to whom is as in steer.bpf.c. Two programs share the tables: the filter of a packet socket takes what is ours, and a
// program at the interface's ingress (tcx), which runs behind packet sockets, keeps the same from the host.
//
// While no socket is there, all is the host's.
//
// The kernel has taken 802.1Q tags out of frames by then.
#include "uplink.bpf.h"

// What a filter says to have a packet as a whole.
#define ALL 0xffffffff

// `enum tcx_action_base` of Linux 6.6, newer than many headers.
#define GO_ON -1
#define KEEP 2

enum owner {
	HOST,
	// The host's, with a copy for the router.
	NEIGHBOUR,
	ROUTER,
};

// Has an entry while there is a socket.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline enum owner of_udp(struct __sk_buff *packet, __u32 at)
{
	struct udphdr udp;

	if (bpf_skb_load_bytes(packet, at, &udp, sizeof(udp)) < 0)
		return HOST;
	switch (bpf_ntohs(udp.dest)) {
	case VXLAN_PORT:
	case MPLS_PORT:
	case OLD_MPLS_PORT:
		return ROUTER;
	default:
		return HOST;
	}
}

static __always_inline enum owner of_arp(struct __sk_buff *packet)
{
	struct arp_start arp;

	if (bpf_skb_load_bytes(packet, ETH_HLEN, &arp, sizeof(arp)) < 0)
		return HOST;
	if (arp.operation != bpf_htons(ARP_REQUEST) && arp.operation != bpf_htons(ARP_REPLY))
		return HOST;
	return NEIGHBOUR;
}

static __always_inline enum owner of_ipv4(struct __sk_buff *packet)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(packet, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return HOST;
	if (!packet->vlan_present && bpf_map_lookup_elem(&owned_v4, &ip.daddr))
		return ROUTER;
	if (ip.ihl < 5 || ip.protocol != IPPROTO_UDP)
		return HOST;
	// Not the first fragment: no UDP header here.
	if (ip.frag_off & bpf_htons(0x1fff))
		return HOST;
	if (!bpf_map_lookup_elem(&vteps_v4, &ip.daddr))
		return HOST;
	return of_udp(packet, ETH_HLEN + ip.ihl * 4);
}

static __always_inline enum owner of_ipv6(struct __sk_buff *packet)
{
	__u32 at = ETH_HLEN + sizeof(struct ipv6hdr);
	struct ipv6hdr ip;
	__u8 protocol, type;

	if (bpf_skb_load_bytes(packet, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return HOST;
	if (!packet->vlan_present && bpf_map_lookup_elem(&owned_v6, &ip.daddr))
		return ROUTER;
	protocol = ip.nexthdr;
	if (protocol == NEXT_HEADER_FRAGMENT) {
		struct fragment_header fragment;

		if (bpf_skb_load_bytes(packet, at, &fragment, sizeof(fragment)) < 0 ||
		    fragment.offset & bpf_htons(0xfff8))
			return HOST;
		protocol = fragment.next_header;
		at += sizeof(fragment);
	}
	if (protocol == IPPROTO_UDP) {
		if (!bpf_map_lookup_elem(&vteps_v6, &ip.daddr))
			return HOST;
		return of_udp(packet, at);
	}
	if (protocol == NEXT_HEADER_ICMPV6) {
		if (bpf_skb_load_bytes(packet, at, &type, sizeof(type)) < 0 || type < ND_FIRST || type > ND_LAST)
			return HOST;
		return NEIGHBOUR;
	}
	return HOST;
}

static __always_inline enum owner owner_of(struct __sk_buff *packet)
{
	__be16 ethertype;

	if (packet->vlan_present && packet->vlan_proto != bpf_htons(ETH_P_8021Q))
		return HOST;
	if (bpf_skb_load_bytes(packet, offsetof(struct ethhdr, h_proto), &ethertype, sizeof(ethertype)) < 0)
		return HOST;
	if (ethertype == bpf_htons(ETH_P_IP))
		return of_ipv4(packet);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return of_ipv6(packet);
	if (ethertype == bpf_htons(ETH_P_ARP))
		return of_arp(packet);
	return HOST;
}

static __always_inline int has_socket(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&sockets, &first) != 0;
}

// Copies the start of the frame for the router. The copy is lost when the router does not keep up; the host has the frame.
static __always_inline void show_to_router(struct __sk_buff *packet)
{
	struct neighbour_copy *copy = bpf_ringbuf_reserve(&neighbours, sizeof(*copy), 0);
	__u64 length = packet->len;

	if (!copy)
		return;
	// The verifier has to see the bounds on the very register that is passed on.
	asm volatile("" : "+r"(length));
	if (length > COPY_BYTES)
		length = COPY_BYTES;
	asm volatile("" : "+r"(length));
	if (length < 1 || bpf_skb_load_bytes(packet, 0, copy->bytes, length) < 0) {
		bpf_ringbuf_discard(copy, 0);
		return;
	}
	copy->length = length;
	bpf_ringbuf_submit(copy, 0);
}

// Of the packet socket.
SEC("socket")
int vrouter_take(struct __sk_buff *packet)
{
	return has_socket() && owner_of(packet) == ROUTER ? ALL : 0;
}

// Of the interface. Others' programs may come behind it.
SEC("tc")
int vrouter_keep(struct __sk_buff *packet)
{
	switch (owner_of(packet)) {
	case ROUTER:
		return has_socket() ? KEEP : GO_ON;
	case NEIGHBOUR:
		show_to_router(packet);
		return GO_ON;
	default:
		return GO_ON;
	}
}

char LICENSE[] SEC("license") = "Apache-2.0";
