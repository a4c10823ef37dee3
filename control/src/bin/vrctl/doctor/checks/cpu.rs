//! CPUs: whether workers have them for themselves.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Isolation, frequencies, interrupts, and workers beside CPUs.
pub(super) fn scheduling(facts: &Facts) -> Vec<Finding> {
    let cpu = &facts.cpu;
    let mut findings = Vec::new();
    findings.push(if cpu.isolated.is_empty() {
        about("cpu_isolation", "").not_applicable(format!(
            "none of {} CPUs is isolated: right for workers that sleep when idle (--poll adaptive)",
            cpu.count
        ))
    } else {
        about("cpu_isolation", "").ok(format!("isolated: {}; give these to --cpus", cpu.isolated))
    });
    let slow: Vec<_> = cpu
        .governors
        .iter()
        .filter(|governor| matches!(governor.as_str(), "powersave" | "ondemand" | "conservative"))
        .cloned()
        .collect();
    findings.push(if cpu.governors.is_empty() {
        about("cpu_governor", "").not_applicable("frequencies are not chosen here")
    } else if slow.is_empty() {
        about("cpu_governor", "").ok(cpu.governors.join(", "))
    } else {
        about("cpu_governor", "").warning(
            slow.join(", "),
            "a CPU that was idle is slow at first: packets wait while it speeds up",
            "`cpupower frequency-set -g performance`",
        )
    });
    findings.push(if cpu.irqbalance && !cpu.isolated.is_empty() {
        about("irqbalance", "").warning(
            "irqbalance is running beside isolated CPUs",
            "it may move interrupts to the CPUs of workers",
            format!("IRQBALANCE_BANNED_CPULIST={} in /etc/default/irqbalance", cpu.isolated),
        )
    } else {
        about("irqbalance", "").ok(if cpu.irqbalance { "running" } else { "not running" })
    });
    let workers = facts.node.as_ref().map_or(0, |node| node.workers);
    findings.push(match workers {
        0 => about("workers", "").not_applicable("no dataplane answers"),
        workers if workers > cpu.count && cpu.count > 0 => about("workers", "").warning(
            format!("{workers} workers on {} CPUs", cpu.count),
            "workers take turns on a CPU, and packets wait meanwhile",
            format!("start vrouterd with --workers {} or less", cpu.count),
        ),
        workers => about("workers", "").ok(format!("{workers} on {} CPUs", cpu.count)),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Node, finding::Status};

    #[test]
    fn workers_should_not_share_cpus_with_interrupts_or_each_other() {
        let mut facts = Facts::default();
        facts.cpu.count = 4;
        facts.cpu.isolated = "2-3".into();
        facts.cpu.irqbalance = true;
        facts.cpu.governors = vec!["powersave".into()];
        facts.node = Some(Node {
            workers: 5,
            ..Node::default()
        });
        let statuses: Vec<_> = scheduling(&facts).iter().map(|finding| finding.status).collect();
        assert_eq!(
            statuses,
            [Status::Ok, Status::Warning, Status::Warning, Status::Warning]
        );
        facts.cpu.irqbalance = false;
        facts.cpu.governors = vec!["performance".into()];
        facts.node = None;
        let statuses: Vec<_> = scheduling(&facts).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Ok, Status::NotApplicable]);
    }
}
