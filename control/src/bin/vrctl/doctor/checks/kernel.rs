//! The kernel: its age, what it can do, and its clocks.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// AF_XDP takes packets of several buffers from here on (`XDP_USE_SG`).
const SEGMENTS: (u32, u32) = (6, 6);
/// BPF links for XDP, by which a program goes with its process.
const LINKS: (u32, u32) = (5, 9);

/// "6.18.5-amd64" as (6, 18).
pub(super) fn number(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// It is new enough.
pub(super) fn version(facts: &Facts) -> Vec<Finding> {
    let release = &facts.kernel.release;
    let finding = about("kernel", "");
    vec![match number(release) {
        None => finding.warning(
            format!("the release {release:?} cannot be read"),
            "what this kernel can do is not known",
            "look at `uname -r`: 6.6 or newer is wanted",
        ),
        Some(found) if found < LINKS => finding.problem(
            format!("Linux {release}"),
            "XDP programs cannot be held by a link: vrouterd does not start",
            "run Linux 6.6 or newer (Debian 12: `apt install -t bookworm-backports linux-image-amd64`)",
        ),
        Some(found) if found < SEGMENTS => finding.warning(
            format!("Linux {release}"),
            "packets larger than a page cannot be taken whole from containers: bulk TCP is slower",
            "run Linux 6.6 or newer (Debian 12: `apt install -t bookworm-backports linux-image-amd64`)",
        ),
        Some(_) => finding.ok(format!("Linux {release}")),
    }]
}

/// It has what is needed.
pub(super) fn features(facts: &Facts) -> Vec<Finding> {
    let sockets = match facts.kernel.af_xdp {
        Some(true) => about("af_xdp", "").ok("AF_XDP sockets"),
        Some(false) => about("af_xdp", "").problem(
            "this kernel has no AF_XDP sockets",
            "packets come through them: vrouterd does not start",
            "use a kernel with CONFIG_XDP_SOCKETS=y",
        ),
        None => about("af_xdp", "").not_applicable("/proc/net/protocols cannot be read"),
    };
    let types = if facts.kernel.btf {
        about("btf", "").ok("/sys/kernel/btf/vmlinux")
    } else {
        about("btf", "").warning(
            "the kernel does not tell its types",
            "BPF programs cannot be adapted to it; diagnostics of the kernel say less",
            "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
        )
    };
    vec![sockets, types]
}

/// The clock that workers read is cheap.
pub(super) fn clock(facts: &Facts) -> Vec<Finding> {
    let finding = about("clock_source", "");
    vec![match facts.kernel.clock_source.as_deref() {
        None => finding.not_applicable("the kernel does not say which clock it reads"),
        Some(source @ ("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page")) => finding.ok(source),
        Some(source) => finding.warning(
            source,
            "workers read the clock for each batch: this one takes a system call or an access to a device each time",
            "if the CPU allows it: `echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource`",
        ),
    }]
}

/// The wall's clock is right.
pub(super) fn wall_clock(facts: &Facts) -> Vec<Finding> {
    let finding = about("time", "");
    vec![match facts.kernel.clock_synchronized {
        Some(true) => finding.ok("the clock is kept right"),
        Some(false) => finding.warning(
            "nobody keeps the clock right",
            "times of captures, flow records and logs of several nodes cannot be compared",
            "`apt install chrony`, or `timedatectl set-ntp true`",
        ),
        None => finding.not_applicable("the kernel does not say whether the clock is right"),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn status(release: &str) -> Status {
        let mut facts = Facts::default();
        facts.kernel.release = release.to_owned();
        version(&facts)[0].status
    }

    #[test]
    fn kernels_are_judged_by_their_release() {
        assert_eq!(status("6.18.5"), Status::Ok);
        assert_eq!(status("6.6.0-rc1"), Status::Ok);
        assert_eq!(status("6.1.0-18-amd64"), Status::Warning);
        assert_eq!(status("5.4.0"), Status::Problem);
        assert_eq!(status("x"), Status::Warning);
        assert_eq!(number("10.0"), Some((10, 0)));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut facts = Facts::default();
        facts.kernel.af_xdp = Some(false);
        facts.kernel.clock_source = Some("hpet".into());
        facts.kernel.clock_synchronized = Some(false);
        assert_eq!(features(&facts)[0].status, Status::Problem);
        assert_eq!(features(&facts)[1].status, Status::Warning);
        assert_eq!(clock(&facts)[0].status, Status::Warning);
        assert_eq!(wall_clock(&facts)[0].status, Status::Warning);
        facts.kernel.af_xdp = Some(true);
        facts.kernel.btf = true;
        facts.kernel.clock_source = Some("tsc".into());
        facts.kernel.clock_synchronized = Some(true);
        let findings = [features(&facts), clock(&facts), wall_clock(&facts)].concat();
        assert!(findings.iter().all(|finding| finding.status == Status::Ok));
    }
}
