//! The word of one direction, taken apart.
//!
//! | bits | what |
//! |---|---|
//! | 0..32 | the sequence number after the last octet that this direction sent (its SND.NXT as seen here) |
//! | 32..53 | the low 21 bits of the highest acknowledgement it sent; the rest follows from the peer's sequence numbers. While it has sent a SYN only: the length of the data on that SYN |
//! | 53..57 | the largest window it offered, as a power of two above its scale |
//! | 57..61 | its window scale; 15: it offered none |
//! | 61..64 | [`Stage`] |
//!
//! The acknowledgement is found again as the highest number with those 21 bits that the peer has sent: exact while less than 2 MiB
//! are in flight. With more in flight, a reset at the exact acknowledged number may be taken for one in doubt (which passes, but does not end
//! the flow here); no check becomes laxer than the window that was offered.

use std::fmt;

/// The word of a direction of which packets were seen, in protocols without a state machine.
pub const SEEN: u64 = 1 << STAGE_SHIFT;

const ACK_BITS: u32 = 21;
const ACK_SHIFT: u32 = 32;
const ACK_MASK: u32 = (1 << ACK_BITS) - 1;
const WINDOW_SHIFT: u32 = ACK_SHIFT + ACK_BITS;
const SCALE_SHIFT: u32 = WINDOW_SHIFT + 4;
const STAGE_SHIFT: u32 = SCALE_SHIFT + 4;

/// The scale of a direction whose SYN had no such option.
pub(super) const NO_SCALE: u8 = 15;
/// Largest scale (RFC 7323, section 2.3).
pub(super) const MAX_SCALE: u8 = 14;

/// How far one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// No packet of it was tracked.
    Silent = 0,
    /// It sent a SYN.
    Syn = 1,
    /// It sent a SYN that acknowledges the peer's.
    SynAck = 2,
    /// It acknowledges what it gets.
    Open = 3,
    /// As open, but its beginning was not seen: its windows are not known and taken to be the largest.
    Picked = 4,
    /// It has said that it sends no more.
    Fin = 5,
    /// It has reset the connection.
    Reset = 6,
    /// As open, and it has sent a SYN since, which may be a stranger's or mean that it has forgotten the connection. What the peer answers will tell.
    Doubted = 7,
}

impl Stage {
    fn of(bits: u64) -> Self {
        match bits & 7 {
            0 => Self::Silent,
            1 => Self::Syn,
            2 => Self::SynAck,
            3 => Self::Open,
            4 => Self::Picked,
            5 => Self::Fin,
            6 => Self::Reset,
            _ => Self::Doubted,
        }
    }

    /// For people.
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Syn => "syn",
            Self::SynAck => "syn-ack",
            Self::Open => "open",
            Self::Picked => "picked up",
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Doubted => "doubted",
        }
    }
}

/// A direction's word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) stage: Stage,
    /// The sequence number after its last octet.
    pub(super) end: u32,
    /// Low bits of its highest acknowledgement, or the length of its SYN's data.
    pub(super) low_ack: u32,
    /// Exponent of its window.
    pub(super) window: u8,
    /// Its window scale.
    pub(super) scale: u8,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} end {} window {}", self.stage.name(), self.end, self.window())
    }
}

/// A TCP direction's word for people: "open end 1000 window 65536".
#[must_use]
pub fn describe(word: u64) -> String {
    format!("{:?}", Half::of(word))
}

impl Half {
    /// A direction that has sent up to `end`, nothing else known.
    pub(super) fn new(stage: Stage, end: u32, scale: u8) -> Self {
        Self {
            stage,
            end,
            low_ack: 0,
            window: 0,
            scale,
        }
    }

    /// A direction whose beginning was not seen: with the largest windows.
    pub(super) fn picked(end: u32) -> Self {
        Self {
            window: 15,
            ..Self::new(Stage::Picked, end, MAX_SCALE)
        }
    }

    pub(super) fn of(word: u64) -> Self {
        Self {
            stage: Stage::of(word >> STAGE_SHIFT),
            end: word as u32,
            low_ack: (word >> ACK_SHIFT) as u32 & ACK_MASK,
            window: (word >> WINDOW_SHIFT) as u8 & 15,
            scale: (word >> SCALE_SHIFT) as u8 & 15,
        }
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.end)
            | u64::from(self.low_ack & ACK_MASK) << ACK_SHIFT
            | u64::from(self.window & 15) << WINDOW_SHIFT
            | u64::from(self.scale & 15) << SCALE_SHIFT
            | (self.stage as u64) << STAGE_SHIFT
    }

    /// Its highest acknowledgement, given how far the peer has sent. Means something once it has acknowledged anything.
    pub(super) fn ack(self, peer: &Self) -> u32 {
        let beyond = peer.end.wrapping_sub(self.low_ack) & ACK_MASK;
        peer.end.wrapping_sub(beyond)
    }

    pub(super) fn set_ack(&mut self, ack: u32) {
        self.low_ack = ack & ACK_MASK;
    }

    /// Of a direction in [`Stage::Syn`]: the length of the data on its SYN (RFC 7413), at most what an option-less packet carries.
    pub(super) fn syn_data(self) -> u32 {
        self.low_ack
    }

    /// Whether its acknowledgements mean anything.
    pub(super) fn acknowledges(self) -> bool {
        !matches!(self.stage, Stage::Silent | Stage::Syn)
    }

    /// How many bytes its window offers at most: a power of two.
    pub(super) fn window(self) -> u32 {
        let unit = if self.scale == NO_SCALE { 0 } else { self.scale };
        1 << (u32::from(self.window) + 1 + u32::from(unit.min(MAX_SCALE))).min(30)
    }

    /// Notes that it offered a window of so many bytes.
    pub(super) fn offer(&mut self, bytes: u32) {
        while self.window < 15 && self.window() < bytes {
            self.window += 1;
        }
    }

    /// How far its windows are shifted, given what the peer offered: scaling needs both (RFC 7323, section 2.2).
    pub(super) fn shift(self, peer: &Self) -> u32 {
        if self.scale == NO_SCALE || peer.scale == NO_SCALE {
            0
        } else {
            u32::from(self.scale.min(MAX_SCALE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_are_the_next_power_of_two() {
        for (scale, bytes, expected) in [
            (0, 0, 2),
            (0, 64_240, 65_536),
            (7, 64_240, 65_536),
            (7, 65_536, 65_536),
            (7, 65_537, 131_072),
            (NO_SCALE, 65_535, 65_536),
            (14, 65_535 << 14, 1 << 30),
        ] {
            let mut half = Half::new(Stage::Open, 0, scale);
            half.offer(bytes);
            assert_eq!(half.window(), expected, "{bytes} at scale {scale}");
            half.offer(1);
            assert_eq!(half.window(), expected, "it never shrinks");
        }
        assert_eq!(Half::picked(7).window(), 1 << 30);
    }

    proptest! {
        #[test]
        fn words_come_back(word: u64) {
            prop_assert_eq!(Half::of(word).word(), word);
        }

        #[test]
        fn an_acknowledgement_is_found_again_while_less_than_2_mib_are_in_flight(end: u32, flight in 0..1u32 << 21, more in 0..1u32 << 21) {
            let mut half = Half::new(Stage::Open, 0, 0);
            let peer = Half::new(Stage::Open, end, 0);
            half.set_ack(end.wrapping_sub(flight));
            prop_assert_eq!(half.ack(&peer), end.wrapping_sub(flight));
            let later = Half { end: end.wrapping_add(more), ..peer };
            if flight + more < 1 << 21 {
                prop_assert_eq!(half.ack(&later), end.wrapping_sub(flight));
            }
            prop_assert!(later.end.wrapping_sub(half.ack(&later)) < 1 << 21);
        }
    }
}
