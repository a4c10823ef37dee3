//! What is said about a search.

use serde::Serialize;

use crate::{
    rate::{Rate, si},
    report::{RunReport, Table, latency_rows, row},
    search::{Bound, Found, Search},
    traffic::Traffic,
    trial::Trial,
};

/// A search, as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchReport {
    /// What was found, by goal.
    pub goals: Vec<GoalReport>,
    /// Every trial.
    pub trials: Vec<TrialReport>,
}

/// What was found for a goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GoalReport {
    /// Its name.
    pub name: String,
    /// Share of packets that may be lost.
    pub allowed_loss: f64,
    /// Packets per second; none: even the lowest rate lost more.
    pub packets_per_second: Option<f64>,
    /// The same in bits per second of frames and check sequences...
    pub l2_bits_per_second: Option<f64>,
    /// ...and of a link, with preambles and gaps.
    pub l1_bits_per_second: Option<f64>,
    /// Lowest rate above it that lost more.
    pub failed_at_packets_per_second: Option<f64>,
    /// What bounds the rate.
    pub bound: Bound,
    /// The trial at that rate, latency included.
    pub trial: Option<RunReport>,
}

/// A trial in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialReport {
    /// Packets per second asked for.
    pub asked_packets_per_second: f64,
    /// Packets per second sent.
    pub sent_packets_per_second: f64,
    /// Packets per second received.
    pub received_packets_per_second: f64,
    /// Packets sent.
    pub sent: u64,
    /// Packets lost.
    pub lost: u64,
    /// Share of packets lost.
    pub loss: f64,
    /// Median latency, microseconds.
    pub latency_p50_us: Option<f64>,
    /// 99th percentile of the latency, microseconds.
    pub latency_p99_us: Option<f64>,
}

impl SearchReport {
    /// Of a search with this traffic.
    pub fn of(search: &Search<Trial>, traffic: &Traffic) -> Self {
        let goal = |found: &Found| GoalReport {
            name: found.goal.name.clone(),
            allowed_loss: found.goal.loss,
            packets_per_second: found.rate,
            l2_bits_per_second: found.rate.map(|rate| rate * traffic.mean_cost(Rate::L2Bits(1))),
            l1_bits_per_second: found.rate.map(|rate| rate * traffic.mean_cost(Rate::L1Bits(1))),
            failed_at_packets_per_second: found.failed_at,
            bound: found.bound,
            trial: found
                .trial
                .and_then(|trial| search.trials.get(trial))
                .map(|(_, trial)| trial.report.clone()),
        };
        let trial = |(asked, trial): &(f64, Trial)| TrialReport::of(*asked, &trial.report);
        Self {
            goals: search.found.iter().map(goal).collect(),
            trials: search.trials.iter().map(trial).collect(),
        }
    }
}

impl TrialReport {
    /// Of a trial at this rate.
    pub fn of(asked: f64, run: &RunReport) -> Self {
        let latency = run.received.latency;
        Self {
            asked_packets_per_second: asked,
            sent_packets_per_second: run.sent.packets_per_second,
            received_packets_per_second: run.received.packets_per_second,
            sent: run.sent.packets,
            lost: run.received.lost,
            loss: run.loss(),
            latency_p50_us: latency.map(|latency| latency.p50_us),
            latency_p99_us: latency.map(|latency| latency.p99_us),
        }
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!(
            "asked {}packets/s, sent {}packets/s, lost {} of {} ({:.4} %)",
            si(self.asked_packets_per_second),
            si(self.sent_packets_per_second),
            self.lost,
            self.sent,
            self.loss * 100.0
        )
    }
}

/// What bounds a rate, in words.
fn words(bound: Bound) -> &'static str {
    match bound {
        Bound::Device => "a little more loses too much",
        Bound::Sender => "the sender was not faster: at least this",
        Bound::HighestRate => "the highest rate that was to be tried: at least this",
        Bound::LowestRate => "even the lowest rate loses too much",
        Bound::Trials => "the search ran out of trials: at least this",
    }
}

impl Table for SearchReport {
    fn rows(&self) -> Vec<(String, String)> {
        let numbered = self.trials.iter().zip(1..);
        let mut rows: Vec<_> = numbered
            .map(|(trial, n)| row(&format!("trial {n}"), trial.line()))
            .collect();
        for goal in &self.goals {
            rows.push(row("", String::new()));
            let loss = format!("at most {} % lost", goal.allowed_loss * 100.0);
            let (Some(packets), Some(l2), Some(l1)) = (
                goal.packets_per_second,
                goal.l2_bits_per_second,
                goal.l1_bits_per_second,
            ) else {
                rows.push(row(&goal.name, format!("none ({loss}): {}", words(goal.bound))));
                continue;
            };
            rows.push(row(&goal.name, format!("{}packets/s ({loss})", si(packets))));
            rows.push(row(
                "throughput",
                format!("{}bit/s, {}bit/s of the link", si(l2), si(l1)),
            ));
            rows.push(row("bound", words(goal.bound).to_owned()));
            if let Some(failed) = goal.failed_at_packets_per_second {
                rows.push(row("failed at", format!("{}packets/s", si(failed))));
            }
            if let Some(trial) = &goal.trial {
                rows.extend(latency_rows(trial.received.latency));
            }
        }
        rows
    }
}
