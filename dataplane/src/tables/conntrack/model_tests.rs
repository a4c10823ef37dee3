//! TCP tracking against two model hosts over a network that loses, repeats and reorders; and against strangers who guess.

use proptest::prelude::*;

use super::tcp_tests::{Between, CLIENT, SERVER, segment};
use super::*;
use crate::wire::{
    proto,
    tcp_flags::{ACK, FIN, PSH, RST, SYN},
};

/// One end of a connection: RFC 9293's sender and receiver, without timers. It sends again whatever is not acknowledged.
#[derive(Clone, Debug)]
struct Host {
    iss: u32,
    /// Of its data, how much there is, and how much is sent and acknowledged. (SYN and FIN not counted.)
    total: u32,
    sent: u32,
    acknowledged: u32,
    fin_acknowledged: bool,
    /// What it received in order: data, and whether it has the peer's SYN and FIN.
    peer_iss: Option<u32>,
    received: u32,
    peer_fin: bool,
    syn_acknowledged: bool,
    active: bool,
}

impl Host {
    fn new(iss: u32, total: u32, active: bool) -> Self {
        Self {
            iss,
            total,
            sent: 0,
            acknowledged: 0,
            fin_acknowledged: false,
            peer_iss: None,
            received: 0,
            peer_fin: false,
            syn_acknowledged: false,
            active,
        }
    }

    fn ack(&self) -> u32 {
        let taken = self.received + 1 + u32::from(self.peer_fin);
        self.peer_iss.map_or(0, |iss| iss.wrapping_add(taken))
    }

    fn at(&self, data: u32) -> u32 {
        self.iss.wrapping_add(1).wrapping_add(data)
    }

    /// What it says when it is its turn; `again`: begins with what is not acknowledged.
    fn speak(&mut self, size: u32, again: bool) -> Option<Segment> {
        if !self.syn_acknowledged {
            return match (self.active, self.peer_iss) {
                (true, None) => Some(segment(SYN, self.iss, 0, 0)),
                (_, Some(_)) if !self.active => Some(segment(SYN | ACK, self.iss, self.ack(), 0)),
                (true, Some(_)) => Some(segment(SYN | ACK, self.iss, self.ack(), 0)),
                _ => None,
            };
        }
        let from = if again { self.acknowledged } else { self.sent };
        let window = self.acknowledged + 60_000;
        let size = size.min(self.total - from).min(window.saturating_sub(from));
        self.sent = self.sent.max(from + size);
        let fin = from + size == self.total;
        let flags = ACK | PSH | if fin { FIN } else { 0 };
        Some(segment(flags, self.at(from), self.ack(), size))
    }

    fn hear(&mut self, segment: &Segment) {
        if segment.has(SYN) {
            self.peer_iss.get_or_insert(segment.seq);
        }
        let Some(peer) = self.peer_iss else { return };
        if segment.has(ACK) {
            let taken = segment.ack.wrapping_sub(self.iss);
            if taken >= 1 && taken <= self.total + 2 {
                self.syn_acknowledged = true;
                self.acknowledged = self.acknowledged.max((taken - 1).min(self.sent));
                self.fin_acknowledged |= taken == self.total + 2;
            }
        }
        if !segment.has(SYN) && self.syn_acknowledged {
            let fin = u32::from(segment.has(FIN));
            let from = segment.seq.wrapping_sub(peer.wrapping_add(1));
            let to = from.wrapping_add(segment.len - fin);
            // In order only: what comes early is sent again.
            if from <= self.received && to >= self.received {
                self.received = to;
                self.peer_fin |= fin == 1;
            }
        }
    }

    fn done(&self) -> bool {
        self.fin_acknowledged && self.peer_fin
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    side: usize,
    size: u32,
    again: bool,
    lost: bool,
    repeated: bool,
    /// How many segments that are sent later overtake this one.
    late: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..2usize, 0..4000u32, any::<bool>(), 0..8u8, 0..8u8, 0..3usize).prop_map(
        |(side, size, again, lost, repeated, late)| Step {
            side,
            size,
            again,
            lost: lost == 0,
            repeated: repeated == 0,
            late,
        },
    );
    proptest::collection::vec(step, 0..80)
}

/// Runs a connection: tracking stands at the network's beginning, so that what it passes may still be lost, repeated or overtaken before it
/// gets there. Everything that hosts say must pass.
fn converse(mut hosts: [Host; 2], steps: &[Step]) -> Result<Between, TestCaseError> {
    let mut between = Between::default();
    let mut wires: [Vec<(usize, Segment)>; 2] = [Vec::new(), Vec::new()];
    let quiet = Step {
        side: 0,
        size: 4000,
        again: true,
        lost: false,
        repeated: false,
        late: 0,
    };
    // In the end all is said in turns, without losses, so that every connection comes to its end.
    let calm = (0..60).map(|n| Step { side: n % 2, ..quiet });
    for step in steps.iter().copied().chain(calm) {
        let side = step.side;
        if let Some(said) = hosts[side].speak(step.size, step.again) {
            if !step.lost {
                wires[side].push((step.late, said));
            }
            if step.repeated {
                wires[side].push((0, said));
            }
        }
        // Of each wire the first that nothing more overtakes.
        for (from, wire) in wires.iter_mut().enumerate() {
            for waiting in wire.iter_mut() {
                waiting.0 = waiting.0.saturating_sub(1);
            }
            if let Some(ready) = wire.iter().position(|waiting| waiting.0 == 0) {
                let (_, arriving) = wire.remove(ready);
                let tracking = between.send(from, arriving);
                prop_assert!(tracking.passes(), "{tracking:?} of {arriving:?} at {between:?}");
                hosts[1 - from].hear(&arriving);
            }
        }
    }
    prop_assert!(hosts.iter().all(Host::done), "the hosts came to no end: {hosts:?}");
    Ok(between)
}

fn any_segment() -> impl Strategy<Value = Segment> {
    (
        any::<u32>(),
        any::<u32>(),
        0..70_000u32,
        any::<u16>(),
        any::<u8>(),
        proptest::option::of(0..15u8),
    )
        .prop_map(|(seq, ack, len, window, flags, window_scale)| Segment {
            seq,
            ack,
            len,
            window,
            flags,
            window_scale,
        })
}

proptest! {
    #[test]
    fn what_hosts_say_passes_however_the_network_treats_it(
        client: u32, server: u32, sizes in (0..20_000u32, 0..20_000u32), steps in steps(),
    ) {
        let hosts = [Host::new(client, sizes.0, true), Host::new(server, sizes.1, false)];
        let between = converse(hosts, &steps)?;
        prop_assert_eq!(between.phase(), Phase::TimeWait, "{:?}", between);
    }

    #[test]
    fn hosts_that_begin_at_once_are_let_pass(client: u32, server: u32, steps in steps()) {
        let hosts = [Host::new(client, 3000, true), Host::new(server, 3000, true)];
        converse(hosts, &steps)?;
    }

    /// Strangers who guess (and miss the one right number) change nothing for those who talk. Resets and SYNs; of both sides' addresses.
    #[test]
    fn blind_resets_and_syns_never_end_a_conversation(
        client: u32, server: u32, steps in steps(),
        guesses in proptest::collection::vec((0..2usize, any::<u32>(), any::<bool>()), 0..60),
    ) {
        let hosts = [Host::new(client, 9000, true), Host::new(server, 9000, false)];
        let strangers: Vec<_> = guesses
            .iter()
            .map(|(side, guess, rst)| (*side, segment(if *rst { RST } else { SYN }, *guess, 0, 0)))
            // Not a guess that is right.
            .filter(|(side, stranger)| {
                let iss = if *side == CLIENT { client } else { server };
                stranger.seq.wrapping_sub(iss) > 9100
            })
            .collect();
        // They come once the hosts are talking.
        let quiet = Step { side: CLIENT, size: 100, again: false, lost: false, repeated: false, late: 0 };
        let hello = [
            quiet,
            Step { side: SERVER, ..quiet },
            quiet,
            Step { side: SERVER, ..quiet },
        ];
        let mut between = Between::default();
        let mut hosts = hosts;
        for step in hello {
            if let Some(said) = hosts[step.side].speak(step.size, false) {
                prop_assert!(between.send(step.side, said).passes());
                hosts[1 - step.side].hear(&said);
            }
        }
        prop_assert_eq!(between.phase(), Phase::Established);
        for (side, stranger) in &strangers {
            prop_assert!(between.send(*side, *stranger) != Tracking::Reset);
            prop_assert_eq!(between.phase(), Phase::Established);
        }
        for step in &steps {
            if let Some(said) = hosts[step.side].speak(step.size, step.again) {
                prop_assert!(between.send(step.side, said).passes(), "{:?} {:?}", between, said);
                hosts[1 - step.side].hear(&said);
            }
        }
    }

    /// Any words (also such as never come to be) and any segment: no panic, and a refusal changes nothing.
    #[test]
    fn anything_is_borne(own: u64, peer: u64, segment in any_segment()) {
        let (after, tracking) = track(own, peer, &segment);
        if !tracking.passes() {
            prop_assert_eq!(after, own);
        }
        let _ = (phase(proto::TCP, after, peer, false), shortens(own, after, peer), describe(after));
        if let Ok(word) = first(&segment) {
            prop_assert!(word != 0, "a direction that was seen has a word");
        }
    }

    /// From an established connection no single segment leads anywhere else but by the exact reset or a FIN in the window.
    #[test]
    fn no_single_segment_ends_a_connection_but_the_right_one(side in 0..2usize, segment in any_segment()) {
        let mut between = Between::busy();
        let exact = [1101, 5101][side];
        let tracking = between.send(side, segment);
        match between.phase() {
            Phase::Established => prop_assert!(tracking != Tracking::Reset),
            Phase::Closed => prop_assert!(segment.has(RST) && segment.seq == exact),
            Phase::Closing => prop_assert!(segment.has(FIN | ACK) && segment.seq.wrapping_sub(exact).wrapping_add(65_536) < 200_000),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn segments_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), payload: usize) {
        if let Ok(segment) = Segment::parse(&bytes, payload) {
            let _ = track(0, 0, &segment);
        }
    }
}
