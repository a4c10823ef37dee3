//! What the kernel counts at a link.

use std::fs;

use anyhow::{Context as _, Result};
use vrouter_tests::netns::Netns;

/// Packets so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    /// Received.
    pub(super) received: u64,
    /// Received, but not taken: for AF_XDP, those that came when its rings were full.
    pub(super) not_taken: u64,
    /// That could not be sent: for a veth, those that its other end did not take in time.
    pub(super) not_sent: u64,
}

impl Counters {
    /// Of a link in a namespace.
    pub(super) fn of(netns: &Netns, link: &str) -> Result<Self> {
        // The thread's own: it has entered the namespace, the process has not.
        let table = netns.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        parse(&table, link).with_context(|| format!("no {link} in {}", netns.name()))
    }
}

fn parse(table: &str, link: &str) -> Option<Counters> {
    let mut lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, fields) = lines.find(|(name, _)| name.trim() == link)?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index)?.parse().ok();
    Some(Counters {
        received: field(1)?,
        not_taken: field(3)?,
        not_sent: field(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_the_table_of_links() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n    lo:     0       0    0\n  \
                     eth0: 1304   17    0    2    0     0          0         0     1234      15    0    3    0\n";
        let expected = Counters {
            received: 17,
            not_taken: 2,
            not_sent: 3,
        };
        assert_eq!(parse(table, "eth0"), Some(expected));
        assert_eq!(parse(table, "eth1"), None);
        assert_eq!(parse(table, "lo"), None);
    }
}
