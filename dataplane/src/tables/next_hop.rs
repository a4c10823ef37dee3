//! Next hops: what to do with a packet whose destination is known.

use std::{net::IpAddr, sync::Arc};

use super::slots::{NextHopSlot, PortSlot, VrfSlot};
use crate::wire::{Mac, outer::Outer};

/// Buckets over which a group spreads flows. A multiple of what hardware uses for small groups: with 16 equal members each
/// has 16 buckets, and a weight ratio of 1 to 100 is still kept.
pub const GROUP_BUCKETS: usize = 256;

/// A next hop as workers see it.
#[derive(Clone, Debug)]
pub struct NextHop {
    /// The client's identifier.
    pub id: u64,
    /// Name for people.
    pub name: Arc<str>,
    /// What to do.
    pub action: Action,
}

/// What a next hop does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Drop, counted.
    Drop,
    /// Drop, counted, and tell the sender that nobody has the address.
    Unreachable,
    /// For the router itself.
    Local,
    /// Out by a port.
    Port(PortHop),
    /// Through a tunnel.
    Tunnel(Arc<TunnelHop>),
    /// One of several, chosen by flow.
    Group(Arc<GroupHop>),
    /// A copy to each.
    Flood(Arc<[NextHopSlot]>),
    /// Look up again in another VRF, with the source translated on the way. A decision never ends here: it goes on until it
    /// comes to a next hop of another kind.
    Vrf {
        /// The other VRF.
        vrf: VrfSlot,
        /// A source without a translation goes on as it is, instead of being dropped.
        untranslated: bool,
    },
    /// Out by an uplink in the clear, without encapsulation.
    Underlay {
        /// Router of the underlay. `None`: the destination itself is on the link.
        gateway: Option<IpAddr>,
    },
}

/// Delivery to a workload. Size and, unless given here, MAC are the port's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortHop {
    /// By this port.
    pub port: PortSlot,
    /// Destination MAC of routed packets.
    pub mac: Option<Mac>,
}

/// Kind of tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan {
        /// Network identifier.
        vni: u32,
        /// Destination MAC of the inner frame when the packet was routed.
        inner_mac: Mac,
    },
    /// RFC 7510.
    MplsUdp {
        /// The remote's label.
        label: u32,
    },
    /// ERSPAN type II over GRE: carries copies of frames to a collector, and nothing else.
    Erspan {
        /// Session, 0 to 1023.
        session: u16,
    },
}

impl Encapsulation {
    /// Carries only copies that mirrors make: no route, MAC, label, group or flood may lead there.
    pub const fn is_for_mirrors(self) -> bool {
        matches!(self, Self::Erspan { .. })
    }
}

/// A tunnel to a remote VTEP.
#[derive(Clone, Debug)]
pub struct TunnelHop {
    /// The remote VTEP.
    pub remote: IpAddr,
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// Present once the underlay's next hop is resolved.
    pub path: Option<TunnelPath>,
    /// In words: via whom, or why unresolved.
    pub detail: Arc<str>,
}

/// A resolved tunnel: everything in front of the packet, ready to be copied.
#[derive(Clone, Debug)]
pub struct TunnelPath {
    /// The uplink.
    pub port: PortSlot,
    /// Outer headers for routed packets (with the inner Ethernet header, where the encapsulation has one).
    pub routed: Outer,
    /// Outer headers for whole frames. Absent where the encapsulation carries only IP.
    pub bridged: Option<Outer>,
    /// Largest inner IP packet, bytes.
    pub mtu: u16,
}

/// Weighted equal-cost paths. Flows are spread over buckets; each bucket belongs to one member.
#[derive(Clone, Debug)]
pub struct GroupHop {
    /// Members with their weights.
    pub members: Box<[(NextHopSlot, u8)]>,
    buckets: Box<[NextHopSlot; GROUP_BUCKETS]>,
}

impl GroupHop {
    /// Spreads the buckets over the members by weighted rendezvous hashing: each bucket goes to the member with the best score
    /// for it, so a member that leaves gives up only its own buckets, and one that joins takes only its share. `key` must be
    /// stable for a member (the client's identifier, not the slot). `None` without members or weight.
    pub fn new(members: &[(NextHopSlot, u64, u8)]) -> Option<Self> {
        if members.iter().all(|m| m.2 == 0) {
            return None;
        }
        let score = |bucket: u64, key: u64, weight: u8| {
            let hash = mix(key ^ mix(bucket.wrapping_add(1)));
            // Uniform in (0, 1); -weight / ln(u) is the weighted rendezvous score (Schindelhauer, Schomaker).
            let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            -f64::from(weight) / uniform.ln()
        };
        let first = members.first()?.0;
        let mut buckets = Box::new([first; GROUP_BUCKETS]);
        for (bucket, owner) in buckets.iter_mut().enumerate() {
            let best = members
                .iter()
                .map(|(slot, key, weight)| (score(bucket as u64, *key, *weight), *key, *slot))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if let Some((_, _, slot)) = best {
                *owner = slot;
            }
        }
        Some(Self {
            members: members.iter().map(|(slot, _, weight)| (*slot, *weight)).collect(),
            buckets,
        })
    }

    /// The member for a flow with this hash.
    #[inline]
    pub fn pick(&self, hash: u64) -> NextHopSlot {
        // Bits that neither the flow table's buckets nor tags use first.
        self.buckets[(hash >> 40) as usize % GROUP_BUCKETS]
    }
}

/// A well-mixing permutation of 64 bits (the finalizer of splitmix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Where packets of a VNI belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VniTarget {
    /// Switched in this bridge.
    Bridge(super::slots::BridgeSlot),
    /// Routed in this VRF.
    Vrf(VrfSlot),
}

/// Where packets of a label belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelTarget {
    /// Routed in this VRF.
    Vrf(VrfSlot),
    /// Straight to this next hop.
    NextHop(NextHopSlot),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: usize) -> NextHopSlot {
        NextHopSlot::new(number).unwrap()
    }

    fn owners(group: &GroupHop) -> Vec<NextHopSlot> {
        (0..GROUP_BUCKETS as u64)
            .map(|bucket| group.pick(bucket << 40))
            .collect()
    }

    #[test]
    fn buckets_follow_weights() {
        let group = GroupHop::new(&[(slot(1), 101, 1), (slot(2), 102, 3)]).unwrap();
        let heavy = owners(&group).iter().filter(|o| **o == slot(2)).count();
        // 192 expected; five standard deviations of a binomial with n = 256, p = 3/4 are 35.
        assert!((157..=227).contains(&heavy), "{heavy}");
    }

    #[test]
    fn a_leaving_member_moves_only_its_own_buckets() {
        let three = GroupHop::new(&[(slot(1), 11, 1), (slot(2), 12, 1), (slot(3), 13, 1)]).unwrap();
        let two = GroupHop::new(&[(slot(1), 11, 1), (slot(3), 13, 1)]).unwrap();
        for (before, after) in owners(&three).into_iter().zip(owners(&two)) {
            assert!(before == after || before == slot(2));
        }
    }

    #[test]
    fn a_group_needs_weight() {
        assert!(GroupHop::new(&[]).is_none());
        assert!(GroupHop::new(&[(slot(1), 1, 0)]).is_none());
    }
}
