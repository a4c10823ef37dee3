//! One neighbour: what is known of it, when to ask again, when to give up (RFC 826; RFC 4861, section 7.3).
//!
//! Knows no addresses and sends nothing: it says whom to ask, the resolver asks.

use crate::wire::Mac;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// Requests to all before the neighbour counts as absent.
const QUICK_REQUESTS: u32 = 3;

/// Time between those; nanoseconds.
const QUICK_INTERVAL: u64 = 250 * MILLISECOND;

/// Time between requests for a neighbour that counts as absent; nanoseconds.
pub(super) const SLOW_INTERVAL: u64 = 3 * SECOND;

/// Requests to the known MAC before all are asked again (MAX_UNICAST_SOLICIT of RFC 4861).
const PROBES: u32 = 3;

/// Time between those (RETRANS_TIMER of RFC 4861); nanoseconds.
const PROBE_INTERVAL: u64 = SECOND;

/// How long a confirmation counts (REACHABLE_TIME of RFC 4861); nanoseconds.
pub(super) const REACHABLE: u64 = 30 * SECOND;

/// Neighbours are asked up to so much earlier, each at its own time, so that not all are asked at once; nanoseconds.
const SPREAD: u64 = 10 * SECOND;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Never heard of; asked for `asked` times.
    Incomplete { asked: u32 },
    /// Confirmed not long ago.
    Reachable,
    /// To be confirmed by the known MAC, which has been asked `asked` times and is used meanwhile.
    Probe { asked: u32 },
    /// The known MAC does not answer, all have been asked `asked` times; it is still used.
    Search { asked: u32 },
    /// Nobody answers; asked for now and then.
    Failed,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nobody now.
    Nobody,
    /// All stations of the link.
    All,
    /// The station known so far.
    Station(Mac),
}

/// What a message is worth (the flags of a neighbour advertisement; ARP says as much by its operation).
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// The MAC it tells, if any.
    pub(super) mac: Option<Mac>,
    /// It answers a question of ours: the neighbour hears us too.
    pub(super) solicited: bool,
    /// It replaces another MAC.
    pub(super) override_known: bool,
}

/// One neighbour.
#[derive(Clone, Debug)]
pub(super) struct Neighbor {
    state: State,
    mac: Option<Mac>,
    /// Where it was when it stopped answering.
    lost: Option<Mac>,
    deadline: u64,
    /// How long a confirmation counts here.
    reachable: u64,
}

impl Neighbor {
    /// A neighbour not heard of yet, to be asked for at once. `seed` spreads the times of confirmation.
    pub(super) fn new(seed: u64, now: u64) -> Self {
        Self {
            state: State::Incomplete { asked: 0 },
            mac: None,
            lost: None,
            deadline: now,
            reachable: REACHABLE - seed % SPREAD,
        }
    }

    /// Where to send packets for it. Stays known until it has been given up.
    pub(super) fn mac(&self) -> Option<Mac> {
        self.mac
    }

    /// Where it was before it was given up.
    pub(super) fn lost(&self) -> Option<Mac> {
        self.lost
    }

    /// Given up (and yet asked for now and then).
    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// When [`poll`](Self::poll) has something to do; nanoseconds.
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// For people.
    pub(super) fn state_text(&self) -> &'static str {
        match self.state {
            State::Incomplete { .. } => "incomplete",
            State::Reachable => "reachable",
            State::Probe { .. } => "probe",
            State::Search { .. } => "search",
            State::Failed => "failed",
        }
    }

    /// Does what is due at `now`.
    pub(super) fn poll(&mut self, now: u64) -> Ask {
        if now < self.deadline {
            return Ask::Nobody;
        }
        let (state, wait, ask) = match (self.state, self.mac) {
            (State::Incomplete { asked }, _) if asked < QUICK_REQUESTS => {
                (State::Incomplete { asked: asked + 1 }, QUICK_INTERVAL, Ask::All)
            }
            (State::Incomplete { .. }, _) => (State::Failed, SLOW_INTERVAL, Ask::Nobody),
            (State::Reachable, Some(mac)) => (State::Probe { asked: 1 }, PROBE_INTERVAL, Ask::Station(mac)),
            (State::Probe { asked }, Some(mac)) if asked < PROBES => {
                (State::Probe { asked: asked + 1 }, PROBE_INTERVAL, Ask::Station(mac))
            }
            (State::Probe { .. } | State::Reachable, _) => (State::Search { asked: 1 }, QUICK_INTERVAL, Ask::All),
            (State::Search { asked }, _) if asked < QUICK_REQUESTS => {
                (State::Search { asked: asked + 1 }, QUICK_INTERVAL, Ask::All)
            }
            (State::Search { .. }, _) => {
                self.lost = self.mac.take();
                (State::Failed, SLOW_INTERVAL, Ask::Nobody)
            }
            (State::Failed, _) => (State::Failed, SLOW_INTERVAL, Ask::All),
        };
        self.state = state;
        self.deadline = now.saturating_add(wait);
        ask
    }

    /// Takes note of a message (RFC 4861, section 7.2.5). What nobody asked for is used, but confirmed at once.
    pub(super) fn hear(&mut self, heard: Heard, now: u64) {
        let Some(mac) = heard.mac.or(self.mac) else { return };
        let news = self.mac != Some(mac);
        if news && self.mac.is_some() && !heard.override_known {
            // Another station claims the address but does not insist: keep the known one if it still answers.
            if self.state == State::Reachable {
                self.probe(now);
            }
            return;
        }
        self.mac = Some(mac);
        self.lost = None;
        if heard.solicited {
            self.state = State::Reachable;
            self.deadline = now.saturating_add(self.reachable);
        } else if news {
            self.probe(now);
        }
    }

    fn probe(&mut self, now: u64) {
        self.state = State::Probe { asked: 0 };
        self.deadline = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);

    fn answer(mac: Mac) -> Heard {
        Heard {
            mac: Some(mac),
            solicited: true,
            override_known: true,
        }
    }

    /// What is asked from `from` to `to`, in milliseconds.
    fn asked(neighbor: &mut Neighbor, from: u64, to: u64) -> Vec<(u64, Ask)> {
        let times = (from..to).step_by(50);
        times
            .map(|at| (at, neighbor.poll(at * MILLISECOND)))
            .filter(|(_, ask)| *ask != Ask::Nobody)
            .collect()
    }

    #[test]
    fn asks_quickly_then_slowly_without_end() {
        let mut neighbor = Neighbor::new(0, 0);
        assert_eq!(
            asked(&mut neighbor, 0, 700),
            [(0, Ask::All), (250, Ask::All), (500, Ask::All)]
        );
        assert!(!neighbor.has_failed());
        assert_eq!(asked(&mut neighbor, 700, 7000), [(3750, Ask::All), (6750, Ask::All)]);
        assert!(neighbor.has_failed());
        neighbor.hear(answer(A), 8 * SECOND);
        assert_eq!((neighbor.mac(), neighbor.state_text()), (Some(A), "reachable"));
    }

    #[test]
    fn is_confirmed_before_it_is_given_up() {
        let mut neighbor = Neighbor::new(0, 0);
        neighbor.poll(0);
        neighbor.hear(answer(A), 0);
        let probe = Ask::Station(A);
        assert_eq!(asked(&mut neighbor, 0, 31_900), [(30_000, probe), (31_000, probe)]);
        neighbor.hear(answer(A), 32 * SECOND);
        let searching = [
            (62_000, probe),
            (63_000, probe),
            (64_000, probe),
            (65_000, Ask::All),
            (65_250, Ask::All),
        ];
        assert_eq!(asked(&mut neighbor, 32_000, 65_300), searching);
        assert_eq!(neighbor.mac(), Some(A), "used while it is searched for");
        assert_eq!(asked(&mut neighbor, 65_300, 66_000), [(65_500, Ask::All)]);
        assert_eq!(
            (neighbor.mac(), neighbor.lost(), neighbor.has_failed()),
            (None, Some(A), true)
        );
    }

    #[test]
    fn times_of_confirmation_are_spread() {
        let deadline = |seed| {
            let mut neighbor = Neighbor::new(seed, 0);
            neighbor.hear(answer(A), 0);
            neighbor.deadline()
        };
        assert_eq!(deadline(0), REACHABLE);
        assert_eq!(deadline(SPREAD - 1), REACHABLE - SPREAD + 1);
        assert!(deadline(u64::MAX) > REACHABLE - SPREAD);
    }

    #[test]
    fn unasked_news_are_used_and_confirmed() {
        let mut neighbor = Neighbor::new(0, 0);
        let unasked = |mac| Heard {
            mac: Some(mac),
            solicited: false,
            override_known: true,
        };
        neighbor.hear(unasked(A), 5);
        assert_eq!((neighbor.mac(), neighbor.poll(5)), (Some(A), Ask::Station(A)));
        neighbor.hear(answer(A), 10);
        // The same again says nothing of the way from us to it.
        neighbor.hear(unasked(A), SECOND);
        assert_eq!(neighbor.deadline(), 10 + REACHABLE);
        neighbor.hear(unasked(B), 2 * SECOND);
        assert_eq!((neighbor.mac(), neighbor.poll(2 * SECOND)), (Some(B), Ask::Station(B)));
    }

    #[test]
    fn a_claim_that_does_not_insist_only_raises_doubt() {
        let mut neighbor = Neighbor::new(0, 0);
        neighbor.hear(answer(A), 0);
        neighbor.hear(
            Heard {
                mac: Some(B),
                solicited: true,
                override_known: false,
            },
            1,
        );
        assert_eq!((neighbor.mac(), neighbor.poll(1)), (Some(A), Ask::Station(A)));
        // An answer without a MAC confirms the known one, but tells nothing of an unknown one.
        neighbor.hear(
            Heard {
                mac: None,
                solicited: true,
                override_known: false,
            },
            2,
        );
        assert_eq!(neighbor.state_text(), "reachable");
        let mut unknown = Neighbor::new(0, 0);
        unknown.hear(
            Heard {
                mac: None,
                solicited: true,
                override_known: true,
            },
            0,
        );
        assert_eq!((unknown.mac(), unknown.state_text()), (None, "incomplete"));
    }
}
