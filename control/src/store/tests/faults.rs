//! Storage that fails at every possible moment.

use std::{
    io,
    sync::{Arc, Mutex},
};

use redb::{Database, StorageBackend};

use super::*;
use crate::store::Redb;

#[derive(Debug, Default)]
struct Disk {
    /// As the process sees it.
    content: Vec<u8>,
    /// As it is after the power fails: what was synced.
    synced: Vec<u8>,
    /// Changing operations that succeed from now on; `None`: all.
    left: Option<usize>,
    operations: usize,
}

/// A disk that runs full, and may be given room again.
#[derive(Debug, Clone, Default)]
struct Faulty(Arc<Mutex<Disk>>);

impl Faulty {
    fn change<T>(&self, change: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        disk.operations += 1;
        match &mut disk.left {
            Some(0) => return Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(change(&mut disk))
    }

    fn store(&self) -> Result<Store, StoreError> {
        let disk = self.clone();
        let open = move |_: &std::path::Path| Database::builder().create_with_backend(disk.clone());
        Store::start(Redb::open_with("memory", Box::new(open))?)
    }

    fn heal(&self) {
        self.0.lock().unwrap().left = None;
    }

    fn fail_after(&self, operations: usize) {
        let mut disk = self.0.lock().unwrap();
        disk.left = Some(operations);
        disk.operations = 0;
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().content.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.lock().unwrap().content[offset..offset + out.len()]);
        Ok(())
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(|disk| disk.content.resize(usize::try_from(length).unwrap(), 0))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.change(|disk| disk.synced.clone_from(&disk.content))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.change(|disk| disk.content[offset..offset + data.len()].copy_from_slice(data))
    }
}

/// After the fault: goes on, is killed, or loses power.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    GoesOn,
    IsKilled,
    LosesPower,
}

/// The disk runs full at the `moment`th changing operation. Whether that was before the end of the commit.
async fn full_at(moment: usize, then: Then) -> bool {
    let disk = Faulty::default();
    let mut store = disk.store().unwrap();
    create(&store, "blue").await.unwrap();
    disk.fail_after(moment);
    let answer = create(&store, "red").await;
    let reached = disk.0.lock().unwrap().operations > moment;
    if let Err(error) = &answer {
        assert!(full(error), "{error}");
        assert!(error.to_string().contains("no space left"), "{error}");
        // Readers see what was.
        assert_eq!(names(&store), ["blue"]);
        assert_eq!(store.state().revision(), 1);
        assert!(create(&store, "green").await.is_err(), "still full");
    }
    match then {
        Then::GoesOn => disk.heal(),
        Then::IsKilled | Then::LosesPower => {
            store.close().await;
            disk.heal();
            if then == Then::LosesPower {
                let mut disk = disk.0.lock().unwrap();
                disk.content = disk.synced.clone();
            }
            store = disk.store().unwrap();
        }
    }
    if answer.is_ok() {
        assert_eq!(
            names(&store),
            ["blue", "red"],
            "what was answered stays, {then:?} at {moment}"
        );
    }
    // Trying again works, whatever became of the first time: creating is idempotent.
    let red = create(&store, "red").await.unwrap();
    assert_eq!(red.number, 2);
    assert_eq!(names(&store), ["blue", "red"]);
    assert!(intent::audit(&store.state()).findings.is_empty());
    let stored = store.reload().await.unwrap();
    assert_eq!(stored.records, store.state().records().collect::<Vec<_>>());
    store.close().await;
    reached
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_done_at_any_moment() {
    for then in [Then::GoesOn, Then::IsKilled, Then::LosesPower] {
        let mut moment = 0;
        while full_at(moment, then).await {
            moment += 1;
            assert!(moment < 1000, "the disk never got through");
        }
        assert!(moment > 2, "a commit takes several operations");
    }
}
