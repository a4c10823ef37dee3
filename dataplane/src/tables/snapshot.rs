//! All tables of one revision.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::{
    cow::CowArray,
    forwarding::{Bridge, Vrf},
    lpm::Arena,
    next_hop::{LabelTarget, NextHop, VniTarget},
    port::Port,
    route::RouteValue,
    service::{Service, ServiceKey},
    slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot},
    source_nat::{SourceNat, SourceNats},
    underlay::UnderlayNeighbor,
};
use crate::wire::Mac;

/// A persistent map: copies share what they do not change.
pub type Map<K, V> = imbl::GenericHashMap<K, V, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>;

/// Marks stamps of decisions that rest on more than their own VRF.
const WIDE: u64 = 1 << 63;

/// Beside it, those that rest on whatever there is.
const ALL: u64 = 1 << 62;

/// Bits of the common epoch that a stamp has room for.
const COMMON: u32 = (1 << 30) - 1;

/// Everything a packet is decided by, from one revision. Immutable once published; a copy costs a few pointers, and shares all
/// that it does not change.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Grows by one with every batch.
    pub revision: u64,
    /// Another for each snapshot that is published: two with the same number are the same in all.
    pub publication: u64,
    /// Changes whenever a next hop is changed or removed, so that no flow keeps one that means something else now.
    pub next_hop_epoch: u32,
    /// Changes with every batch in which there is more than routes, identities and new next hops: what a decision may rest on that is of
    /// no one VRF.
    pub common_epoch: u32,
    /// Ports.
    pub ports: CowArray<Port>,
    /// VRFs.
    pub vrfs: CowArray<Vrf>,
    /// Bridges.
    pub bridges: CowArray<Bridge>,
    /// Next hops.
    pub next_hops: CowArray<NextHop>,
    /// The memory behind all VRFs' routes.
    pub routes: Arc<Arena>,
    /// Programmed MACs.
    pub macs: Map<(BridgeSlot, Mac), NextHopSlot>,
    /// Programmed neighbours within bridges.
    pub neighbors: Map<(BridgeSlot, IpAddr), Mac>,
    /// VNIs.
    pub vnis: Map<u32, VniTarget>,
    /// Labels.
    pub labels: Map<u32, LabelTarget>,
    /// Known remote VTEPs of bridged VNIs, to learn MACs behind them.
    pub remote_vteps: Map<(u32, IpAddr), NextHopSlot>,
    /// The VRF that routes what comes in by an uplink in the clear, for an address that is owned.
    pub underlay: Option<VrfSlot>,
    /// Addresses in the underlay for which this node, and no other, is there: those of services and of source translations that
    /// belong to the underlay's VRF.
    pub owned: Map<IpAddr, ()>,
    /// Neighbours of the underlay that packets in the clear are sent to.
    pub underlay_neighbors: Map<IpAddr, UnderlayNeighbor>,
    /// Lists of groups that identities (in the VRFs' `identities4` and `identities6`) refer to, ascending each.
    pub group_sets: CowArray<Arc<[u32]>>,
    /// Services by where they are.
    pub services: Map<ServiceKey, Arc<Service>>,
    /// Services by slot: all that are in `services`.
    pub service_slots: CowArray<Arc<Service>>,
    /// How sources are translated, by the VRF that packets come from and the one they go to.
    pub source_nats: Map<(VrfSlot, VrfSlot), Arc<SourceNats>>,
    /// The same by slot.
    pub source_nat_slots: CowArray<Arc<SourceNat>>,
    /// This node's IPv4 tunnel address.
    pub vtep4: Option<Ipv4Addr>,
    /// This node's IPv6 tunnel address.
    pub vtep6: Option<Ipv6Addr>,
}

impl Tables {
    /// Nothing programmed: revision 0, over the given route memory.
    pub fn new(routes: Arc<Arena>) -> Self {
        Self {
            revision: 0,
            publication: 0,
            next_hop_epoch: 0,
            common_epoch: 0,
            ports: CowArray::default(),
            vrfs: CowArray::default(),
            bridges: CowArray::default(),
            next_hops: CowArray::default(),
            routes,
            macs: Map::default(),
            neighbors: Map::default(),
            vnis: Map::default(),
            labels: Map::default(),
            remote_vteps: Map::default(),
            underlay: None,
            owned: Map::default(),
            underlay_neighbors: Map::default(),
            group_sets: CowArray::default(),
            services: Map::default(),
            service_slots: CowArray::default(),
            source_nats: Map::default(),
            source_nat_slots: CowArray::default(),
            vtep4: None,
            vtep6: None,
        }
    }

    /// The port at `slot`.
    #[inline]
    pub fn port(&self, slot: PortSlot) -> Option<&Port> {
        self.ports.get(slot.index())
    }

    /// The VRF at `slot`.
    #[inline]
    pub fn vrf(&self, slot: VrfSlot) -> Option<&Vrf> {
        self.vrfs.get(slot.index())
    }

    /// The bridge at `slot`.
    #[inline]
    pub fn bridge(&self, slot: BridgeSlot) -> Option<&Bridge> {
        self.bridges.get(slot.index())
    }

    /// The next hop at `slot`.
    #[inline]
    pub fn next_hop(&self, slot: NextHopSlot) -> Option<&NextHop> {
        self.next_hops.get(slot.index())
    }

    /// The VRF for a packet in the clear to this address: that of the underlay, if the address is owned.
    #[inline]
    pub fn owner(&self, address: IpAddr) -> Option<VrfSlot> {
        let vrf = self.underlay?;
        self.owned.contains_key(&address).then_some(vrf)
    }

    /// What a decision made in this VRF now is stamped with. A flow with another stamp must be decided again.
    #[inline]
    pub fn stamp(&self, vrf: &Vrf) -> u64 {
        u64::from(self.next_hop_epoch & 0x7fff_ffff) << 32 | u64::from(vrf.epoch)
    }

    /// What a decision is stamped with that rests on two VRFs, or on services and translations, but on no third VRF: it is made again
    /// when routes or identities of one of the two change, and after every batch with anything else in it.
    #[inline]
    pub fn pair_stamp(&self, one: &Vrf, other: VrfSlot) -> u64 {
        // Both only ever grow, so that their sum tells of a change of either.
        let epochs = one.epoch.wrapping_add(self.vrf(other).map_or(0, |vrf| vrf.epoch));
        WIDE | u64::from(self.common_epoch & COMMON) << 32 | u64::from(epochs)
    }

    /// What a decision is stamped with that rests on more than that (three VRFs, bridged frames): it is made again after every batch of
    /// changes.
    #[inline]
    pub fn wide_stamp(&self) -> u64 {
        WIDE | ALL | self.revision & !(WIDE | ALL)
    }

    /// A decision with this stamp holds that was made in this VRF, and whose packets leave in the VRF `out`.
    #[inline]
    pub fn is_current(&self, stamp: u64, vrf: &Vrf, out: VrfSlot) -> bool {
        stamp == self.stamp(vrf)
            || stamp & WIDE != 0 && (stamp == self.pair_stamp(vrf, out) || stamp == self.wide_stamp())
    }

    /// A decision with this stamp refers to next hops that are still the same, though it may have to be made again.
    #[inline]
    pub fn names_next_hops(&self, stamp: u64) -> bool {
        if stamp & WIDE != 0 && stamp & ALL != 0 {
            stamp == self.wide_stamp()
        } else if stamp & WIDE != 0 {
            stamp >> 32 & u64::from(COMMON) == u64::from(self.common_epoch & COMMON)
        } else {
            stamp >> 32 == u64::from(self.next_hop_epoch & 0x7fff_ffff)
        }
    }

    /// The next hop of the longest prefix of a VRF that contains the address.
    #[inline]
    pub fn route(&self, vrf: &Vrf, address: IpAddr) -> Option<NextHopSlot> {
        let value = match address {
            IpAddr::V4(address) => self.routes.lookup(vrf.v4, address.to_bits()),
            IpAddr::V6(address) => self.routes.lookup(vrf.v6, address.to_bits()),
        }?;
        Some(RouteValue::from_raw(value).next_hop())
    }
}
