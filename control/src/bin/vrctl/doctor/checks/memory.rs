//! Memory: huge pages, and packet memory in use.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Part of all frames below which few are free.
const FEW: u64 = 20;

/// Large tables gain some percent by huge pages; packet memory must not run out.
pub(super) fn pages(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let huge = match facts.memory.huge {
        Some((total, free)) if total > 0 => format!(", {free} of {total} huge pages set aside are free"),
        _ => String::new(),
    };
    findings.push(match facts.memory.transparent.as_deref() {
        Some(mode @ ("always" | "madvise")) => about("huge_pages", "").ok(format!("transparent: {mode}{huge}")),
        Some(mode) => about("huge_pages", "").warning(
            format!("transparent: {mode}{huge}"),
            "large tables (flows, routes) are some percent slower in small pages",
            "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`",
        ),
        None => about("huge_pages", "").not_applicable("this kernel has none"),
    });
    if let Some(node) = &facts.node
        && node.frames_total > 0
    {
        let finding = about("frames", node.name.as_str());
        let saw = format!("{} of {} frames are free", node.frames_free, node.frames_total);
        findings.push(if node.frames_free * FEW < node.frames_total {
            finding.warning(
                saw,
                "each port needs frames to receive into: new ports may get none, and packets are dropped",
                "start vrouterd with more --frames (about 330 for each port)",
            )
        } else {
            finding.ok(saw)
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Node, finding::Status};

    #[test]
    fn frames_that_run_out_are_told_in_time() {
        let mut facts = Facts::default();
        facts.memory.transparent = Some("never".into());
        facts.node = Some(Node {
            frames_total: 1000,
            frames_free: 49,
            ..Node::default()
        });
        let statuses: Vec<_> = pages(&facts).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Warning, Status::Warning]);
        facts.memory.transparent = Some("madvise".into());
        facts.node = Some(Node {
            frames_total: 1000,
            frames_free: 50,
            ..Node::default()
        });
        assert!(pages(&facts).iter().all(|finding| finding.status == Status::Ok));
    }
}
