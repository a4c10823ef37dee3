//! How busy each CPU was, and how much of that was not ours.
//!
//! A CPU counts as busy whenever it was not idle: some hypervisors lose ticks of work, but not of idleness.

use std::{
    collections::HashMap,
    fs, process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc`: the same on every Linux machine (USER_HZ).
const TICKS: f64 = 100.0;
/// How long it takes to see whether somebody else uses the machine.
const LOOK: Duration = Duration::from_millis(700);
/// The parent of all kernel threads: what they do is done for somebody whom nobody names.
const KERNEL: u32 = 2;

/// More of a CPU than this taken by programs of others makes a reading doubtful.
pub(crate) const DISTURBED: f64 = 0.1;

/// What CPUs did in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// The busy part of each CPU, 0 to 1.
    pub(crate) busy: Vec<f64>,
    /// CPUs' worth of time that programs took which have nothing to do with this run.
    pub(crate) others: f64,
}

impl Load {
    /// Whether programs of others took so much that a reading is doubtful.
    pub(crate) fn disturbed(&self) -> bool {
        self.others > DISTURBED
    }
}

/// Waits until nobody else uses this machine, at most until `end`.
pub(crate) fn wait_for_quiet(end: Instant) -> Result<()> {
    while Instant::now() < end {
        let watch = Watch::start()?;
        thread::sleep(LOOK);
        if !watch.stop()?.disturbed() {
            break;
        }
    }
    Ok(())
}

/// A look at the machine from now on.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    idle: Vec<u64>,
    strangers: HashMap<u32, u64>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self {
            strangers: strangers(&processes()?, process::id()),
            idle: idle(&fs::read_to_string("/proc/stat")?).context("/proc/stat is not understood")?,
            began: Instant::now(),
        })
    }

    /// What there was to see.
    pub(crate) fn stop(self) -> Result<Load> {
        let idle_now = idle(&fs::read_to_string("/proc/stat")?).context("/proc/stat is not understood")?;
        let ticks = self.began.elapsed().as_secs_f64() * TICKS;
        let pairs = idle_now.iter().zip(&self.idle);
        let busy = pairs.map(|(now, then)| 1.0 - now.saturating_sub(*then) as f64 / ticks);
        let now = strangers(&processes()?, process::id());
        let taken = now
            .iter()
            .map(|(process, ticks)| ticks.saturating_sub(self.strangers.get(process).copied().unwrap_or(0)));
        Ok(Load {
            busy: busy.map(|busy| busy.clamp(0.0, 1.0)).collect(),
            others: taken.sum::<u64>() as f64 / ticks,
        })
    }
}

/// Idle ticks of each CPU.
fn idle(stat: &str) -> Option<Vec<u64>> {
    let lines = stat
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    lines
        .map(|line| {
            let mut fields = line.split_whitespace().skip(4).map(str::parse::<u64>);
            // Idle, and idle with somebody waiting for a disk.
            Some(fields.next()?.ok()? + fields.next()?.ok()?)
        })
        .collect()
}

/// One process: its parent, and the ticks that it has taken.
type Process = (u32, u64);

fn processes() -> Result<HashMap<u32, Process>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        found.extend(parse_process(&stat).map(|process| (number, process)));
    }
    Ok(found)
}

fn parse_process(stat: &str) -> Option<Process> {
    // The name is in parentheses and may contain anything, parentheses too.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, number(11)? + number(12)?))
}

/// Ticks of those processes that do not descend from `us` or the kernel.
fn strangers(processes: &HashMap<u32, Process>, us: u32) -> HashMap<u32, u64> {
    let related = |process: u32| {
        let mut at = process;
        // No family is deeper than there are processes: a look at a changing world may have circles.
        for _ in 0..processes.len() {
            if at == us || at == KERNEL {
                return true;
            }
            match processes.get(&at) {
                Some(&(parent, _)) => at = parent,
                None => return false,
            }
        }
        false
    };
    let all = processes.iter().filter(|(process, _)| !related(**process));
    all.map(|(process, (_, ticks))| (*process, *ticks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_read_per_cpu() {
        let stat = "cpu  9 9 9 9 9 9\ncpu0 1 2 3 40 5 6 7\ncpu1 1 2 3 400 50 6 7\nintr 5\n";
        assert_eq!(idle(stat), Some(vec![45, 450]));
        assert_eq!(idle("cpu0 1 2\n"), None);
    }

    #[test]
    fn names_of_processes_may_contain_anything() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 1";
        assert_eq!(parse_process(stat), Some((3, 33)));
        assert_eq!(parse_process("7 (a) S"), None);
    }

    #[test]
    fn strangers_do_not_descend_from_us() {
        let family = [
            (1, (0, 5)),
            (2, (0, 5)),
            (3, (2, 5)),
            (10, (1, 5)),
            (11, (10, 5)),
            (12, (11, 5)),
            (20, (1, 7)),
        ];
        let strangers = strangers(&family.into_iter().collect(), 10);
        assert_eq!(strangers, [(1, 5), (20, 7)].into_iter().collect());
    }

    #[test]
    fn a_busy_cpu_is_seen() {
        let watch = Watch::start().unwrap();
        let start = Instant::now();
        while start.elapsed().as_millis() < 300 {}
        let load = watch.stop().unwrap();
        assert!(load.busy.iter().sum::<f64>() > 0.3, "{load:?}");
    }
}
