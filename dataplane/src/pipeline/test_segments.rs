//! TCP packets for the tests of cutting and joining: made by etherparse, which computes lengths and checksums itself.

use std::ops::Range;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::segment::Segmenter;
use crate::{
    packet::FramePool,
    wire::{checksum::Sum, offload, parse, parse_ip, tcp_flags},
};

/// A TCP packet.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) v6: bool,
    pub(super) tos: u8,
    pub(super) hop_limit: u8,
    pub(super) id: u16,
    /// Flags and offset of IPv4.
    pub(super) fragment: u16,
    pub(super) ip_options: Vec<u8>,
    /// IPv6 extension headers of eight bytes each, by number.
    pub(super) extensions: Vec<u8>,
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) flags: u8,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// Only the pseudo header is summed.
    pub(super) partial: bool,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            v6: false,
            tos: 0,
            hop_limit: 64,
            id: 7,
            fragment: 0x4000,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            ports: (1000, 2000),
            sequence: 100,
            ack: 5,
            window: 512,
            flags: tcp_flags::ACK,
            options: Vec::new(),
            payload: Vec::new(),
            partial: false,
        }
    }
}

impl Tcp {
    /// Any that may be cut: of either family, with options, at the turn of every number.
    pub(super) fn any(len: Range<usize>) -> impl Strategy<Value = Self> {
        let ip = (any::<bool>(), any::<u8>(), 1..=255_u8, any::<u16>(), any::<bool>());
        let more = (
            prop::collection::vec(prop::sample::select(vec![0_u8, 60]), 0..2),
            0..11_usize,
        );
        let numbers = (any::<u32>(), any::<u32>(), any::<u16>(), 0..4_u8);
        let payload = prop::collection::vec(any::<u8>(), len);
        (ip, more, numbers, payload).prop_map(
            |((v6, tos, hop_limit, id, df), (extensions, words), (sequence, ack, window, ends), payload)| Self {
                v6,
                tos,
                hop_limit,
                id,
                fragment: if df { 0x4000 } else { 0 },
                extensions: if v6 { extensions } else { Vec::new() },
                sequence,
                ack,
                window,
                flags: tcp_flags::ACK | ends & 1 | (ends & 2) << 2,
                options: [1, 1, 0xfd, 2].repeat(words),
                payload,
                ..Self::default()
            },
        )
    }

    /// Bytes of IP and TCP headers.
    pub(super) fn headers(&self) -> usize {
        let ip = if self.v6 { 40 } else { 20 } + self.ip_options.len() + 8 * self.extensions.len();
        ip + 20 + self.options.len()
    }

    /// The packet from its IP header on.
    pub(super) fn ip(&self) -> Vec<u8> {
        self.frame().split_off(14)
    }

    /// The packet in an Ethernet frame.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = if self.v6 {
            ethernet.ipv6([0x20; 16], [0x21; 16], self.hop_limit)
        } else {
            ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], self.hop_limit)
        };
        let mut tcp = ip.tcp(self.ports.0, self.ports.1, self.sequence, self.window);
        tcp = tcp.options_raw(&self.options).unwrap();
        tcp.write(&mut bytes, &self.payload).unwrap();
        let l4 = if self.v6 { 54 } else { 34 };
        bytes[l4 + 8..l4 + 12].copy_from_slice(&self.ack.to_be_bytes());
        bytes[l4 + 13] = self.flags;
        if self.v6 {
            bytes[14] |= self.tos >> 4;
            bytes[15] |= self.tos << 4;
            for kind in self.extensions.iter().rev() {
                let next = std::mem::replace(&mut bytes[20], *kind);
                bytes.splice(54..54, [next, 0, 1, 4, 0, 0, 0, 0]);
            }
            let len = (bytes.len() - 54) as u16;
            bytes[18..20].copy_from_slice(&len.to_be_bytes());
        } else {
            bytes[15] = self.tos;
            bytes[18..20].copy_from_slice(&self.id.to_be_bytes());
            bytes[20..22].copy_from_slice(&self.fragment.to_be_bytes());
            bytes.splice(34..34, self.ip_options.iter().copied());
            bytes[14] += (self.ip_options.len() / 4) as u8;
            let total = (bytes.len() - 14) as u16;
            bytes[16..18].copy_from_slice(&total.to_be_bytes());
            bytes[24..26].fill(0);
            let check = Sum::of(&bytes[14..34 + self.ip_options.len()]).checksum();
            bytes[24..26].copy_from_slice(&check.to_be_bytes());
        }
        self.sum(&mut bytes);
        bytes
    }

    /// Writes the TCP checksum.
    fn sum(&self, bytes: &mut [u8]) {
        let parsed = parse(bytes).unwrap();
        let Some(pseudo) = offload::pseudo_header(bytes, &parsed) else {
            return;
        };
        let l4 = usize::from(parsed.l4);
        bytes[l4 + 16..l4 + 18].fill(0);
        let check = if self.partial {
            pseudo.fold()
        } else {
            pseudo.add_bytes(&bytes[l4..]).checksum()
        };
        bytes[l4 + 16..l4 + 18].copy_from_slice(&check.to_be_bytes());
    }
}

/// Cuts a packet, or a frame with Ethernet in front, with frames of 2048 bytes.
pub(super) fn cut(bytes: &[u8], mtu: usize, ethernet: bool) -> Option<Vec<Vec<u8>>> {
    let parsed = if ethernet { parse(bytes) } else { parse_ip(bytes) }.ok()?;
    let pool = FramePool::new(64, 2048).unwrap();
    let mut frames = pool.cache();
    let mut cutter = Segmenter::new(bytes, &parsed, mtu, pool.max_packet())?;
    let mut pieces = Vec::new();
    while !cutter.is_done() {
        let mut frame = frames.take().unwrap();
        let said = cutter.write_next(&mut frame).unwrap();
        let piece = frame.data().to_vec();
        let read = if ethernet { parse(&piece) } else { parse_ip(&piece) };
        assert_eq!(read.unwrap(), said, "what is known of a segment");
        pieces.push(piece);
        frames.free(frame);
    }
    Some(pieces)
}
