//! `run` and `search`: trials over one path.

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use vrouter_bench::{
    Live,
    linux::Monotonic,
    rate::Rate,
    report::{RepeatReport, RunReport},
    search::{Bound, Goal, SearchError, SearchPlan, search as find},
    send::Timing,
    trial::{Trial, TrialPlan, trial},
    verdict::{SearchReport, TrialReport},
};

use super::{Failure, nanoseconds, new_stream, path::Path, print, traffic::amount, write_latency};
use crate::{
    cli::{LatencyArgs, Output, RunArgs, SearchArgs},
    progress::{Extent, during},
};

/// One trial.
fn measure(path: &mut Path, plan: &TrialPlan, label: &str, stop: &AtomicBool) -> Result<Trial, Failure> {
    let live = Live::default();
    let Path {
        senders,
        receiver,
        traffic,
    } = path;
    let extent = Extent::of(plan.count, plan.duration);
    let trial = during(label, extent, &live, || {
        trial(senders, receiver, &Monotonic, traffic, plan, &live, stop)
    })?;
    Ok(trial)
}

fn write_of(trial: &Trial, args: &LatencyArgs, name: Option<&str>) -> Result<(), Failure> {
    let length = Duration::from_secs_f64(trial.report.received.seconds);
    write_latency(args, &trial.latency, length, name)
}

pub(super) fn run(args: &RunArgs, output: Output, stop: &AtomicBool) -> Result<ExitCode, Failure> {
    let mut path = Path::open(&args.path)?;
    let amount = amount(&args.amount, &path.traffic)?;
    let mut reports: Vec<RunReport> = Vec::new();
    let mut last = None;
    for number in 1..=args.repeat {
        let plan = TrialPlan {
            timing: amount.timing,
            count: amount.count,
            duration: amount.duration,
            linger: nanoseconds(args.path.linger),
            stream: new_stream(),
        };
        let trial = measure(&mut path, &plan, &format!("trial {number}/{}", args.repeat), stop)?;
        reports.push(trial.report.clone());
        last = Some(trial);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if let Some(trial) = &last {
        write_of(trial, &args.latency, None)?;
    }
    let missing = reports.iter().any(|report| report.received.lost > 0);
    match (args.repeat, last) {
        (1, Some(trial)) => print(&trial.report, output, missing),
        _ => match RepeatReport::of(reports) {
            Some(report) => print(&report, output, missing),
            None => Err(Failure::Stopped),
        },
    }
}

/// NDR and PDR are what the field calls them; others say how much may be lost.
fn goal(percent: f64) -> Goal {
    let name = if percent == 0.0 {
        "NDR".to_owned()
    } else if percent == 0.5 {
        "PDR".to_owned()
    } else {
        format!("{percent}%")
    };
    Goal {
        name,
        loss: percent / 100.0,
    }
}

pub(super) fn search(args: &SearchArgs, output: Output, stop: &AtomicBool) -> Result<ExitCode, Failure> {
    let mut path = Path::open(&args.path)?;
    let packets = |rate: Rate, path: &Path| {
        let per_second = rate.per_second().map(|rate| rate as f64);
        per_second.map(|per_second| per_second / path.traffic.mean_cost(rate))
    };
    let plan = |timing, seconds: f64| TrialPlan {
        timing,
        count: None,
        duration: Some(nanoseconds(seconds)),
        linger: nanoseconds(args.path.linger),
        stream: new_stream(),
    };
    let at = |rate: f64| Timing::Rate(Rate::Packets(rate.round().max(1.0) as u64));
    let least = packets(args.min_rate, &path).unwrap_or(1.0);

    // How fast the sender is, where nothing else bounds it.
    let (most, asked) = match packets(args.max_rate, &path) {
        Some(most) => (most, true),
        None => {
            let seconds = args.trial_seconds.min(2.0);
            let trial = measure(&mut path, &plan(Timing::Rate(Rate::Max), seconds), "highest rate", stop)?;
            let fastest = trial.report.sent.packets_per_second;
            eprintln!("pktgen: the sender's highest rate: {fastest:.0} packets/s");
            (fastest, false)
        }
    };
    if most <= 0.0 {
        return Err(Failure::NothingSent);
    }
    if args.warm_up > 0.0 {
        let warm = at((most / 10.0).max(least.min(most)));
        measure(&mut path, &plan(warm, args.warm_up), "warm-up", stop)?;
    }
    let search_plan = SearchPlan {
        goals: args.loss.iter().map(|percent| goal(*percent)).collect(),
        least: least.min(most / 2.0),
        most,
        resolution: args.resolution / 100.0,
        trials: args.trials,
        most_trials: args.max_trials,
    };
    let mut number = 0;
    let result = find(&search_plan, |rate| {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Stopped);
        }
        if args.pause > 0.0 {
            thread::sleep(Duration::from_secs_f64(args.pause));
        }
        number += 1;
        let trial = measure(
            &mut path,
            &plan(at(rate), args.trial_seconds),
            &format!("trial {number}"),
            stop,
        )?;
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Stopped);
        }
        eprintln!(
            "pktgen: trial {number}: {}",
            TrialReport::of(rate, &trial.report).line()
        );
        Ok(trial)
    });
    let mut result = result.map_err(|error| match error {
        SearchError::Plan(error) => Failure::Plan(error),
        SearchError::Trial(failure) => failure,
    })?;
    for found in &mut result.found {
        // The highest rate was the sender's.
        if found.bound == Bound::HighestRate && !asked {
            found.bound = Bound::Sender;
        }
    }
    for found in &result.found {
        if let Some((_, trial)) = found.trial.and_then(|trial| result.trials.get(trial)) {
            write_of(trial, &args.latency, Some(&found.goal.name))?;
        }
    }
    let missing = result.found.iter().any(|found| found.rate.is_none());
    print(&SearchReport::of(&result, &path.traffic), output, missing)
}
