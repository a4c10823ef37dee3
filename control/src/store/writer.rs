//! The one writer, and what readers and watchers see.

use std::{
    fmt, panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use tokio::sync::{broadcast, oneshot, watch};
use vrouter_metrics::Histogram;

use super::{Backend, Loaded, StoreError};
use crate::state::{Change, State, Transaction};

/// Most transactions that share one commit.
const GROUP: usize = 256;
/// Commits that a slow watcher may be behind before it loses some.
const BACKLOG: usize = 4096;

/// One transaction that is durable now.
#[derive(Debug)]
pub struct Commit {
    /// Its revision.
    pub revision: u64,
    /// What it changed, in the order of the keys.
    pub changes: Vec<Change>,
    /// The state it led to.
    pub state: State,
}

/// What a transaction came to, before it is durable.
struct Outcome {
    /// `None`: nothing to commit.
    commit: Option<Commit>,
    /// Answers the caller once it is known whether the group is durable.
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

type Job = Box<dyn FnOnce(Transaction) -> Outcome + Send>;

enum Request {
    Transact(Job),
    Reload(oneshot::Sender<Result<Loaded, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// The store: readers take [`Store::state`], writers [`Store::transact`], watchers [`Store::watch`]. Cheap to clone. The writer thread ends,
/// and closes the backend, when the last clone is dropped.
#[derive(Clone)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
    commits: broadcast::Sender<Arc<Commit>>,
    counts: Arc<StoreCounts>,
}

/// What the writer has done.
#[derive(Debug, Default)]
pub struct StoreCounts {
    /// Transactions that are durable.
    pub transactions: AtomicU64,
    /// Commits that failed.
    pub failures: AtomicU64,
    /// How long commits took, each of a group of transactions; those that failed too.
    pub commits: Histogram,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("revision", &self.state().revision())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Loads the backend and starts the writer thread.
    ///
    /// # Errors
    /// The backend cannot be read.
    pub fn start(mut backend: impl Backend) -> Result<Self, StoreError> {
        let state = rebuild(backend.load()?);
        let (requests, receiver) = mpsc::channel();
        let (publish, published) = watch::channel(state.clone());
        let (commits, _) = broadcast::channel(BACKLOG);
        let counts = Arc::<StoreCounts>::default();
        let writer = Writer {
            counts: counts.clone(),
            backend: Box::new(backend),
            state,
            in_doubt: false,
            publish,
            commits: commits.clone(),
        };
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| StoreError::Io {
                place: "writer thread".to_owned(),
                detail: e.to_string(),
            })?;
        Ok(Self {
            requests,
            state: published,
            commits,
            counts,
        })
    }

    /// What was written so far.
    #[must_use]
    pub fn counts(&self) -> &StoreCounts {
        &self.counts
    }

    /// The newest durable state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Follows the newest state. Whoever is slow sees the newest only.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The newest state, and every commit after it.
    #[must_use]
    pub fn watch(&self) -> (State, Watcher) {
        // Subscribe first: a commit in between is then in both, and is left out by its revision.
        let commits = self.commits.subscribe();
        let state = self.state();
        let after = state.revision();
        (state, Watcher { commits, after })
    }

    /// Runs `work` on the newest state. When it succeeds, its changes are durable, and readers see them, before this returns. When it
    /// fails, or the commit does, nothing is changed.
    ///
    /// # Errors
    /// That of `work`, or the store's.
    pub async fn transact<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |mut transaction| {
            let revision = transaction.revision();
            let (commit, result) = match work(&mut transaction) {
                Ok(value) => {
                    let commit = transaction.finish().map(|(changes, state)| Commit {
                        revision,
                        changes,
                        state,
                    });
                    (commit, Ok(value))
                }
                Err(error) => (None, Err(error)),
            };
            let answer = move |durable: Result<(), StoreError>| {
                // The caller may be gone; its transaction stands all the same.
                let _ = sender.send(result.and_then(|value| durable.map(|()| value).map_err(E::from)));
            };
            Outcome {
                commit,
                answer: Box::new(answer),
            }
        });
        self.requests
            .send(Request::Transact(job))
            .map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads everything from the backend again, for a comparison.
    ///
    /// # Errors
    /// The store's.
    pub async fn reload(&self) -> Result<Loaded, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.requests
            .send(Request::Reload(sender))
            .map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store {
    /// Finishes what was asked for before and closes the backend, whatever clones there are. What is asked later is answered with
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        let (sender, receiver) = oneshot::channel();
        // Closed already is as good.
        if self.requests.send(Request::Close(sender)).is_ok() {
            let _ = receiver.await;
        }
    }
}

/// Every commit after a certain one.
#[derive(Debug)]
pub struct Watcher {
    commits: broadcast::Receiver<Arc<Commit>>,
    after: u64,
}

impl Watcher {
    /// The next commit. `None`: commits were lost because this watcher was too slow, or the store is closed.
    pub async fn next(&mut self) -> Option<Arc<Commit>> {
        loop {
            let commit = self.commits.recv().await.ok()?;
            if commit.revision > self.after {
                return Some(commit);
            }
        }
    }
}

struct Writer {
    counts: Arc<StoreCounts>,
    backend: Box<dyn Backend>,
    state: State,
    /// A commit failed: what the backend holds is unknown until it is loaded again.
    in_doubt: bool,
    publish: watch::Sender<State>,
    commits: broadcast::Sender<Arc<Commit>>,
}

impl Writer {
    fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let mut held: Option<Request> = None;
        while let Some(request) = held.take().or_else(|| requests.recv().ok()) {
            match request {
                Request::Reload(answer) => {
                    let _ = answer.send(self.backend.load());
                }
                Request::Close(answer) => {
                    drop(self.backend);
                    let _ = answer.send(());
                    return;
                }
                Request::Transact(job) => {
                    let mut group = vec![job];
                    while group.len() < GROUP {
                        match requests.try_recv() {
                            Ok(Request::Transact(job)) => group.push(job),
                            Ok(other) => {
                                held = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.run_group(group);
                }
            }
        }
    }

    /// Runs transactions one on top of the other and commits them as one step.
    fn run_group(&mut self, group: Vec<Job>) {
        if let Err(error) = self.settle() {
            // The state in memory may not be what is stored: nothing can be decided on it.
            for job in group {
                let refused = error.clone();
                let outcome = job(Transaction::new(self.state.clone()));
                (outcome.answer)(Err(refused));
            }
            return;
        }
        let mut state = self.state.clone();
        let mut commits = Vec::new();
        let mut answers = Vec::new();
        for job in group {
            let base = state.clone();
            // A bug in one request must not end the writer for all others; its caller sees the store closed.
            let Ok(outcome) = panic::catch_unwind(panic::AssertUnwindSafe(|| job(Transaction::new(base)))) else {
                tracing::error!("a transaction panicked; it is dropped");
                continue;
            };
            if let Some(commit) = outcome.commit {
                state = commit.state.clone();
                commits.push(commit);
            }
            answers.push(outcome.answer);
        }
        let durable = self.commit(state, commits);
        for answer in answers {
            answer(durable.clone());
        }
    }

    fn commit(&mut self, state: State, commits: Vec<Commit>) -> Result<(), StoreError> {
        if commits.is_empty() {
            return Ok(());
        }
        // Later changes of a key come later in the list and win.
        let changes: Vec<Change> = commits.iter().flat_map(|c| c.changes.iter().cloned()).collect();
        let since = Instant::now();
        let committed = self.backend.commit(self.state.revision(), state.revision(), &changes);
        self.counts.commits.record(since.elapsed());
        if let Err(error) = committed {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "cannot write the store");
            self.in_doubt = true;
            // It may be in all the same: the backend knows, if it can be read.
            match self.backend.load() {
                Ok(loaded) if loaded.revision == state.revision() => self.in_doubt = false,
                Ok(loaded) if loaded.revision == self.state.revision() => {
                    self.in_doubt = false;
                    return Err(error);
                }
                Ok(_) | Err(_) => return Err(error),
            }
        }
        self.state = state;
        self.counts
            .transactions
            .fetch_add(commits.len() as u64, Ordering::Relaxed);
        self.publish.send_replace(self.state.clone());
        for commit in commits {
            let _ = self.commits.send(Arc::new(commit));
        }
        Ok(())
    }

    /// After a failed commit: finds out what the backend holds, and goes on from there.
    fn settle(&mut self) -> Result<(), StoreError> {
        if !self.in_doubt {
            return Ok(());
        }
        let loaded = self.backend.load()?;
        if loaded.revision != self.state.revision() {
            let state = rebuild(loaded);
            let mut transaction = Transaction::new(self.state.clone());
            let known: Vec<_> = self.state.records().map(|r| r.key()).collect();
            for key in known.into_iter().filter(|key| state.get(key).is_none()) {
                transaction.delete(key);
            }
            for record in state.records() {
                transaction.put(record);
            }
            let changes = transaction.finish().map(|(changes, _)| changes).unwrap_or_default();
            let commit = Commit {
                revision: state.revision(),
                changes,
                state: state.clone(),
            };
            self.state = state.clone();
            self.publish.send_replace(state);
            let _ = self.commits.send(Arc::new(commit));
        }
        self.in_doubt = false;
        Ok(())
    }
}

fn rebuild(loaded: Loaded) -> State {
    let mut state = State::default();
    for record in loaded.records {
        state.put(record, loaded.revision);
    }
    state.advance(loaded.revision);
    state
}
