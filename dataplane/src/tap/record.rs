//! What is said of each copied packet.

use crate::{
    packet::DropReason,
    tables::slots::{PortSlot, VrfSlot},
};

/// Where a packet was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// It came in by the port: as it came, tunnel and all.
    Received,
    /// It goes out by the port: as it goes, tunnel and all.
    Transmitted,
    /// It is dropped: as it was when it was.
    Dropped(DropReason),
}

/// Which rules decided that a packet is dropped. 0: none was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// Of the sender's policy.
    pub egress_rule: u32,
    /// Of the receiver's policy.
    pub ingress_rule: u32,
    /// Whose policy that is, where it is known.
    pub receiver: Option<PortSlot>,
}

/// What is said of a copied packet, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub point: Point,
    /// When, nanoseconds of the workers' clock.
    pub at: u64,
    /// Bytes it had from the Ethernet header on; the copy may be shorter.
    pub len: u32,
    /// The port: it came in by it, goes out by it, or counts the drop.
    pub port: PortSlot,
    /// The VRF, where it is known.
    pub vrf: Option<VrfSlot>,
    /// Who decided.
    pub blame: Option<Blame>,
    /// The packet stood here without an Ethernet header of its own: the one in the copy was made up, but for its type.
    pub made_up: bool,
}

/// Words of a record.
pub(super) const WORDS: usize = 4;

const HAS_VRF: u64 = 1;
const HAS_BLAME: u64 = 2;
const HAS_RECEIVER: u64 = 4;
const MADE_UP: u64 = 8;

impl Record {
    pub(super) fn pack(&self) -> [u64; WORDS] {
        let point = match self.point {
            Point::Received => 0,
            Point::Transmitted => 1,
            Point::Dropped(reason) => 2 + reason as u64,
        };
        let blame = self.blame.unwrap_or_default();
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(self.vrf.is_some(), HAS_VRF)
            | flag(self.blame.is_some(), HAS_BLAME)
            | flag(blame.receiver.is_some(), HAS_RECEIVER)
            | flag(self.made_up, MADE_UP);
        [
            self.at,
            u64::from(self.len) | u64::from(self.port.raw()) << 32 | u64::from(self.vrf.map_or(0, VrfSlot::raw)) << 48,
            point | flags << 16 | u64::from(blame.receiver.map_or(0, PortSlot::raw)) << 32,
            u64::from(blame.egress_rule) | u64::from(blame.ingress_rule) << 32,
        ]
    }

    /// `None`: these are no record's words.
    pub(super) fn unpack([at, first, second, rules]: [u64; WORDS]) -> Option<Self> {
        let point = match second as u16 {
            0 => Point::Received,
            1 => Point::Transmitted,
            reason => Point::Dropped(*DropReason::ALL.get(usize::from(reason) - 2)?),
        };
        let has = |flag| second >> 16 & flag != 0;
        Some(Self {
            point,
            at,
            len: first as u32,
            port: PortSlot::from_raw((first >> 32) as u16),
            vrf: has(HAS_VRF).then(|| VrfSlot::from_raw((first >> 48) as u16)),
            blame: has(HAS_BLAME).then(|| Blame {
                egress_rule: rules as u32,
                ingress_rule: (rules >> 32) as u32,
                receiver: has(HAS_RECEIVER).then(|| PortSlot::from_raw((second >> 32) as u16)),
            }),
            made_up: has(MADE_UP),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_carry_the_whole_record(
            (at, len, port, vrf) in any::<(u64, u32, u16, Option<u16>)>(),
            blame in any::<Option<(u32, u32, Option<u16>)>>(),
            (point, made_up) in (0..DropReason::COUNT + 2, any::<bool>()),
        ) {
            let record = Record {
                point: match point {
                    0 => Point::Received,
                    1 => Point::Transmitted,
                    reason => Point::Dropped(DropReason::ALL[reason - 2]),
                },
                at,
                len,
                port: PortSlot::from_raw(port),
                vrf: vrf.map(VrfSlot::from_raw),
                blame: blame.map(|(egress_rule, ingress_rule, receiver)| Blame {
                    egress_rule,
                    ingress_rule,
                    receiver: receiver.map(PortSlot::from_raw),
                }),
                made_up,
            };
            prop_assert_eq!(Record::unpack(record.pack()), Some(record));
        }
    }
}
