//! What is known of the health of backends, as a value to compile with.

use std::net::IpAddr;

use imbl::OrdMap;

/// What is asked after: one address of an endpoint, for one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// Number of the service.
    pub service: u32,
    /// Number of the endpoint's network.
    pub network: u32,
    /// The endpoint's address.
    pub address: IpAddr,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// It may get new connections.
    pub healthy: bool,
    /// Why not, in words.
    pub detail: String,
}

/// The health of all backends that somebody asked after. Cheap to clone. What is not in it is not healthy: services fail closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health(OrdMap<Probe, Condition>);

impl Health {
    /// Whether a backend is known to be well.
    #[must_use]
    pub fn healthy(&self, probe: &Probe) -> bool {
        self.0.get(probe).is_some_and(|condition| condition.healthy)
    }

    /// What is known of a backend.
    #[must_use]
    pub fn get(&self, probe: &Probe) -> Option<&Condition> {
        self.0.get(probe)
    }

    /// Notes what was found. Whether that is news.
    pub fn set(&mut self, probe: Probe, condition: Condition) -> bool {
        if self.0.get(&probe) == Some(&condition) {
            return false;
        }
        self.0.insert(probe, condition);
        true
    }

    /// Forgets a backend. Whether it was known.
    pub fn forget(&mut self, probe: &Probe) -> bool {
        self.0.remove(probe).is_some()
    }
}
