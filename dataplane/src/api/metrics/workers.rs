//! Of each worker.

use std::fs;

use vrouter_metrics::{
    Page,
    page::{Distribution, Value},
};

use crate::{
    api::view::View,
    telemetry::{Statistics, WorkerStatistics},
    worker::load::Recorder,
};

/// Bounds of batches: what is not above one of them fills so many bits. A full batch is above all.
const SIZES: [u64; 6] = [1, 3, 7, 15, 31, 63];

/// Bounds of a batch's time, nanoseconds: powers of two, from a quarter of a microsecond to a quarter of a second.
const TIMES: [u64; 11] = [
    1 << 8,
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
    1 << 28,
];

type Count = fn(&WorkerStatistics) -> u64;

pub(super) fn put(page: &mut Page, view: &View, statistics: &Statistics) {
    let all: Vec<(String, &WorkerStatistics)> = (0..).map(|n: usize| n.to_string()).zip(&statistics.workers).collect();
    let counters: [(&str, &str, Count); 3] = [
        ("vrouter_worker_turns", "Turns of the worker's loop.", |w| w.turns),
        ("vrouter_worker_busy_turns", "Turns that moved packets.", |w| {
            w.busy_turns
        }),
        ("vrouter_worker_sleeps", "Times that the worker went to sleep.", |w| {
            w.sleeps
        }),
    ];
    for (name, help, count) in counters {
        let mut family = page.counter(name, help);
        for (number, worker) in &all {
            family.put(&[("worker", number)], count(worker));
        }
    }
    let mut family = page.info("vrouter_worker", "The CPU that a worker is pinned to.");
    for (number, worker) in &all {
        let cpu = worker.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
        family.put(&[("worker", number), ("cpu", &cpu)], 1_u64);
    }
    let mut family = page.histogram("vrouter_worker_batch_packets", "Packets per batch.");
    for (number, (load, _)) in (0..).map(|n: usize| n.to_string()).zip(&view.sources.workers) {
        family.distribution(&[("worker", &number)], &distribution(&load.batch_size, &SIZES, 1.0));
    }
    let mut family = page.histogram(
        "vrouter_worker_batch_seconds",
        "Time from receiving a batch to having sent it, of one batch in sixteen, known to a sixteenth.",
    );
    for (number, (load, _)) in (0..).map(|n: usize| n.to_string()).zip(&view.sources.workers) {
        let values = distribution(&load.batch_nanoseconds, &TIMES, 1e-9);
        family.distribution(&[("worker", &number)], &values);
    }
    threads(page);
}

/// What was recorded, by `bounds`, each value times `unit`.
#[allow(clippy::cast_precision_loss)]
fn distribution(recorder: &Recorder, bounds: &[u64], unit: f64) -> Distribution {
    let (mut counts, mut count, mut sum) = (vec![0; bounds.len()], 0, 0.0);
    for (lowest, highest, values) in recorder.buckets() {
        // By its lowest value: a bound that is a power of two begins a bucket, of which it is the only value not above.
        let first = bounds.partition_point(|bound| *bound < lowest);
        for place in counts.iter_mut().skip(first) {
            *place += values;
        }
        count += values;
        sum += values as f64 * (lowest as f64 + (highest - lowest) as f64 / 2.0) * unit;
    }
    Distribution {
        buckets: bounds.iter().map(|bound| *bound as f64 * unit).zip(counts).collect(),
        count,
        sum,
    }
}

/// What the scheduler says of the workers' threads.
fn threads(page: &mut Page) {
    let mut found: Vec<(String, f64, f64)> = Vec::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm");
        let Some(number) = name.trim_end().strip_prefix("worker-") else {
            continue;
        };
        let times = read("schedstat");
        let mut times = times
            .split_whitespace()
            .map(|text| text.parse::<f64>().unwrap_or(0.0) / 1e9);
        if let (Some(running), Some(waiting)) = (times.next(), times.next()) {
            found.push((number.to_owned(), running, waiting));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut family = page.counter("vrouter_worker_cpu_seconds", "Time that a worker's thread was running.");
    for (number, running, _) in &found {
        family.put(&[("worker", number)], Value::Real(*running));
    }
    let mut family = page.counter(
        "vrouter_worker_wait_seconds",
        "Time that a worker's thread wanted to run while another had its CPU.",
    );
    for (number, _, waiting) in &found {
        family.put(&[("worker", number)], Value::Real(*waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::load::Load;

    #[test]
    fn recorded_values_are_counted_by_bounds() {
        let load = Load::default();
        for size in [1, 1, 2, 4, 64] {
            load.batch_size.record(size);
        }
        let read = distribution(&load.batch_size, &SIZES, 1.0);
        let counts: Vec<u64> = read.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 3, 4, 4, 4, 4]);
        assert_eq!((read.count, read.buckets[5].0), (5, 63.0));
        // Small values are known exactly; 64 is one of 64 to 67.
        assert!((read.sum - 73.5).abs() < 0.01, "{}", read.sum);
        load.batch_nanoseconds.record(1000);
        load.batch_nanoseconds.record(1 << 20);
        let read = distribution(&load.batch_nanoseconds, &TIMES, 1e-9);
        let at = |bound: f64| read.buckets.iter().find(|(b, _)| (b - bound).abs() < 1e-12).unwrap().1;
        assert_eq!((at(2.56e-7), at(1.024e-6), at(0.001_048_576)), (0, 1, 2));
        assert!((read.sum - 0.001_049).abs() < 5e-5, "{}", read.sum);
    }
}
