//! How long a flow may be idle.

use super::Phase;
use crate::wire::proto;

/// How long a flow may be idle before it is forgotten, milliseconds each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Flows that are not tracked: they are only remembered decisions.
    pub untracked: u64,
    /// TCP: one side, or both, have sent a SYN.
    pub syn_sent: u64,
    /// TCP: the SYN was answered.
    pub syn_received: u64,
    /// TCP: established. RFC 5382 (REQ-5) asks for 2 hours and 4 minutes at least.
    pub established: u64,
    /// TCP: a FIN is under way or half of the connection is closed. RFC 5382 (REQ-5) asks for 4 minutes at least.
    pub closing: u64,
    /// TCP: both sides closed; twice the longest life of a segment (RFC 9293, section 3.4.2, has 2 minutes for one; hosts today take 1 for both).
    pub time_wait: u64,
    /// TCP: reset.
    pub closed: u64,
    /// No answer yet, any protocol but ICMP; also TCP picked up in its middle.
    pub unreplied: u64,
    /// UDP with answers. RFC 4787 (REQ-5) asks for 2 minutes at least.
    pub udp: u64,
    /// ICMP and ICMPv6 queries. RFC 5508 (REQ-2) asks for 1 minute at least.
    pub icmp: u64,
    /// Other protocols with answers: SCTP sends heartbeats every 30 seconds (RFC 9260, section 8.3), others less.
    pub other: u64,
    /// Flows whose packets are refused: as long as they are remembered, refusing costs one lookup.
    pub denied: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        const SECOND: u64 = 1000;
        Self {
            untracked: 120 * SECOND,
            syn_sent: 30 * SECOND,
            syn_received: 60 * SECOND,
            established: 7440 * SECOND,
            closing: 240 * SECOND,
            time_wait: 120 * SECOND,
            closed: 10 * SECOND,
            unreplied: 30 * SECOND,
            udp: 180 * SECOND,
            icmp: 60 * SECOND,
            other: 600 * SECOND,
            denied: 10 * SECOND,
        }
    }
}

impl Timeouts {
    /// The timeout of a flow in this phase, milliseconds.
    #[must_use]
    pub fn of(&self, phase: Phase, protocol: u8) -> u64 {
        let icmp = matches!(protocol, proto::ICMP | proto::ICMPV6);
        match phase {
            Phase::Untracked => self.untracked,
            Phase::SynSent => self.syn_sent,
            Phase::SynReceived => self.syn_received,
            Phase::Established => self.established,
            Phase::Closing => self.closing,
            Phase::TimeWait => self.time_wait,
            Phase::Closed => self.closed,
            Phase::Denied => self.denied,
            Phase::Unreplied | Phase::Replied if icmp => self.icmp,
            Phase::Unreplied => self.unreplied,
            Phase::Replied if protocol == proto::UDP => self.udp,
            Phase::Replied => self.other,
        }
    }

    /// The shortest of all: no flow need be looked at before that long after it was made.
    #[must_use]
    pub fn shortest(&self) -> u64 {
        [
            self.untracked,
            self.syn_sent,
            self.syn_received,
            self.established,
            self.closing,
            self.time_wait,
            self.closed,
            self.unreplied,
            self.udp,
            self.icmp,
            self.other,
            self.denied,
        ]
        .into_iter()
        .fold(u64::MAX, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_what_the_rfcs_ask_of_a_translator() {
        let timeouts = Timeouts::default();
        assert!(
            timeouts.of(Phase::Established, proto::TCP) >= (2 * 60 + 4) * 60_000,
            "RFC 5382"
        );
        assert!(timeouts.of(Phase::Closing, proto::TCP) >= 4 * 60_000, "RFC 5382");
        assert!(timeouts.of(Phase::Replied, proto::UDP) >= 2 * 60_000, "RFC 4787");
        for protocol in [proto::ICMP, proto::ICMPV6] {
            assert!(timeouts.of(Phase::Unreplied, protocol) >= 60_000, "RFC 5508");
            assert!(timeouts.of(Phase::Replied, protocol) >= 60_000, "RFC 5508");
        }
    }

    #[test]
    fn no_timeout_is_shorter_than_the_shortest() {
        let timeouts = Timeouts::default();
        for phase in Phase::ALL {
            for protocol in [proto::TCP, proto::UDP, proto::ICMP, proto::ICMPV6, proto::SCTP] {
                assert!(timeouts.of(phase, protocol) >= timeouts.shortest(), "{phase:?}");
            }
        }
    }

    #[test]
    fn half_open_and_denied_flows_are_forgotten_sooner_than_agreed_ones() {
        let timeouts = Timeouts::default();
        for evictable in Phase::ALL.into_iter().filter(|phase| phase.is_evictable()) {
            assert!(timeouts.of(evictable, proto::TCP) < timeouts.established);
        }
    }
}
