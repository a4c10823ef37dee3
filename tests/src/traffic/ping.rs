//! `ping`, with its summary understood.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};

use crate::{netns::Netns, run};

/// What came of some pings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pings {
    /// Requests sent.
    pub sent: u32,
    /// Replies received.
    pub received: u32,
    /// Replies that came twice.
    pub duplicates: u32,
    /// Shortest round trip in milliseconds, when there was one.
    pub fastest: Option<f64>,
    /// All that ping wrote: errors from routers are in it.
    pub text: String,
}

/// Pings `count` times, one after the other, and says what came of it, whatever it is. `options` go to ping:
/// `["-s", "1400", "-M", "do"]`.
///
/// # Errors
/// When ping does not run or writes no summary.
pub fn pings(from: &Netns, to: IpAddr, count: u32, options: &[&str]) -> Result<Pings> {
    let mut sum = Pings::default();
    for _ in 0..count {
        let mut command = from.command("ping");
        // One at a time: after a first answer, ping gives the others hardly any time, and what was late would look lost.
        command
            .args(["-n", "-W", "5", "-c", "1"])
            .args(options)
            .arg(to.to_string());
        let output = run::output(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let one = summary(&text).with_context(|| format!("{}: {}\n{text}", run::words(&command), output.status))?;
        sum.sent += one.sent;
        sum.received += one.received;
        sum.duplicates += one.duplicates;
        sum.fastest = sum.fastest.into_iter().chain(one.fastest).reduce(f64::min);
        sum.text.push_str(&one.text);
    }
    Ok(sum)
}

fn summary(text: &str) -> Option<Pings> {
    let line = text.lines().find(|line| line.contains("packets transmitted"))?;
    let number = |what: &str| {
        let part = line.split(", ").find(|part| part.contains(what))?;
        part.trim_start_matches('+').split(' ').next()?.parse().ok()
    };
    Some(Pings {
        sent: number("transmitted")?,
        received: number("received")?,
        duplicates: number("duplicates").unwrap_or(0),
        fastest: fastest(text),
        text: text.to_owned(),
    })
}

fn fastest(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("rtt "))?;
    line.split(" = ").nth(1)?.split('/').next()?.parse().ok()
}

/// Pings `count` times; every one must be answered, once.
///
/// # Errors
/// When not.
pub fn ping(from: &Netns, to: IpAddr, count: u32) -> Result<()> {
    ping_with(from, to, count, &[])
}

/// As [`ping`], with options for ping.
///
/// # Errors
/// When not every one is answered, once.
pub fn ping_with(from: &Netns, to: IpAddr, count: u32, options: &[&str]) -> Result<()> {
    let pings = pings(from, to, count, options)?;
    ensure!(
        pings.sent == count && pings.received == count && pings.duplicates == 0,
        "ping from {} to {to}: {} sent, {} received, {} duplicates. {}",
        from.name(),
        pings.sent,
        pings.received,
        pings.duplicates,
        remarks(&pings.text)
    );
    Ok(())
}

/// What ping wrote beside head and summary.
fn remarks(text: &str) -> String {
    let usual = |line: &&str| ["PING ", "---", "rtt "].iter().any(|start| line.starts_with(start));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !usual(line) && !line.contains("packets transmitted"));
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_understood() {
        let pings =
            summary("x\n3 packets transmitted, 2 received, +1 duplicates, 33% packet loss, time 41ms\n").unwrap();
        assert_eq!((pings.sent, pings.received, pings.duplicates), (3, 2, 1));
        assert_eq!(pings.fastest, None);
        assert_eq!(
            fastest("x\nrtt min/avg/max/mdev = 0.018/0.023/0.029/0.005 ms"),
            Some(0.018)
        );
        let pings = summary("3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 41ms").unwrap();
        assert_eq!((pings.sent, pings.received, pings.duplicates), (3, 0, 0));
        assert_eq!(summary("ping: unknown host"), None);
    }
}
