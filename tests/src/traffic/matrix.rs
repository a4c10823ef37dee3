//! Everybody to everybody: each ordered pair of containers, each address family.

use std::{fmt, net::IpAddr, thread, time::Duration};

use anyhow::{Result, anyhow, ensure};

use super::{Echo, ping, ping_with, tcp, udp};
use crate::{container::Container, wait};

/// Bytes of the TCP exchange: more than one segment of any MTU here.
const TCP_BYTES: usize = 200_000;

/// One direction between two containers.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Who begins.
    pub from: &'a Container,
    /// Who answers.
    pub to: &'a Container,
    /// The address used.
    pub address: IpAddr,
}

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(
            f,
            "{} on {} to {} on {} ({})",
            from.name, from.node, to.name, to.node, self.address
        )
    }
}

fn pairs<'a>(containers: &[&'a Container]) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for &from in containers {
        for &to in containers.iter().filter(|to| !std::ptr::eq(**to, from)) {
            pairs.extend(to.addresses().iter().map(|&address| Pair { from, to, address }));
        }
    }
    pairs
}

fn each(pairs: &[Pair<'_>], what: &str, check: impl Fn(&Pair<'_>) -> Result<()> + Sync) -> Result<()> {
    let check = &check;
    let failures: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = pairs.iter().map(|pair| scope.spawn(move || check(pair))).collect();
        let outcomes = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("panicked"))));
        let with_pairs = outcomes.zip(pairs);
        with_pairs
            .filter_map(|(outcome, pair)| Some(format!("{pair}: {:#}", outcome.err()?)))
            .collect()
    });
    ensure!(
        failures.is_empty(),
        "{what}: {} of {} pairs fail:\n{}",
        failures.len(),
        pairs.len(),
        failures.join("\n")
    );
    Ok(())
}

/// Waits until every pair answers a ping, for at most `patience`: tables and underlay neighbours have settled.
///
/// # Errors
/// The pairs that do not.
pub fn reachable(containers: &[&Container], patience: Duration) -> Result<()> {
    each(&pairs(containers), "ping", |pair| {
        wait::within(patience, "a first answer", || {
            ping_with(&pair.from.netns, pair.address, 1, &["-W", "1"])
        })
    })
}

/// Requires that every pair, in every family both have, passes ping, UDP and TCP whole, at the first try. Returns how many
/// pairs there were.
///
/// # Errors
/// Every pair that fails, with the reason; also when there are no pairs.
pub fn matrix(containers: &[&Container]) -> Result<usize> {
    let pairs = pairs(containers);
    ensure!(!pairs.is_empty(), "no pairs: a test of nothing");
    let mut servers = Vec::new();
    for container in containers {
        servers.push(Echo::start(&container.netns)?);
    }
    each(&pairs, "ping", |pair| ping(&pair.from.netns, pair.address, 3))?;
    each(&pairs, "UDP", |pair| udp(&pair.from.netns, pair.address, 512))?;
    each(&pairs, "TCP", |pair| tcp(&pair.from.netns, pair.address, TCP_BYTES))?;
    Ok(pairs.len())
}
