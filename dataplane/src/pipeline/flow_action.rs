//! What a flow does with the packets of one direction, as the flow table keeps it: three words that say all.
//!
//! The translation of a flow is not among them: packets leave with the key of the other direction turned round, and that key is
//! in the neighbouring record.

use crate::{
    packet::DropReason,
    tables::{
        flow::ACTION_WORDS,
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
};

/// Properties of a direction, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowFlags(u8);

impl FlowFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Packets are dropped, for the action's reason.
    pub const DENY: Self = Self(1);
    /// Packets leave with the other direction's key turned round.
    pub const TRANSLATE: Self = Self(1 << 1);
    /// A rule let the flow pass that people should hear of.
    pub const AUDIT: Self = Self(1 << 2);
    /// A rule asks that watchers be told of the flow.
    pub const LOG: Self = Self(1 << 3);
    /// TCP whose state is followed: segments that do not belong to the connection are dropped.
    pub const TRACK: Self = Self(1 << 4);
    /// A flow of frames within a bridge; the next hop is the port's slot, or [`FlowAction::REMOTE`].
    pub const BRIDGED: Self = Self(1 << 5);
    /// The answers pass because this flow was let pass, or are translated with it: it cannot be forwarded without the flow.
    pub const STATEFUL: Self = Self(1 << 6);

    /// Flags of flows that watchers are told of even if they ask for nothing else.
    pub const TOLD: Self = Self(Self::AUDIT.0 | Self::LOG.0);

    /// All bits of `other` are here.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Some bit of `other` is here.
    #[inline]
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With the bits of `other`, if `condition` holds.
    #[must_use]
    pub const fn with_if(self, condition: bool, other: Self) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }
}

/// What a flow does with the packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowAction {
    /// Where packets go: a port, a tunnel or the underlay, never a group or a VRF.
    pub next_hop: NextHopSlot,
    /// Properties.
    pub flags: FlowFlags,
    /// The port's slot that packets must come in by, as [`FlowAction::way_in`] gives it. Others are decided again.
    pub in_port: u16,
    /// Why packets are dropped, where they are.
    pub reason: Option<DropReason>,
    /// The rule of the sender's policy that let the flow pass or did not. 0: none was asked; [`DEFAULT_RULE`](crate::tables::policy::DEFAULT_RULE).
    pub egress_rule: u32,
    /// The same of the receiver's policy.
    pub ingress_rule: u32,
    /// VRF in which packets are routed once translated. The key's own where nothing changes.
    pub vrf_out: VrfSlot,
    /// The service that chose the destination, by its slot.
    pub service: Option<u16>,
    /// What translated the source, by its slot.
    pub source_nat: Option<u16>,
    /// Tells the pool that the translated source's port is counted in from one that came after it.
    pub pool: u8,
}

/// Every reason has a place in its field of eight bits, beside "none".
const _: () = assert!(DropReason::COUNT < 255);

/// "None" in a field of 16 bits.
const NO_SLOT: u16 = u16::MAX;

impl FlowAction {
    /// [`in_port`](Self::in_port) of what comes out of a tunnel or the underlay: any uplink.
    pub const ANY_UPLINK: u16 = u16::MAX;

    /// The next hop of a [bridged](FlowFlags::BRIDGED) flow that leads to another node.
    pub const REMOTE: NextHopSlot = NextHopSlot::MAX;

    /// Simply to a next hop: no policy, no translation.
    pub fn plain(next_hop: NextHopSlot, in_port: u16, vrf: VrfSlot) -> Self {
        Self {
            next_hop,
            flags: FlowFlags::NONE,
            in_port,
            reason: None,
            egress_rule: 0,
            ingress_rule: 0,
            vrf_out: vrf,
            service: None,
            source_nat: None,
            pool: 0,
        }
    }

    /// What [`in_port`](Self::in_port) is for packets that a workload's port gives (`Some`), or an uplink.
    #[inline]
    pub fn way_in(port: Option<PortSlot>) -> u16 {
        port.map_or(Self::ANY_UPLINK, PortSlot::raw)
    }

    /// As the words of the flow table.
    #[inline]
    pub fn pack(self) -> [u64; ACTION_WORDS] {
        let reason = self.reason.map_or(0, |reason| reason as u8 + 1);
        let slot = |slot: Option<u16>| u64::from(slot.unwrap_or(NO_SLOT));
        [
            u64::from(self.next_hop.raw() & NextHopSlot::MAX.raw())
                | u64::from(self.flags.0) << 24
                | u64::from(self.in_port) << 32
                | u64::from(reason) << 48
                | u64::from(self.pool) << 56,
            u64::from(self.egress_rule) | u64::from(self.ingress_rule) << 32,
            u64::from(self.vrf_out.raw()) | slot(self.service) << 16 | slot(self.source_nat) << 32,
        ]
    }

    /// From the words of the flow table.
    #[inline]
    pub fn unpack([first, rules, rest]: [u64; ACTION_WORDS]) -> Self {
        let reason = (first >> 48) as u8;
        let slot = |shift: u32| Some((rest >> shift) as u16).filter(|slot| *slot != NO_SLOT);
        Self {
            next_hop: NextHopSlot::from_raw(first as u32 & NextHopSlot::MAX.raw()),
            flags: FlowFlags((first >> 24) as u8),
            in_port: (first >> 32) as u16,
            reason: usize::from(reason)
                .checked_sub(1)
                .and_then(|index| DropReason::ALL.get(index).copied()),
            egress_rule: rules as u32,
            ingress_rule: (rules >> 32) as u32,
            vrf_out: VrfSlot::from_raw(rest as u16),
            service: slot(16),
            source_nat: slot(32),
            pool: (first >> 56) as u8,
        }
    }

    /// Packets are dropped.
    #[inline]
    pub fn is_denied(&self) -> bool {
        self.flags.has(FlowFlags::DENY)
    }
}

/// What plain packets need of an action: the first of its words, and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InShort(u64, u64);

impl InShort {
    /// By the words.
    #[inline(always)]
    pub(super) const fn new([first, last]: [u64; 2]) -> Self {
        Self(first, last)
    }

    /// The words.
    #[cfg(test)]
    pub(super) const fn words(self) -> [u64; 2] {
        [self.0, self.1]
    }

    /// Packets that come in so are let pass.
    #[inline(always)]
    pub(super) const fn lets_pass(self, passage: Passage) -> bool {
        (self.0 ^ passage.wanted) & passage.asked == 0
    }

    /// Packets need the other direction, too.
    #[inline(always)]
    pub(super) const fn needs_sibling(self) -> bool {
        self.flags().has_any(FlowFlags::TRANSLATE.or(FlowFlags::TRACK))
    }

    /// [`FlowAction::vrf_out`].
    #[inline(always)]
    pub(super) const fn vrf_out(self) -> VrfSlot {
        VrfSlot::from_raw(self.1 as u16)
    }

    /// [`FlowAction::next_hop`].
    #[inline(always)]
    pub(super) const fn next_hop(self) -> NextHopSlot {
        NextHopSlot::from_raw(self.0 as u32 & NextHopSlot::MAX.raw())
    }

    /// [`FlowAction::flags`].
    #[inline(always)]
    pub(super) const fn flags(self) -> FlowFlags {
        FlowFlags((self.0 >> 24) as u8)
    }

    /// [`FlowAction::in_port`].
    #[cfg(test)]
    pub(super) const fn in_port(self) -> u16 {
        (self.0 >> 32) as u16
    }
}

/// How a packet comes in, as an action's first word says how its packets must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    wanted: u64,
    asked: u64,
}

impl Passage {
    /// By this way in, as [`FlowAction::way_in`] gives it, and with a label that names a next hop or without.
    #[inline(always)]
    pub(super) const fn new(way_in: u16, via: Option<NextHopSlot>) -> Self {
        let (wanted, asked) = ((way_in as u64) << 32, (FlowFlags::DENY.0 as u64) << 24 | 0xffff << 32);
        match via {
            None => Self { wanted, asked },
            Some(via) => Self {
                wanted: wanted | (via.raw() & NextHopSlot::MAX.raw()) as u64,
                asked: asked | NextHopSlot::MAX.raw() as u64,
            },
        }
    }

    /// The next hop that the label named.
    #[cfg(test)]
    pub(super) const fn via(self) -> Option<NextHopSlot> {
        let named = self.asked as u32 & NextHopSlot::MAX.raw() != 0;
        if named {
            Some(NextHopSlot::from_raw(self.wanted as u32 & NextHopSlot::MAX.raw()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_carry_the_whole_action(
            (next_hop, flags, in_port, reason, pool) in
                (0..=0x00ff_ffff_u32, any::<u8>(), any::<u16>(), 0..=DropReason::COUNT, any::<u8>()),
            (egress_rule, ingress_rule) in any::<(u32, u32)>(),
            (vrf, service, source_nat) in any::<(u16, u16, u16)>(),
        ) {
            let slot = |slot: u16| Some(slot).filter(|slot| *slot != NO_SLOT);
            let action = FlowAction {
                next_hop: NextHopSlot::from_raw(next_hop),
                flags: FlowFlags(flags),
                in_port,
                reason: DropReason::ALL.get(reason).copied(),
                egress_rule,
                ingress_rule,
                vrf_out: VrfSlot::from_raw(vrf),
                service: slot(service),
                source_nat: slot(source_nat),
                pool,
            };
            prop_assert_eq!(FlowAction::unpack(action.pack()), action);
            let [first, _, last] = action.pack();
            let short = InShort::new([first, last]);
            prop_assert_eq!((short.next_hop(), short.flags(), short.in_port()), (action.next_hop, action.flags, in_port));
            prop_assert_eq!((short.vrf_out(), short.words()), (action.vrf_out, [first, last]));
            for way_in in [in_port, in_port ^ 1] {
                for via in [None, Some(next_hop), Some(next_hop ^ 1)] {
                    let via = via.map(NextHopSlot::from_raw);
                    let passage = Passage::new(way_in, via);
                    prop_assert_eq!(passage.via(), via);
                    let passes = way_in == in_port && via.is_none_or(|via| via == action.next_hop) && !action.is_denied();
                    prop_assert_eq!(short.lets_pass(passage), passes);
                }
            }
        }
    }
}
