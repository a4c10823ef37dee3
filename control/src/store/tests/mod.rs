//! The store on files and on storage that fails.

mod faults;
mod files;

use std::sync::Arc;

use super::{Store, StoreError};
use crate::{
    intent::{self, Refusal},
    model::{Name, Network, NetworkWish},
};

fn wish(name: &str) -> NetworkWish {
    let network = vrouter_proto::control::Network {
        name: name.into(),
        ..Default::default()
    };
    NetworkWish::from_proto(Some(network)).unwrap()
}

async fn create(store: &Store, name: &str) -> Result<Arc<Network>, Refusal> {
    let wish = wish(name);
    store.transact(move |t| intent::create_network(t, wish)).await
}

fn names(store: &Store) -> Vec<String> {
    store.state().networks().map(|n| n.name.to_string()).collect()
}

fn full(error: &Refusal) -> bool {
    matches!(error, Refusal::Store(StoreError::Full { .. }))
}

#[tokio::test]
async fn a_refused_transaction_changes_nothing_and_costs_no_revision() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::start(super::Redb::open(directory.path().join("x.redb")).unwrap()).unwrap();
    create(&store, "blue").await.unwrap();
    let refused: Result<(), Refusal> = store
        .transact(|t| {
            intent::create_network(t, wish("red"))?;
            intent::delete_network(t, &Name::new("blue").unwrap())?;
            Err(Refusal::NotFound(crate::model::Invalid::new("x", "changed my mind")))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!((names(&store), store.state().revision()), (vec!["blue".to_owned()], 1));
    create(&store, "blue").await.unwrap();
    assert_eq!(store.state().revision(), 1, "nothing changed, no revision");
}

#[tokio::test]
async fn a_transaction_that_panics_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::start(super::Redb::open(directory.path().join("x.redb")).unwrap()).unwrap();
    let lost: Result<(), Refusal> = store.transact(|_| panic!("a bug")).await;
    assert_eq!(lost, Err(Refusal::Store(StoreError::Closed)));
    create(&store, "blue").await.unwrap();
    store.close().await;
    assert_eq!(
        create(&store, "red").await.unwrap_err(),
        Refusal::Store(StoreError::Closed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_every_commit_or_hears_that_it_was_too_slow() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::start(super::Redb::open(directory.path().join("x.redb")).unwrap()).unwrap();
    create(&store, "before").await.unwrap();
    let (state, mut quick) = store.watch();
    let (_, mut slow) = store.watch();
    assert_eq!(state.revision(), 1);
    let reader = tokio::spawn(async move {
        for revision in 2..=5001 {
            let commit = quick.next().await.unwrap();
            assert_eq!(
                (commit.revision, commit.state.revision()),
                (revision, revision),
                "in order, none left out"
            );
        }
    });
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..5000 {
        let store = store.clone();
        writers.spawn(async move { create(&store, &format!("n{n}")).await.unwrap() });
        if n % 500 == 499 {
            while writers.join_next().await.is_some() {}
        }
    }
    reader.await.unwrap();
    assert!(slow.next().await.is_none(), "it is told");
}
