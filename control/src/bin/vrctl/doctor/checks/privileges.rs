//! What a process started as this one may do.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Capabilities that vrouterd needs, by bit.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (39, "CAP_BPF")];
/// The one that stands for CAP_BPF and others.
const SYS_ADMIN: u32 = 21;
/// With this one, locked memory is not counted.
const IPC_LOCK: u32 = 14;

/// Bytes that a small node locks: 65,536 frames of 4 KiB.
const FRAMES: u64 = 256 << 20;

/// A thousand ports have as many sockets, each with its maps.
const FILES: u64 = 4096;

fn has(facts: &Facts, bit: u32) -> Option<bool> {
    facts.process.capabilities.map(|bits| bits >> bit & 1 != 0)
}

/// Capabilities.
pub(super) fn capabilities(facts: &Facts) -> Vec<Finding> {
    let finding = about("capabilities", "");
    let Some(admin) = has(facts, SYS_ADMIN) else {
        return vec![finding.not_applicable("/proc/self/status cannot be read")];
    };
    let lacking: Vec<_> = NEEDED
        .iter()
        .filter(|(bit, name)| has(facts, *bit) == Some(false) && !(admin && *name == "CAP_BPF"))
        .map(|(_, name)| *name)
        .collect();
    vec![if lacking.is_empty() {
        finding.ok("CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF")
    } else {
        finding.problem(
            format!("without {}", lacking.join(", ")),
            "vrouterd, started like this, may not open AF_XDP sockets",
            "run it as root, or by its systemd unit; a container needs --cap-add for each",
        )
    }]
}

/// Locked memory.
pub(super) fn memlock(facts: &Facts) -> Vec<Finding> {
    let finding = about("memlock", "");
    vec![match (facts.process.memlock, has(facts, IPC_LOCK)) {
        (None, _) => finding.not_applicable("/proc/self/limits cannot be read"),
        (Some(u64::MAX), _) => finding.ok("unlimited"),
        (Some(bytes), _) if bytes >= FRAMES => finding.ok(format!("{} MiB", bytes >> 20)),
        (Some(bytes), Some(true)) => finding.ok(format!("{} KiB, not counted for CAP_IPC_LOCK", bytes >> 10)),
        (Some(bytes), _) => finding.problem(
            format!("{} KiB may be locked", bytes >> 10),
            "packet memory is locked: vrouterd, started like this, cannot register it with the kernel",
            "`ulimit -l unlimited`, LimitMEMLOCK=infinity in its unit, or --ulimit memlock=-1:-1 for its container",
        ),
    }]
}

/// Open files.
pub(super) fn open_files(facts: &Facts) -> Vec<Finding> {
    let finding = about("open_files", "");
    vec![match facts.process.open_files {
        None => finding.not_applicable("/proc/self/limits cannot be read"),
        Some(files) if files >= FILES => finding.ok(files.to_string()),
        Some(files) => finding.warning(
            files.to_string(),
            "each port has sockets and maps of its own: some hundred ports need thousands of descriptors",
            "`ulimit -n 65536`, or LimitNOFILE=65536 in the unit",
        ),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_process_without_rights_is_told_which() {
        let mut facts = Facts::default();
        facts.process.capabilities = Some(0);
        let finding = &capabilities(&facts)[0];
        assert_eq!(finding.status, Status::Problem);
        assert!(finding.saw.contains("CAP_NET_ADMIN") && finding.saw.contains("CAP_BPF"));
        facts.process.capabilities = Some(1 << 12 | 1 << 13 | 1 << SYS_ADMIN);
        assert_eq!(capabilities(&facts)[0].status, Status::Ok);
    }

    #[test]
    fn little_memory_to_lock_is_a_problem_unless_it_is_not_counted() {
        let mut facts = Facts::default();
        let mut status = |bytes, capabilities| {
            facts.process.memlock = Some(bytes);
            facts.process.capabilities = Some(capabilities);
            memlock(&facts)[0].status
        };
        assert_eq!(status(8 << 20, 0), Status::Problem);
        assert_eq!(status(8 << 20, 1 << IPC_LOCK), Status::Ok);
        assert_eq!(status(u64::MAX, 0), Status::Ok);
        assert_eq!(status(1 << 30, 0), Status::Ok);
    }

    #[test]
    fn few_files_are_worth_a_warning() {
        let mut facts = Facts::default();
        assert_eq!(open_files(&facts)[0].status, Status::NotApplicable);
        facts.process.open_files = Some(1024);
        assert_eq!(open_files(&facts)[0].status, Status::Warning);
        facts.process.open_files = Some(65_536);
        assert_eq!(open_files(&facts)[0].status, Status::Ok);
    }
}
