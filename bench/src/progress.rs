//! A bar that shows how far a run has come: on a terminal only.

use std::{
    io::{self, IsTerminal},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use vrouter_bench::Live;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// When a run will be done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// After so many nanoseconds.
    Time(u64),
    /// After so many packets.
    Packets(u64),
    /// When told to.
    Open,
}

impl Extent {
    /// Whichever is known of a plan.
    pub(crate) fn of(count: Option<u64>, duration: Option<u64>) -> Self {
        match (duration, count) {
            (_, Some(count)) => Self::Packets(count),
            (Some(duration), None) => Self::Time(duration),
            (None, None) => Self::Open,
        }
    }
}

/// Does the work, and shows meanwhile how far it is.
pub(crate) fn during<T>(label: &str, extent: Extent, live: &Live, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ticker = scope.spawn(|| draw(label, extent, live, &done));
        let result = work();
        done.store(true, Ordering::Relaxed);
        ticker.thread().unpark();
        result
    })
}

fn draw(label: &str, extent: Extent, live: &Live, done: &AtomicBool) {
    let (bar, template) = match extent {
        Extent::Time(nanoseconds) => (
            ProgressBar::new(nanoseconds / 1_000_000),
            "{prefix} {wide_bar} {msg} {eta}",
        ),
        Extent::Packets(packets) => (ProgressBar::new(packets), "{prefix} {wide_bar} {msg} {eta}"),
        Extent::Open => (ProgressBar::new_spinner(), "{prefix} {spinner} {msg} {elapsed}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(label.to_owned());
    let (start, mut before) = (Instant::now(), (Instant::now(), 0));
    let first = live.sent.load(Ordering::Relaxed);
    while !done.load(Ordering::Relaxed) {
        thread::park_timeout(TICK);
        let (sent, received) = (
            live.sent.load(Ordering::Relaxed) - first,
            live.received.load(Ordering::Relaxed),
        );
        let seconds = before.0.elapsed().as_secs_f64().max(1e-3);
        let rate = (sent.max(received).saturating_sub(before.1)) as f64 / seconds;
        before = (Instant::now(), sent.max(received));
        bar.set_message(format!("sent {sent}, received {received}, {rate:.0} packets/s"));
        match extent {
            Extent::Time(_) => bar.set_position(start.elapsed().as_millis() as u64),
            Extent::Packets(_) => bar.set_position(sent.max(received)),
            Extent::Open => bar.tick(),
        }
    }
    bar.finish_and_clear();
}
