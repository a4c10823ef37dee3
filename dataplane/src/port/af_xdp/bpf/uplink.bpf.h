// SPDX-License-Identifier: Apache-2.0
//
// What the programs of uplinks have in common: what tells whose a packet is, and the tables that the router writes.
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VXLAN_PORT 4789
#define MPLS_PORT 6635
#define OLD_MPLS_PORT 51234

// Twice as many as may be ours at a time: old and new ones are there together for a moment.
#define OWNED_MAX 131072

#define NEXT_HEADER_FRAGMENT 44
#define NEXT_HEADER_ICMPV6 58

#define ARP_REQUEST 1
#define ARP_REPLY 2

#define ND_FIRST 133
#define ND_LAST 136

// Bytes of a neighbour packet that are copied: enough for a router advertisement with a handful of options.
#define COPY_BYTES 256

struct arp_start {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
};

struct fragment_header {
	__u8 next_header;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

struct neighbour_copy {
	__u32 length;
	__u8 bytes[COPY_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __be32);
	__type(value, __u8);
} vteps_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct in6_addr);
	__type(value, __u8);
} vteps_v6 SEC(".maps");

// Addresses that are ours alone. Memory is taken as they come.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWNED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u8);
} owned_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWNED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct in6_addr);
	__type(value, __u8);
} owned_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} neighbours SEC(".maps");
