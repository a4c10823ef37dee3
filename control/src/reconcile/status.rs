//! How each dataplane is doing: written by the task that drives it, read by the API.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

use tokio::sync::{mpsc, oneshot};
use vrouter_metrics::Histogram;

use super::HealthBoard;
use crate::{
    model::{Endpoint, Name},
    state::Scoped,
    transport::Address,
};

/// How one dataplane is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataplaneStatus {
    /// It is connected and has been compared with what is wished.
    pub connected: bool,
    /// All that is wished up to this revision is programmed, but for what is refused.
    pub synced_revision: u64,
    /// What is wrong, in words; empty when all is well.
    pub error: String,
    /// How many objects it refuses.
    pub refused: u64,
    /// Why it refuses objects of an endpoint.
    pub refused_endpoints: HashMap<Scoped, String>,
}

/// Asks the task of a dataplane to compare what is programmed with what is wished.
pub(crate) type AuditRequest = oneshot::Sender<Vec<String>>;

#[derive(Debug)]
struct Entry {
    address: Address,
    status: DataplaneStatus,
    audit: mpsc::Sender<AuditRequest>,
}

/// The status of all dataplanes, and what they say of backends. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Board {
    entries: Arc<RwLock<BTreeMap<Name, Entry>>>,
    health: HealthBoard,
    counts: Arc<DriverCounts>,
}

/// What drivers have done, of all dataplanes.
#[derive(Debug, Default)]
pub struct DriverCounts {
    /// Connections made.
    pub connections: AtomicU64,
    /// Connections that could not be made, or were lost.
    pub broken: AtomicU64,
    /// Differences that were applied, each with all its batches.
    pub applies: Histogram,
}

impl Board {
    /// What drivers have done.
    #[must_use]
    pub fn counts(&self) -> &DriverCounts {
        &self.counts
    }

    /// What dataplanes say of the health of backends.
    #[must_use]
    pub fn health(&self) -> &HealthBoard {
        &self.health
    }

    /// A dataplane is driven from now on; gives back what it is to be asked.
    pub(crate) fn register(&self, node: &Name, address: &Address) -> mpsc::Receiver<AuditRequest> {
        let (audit, requests) = mpsc::channel(4);
        let entry = Entry {
            address: address.clone(),
            status: DataplaneStatus::default(),
            audit,
        };
        self.write().insert(node.clone(), entry);
        requests
    }

    /// Notes how it is doing.
    pub(crate) fn update(&self, node: &Name, change: impl FnOnce(&mut DataplaneStatus)) {
        if let Some(entry) = self.write().get_mut(node) {
            change(&mut entry.status);
        }
    }

    /// Whether a dataplane is driven for this node.
    #[must_use]
    pub fn drives(&self, node: &Name) -> bool {
        self.read().contains_key(node)
    }

    /// How the dataplane of a node is doing, and where it is.
    #[must_use]
    pub fn status(&self, node: &Name) -> Option<(Address, DataplaneStatus)> {
        self.read()
            .get(node)
            .map(|entry| (entry.address.clone(), entry.status.clone()))
    }

    /// All nodes that a dataplane is driven for.
    #[must_use]
    pub fn nodes(&self) -> Vec<Name> {
        self.read().keys().cloned().collect()
    }

    /// Whether an endpoint is programmed on its node, and why it is refused there.
    #[must_use]
    pub fn endpoint(&self, endpoint: &Endpoint) -> (bool, String) {
        let board = self.read();
        let Some(entry) = endpoint.attached_to().and_then(|node| board.get(node)) else {
            return (false, String::new());
        };
        let scoped = (endpoint.network.clone(), endpoint.name.clone());
        match entry.status.refused_endpoints.get(&scoped) {
            Some(reason) => (false, reason.clone()),
            None => (
                entry.status.connected && entry.status.synced_revision >= endpoint.revision,
                String::new(),
            ),
        }
    }

    /// Compares every dataplane with what is wished; findings in words.
    pub async fn audit(&self) -> Vec<String> {
        let asked: Vec<_> = self
            .read()
            .iter()
            .map(|(node, entry)| (node.clone(), entry.audit.clone()))
            .collect();
        let mut findings = Vec::new();
        for (node, audit) in asked {
            let (sender, receiver) = oneshot::channel();
            let answer = match audit.try_send(sender) {
                Ok(()) => tokio::time::timeout(AUDIT_PATIENCE, receiver)
                    .await
                    .ok()
                    .and_then(Result::ok),
                Err(_) => None,
            };
            match answer {
                Some(found) => findings.extend(found),
                None => findings.push(format!(
                    "node {node}: its dataplane is not connected and cannot be compared"
                )),
            }
        }
        findings
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Name, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Name, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an audit waits for one dataplane.
const AUDIT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
