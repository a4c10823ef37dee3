//! What dataplanes say of the health of backends, and for how long that is believed.
//!
//! A backend gets new connections from its first success on (fail closed). After that, only its own node's dataplane says that it is unwell; that nobody
//! can be asked is not the backend's fault. So what was said last is kept when a dataplane is lost or starts anew, but only for a grace time: a node
//! that stays away is likely gone, and its backends with it.
//!
//! The same bridges a restart of this process, which knows nothing at first: backends that a dataplane still sends connections to were well a moment ago.
//! They are believed to be, for the grace time, unless their node says otherwise.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use vrouter_proto::dataplane as pb;

use crate::{
    compile::{Condition, Health, Probe},
    model::Name,
};

#[derive(Debug, Default)]
struct Source {
    /// The node that said it; `None`: it is only believed.
    node: Option<Name>,
    /// When it is not believed any more.
    until: Option<Instant>,
}

/// The health of all backends, as far as dataplanes said. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct HealthBoard {
    sources: Arc<Mutex<BTreeMap<Probe, Source>>>,
    health: watch::Sender<Health>,
    /// When the next one is not believed any more.
    due: watch::Sender<Option<Instant>>,
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self {
            sources: Arc::default(),
            health: watch::Sender::new(Health::default()),
            due: watch::Sender::new(None),
        }
    }
}

fn unwell(detail: String) -> Condition {
    Condition { healthy: false, detail }
}

impl HealthBoard {
    /// What is known now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Tells of every change.
    pub(super) fn follow(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// A dataplane says how a backend is doing.
    pub(super) fn report(&self, node: &Name, probe: Probe, state: &pb::HealthState, now: Instant, grace: Duration) {
        let asked = state.healthy || state.successes + state.failures > 0;
        self.change(|sources, health| {
            let source = sources.entry(probe).or_default();
            source.node = Some(node.clone());
            if asked {
                source.until = None;
                let detail = state.detail.clone();
                let healthy = state.healthy;
                return health.set(probe, Condition { healthy, detail });
            }
            if health.healthy(&probe) {
                // The question is new there (vrouterd was restarted), the backend is not.
                source.until.get_or_insert(now + grace);
                return false;
            }
            health.set(probe, unwell(state.detail.clone()))
        });
    }

    /// A dataplane sends connections to these backends, so somebody found them well.
    pub(super) fn believe(&self, probes: impl IntoIterator<Item = Probe>, now: Instant, grace: Duration) {
        self.change(|sources, health| {
            let mut news = false;
            for probe in probes {
                if let std::collections::btree_map::Entry::Vacant(vacant) = sources.entry(probe) {
                    let (node, until) = (None, Some(now + grace));
                    vacant.insert(Source { node, until });
                    let (healthy, detail) = (true, "not asked yet, but it was well before".to_owned());
                    news |= health.set(probe, Condition { healthy, detail });
                }
            }
            news
        });
    }

    /// The dataplane of a node is away.
    pub(super) fn lost(&self, node: &Name, now: Instant, grace: Duration) {
        self.change(|sources, _| {
            for source in sources.values_mut().filter(|s| s.node.as_ref() == Some(node)) {
                source.until.get_or_insert(now + grace);
            }
            false
        });
    }

    /// These are all that a node's dataplane is to ask after: others that it said something of are forgotten.
    pub(super) fn keep(&self, node: &Name, probes: &BTreeSet<Probe>) {
        self.change(|sources, health| {
            let mut news = false;
            sources.retain(|probe, source| {
                let keep = source.node.as_ref() != Some(node) || probes.contains(probe);
                if !keep {
                    news |= health.forget(probe);
                }
                keep
            });
            news
        });
    }

    /// When the next one is not believed any more: [`HealthBoard::expire`] is to be called then. Whoever waits for that has to hear when it changes,
    /// because another driver may have lost its dataplane.
    pub(super) fn due(&self) -> watch::Receiver<Option<Instant>> {
        self.due.subscribe()
    }

    /// Ends belief in what nobody confirmed until `now`.
    pub(super) fn expire(&self, now: Instant) {
        self.change(|sources, health| {
            let mut news = false;
            sources.retain(|probe, source| {
                if source.until.is_none_or(|until| until > now) {
                    return true;
                }
                source.until = None;
                news |= match &source.node {
                    Some(node) => health.set(*probe, unwell(format!("node {node} does not tell any more"))),
                    None => health.forget(probe),
                };
                source.node.is_some()
            });
            news
        });
    }

    fn change(&self, work: impl FnOnce(&mut BTreeMap<Probe, Source>, &mut Health) -> bool) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.send_if_modified(|health| work(&mut sources, health));
        let due = sources.values().filter_map(|source| source.until).min();
        self.due.send_if_modified(|known| std::mem::replace(known, due) != due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn probe(last: u8) -> Probe {
        Probe {
            service: 1,
            network: 1,
            address: [10, 0, 0, last].into(),
        }
    }

    fn state(healthy: bool, successes: u64, failures: u64) -> pb::HealthState {
        pb::HealthState {
            healthy,
            detail: String::new(),
            successes,
            failures,
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn closed_until_the_first_success_and_at_the_first_word_of_failure() {
        let (board, node, now) = (HealthBoard::default(), name("a"), Instant::now());
        assert!(!board.health().healthy(&probe(1)));
        board.report(&node, probe(1), &state(false, 0, 0), now, GRACE);
        assert!(!board.health().healthy(&probe(1)));
        board.report(&node, probe(1), &state(true, 1, 0), now, GRACE);
        assert!(board.health().healthy(&probe(1)));
        assert_eq!(*board.due().borrow(), None);
        board.report(&node, probe(1), &state(false, 1, 3), now, GRACE);
        assert!(!board.health().healthy(&probe(1)));
    }

    #[test]
    fn the_last_word_of_a_lost_dataplane_counts_for_the_grace_time() {
        let (board, node, now) = (HealthBoard::default(), name("a"), Instant::now());
        board.report(&node, probe(1), &state(true, 1, 0), now, GRACE);
        board.report(&name("b"), probe(2), &state(true, 1, 0), now, GRACE);
        let mut due = board.due();
        board.lost(&node, now, GRACE);
        assert!(due.has_changed().unwrap(), "whoever waits hears of it");
        assert_eq!(*due.borrow_and_update(), Some(now + GRACE));
        board.expire(now + GRACE / 2);
        assert!(board.health().healthy(&probe(1)));
        // Back, but it has not asked yet: that is no confirmation.
        board.report(&node, probe(1), &state(false, 0, 0), now + GRACE / 2, GRACE);
        assert_eq!(*board.due().borrow(), Some(now + GRACE));
        board.expire(now + GRACE);
        assert!(!board.health().healthy(&probe(1)));
        assert!(board.health().get(&probe(1)).unwrap().detail.contains("node a"));
        assert!(board.health().healthy(&probe(2)), "others are not concerned");
        board.report(&node, probe(1), &state(true, 1, 0), now + GRACE, GRACE);
        assert!(board.health().healthy(&probe(1)));
        assert_eq!(*board.due().borrow(), None);
    }

    #[test]
    fn who_has_connections_is_believed_to_be_well_unless_its_node_says_otherwise() {
        let (board, node, now) = (HealthBoard::default(), name("a"), Instant::now());
        board.report(&node, probe(1), &state(false, 0, 3), now, GRACE);
        board.believe([probe(1), probe(2), probe(3)], now, GRACE);
        assert!(!board.health().healthy(&probe(1)), "its node knows better");
        assert!(board.health().healthy(&probe(2)) && board.health().healthy(&probe(3)));
        board.report(&node, probe(2), &state(true, 5, 0), now, GRACE);
        board.expire(now + GRACE);
        assert!(board.health().healthy(&probe(2)));
        assert_eq!(board.health().get(&probe(3)), None);
    }

    #[test]
    fn what_is_asked_no_more_is_forgotten_unless_another_node_asks_now() {
        let (board, a, b, now) = (HealthBoard::default(), name("a"), name("b"), Instant::now());
        board.report(&a, probe(1), &state(true, 1, 0), now, GRACE);
        board.report(&a, probe(2), &state(true, 1, 0), now, GRACE);
        board.report(&b, probe(2), &state(true, 1, 0), now, GRACE);
        board.keep(&a, &BTreeSet::new());
        assert_eq!(board.health().get(&probe(1)), None);
        assert!(board.health().healthy(&probe(2)), "it moved to node b");
    }
}
