//! What a service manager (systemd) is told: that the daemon is ready, how it is doing, that it ends, and, while it truly answers, that it is
//! alive.
//!
//! Alive means: the async runtime runs, for it is what tells, and the store's writer takes a transaction. Whether its disk can be written is not
//! asked: a restart would not help there, and what can be read is still served.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::{
    reconcile::Board,
    store::{Store, StoreError},
};

/// How often the service manager hears of us at least, where it asks for no watchdog.
const REPORT: Duration = Duration::from_secs(10);

/// How many signs of life fit into the time that the service manager waits for one.
const SIGNS: u32 = 4;

/// Tells that the API answers, and from then on that all is alive. Never ends.
pub async fn report(store: Store, board: Board) {
    let mut told = status(&store, &board);
    tell(&[NotifyState::Ready, NotifyState::Status(&told)]);
    let watchdog = sd_notify::watchdog_enabled();
    let mut ticks = tokio::time::interval(watchdog.map_or(REPORT, |time| time / SIGNS));
    loop {
        ticks.tick().await;
        // Waits for as long as the writer hangs: then nobody hears of us, and the service manager knows what to do.
        if !answers(&store).await {
            tracing::error!("the store is closed");
            return;
        }
        tell(&[NotifyState::Watchdog]);
        let now = status(&store, &board);
        if now != told {
            tell(&[NotifyState::Status(&now)]);
            told = now;
        }
    }
}

/// Tells that a daemon without a store serves, and from then on that its runtime runs. Never ends.
pub async fn serving(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    let Some(watchdog) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(watchdog / SIGNS);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Tells that the daemon ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ending")]);
}

/// Whether the store's writer takes a transaction, if only to refuse it.
async fn answers(store: &Store) -> bool {
    let empty = store.transact(|_| Ok::<(), StoreError>(())).await;
    !matches!(empty, Err(StoreError::Closed))
}

/// "revision 17; 2 of 3 dataplanes in sync; not in sync: node3".
fn status(store: &Store, board: &Board) -> String {
    let revision = store.state().revision();
    let nodes = board.nodes();
    let behind: Vec<_> = nodes
        .iter()
        .filter(|node| {
            let status = board.status(node);
            !status.is_some_and(|(_, status)| {
                status.connected && status.synced_revision >= revision && status.error.is_empty()
            })
        })
        .map(ToString::to_string)
        .collect();
    let sync = format!(
        "revision {revision}; {} of {} dataplanes in sync",
        nodes.len() - behind.len(),
        nodes.len()
    );
    match behind.len() {
        0 => sync,
        1..=8 => format!("{sync}; not in sync: {}", behind.join(" ")),
        _ => format!("{sync}; not in sync: {} and others", behind[..8].join(" ")),
    }
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how we are");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Redb;

    #[tokio::test]
    async fn a_store_that_is_closed_does_not_answer() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::start(Redb::open(directory.path().join("store")).unwrap()).unwrap();
        assert!(answers(&store).await);
        assert_eq!(
            status(&store, &Board::default()),
            format!("revision {}; 0 of 0 dataplanes in sync", store.state().revision())
        );
        store.close().await;
        assert!(!answers(&store).await);
    }
}
