//! One test's world: its names, its state directory, its logs, and the promise that all of it goes away.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::netns::Netns;

/// Removes leftovers by name; see the file.
const SWEEP: &str = include_str!("../sweep.sh");
/// A test that takes longer is stuck: its logs are printed and its process is ended.
const STUCK: Duration = Duration::from_secs(180);
/// Lines of each log that a failed test shows.
const TAIL: usize = 40;

static NUMBER: AtomicU32 = AtomicU32::new(0);
static SWEPT: Once = Once::new();

/// A world of namespaces with a state directory. Clones are the same world.
#[derive(Clone, Debug)]
pub struct Topology(Arc<World>);

#[derive(Debug)]
struct World {
    prefix: String,
    state: Option<TempDir>,
    logs: Mutex<Vec<PathBuf>>,
    keep: AtomicBool,
    reaper: Mutex<Option<Child>>,
}

impl Topology {
    /// A world with names of its own: `vrt-PID-N-`.
    ///
    /// # Errors
    /// When the state directory or the reaper cannot be made.
    pub fn new() -> Result<Self> {
        // Once per process, clean up after test processes that died without a reaper.
        SWEPT.call_once(|| {
            let _ = Command::new("sh").args(["-c", SWEEP, "sweep"]).status();
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("vrt-{}-{number}-", process::id()))
    }

    /// A world whose namespaces begin with `prefix`, for people to read. Only one of a name can exist at a time.
    ///
    /// # Errors
    /// When the state directory or the reaper cannot be made.
    pub fn named(prefix: &str) -> Result<Self> {
        let state = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .context("cannot make a state directory")?;
        // Its own process group: Ctrl-C ends this process, not the one that cleans up after it.
        let reaper = {
            use std::os::unix::process::CommandExt as _;
            Command::new("sh")
                .args(["-c", SWEEP, "sweep", "-", prefix])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .context("cannot start the reaper")?
        };
        Ok(Self(Arc::new(World {
            prefix: prefix.to_owned(),
            state: Some(state),
            logs: Mutex::default(),
            keep: AtomicBool::new(false),
            reaper: Mutex::new(Some(reaper)),
        })))
    }

    /// Runs a test in a world of its own. When it fails, the tails of all logs are printed; when it is stuck, too, and the
    /// process is ended.
    ///
    /// # Errors
    /// The test's own.
    pub fn run(name: &str, test: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let world = Self::new()?;
        let _failure = ShowLogsOnPanic(world.clone());
        let (done, watch) = mpsc::channel::<()>();
        let watched = Arc::downgrade(&world.0);
        let title = name.to_owned();
        thread::spawn(move || {
            if watch.recv_timeout(STUCK) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{title}: stuck for {} s", STUCK.as_secs());
                if let Some(world) = watched.upgrade() {
                    Self(world).show_logs();
                }
                process::abort();
            }
        });
        let outcome = test(&world);
        if outcome.is_err() {
            world.show_logs();
        }
        drop(done);
        outcome.with_context(|| format!("{name} ({})", world.0.prefix))
    }

    /// A new namespace of this world.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn netns(&self, role: &str) -> Result<Netns> {
        Netns::new(self, &format!("{}{role}", self.0.prefix))
    }

    /// Directory for sockets, logs, stores and captures; removed with the world.
    #[must_use]
    pub fn state(&self) -> &Path {
        // Only `drop` takes it away.
        self.0
            .state
            .as_ref()
            .map_or_else(|| Path::new("/nonexistent"), TempDir::path)
    }

    /// What the names of this world's namespaces begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// A file in the state directory that is shown when the test fails.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        let path = self.state().join(format!("{name}.log"));
        let mut logs = self.0.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if !logs.contains(&path) {
            logs.push(path.clone());
        }
        path
    }

    /// Leaves everything up when this process ends: namespaces, daemons and state.
    pub fn keep(&self) {
        self.0.keep.store(true, Ordering::Relaxed);
    }

    /// Whether [`Topology::keep`] was called.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.keep.load(Ordering::Relaxed)
    }

    /// Prints the last lines of every log.
    pub fn show_logs(&self) {
        let logs = self.0.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stderr().lock();
        for path in &*logs {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let _ = writeln!(out, "---- {} ({} lines)", path.display(), lines.len());
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                let _ = writeln!(out, "{line}");
            }
        }
    }
}

struct ShowLogsOnPanic(Topology);

impl Drop for ShowLogsOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.show_logs();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let reaper = self.reaper.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if *self.keep.get_mut() {
            if let Some(mut reaper) = reaper {
                // Killed before its input ends, it removes nothing.
                let _ = reaper.kill();
                let _ = reaper.wait();
            }
            self.state.take().map(TempDir::keep);
        } else if let Some(mut reaper) = reaper {
            // The end of its input: it removes whatever is left, the state directory included.
            drop(reaper.stdin.take());
            let _ = reaper.wait();
        }
    }
}
