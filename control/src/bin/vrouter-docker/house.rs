//! What all requests share: the client of control, the records, and who works on what right now.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use vrouter_control::attach::Client;

use crate::{
    config::Config,
    describe::Docker,
    failure::Failure,
    journal::{JournalError, Shelf},
    records::{Endpoint, Network, Phase, Pool},
};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct House {
    /// The node that this plugin serves.
    pub(crate) node: String,
    /// Control. Its patience is less than [`House::answer_within`], so that there is time left to say that it is away.
    pub(crate) control: Client,
    /// Every request is answered in this time.
    pub(crate) answer_within: Duration,
    /// The settings.
    pub(crate) config: Config,
    /// Pools by the last part of their identifier.
    pub(crate) pools: Shelf<Pool>,
    /// Networks by dockerd's identifier.
    pub(crate) networks: Shelf<Network>,
    /// Endpoints by [`key`](crate::records::key).
    pub(crate) endpoints: Shelf<Endpoint>,
    /// Something is to be cleaned up.
    pub(crate) work: Notify,
    /// Dockerd's API, for names and labels of containers.
    pub(crate) docker: Option<Docker>,
    locks: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
    /// Addresses (of control's networks) that are given back already, and that dockerd will yet say to release.
    given_back: Mutex<HashMap<(String, IpAddr), Vec<Instant>>>,
}

impl House {
    /// Opens the records.
    pub(crate) fn new(config: Config, node: String, control: Client) -> Result<Arc<Self>, JournalError> {
        let shelf = |name: &str| config.state.join(name);
        Ok(Arc::new(Self {
            node,
            control,
            answer_within: config.answer_within,
            pools: Shelf::open(&shelf("pools"))?,
            networks: Shelf::open(&shelf("networks"))?,
            endpoints: Shelf::open(&shelf("endpoints"))?,
            work: Notify::new(),
            docker: config.docker.clone().map(Docker::new),
            locks: Mutex::default(),
            given_back: Mutex::default(),
            config,
        }))
    }

    /// Waits until nobody else works on something of this name.
    pub(crate) async fn alone(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(AsyncMutex::new(()));
                    locks.insert(name.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    /// Notes that an endpoint is not needed any more. From here on it will be gone, whatever happens.
    pub(crate) fn discard(&self, key: &str) -> Result<Option<Endpoint>, Failure> {
        let mut fresh = false;
        let discarded = self.endpoints.update(key, |endpoint| {
            fresh = endpoint.phase != Phase::Deleting;
            endpoint.phase = Phase::Deleting;
        })?;
        if let Some(endpoint) = discarded.as_ref().filter(|_| fresh) {
            let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
            given_back.retain(|_, times| {
                times.retain(|time| time.elapsed() < self.config.forget_after);
                !times.is_empty()
            });
            for address in &endpoint.addresses {
                let times = given_back.entry((endpoint.network.clone(), *address)).or_default();
                times.push(Instant::now());
            }
        }
        self.work.notify_one();
        Ok(discarded)
    }

    /// Whether something that dockerd asked for then has waited too long for what comes next.
    pub(crate) fn is_stale(&self, since: u64) -> bool {
        // A clock that was set back makes nothing young for ever.
        now().abs_diff(since) >= self.config.forget_after.as_secs()
    }

    /// Whether an address that dockerd releases was given back together with its endpoint. Each time counts once.
    pub(crate) fn was_given_back(&self, network: &str, address: IpAddr) -> bool {
        let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (network.to_owned(), address);
        let Some(times) = given_back.get_mut(&place) else {
            return false;
        };
        times.retain(|time| time.elapsed() < self.config.forget_after);
        let was = times.pop().is_some();
        if times.is_empty() {
            given_back.remove(&place);
        }
        was
    }
}

/// Discards an endpoint unless it is told that all went well: also when the request that makes it ends in the middle, for time is up.
#[derive(Debug)]
pub(crate) struct Undo<'a> {
    house: &'a House,
    key: Option<&'a str>,
}

impl<'a> Undo<'a> {
    /// Of the endpoint with this record.
    pub(crate) fn unless_told(house: &'a House, key: &'a str) -> Self {
        Self { house, key: Some(key) }
    }

    /// All went well.
    pub(crate) fn forget(mut self) {
        self.key = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key
            && let Err(failure) = self.house.discard(key)
        {
            tracing::error!(%failure, key, "what was begun cannot be noted as undone; it is when the plugin starts again");
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Whether dockerd can have given this identifier. They become file names.
pub(crate) fn check_id(id: &str, what: &str) -> Result<(), Failure> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=128).contains(&id.len()) && id.bytes().all(letter) && !id.starts_with('-');
    if good {
        Ok(())
    } else {
        let shown: String = id.chars().take(80).collect();
        Err(Failure::Unknown(format!("{shown:?} is no identifier of {what}")))
    }
}
