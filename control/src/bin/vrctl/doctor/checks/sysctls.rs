//! Settings of the kernel.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Connections that may wait for a daemon to take them.
const SOMAXCONN: u64 = 1024;

/// Each that matters.
pub(super) fn settings(facts: &Facts) -> Vec<Finding> {
    let jit = about("bpf_jit", "net.core.bpf_jit_enable");
    let jit = match facts.sysctls.bpf_jit {
        None => jit.not_applicable("it cannot be read here"),
        Some(0) => jit.warning(
            "0",
            "XDP programs are interpreted: each packet costs more",
            "`sysctl -w net.core.bpf_jit_enable=1`",
        ),
        Some(value) => jit.ok(value.to_string()),
    };
    let backlog = about("somaxconn", "net.core.somaxconn");
    let backlog = match facts.sysctls.somaxconn {
        None => backlog.not_applicable("it cannot be read here"),
        Some(value) if value < SOMAXCONN => backlog.warning(
            value.to_string(),
            "when many clients connect at once, some are refused",
            format!("`sysctl -w net.core.somaxconn={SOMAXCONN}`"),
        ),
        Some(value) => backlog.ok(value.to_string()),
    };
    vec![jit, backlog]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn settings_are_compared_with_what_is_wanted() {
        let statuses = |bpf_jit, somaxconn| {
            let mut facts = Facts::default();
            (facts.sysctls.bpf_jit, facts.sysctls.somaxconn) = (bpf_jit, somaxconn);
            settings(&facts)
                .iter()
                .map(|finding| finding.status)
                .collect::<Vec<_>>()
        };
        assert_eq!(statuses(Some(0), Some(128)), [Status::Warning, Status::Warning]);
        assert_eq!(statuses(Some(1), Some(4096)), [Status::Ok, Status::Ok]);
        assert_eq!(statuses(None, None), [Status::NotApplicable, Status::NotApplicable]);
    }
}
