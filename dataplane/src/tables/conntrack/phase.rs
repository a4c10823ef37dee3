//! What the two directions of a flow together mean.

use super::word::{Half, Stage};
use crate::wire::proto;

/// How far a connection or exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The flow is not tracked: no packet of either direction has a word.
    Untracked,
    /// TCP: one side has sent a SYN, or both have (RFC 9293, section 3.5).
    SynSent,
    /// TCP: a SYN was answered by a SYN that acknowledges it.
    SynReceived,
    /// TCP: both sides have the other's sequence numbers.
    Established,
    /// TCP: one side or both have sent a FIN that is not, or not both, acknowledged.
    Closing,
    /// TCP: both FINs are acknowledged; late segments may still come.
    TimeWait,
    /// TCP: reset.
    Closed,
    /// Only one side has sent packets.
    Unreplied,
    /// Both sides have sent packets.
    Replied,
    /// Its packets are refused.
    Denied,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Untracked,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::Closing,
        Self::TimeWait,
        Self::Closed,
        Self::Unreplied,
        Self::Replied,
        Self::Denied,
    ];

    /// In words, as shown to people; stable.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untracked => "untracked",
            Self::SynSent => "syn sent",
            Self::SynReceived => "syn received",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::TimeWait => "time wait",
            Self::Closed => "closed",
            Self::Unreplied => "unreplied",
            Self::Replied => "replied",
            Self::Denied => "denied",
        }
    }

    /// Whether a flow in this phase may be removed to make room for another one of the same port: nothing that both sides agreed on
    /// is lost with it.
    #[must_use]
    pub fn is_evictable(self) -> bool {
        match self {
            Self::Untracked
            | Self::SynSent
            | Self::SynReceived
            | Self::TimeWait
            | Self::Closed
            | Self::Unreplied
            | Self::Denied => true,
            Self::Established | Self::Closing | Self::Replied => false,
        }
    }
}

/// The phase of a flow, by the words of its directions. `denied`: its decision is to refuse.
#[must_use]
pub fn phase(protocol: u8, forward: u64, reverse: u64, denied: bool) -> Phase {
    if denied {
        return Phase::Denied;
    }
    match (forward, reverse) {
        (0, 0) => Phase::Untracked,
        _ if protocol == proto::TCP => tcp(Half::of(forward), Half::of(reverse)),
        (0, _) | (_, 0) => Phase::Unreplied,
        _ => Phase::Replied,
    }
}

/// The phase of a TCP connection; both sides are equal here.
pub(super) fn tcp(one: Half, other: Half) -> Phase {
    use Stage::{Doubted, Fin, Open, Picked, Reset, Silent, Syn, SynAck};
    match (one.stage, other.stage) {
        (Silent, Silent) => Phase::Untracked,
        // The reset acknowledges this very SYN: refused.
        (Syn, Reset) if other.ack(&one) == one.end => Phase::Closed,
        (Reset, Syn) if one.ack(&other) == other.end => Phase::Closed,
        // A SYN beside whatever an earlier connection left: it begins anew.
        (Syn, Silent | Syn | Open | Picked | Fin | Reset | Doubted)
        | (Silent | Open | Picked | Fin | Reset | Doubted, Syn) => Phase::SynSent,
        (Reset, _) | (_, Reset) => Phase::Closed,
        (Syn, SynAck) | (SynAck, Syn) | (SynAck, Silent) | (Silent, SynAck) => Phase::SynReceived,
        (Silent, _) | (_, Silent) => Phase::Unreplied,
        (Fin, Fin) if one.ack(&other) == other.end && other.ack(&one) == one.end => Phase::TimeWait,
        (Fin, _) | (_, Fin) => Phase::Closing,
        // The answer to a SYN from a side that was thought connected: it began anew, and has not yet acknowledged.
        (Doubted, SynAck) | (SynAck, Doubted) => Phase::SynReceived,
        _ => Phase::Established,
    }
}
