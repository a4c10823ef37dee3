//! The reflector's plan, loop and report: what moves the frames is behind [`Shuttle`].

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::Serialize;

use crate::{
    Clock,
    rate::si,
    report::{Table, per_second, row},
};

/// An interface in a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Name of the interface.
    pub interface: String,
    /// Namespace, as `ip netns` names it; none: that of the process.
    pub netns: Option<String>,
}

/// What to move where.
#[derive(Debug, Clone)]
pub struct ReflectPlan {
    /// Where frames are received.
    pub from: Side,
    /// Where they are sent; none: where they came from.
    pub to: Option<Side>,
    /// The other direction too.
    pub both: bool,
    /// Swap the Ethernet addresses of each frame.
    pub swap_macs: bool,
    /// Only this queue of each interface; none: all.
    pub queue: Option<u32>,
}

/// What went one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayCount {
    /// Receiving interface and queue.
    pub from: (String, u32),
    /// Sending interface and queue.
    pub to: (String, u32),
    /// Frames moved.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that found no room on arrival.
    pub dropped_by_kernel: u64,
}

/// Moves frames.
pub trait Shuttle {
    /// Moves what has come, and waits a little if nothing has. Gives how many frames it moved.
    ///
    /// # Errors
    /// An interface is broken.
    fn shuttle(&mut self) -> io::Result<usize>;

    /// What went each way so far.
    fn ways(&self) -> Vec<WayCount>;
}

/// What a reflector did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReflectReport {
    /// Frames moved.
    pub packets: u64,
    /// Their bytes, without check sequence.
    pub bytes: u64,
    /// From the first frame to the last.
    pub seconds: f64,
    /// Frames per second in that time.
    pub packets_per_second: f64,
    /// Bits per second of frames and their check sequences in that time.
    pub l2_bits_per_second: f64,
    /// Where frames were taken from the kernel.
    pub mode: String,
    /// Each direction of each queue.
    pub ways: Vec<WayReport>,
}

/// What went one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WayReport {
    /// Interface received on.
    pub from: String,
    /// Its queue.
    pub from_queue: u32,
    /// Interface sent on.
    pub to: String,
    /// Its queue.
    pub to_queue: u32,
    /// Frames moved.
    pub packets: u64,
    /// Their bytes, without check sequence.
    pub bytes: u64,
    /// Frames that came while there was no room for them.
    pub dropped_by_kernel: u64,
}

/// Moves frames for so many nanoseconds (none: for ever) or until `stop` is set.
///
/// # Errors
/// An interface is broken.
pub fn reflect(
    shuttle: &mut impl Shuttle,
    clock: &impl Clock,
    duration: Option<u64>,
    mode: String,
    stop: &AtomicBool,
) -> io::Result<ReflectReport> {
    let start = clock.now();
    let (mut first, mut last) = (None, start);
    loop {
        let moved = shuttle.shuttle()?;
        let now = clock.now();
        if moved > 0 {
            first.get_or_insert(now);
            last = now;
        }
        if stop.load(Ordering::Relaxed) || duration.is_some_and(|duration| now - start >= duration) {
            break;
        }
    }
    let time = last - first.unwrap_or(last);
    let ways: Vec<_> = shuttle.ways().into_iter().map(WayReport::from).collect();
    let (packets, bytes) = ways.iter().fold((0, 0), |(p, b), way| (p + way.packets, b + way.bytes));
    let rate = per_second(packets, time);
    Ok(ReflectReport {
        packets,
        bytes,
        seconds: time as f64 / 1e9,
        packets_per_second: rate,
        l2_bits_per_second: rate * (bytes as f64 / packets.max(1) as f64 + 4.0) * 8.0,
        mode,
        ways,
    })
}

impl From<WayCount> for WayReport {
    fn from(way: WayCount) -> Self {
        Self {
            from: way.from.0,
            from_queue: way.from.1,
            to: way.to.0,
            to_queue: way.to.1,
            packets: way.packets,
            bytes: way.bytes,
            dropped_by_kernel: way.dropped_by_kernel,
        }
    }
}

impl Table for ReflectReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("moved", format!("{} packets, {} bytes", self.packets, self.bytes)),
            row("time", format!("{:.3} s", self.seconds)),
            row("rate", format!("{}packets/s", si(self.packets_per_second))),
            row("throughput", format!("{}bit/s", si(self.l2_bits_per_second))),
            row("mode", self.mode.clone()),
        ];
        rows.extend(self.ways.iter().map(|way| {
            (
                format!("{}:{} to {}:{}", way.from, way.from_queue, way.to, way.to_queue),
                format!("{} packets, {} dropped by kernel", way.packets, way.dropped_by_kernel),
            )
        }));
        rows
    }
}
