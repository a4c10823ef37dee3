//! TCP tracking, case by case: handshakes, ends, resets, strangers, hosts that forget.

use super::*;
use crate::wire::{
    proto,
    tcp_flags::{ACK, FIN, PSH, RST, SYN},
};

/// A connection seen from between its ends.
#[derive(Clone, Default)]
pub(super) struct Between {
    pub(super) words: [u64; 2],
}

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

pub(super) fn segment(flags: u8, seq: u32, ack: u32, payload: u32) -> Segment {
    let takes = |flag| u32::from(flags & flag != 0);
    Segment {
        seq,
        ack,
        len: payload + takes(SYN) + takes(FIN),
        window: if flags & SYN != 0 { 64_240 } else { 502 },
        flags,
        window_scale: (flags & SYN != 0).then_some(7),
    }
}

impl Between {
    pub(super) fn send(&mut self, side: usize, segment: Segment) -> Tracking {
        let (word, tracking) = track(self.words[side], self.words[1 - side], &segment);
        if !tracking.passes() {
            assert_eq!(word, self.words[side], "what is refused changes nothing");
        }
        self.words[side] = word;
        tracking
    }

    pub(super) fn phase(&self) -> Phase {
        phase(proto::TCP, self.words[0], self.words[1], false)
    }

    /// All of these pass, and are the connection's own.
    fn all_ok(&mut self, segments: &[(usize, u8, u32, u32, u32)]) {
        for (side, flags, seq, ack, payload) in segments {
            let tracking = self.send(*side, segment(*flags, *seq, *ack, *payload));
            assert_eq!(
                tracking,
                Tracking::Ok,
                "{side} {flags:#x} {seq} {ack} {payload}: {self:?}"
            );
        }
    }

    /// A connection from 1000 to 5000, established.
    pub(super) fn established() -> Self {
        let mut between = Self::default();
        between.all_ok(&[
            (CLIENT, SYN, 1000, 0, 0),
            (SERVER, SYN | ACK, 5000, 1001, 0),
            (CLIENT, ACK, 1001, 5001, 0),
        ]);
        assert_eq!(between.phase(), Phase::Established);
        between
    }

    /// Both have sent 100 bytes.
    pub(super) fn busy() -> Self {
        let mut between = Self::established();
        between.all_ok(&[
            (CLIENT, ACK | PSH, 1001, 5001, 100),
            (SERVER, ACK | PSH, 5001, 1101, 100),
            (CLIENT, ACK, 1101, 5101, 0),
        ]);
        between
    }
}

impl std::fmt::Debug for Between {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [client, server] = self.words.map(describe);
        write!(f, "[client {client}, server {server}: {}]", self.phase().name())
    }
}

#[test]
fn a_connection_goes_through_its_phases() {
    let mut between = Between::default();
    assert_eq!(between.phase(), Phase::Untracked);
    let mut step = |side, flags, seq, ack, payload, expected| {
        between.all_ok(&[(side, flags, seq, ack, payload)]);
        assert_eq!(between.phase(), expected, "{between:?}");
    };
    step(CLIENT, SYN, 1000, 0, 0, Phase::SynSent);
    step(SERVER, SYN | ACK, 5000, 1001, 0, Phase::SynReceived);
    step(CLIENT, ACK, 1001, 5001, 0, Phase::Established);
    step(CLIENT, ACK | PSH, 1001, 5001, 500, Phase::Established);
    step(SERVER, ACK, 5001, 1501, 0, Phase::Established);
    step(SERVER, ACK | PSH, 5001, 1501, 1400, Phase::Established);
    step(CLIENT, ACK, 1501, 6401, 0, Phase::Established);
    step(CLIENT, FIN | ACK, 1501, 6401, 0, Phase::Closing);
    step(SERVER, ACK, 6401, 1502, 0, Phase::Closing);
    step(SERVER, ACK | PSH, 6401, 1502, 10, Phase::Closing);
    step(SERVER, FIN | ACK, 6411, 1502, 0, Phase::Closing);
    step(CLIENT, ACK, 1502, 6412, 0, Phase::TimeWait);
    // The last acknowledgement was lost.
    step(SERVER, FIN | ACK, 6411, 1502, 0, Phase::TimeWait);
    step(CLIENT, ACK, 1502, 6412, 0, Phase::TimeWait);
}

#[test]
fn either_side_and_both_at_once_may_close() {
    let mut server_first = Between::busy();
    server_first.all_ok(&[
        (SERVER, FIN | ACK, 5101, 1101, 0),
        (CLIENT, FIN | ACK, 1101, 5102, 0),
        (SERVER, ACK, 5102, 1102, 0),
    ]);
    assert_eq!(server_first.phase(), Phase::TimeWait);
    let mut at_once = Between::busy();
    at_once.all_ok(&[(SERVER, FIN | ACK, 5101, 1101, 0), (CLIENT, FIN | ACK, 1101, 5101, 0)]);
    assert_eq!(at_once.phase(), Phase::Closing);
    at_once.all_ok(&[(SERVER, ACK, 5102, 1102, 0), (CLIENT, ACK, 1102, 5102, 0)]);
    assert_eq!(at_once.phase(), Phase::TimeWait);
}

#[test]
fn both_may_begin_at_once() {
    let mut between = Between::default();
    between.all_ok(&[(CLIENT, SYN, 1000, 0, 0), (SERVER, SYN, 5000, 0, 0)]);
    assert_eq!(between.phase(), Phase::SynSent);
    between.all_ok(&[(CLIENT, SYN | ACK, 1000, 5001, 0), (SERVER, SYN | ACK, 5000, 1001, 0)]);
    assert_eq!(between.phase(), Phase::Established, "RFC 9293, figure 8");
    between.all_ok(&[(CLIENT, ACK, 1001, 5001, 10), (SERVER, ACK, 5001, 1011, 10)]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn lost_and_repeated_segments_of_a_handshake_pass() {
    let mut between = Between::default();
    between.all_ok(&[
        (CLIENT, SYN, 1000, 0, 0),
        (CLIENT, SYN, 1000, 0, 0),
        (SERVER, SYN | ACK, 5000, 1001, 0),
        (CLIENT, SYN, 1000, 0, 0),
        (SERVER, SYN | ACK, 5000, 1001, 0),
        // The third segment comes after the first data.
        (CLIENT, ACK | PSH, 1001, 5001, 100),
        (CLIENT, ACK, 1001, 5001, 0),
        (SERVER, SYN | ACK, 5000, 1001, 0),
        (SERVER, ACK, 5001, 1101, 0),
    ]);
    assert_eq!(between.phase(), Phase::Established);
    let before = between.words;
    assert_eq!(
        between.send(SERVER, segment(SYN | ACK, 5000, 1001, 0)),
        Tracking::InDoubt,
        "late, and harmless"
    );
    assert_eq!(between.words, before);
}

#[test]
fn a_syn_may_carry_data_which_may_be_taken_or_not() {
    for taken in [0, 200] {
        let mut between = Between::default();
        between.all_ok(&[
            (CLIENT, SYN, 1000, 0, 200),
            (SERVER, SYN | ACK, 5000, 1001 + taken, 0),
            // RFC 7413: the server answers before the handshake is over.
            (SERVER, ACK | PSH, 5001, 1001 + taken, 300),
            (CLIENT, ACK, 1201, 5001, 0),
            (CLIENT, ACK, 1201, 5301, 0),
        ]);
        assert_eq!(between.phase(), Phase::Established);
    }
    let mut between = Between::default();
    between.all_ok(&[(CLIENT, SYN, 1000, 0, 200)]);
    for ack in [1000, 1202] {
        assert_eq!(
            between.send(SERVER, segment(SYN | ACK, 5000, ack, 0)),
            Tracking::InDoubt
        );
        assert_eq!(between.phase(), Phase::SynSent);
    }
}

#[test]
fn a_refused_connection_is_closed_by_the_reset_that_knows_the_syn() {
    let mut between = Between::default();
    between.all_ok(&[(CLIENT, SYN, 1000, 0, 0)]);
    for (flags, ack) in [(RST | ACK, 1000), (RST | ACK, 1002), (RST, 1001)] {
        assert_eq!(between.send(SERVER, segment(flags, 0, ack, 0)), Tracking::BadRst);
    }
    assert_eq!(between.phase(), Phase::SynSent);
    assert_eq!(between.send(SERVER, segment(RST | ACK, 0, 1001, 0)), Tracking::Reset);
    assert_eq!(between.phase(), Phase::Closed);
    // The next attempt, on the same ports.
    between.all_ok(&[(CLIENT, SYN, 2000, 0, 0)]);
    assert_eq!(between.phase(), Phase::SynSent);
    between.all_ok(&[(SERVER, SYN | ACK, 9000, 2001, 0), (CLIENT, ACK, 2001, 9001, 0)]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn a_reset_ends_a_connection_only_at_the_exact_sequence_number() {
    for (side, exact) in [(CLIENT, 1101u32), (SERVER, 5101)] {
        let living = Between::busy();
        for near in [exact - 1, exact + 1, exact + 60_000, exact.wrapping_sub(60_000)] {
            let mut between = living.clone();
            assert_eq!(between.send(side, segment(RST, near, 0, 0)), Tracking::InDoubt);
            assert_eq!(between.words, living.words, "it changes nothing");
        }
        for far in [exact + 100_000, exact.wrapping_sub(100_000), exact ^ 1 << 31] {
            let mut between = living.clone();
            assert_eq!(between.send(side, segment(RST, far, 0, 0)), Tracking::BadRst);
            assert_eq!(between.phase(), Phase::Established);
        }
        let mut between = living.clone();
        assert_eq!(between.send(side, segment(RST, exact, 0, 0)), Tracking::Reset);
        assert_eq!(between.phase(), Phase::Closed);
    }
}

#[test]
fn a_reset_may_stand_at_what_was_acknowledged_while_more_is_in_flight() {
    let mut between = Between::busy();
    between.all_ok(&[
        (CLIENT, ACK | PSH, 1101, 5101, 1000),
        (CLIENT, ACK | PSH, 2101, 5101, 1000),
    ]);
    // A host that has lost its memory answers the server's segment, which acknowledged 1101.
    assert_eq!(between.send(CLIENT, segment(RST, 1101, 0, 0)), Tracking::Reset);
    assert_eq!(between.phase(), Phase::Closed);
}

#[test]
fn a_strangers_syn_changes_nothing_that_matters() {
    let mut between = Between::busy();
    for seq in [0, 1101, 77_777, 3_000_000_000] {
        assert_eq!(between.send(CLIENT, segment(SYN, seq, 0, 0)), Tracking::InDoubt);
        assert_eq!(between.phase(), Phase::Established);
    }
    // The server challenges (RFC 5961, section 4), the client knows nothing of it and goes on.
    between.all_ok(&[
        (SERVER, ACK, 5101, 1101, 0),
        (CLIENT, ACK | PSH, 1101, 5101, 10),
        (SERVER, ACK, 5101, 1111, 0),
    ]);
    assert_eq!(between.phase(), Phase::Established);
    let mut at_server = Between::busy();
    assert_eq!(at_server.send(SERVER, segment(SYN, 42, 0, 0)), Tracking::InDoubt);
    assert_eq!(at_server.phase(), Phase::Established);
    at_server.all_ok(&[(CLIENT, ACK | PSH, 1101, 5101, 10), (SERVER, ACK, 5101, 1111, 0)]);
}

#[test]
fn a_host_that_forgot_the_connection_gets_a_new_one_by_challenge_and_reset() {
    // RFC 9293, figure 9, with the challenge of RFC 5961.
    let mut between = Between::busy();
    assert_eq!(between.send(CLIENT, segment(SYN, 70_000, 0, 0)), Tracking::InDoubt);
    between.all_ok(&[(SERVER, ACK, 5101, 1101, 0)]);
    assert_eq!(between.send(CLIENT, segment(RST, 1101, 0, 0)), Tracking::Reset);
    assert_eq!(between.phase(), Phase::Closed);
    between.all_ok(&[
        (CLIENT, SYN, 70_000, 0, 0),
        (SERVER, SYN | ACK, 90_000, 70_001, 0),
        (CLIENT, ACK, 70_001, 90_001, 0),
    ]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn hosts_that_both_forgot_the_connection_begin_anew() {
    let mut between = Between::busy();
    assert_eq!(
        between.send(CLIENT, segment(SYN, 3_000_000_000, 0, 0)),
        Tracking::InDoubt
    );
    between.all_ok(&[(SERVER, SYN | ACK, 4_000_000_000, 3_000_000_001, 0)]);
    assert_eq!(between.phase(), Phase::SynReceived);
    between.all_ok(&[
        (CLIENT, ACK, 3_000_000_001, 4_000_000_001, 0),
        (CLIENT, ACK | PSH, 3_000_000_001, 4_000_000_001, 100),
        (SERVER, ACK | PSH, 4_000_000_001, 3_000_000_101, 100),
    ]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn ports_are_used_again_after_time_wait_and_reset() {
    let mut closed = Between::busy();
    closed.all_ok(&[
        (CLIENT, FIN | ACK, 1101, 5101, 0),
        (SERVER, FIN | ACK, 5101, 1102, 0),
        (CLIENT, ACK, 1102, 5102, 0),
    ]);
    assert_eq!(closed.phase(), Phase::TimeWait);
    let mut reset = Between::busy();
    reset.send(SERVER, segment(RST, 5101, 0, 0));
    assert_eq!(reset.phase(), Phase::Closed);
    for mut between in [closed, reset] {
        // From either side.
        for side in [CLIENT, SERVER] {
            let mut between = between.clone();
            between.all_ok(&[(side, SYN, 800_000, 0, 0)]);
            assert_eq!(between.phase(), Phase::SynSent);
            between.all_ok(&[
                (1 - side, SYN | ACK, 60_000, 800_001, 0),
                (side, ACK, 800_001, 60_001, 0),
                (side, ACK | PSH, 800_001, 60_001, 100),
                (1 - side, ACK, 60_001, 800_101, 0),
            ]);
            assert_eq!(between.phase(), Phase::Established);
        }
        // Refused: closed again, though the word of the earlier connection stood there.
        between.all_ok(&[(CLIENT, SYN, 800_000, 0, 0)]);
        assert_eq!(between.send(SERVER, segment(RST | ACK, 0, 800_001, 0)), Tracking::Reset);
        assert_eq!(between.phase(), Phase::Closed);
    }
}

#[test]
fn a_syn_does_not_reopen_what_is_closing() {
    let mut between = Between::busy();
    between.all_ok(&[(CLIENT, FIN | ACK, 1101, 5101, 0)]);
    assert_eq!(between.send(CLIENT, segment(SYN, 9, 0, 0)), Tracking::InDoubt);
    assert_eq!(between.phase(), Phase::Closing);
    between.all_ok(&[(SERVER, ACK | PSH, 5101, 1102, 1000), (CLIENT, ACK, 1102, 6101, 0)]);
}

#[test]
fn what_is_beyond_the_window_is_refused() {
    let living = Between::busy();
    // 502 << 7 is 64256 bytes; kept as the next power of two.
    for (side, seq, ack) in [
        (CLIENT, 1101 + 65_536 + 2, 5101),
        (SERVER, 5101 + 65_536 + 2, 1101),
        (CLIENT, 1101u32.wrapping_sub(65_536 + 102), 5101),
        (CLIENT, 1101, 5102),
        (CLIENT, 1101, 5101u32.wrapping_sub(65_537)),
        (SERVER, 5101, 1102),
        (CLIENT, 2_000_000_000, 5101),
    ] {
        let mut between = living.clone();
        assert_eq!(
            between.send(side, segment(ACK, seq, ack, 100)),
            Tracking::OutOfWindow,
            "{side} {seq} {ack}"
        );
    }
    // At the edges all passes: a full window, a probe beyond it, an old segment again.
    for (side, seq, ack, payload) in [
        (CLIENT, 1101 + 64_000, 5101, 1000),
        (CLIENT, 1101 + 65_536, 5101, 1),
        (CLIENT, 1001, 5001, 100),
        (CLIENT, 1100, 5101, 0),
        (SERVER, 5101, 1001, 100),
    ] {
        let mut between = living.clone();
        assert_eq!(between.send(side, segment(ACK, seq, ack, payload)), Tracking::Ok);
    }
}

#[test]
fn windows_are_scaled_only_if_both_offer_it() {
    for (client, server, edge) in [(Some(7), Some(7), 60_000), (Some(7), None, 502), (None, Some(7), 502)] {
        let mut between = Between::default();
        let send = |between: &mut Between, side, flags, seq, ack, payload, scale, window| {
            let segment = Segment {
                window_scale: scale,
                window,
                ..segment(flags, seq, ack, payload)
            };
            between.send(side, segment)
        };
        send(&mut between, CLIENT, SYN, 1000, 0, 0, client, 502);
        send(&mut between, SERVER, SYN | ACK, 5000, 1001, 0, server, 502);
        send(&mut between, CLIENT, ACK, 1001, 5001, 0, None, 502);
        send(&mut between, SERVER, ACK, 5001, 1001, 0, None, 502);
        let inside = send(&mut between.clone(), CLIENT, ACK, 1001 + edge, 5001, 1, None, 502);
        assert_eq!(inside, Tracking::Ok, "{client:?} {server:?}");
        let outside = send(&mut between, CLIENT, ACK, 1001 + 70_000, 5001, 1, None, 502);
        assert_eq!(outside, Tracking::OutOfWindow, "{client:?} {server:?}");
    }
}

#[test]
fn a_handshake_is_finished_only_by_who_got_the_syn_ack() {
    let mut between = Between::default();
    between.all_ok(&[(CLIENT, SYN, 1000, 0, 0), (SERVER, SYN | ACK, 5000, 1001, 0)]);
    for ack in [5000, 5002, 0, 9_999_999] {
        assert_eq!(between.send(CLIENT, segment(ACK, 1001, ack, 0)), Tracking::OutOfWindow);
    }
    assert_eq!(between.phase(), Phase::SynReceived);
    let mut early = Between::default();
    early.all_ok(&[(CLIENT, SYN, 1000, 0, 0)]);
    assert_eq!(early.send(CLIENT, segment(ACK, 1001, 5001, 10)), Tracking::OutOfWindow);
}

#[test]
fn a_syn_ack_that_does_not_know_the_syn_makes_no_connection() {
    let mut between = Between::default();
    between.all_ok(&[(CLIENT, SYN, 1000, 0, 0)]);
    assert_eq!(
        between.send(SERVER, segment(SYN | ACK, 5000, 900, 0)),
        Tracking::InDoubt
    );
    assert_eq!(between.phase(), Phase::SynSent);
    // The client resets whatever that was, at the number it named, and tries again.
    assert!(between.send(CLIENT, segment(RST, 900, 0, 0)) != Tracking::Reset);
    between.all_ok(&[
        (CLIENT, SYN, 1000, 0, 0),
        (SERVER, SYN | ACK, 8000, 1001, 0),
        (CLIENT, ACK, 1001, 8001, 0),
    ]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn a_connection_is_picked_up_in_its_middle() {
    let opening = segment(ACK | PSH, 700_000, 300_000, 100);
    let word = first(&opening).unwrap();
    assert!(is_picked_up(word));
    let mut between = Between { words: [word, 0] };
    assert_eq!(between.phase(), Phase::Unreplied, "nothing is proven yet");
    between.all_ok(&[
        (CLIENT, ACK | PSH, 700_100, 300_000, 100),
        (SERVER, ACK, 300_000, 700_100, 0),
        (SERVER, ACK | PSH, 300_000, 700_200, 1000),
        (CLIENT, ACK, 700_200, 301_000, 0),
    ]);
    assert_eq!(between.phase(), Phase::Established);
    assert!(is_picked_up(between.words[CLIENT]) && is_picked_up(between.words[SERVER]));
    assert_eq!(
        between.send(SERVER, segment(RST, 12, 0, 0)),
        Tracking::InDoubt,
        "its window is not known"
    );
    between.all_ok(&[
        (SERVER, FIN | ACK, 301_000, 700_200, 0),
        (CLIENT, FIN | ACK, 700_200, 301_001, 0),
        (SERVER, ACK, 301_001, 700_201, 0),
    ]);
    assert_eq!(between.phase(), Phase::TimeWait);
}

#[test]
fn what_is_picked_up_and_then_reset_is_closed() {
    // A server that restarted answers a segment of a connection that it has forgotten.
    let mut between = Between {
        words: [first(&segment(ACK | PSH, 700_000, 300_000, 100)).unwrap(), 0],
    };
    assert_eq!(between.send(SERVER, segment(RST, 299_999, 0, 0)), Tracking::BadRst);
    assert_eq!(between.send(SERVER, segment(RST, 300_000, 0, 0)), Tracking::Reset);
    assert_eq!(between.phase(), Phase::Closed);
}

#[test]
fn what_begins_no_flow() {
    assert_eq!(first(&segment(RST, 1, 0, 0)), Err(NotAnOpening::Reset));
    for flags in [0, FIN, SYN | FIN, FIN | PSH] {
        assert_eq!(first(&segment(flags, 1, 0, 0)), Err(NotAnOpening::BadFlags));
        let mut between = Between::busy();
        assert_eq!(between.send(CLIENT, segment(flags, 1101, 5101, 0)), Tracking::BadFlags);
    }
    let syn = first(&segment(SYN, 1, 0, 0)).unwrap();
    assert_eq!(phase(proto::TCP, syn, 0, false), Phase::SynSent);
    let syn_ack = first(&segment(SYN | ACK, 1, 2, 0)).unwrap();
    assert_eq!(phase(proto::TCP, syn_ack, 0, false), Phase::SynReceived);
}

#[test]
fn sequence_numbers_go_round() {
    let mut between = Between::default();
    let (client, server) = (u32::MAX - 50, u32::MAX - 20);
    let at = |base: u32, offset: u32| base.wrapping_add(offset);
    between.all_ok(&[
        (CLIENT, SYN, client, 0, 0),
        (SERVER, SYN | ACK, server, at(client, 1), 0),
        (CLIENT, ACK, at(client, 1), at(server, 1), 0),
        (CLIENT, ACK | PSH, at(client, 1), at(server, 1), 1000),
        (SERVER, ACK | PSH, at(server, 1), at(client, 1001), 1000),
        (CLIENT, ACK, at(client, 1001), at(server, 1001), 0),
    ]);
    assert_eq!(
        between.send(SERVER, segment(RST, at(server, 1001), 0, 0)),
        Tracking::Reset
    );
}

#[test]
fn a_fin_that_was_a_strangers_is_forgotten_when_its_sender_sends_on() {
    let mut between = Between::busy();
    // In the window, with an acknowledgement that fits: passes (the receiver waits for what is missing before it).
    between.all_ok(&[(CLIENT, FIN | ACK, 1151, 5101, 0)]);
    assert_eq!(between.phase(), Phase::Closing);
    between.all_ok(&[(CLIENT, ACK | PSH, 1101, 5101, 1000), (SERVER, ACK, 5101, 2101, 0)]);
    assert_eq!(between.phase(), Phase::Established);
}

#[test]
fn other_protocols_are_unreplied_or_replied() {
    for protocol in [proto::UDP, proto::ICMP, proto::ICMPV6, proto::SCTP, proto::GRE] {
        assert_eq!(phase(protocol, 0, 0, false), Phase::Untracked);
        assert_eq!(phase(protocol, SEEN, 0, false), Phase::Unreplied);
        assert_eq!(phase(protocol, 0, SEEN, false), Phase::Unreplied);
        assert_eq!(phase(protocol, SEEN, SEEN, false), Phase::Replied);
        assert_eq!(phase(protocol, SEEN, SEEN, true), Phase::Denied);
    }
    let living = Between::busy();
    assert_eq!(phase(proto::TCP, living.words[0], living.words[1], true), Phase::Denied);
}

#[test]
fn shorter_timeouts_are_told_of() {
    let mut between = Between::default();
    let mut told = Vec::new();
    for (side, flags, seq, ack) in [
        (CLIENT, SYN, 1000, 0),
        (SERVER, SYN | ACK, 5000, 1001),
        (CLIENT, ACK, 1001, 5001),
        (SERVER, ACK, 5001, 1001),
        (CLIENT, FIN | ACK, 1001, 5001),
        (SERVER, FIN | ACK, 5001, 1002),
        (CLIENT, ACK, 1002, 5002),
        (CLIENT, SYN, 60_000, 0),
        (SERVER, RST | ACK, 0, 60_001),
    ] {
        let before = between.words[side];
        assert!(between.send(side, segment(flags, seq, ack, 0)).passes());
        told.push(shortens(before, between.words[side], between.words[1 - side]));
    }
    assert_eq!(told, [false, false, false, false, true, false, true, true, true]);
}
