//! A packet as one part of an expression sees it: where its network header is, and of what type. Behind a tag or a tunnel's header, another part
//! sees another.

use crate::wire::{
    ethertype, proto,
    udp::{PORT_MPLS, PORT_VXLAN},
};

pub(super) const IPV4: u16 = ethertype::IPV4;
pub(super) const IPV6: u16 = ethertype::IPV6;
pub(super) const ARP: u16 = ethertype::ARP;
pub(super) const RARP: u16 = 0x8035;

/// The Ethernet type of tags that some switches give.
const QINQ_OTHER: u16 = 0x9100;

/// Headers of labels that are gone through.
const MAX_LABELS: usize = 8;

/// What leads from one layer to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// Behind a VLAN tag.
    Vlan,
    /// Within VXLAN.
    Vni,
    /// Within MPLS over UDP.
    Label,
}

/// A layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    frame: &'a [u8],
    /// Where the MAC addresses are; none within MPLS.
    macs: Option<usize>,
    /// Where the network header is.
    start: usize,
    /// Its type; 0 where there is none.
    kind: u16,
}

impl<'a> Layer<'a> {
    /// The frame itself.
    #[inline]
    pub(super) fn of(frame: &'a [u8]) -> Self {
        Self::behind_type(frame, Some(0), 12)
    }

    /// No packet at all.
    pub(super) const NONE: Self = Self {
        frame: &[],
        macs: None,
        start: 0,
        kind: 0,
    };

    #[inline]
    fn behind_type(frame: &'a [u8], macs: Option<usize>, at: usize) -> Self {
        Self {
            frame,
            macs,
            start: at + 2,
            kind: read::<2>(frame, at).map_or(0, u16::from_be_bytes),
        }
    }

    /// The Ethernet type.
    #[inline]
    pub(super) fn kind(&self) -> u16 {
        self.kind
    }

    /// Bytes of the whole frame.
    #[inline]
    pub(super) fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// A byte, counted from the network header.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> Option<u8> {
        self.frame.get(self.start + offset).copied()
    }

    /// Bytes, counted from the network header.
    #[inline]
    pub(super) fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        read(self.frame, self.start + offset)
    }

    /// Four bytes, counted from the network header.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> Option<u32> {
        self.bytes(offset).map(u32::from_be_bytes)
    }

    /// A MAC address.
    #[inline]
    pub(super) fn mac(&self, offset: usize) -> Option<[u8; 6]> {
        read(self.frame, self.macs? + offset)
    }

    /// Where the header of a transport that is asked for starts, counted from the network header: of no later fragment, and in IPv6 only right
    /// behind the fixed header.
    #[inline]
    pub(super) fn transport(&self, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        match self.kind {
            IPV4 if wanted(self.at(9)?) => {
                let is_head = u16::from_be_bytes(self.bytes(6)?) & 0x1fff == 0;
                is_head.then_some(usize::from(self.at(0)? & 15) * 4)
            }
            IPV6 if wanted(self.at(6)?) => Some(40),
            _ => None,
        }
    }
}

#[inline]
fn read<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..)?.first_chunk().copied()
}

impl Shift {
    /// The number of the tag, network or label, and the layer behind it; `None` if there is none.
    pub(super) fn find<'a>(self, layer: &Layer<'a>) -> Option<(u32, Layer<'a>)> {
        let frame = layer.frame;
        match self {
            Self::Vlan if matches!(layer.kind, ethertype::VLAN | ethertype::QINQ | QINQ_OTHER) => {
                let id = u16::from_be_bytes(layer.bytes(0)?) & 0x0fff;
                Some((id.into(), Layer::behind_type(frame, layer.macs, layer.start + 2)))
            }
            Self::Vlan => None,
            Self::Vni => {
                let header = udp_payload(layer, PORT_VXLAN)?;
                let [flags, .., a, b, c, _] = read::<8>(frame, header)?;
                let inner = header + 8;
                (flags & 8 != 0).then(|| {
                    (
                        u32::from_be_bytes([0, a, b, c]),
                        Layer::behind_type(frame, Some(inner), inner + 12),
                    )
                })
            }
            Self::Label => {
                let mut at = udp_payload(layer, PORT_MPLS)?;
                for _ in 0..MAX_LABELS {
                    let entry = u32::from_be_bytes(read(frame, at)?);
                    at += 4;
                    if entry & 0x100 != 0 {
                        let kind = match frame.get(at).map(|first| first >> 4) {
                            Some(4) => IPV4,
                            Some(6) => IPV6,
                            _ => 0,
                        };
                        let inner = Layer {
                            frame,
                            macs: None,
                            start: at,
                            kind,
                        };
                        return Some((entry >> 12, inner));
                    }
                }
                None
            }
        }
    }
}

/// Where in the frame the payload of a UDP packet to this port starts.
fn udp_payload(layer: &Layer<'_>, port: u16) -> Option<usize> {
    let start = layer.transport(|protocol| protocol == proto::UDP)?;
    let found = u16::from_be_bytes(layer.bytes(start + 2)?);
    (found == port).then_some(layer.start + start + 8)
}
