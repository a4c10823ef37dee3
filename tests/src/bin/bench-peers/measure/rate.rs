//! Small packets: as many as one sender on one CPU can offer, and how many of them arrive.
//!
//! The server counts them at its link and drops them there, by nftables at ingress: its stack is no part of the figure. This is goodput
//! under overload, not a rate without loss.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use vrouter_tests::{container::LINK, netns::Netns, run};

use super::{
    Case, Effort, Reading,
    counters::Counters,
    cpu::Watch,
    pktgen::{Pktgen, next_mac, number},
};
use crate::{
    metric::{OFFERED, RECEIVED},
    placement::Placement,
    scene::{RATE_PORT, Scene},
};

/// Flows of the case with many.
const MANY: u32 = 1000;
/// From the start of the sender until its rate is steady.
const STEADY: Duration = Duration::from_millis(700);

pub(super) fn run(scene: &Scene, effort: &Effort) -> Vec<Case> {
    let flows: &[u32] = if effort.quick { &[1] } else { &[1, MANY] };
    flows
        .iter()
        .map(|&flows| Case {
            name: effort.case(&format!("rate_{flows}"), Placement::Apart),
            outcome: rate(scene, effort, flows),
        })
        .collect()
}

fn rate(scene: &Scene, effort: &Effort, flows: u32) -> Result<Reading> {
    let server = &scene.server.netns;
    let mac = next_mac(scene, effort)?;
    let sink = Sink::new(server)?;
    let sender = Pktgen::send(scene, effort, &mac, (flows, "max"), effort.seconds + 5)?;
    thread::sleep(STEADY);
    let watch = Watch::start()?;
    let (before, began) = (received(server)?, Instant::now());
    thread::sleep(effort.time());
    let (after, seconds) = (received(server)?, began.elapsed().as_secs_f64());
    let load = watch.stop()?;
    sender.stop()?;
    let report = sender.report()?;
    drop(sink);
    Ok(Reading {
        values: vec![
            (RECEIVED, after.saturating_sub(before) as f64 / seconds / 1e6),
            (OFFERED, number(&report, "packets_per_second")? / 1e6),
        ],
        load,
    })
}

/// A rule that drops the packets of the measurement as soon as they are there.
struct Sink<'a>(&'a Netns);

impl<'a> Sink<'a> {
    fn new(netns: &'a Netns) -> Result<Self> {
        let rules = format!(
            "table netdev bench {{\n chain sink {{\n  type filter hook ingress device \"{LINK}\" priority 0; policy accept;\n  \
             udp dport {RATE_PORT} drop\n }}\n}}\n"
        );
        run::with_input(netns.command("nft").args(["-f", "-"]), &rules)?;
        Ok(Self(netns))
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        let _ = self.0.sh("nft delete table netdev bench");
    }
}

fn received(netns: &Netns) -> Result<u64> {
    Ok(Counters::of(netns, LINK)?.received)
}
