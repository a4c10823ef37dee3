//! From /proc and /sys.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use super::ethtool;
use crate::doctor::facts::{Cpu, Facts, Kernel, Memory, Process, Store, Sysctls};

/// A file of one line.
fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    line(path)?.parse().ok()
}

/// Looks at everything but interfaces.
pub(super) fn look(facts: &mut Facts, store: &str) {
    facts.kernel = kernel();
    facts.process = process();
    facts.cpu = cpu();
    facts.memory = memory();
    facts.sysctls = Sysctls {
        bpf_jit: number("/proc/sys/net/core/bpf_jit_enable"),
        somaxconn: number("/proc/sys/net/core/somaxconn"),
    };
    facts.udp = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| sockets(&table))
        .collect();
    facts.store = Some(look_at_store(store));
}

fn kernel() -> Kernel {
    Kernel {
        release: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        af_xdp: fs::read_to_string("/proc/net/protocols")
            .ok()
            .map(|table| table.lines().any(|line| line.split_whitespace().next() == Some("XDP"))),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        clock_synchronized: ethtool::clock_synchronized(),
    }
}

fn process() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    Process {
        capabilities: status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()),
        memlock: limit(&limits, "Max locked memory"),
        open_files: limit(&limits, "Max open files"),
    }
}

/// The soft limit of this name.
fn limit(table: &str, name: &str) -> Option<u64> {
    let rest = table.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn cpu() -> Cpu {
    let governor = |entry: fs::DirEntry| line(entry.path().join("cpufreq/scaling_governor"));
    let entries = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let governors: BTreeSet<_> = entries.filter_map(governor).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    Cpu {
        count: std::thread::available_parallelism().map_or(0, usize::from),
        isolated: line("/sys/devices/system/cpu/isolated").unwrap_or_default(),
        governors: governors.into_iter().collect(),
        irqbalance: processes
            .filter_map(|entry| line(entry.path().join("comm")))
            .any(|name| name == "irqbalance"),
    }
}

fn memory() -> Memory {
    let mode = line("/sys/kernel/mm/transparent_hugepage/enabled");
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |name: &str| -> Option<u64> {
        let rest = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Memory {
        transparent: mode.and_then(|mode| Some(mode.split_once('[')?.1.split_once(']')?.0.to_owned())),
        huge: value("HugePages_Total").zip(value("HugePages_Free")),
    }
}

/// Local addresses and ports of /proc/net/udp or udp6.
fn sockets(table: &str) -> Vec<(IpAddr, u16)> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| local(line.split_whitespace().nth(1)?))
        .collect()
}

/// "0100007F:12B5": words in the machine's order, then the port.
fn local(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?)),
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

fn look_at_store(path: &str) -> Store {
    let file = Path::new(path);
    let exists = file.exists();
    // What is not there yet is made in the nearest directory that is.
    let place = file
        .ancestors()
        .skip(1)
        .find(|place| place.exists())
        .unwrap_or(Path::new("/"));
    let tried = if exists {
        OpenOptions::new().append(true).open(file).map(|_| ())
    } else {
        try_directory(place)
    };
    Store {
        path: path.to_owned(),
        exists,
        refusal: match tried {
            Ok(()) => String::new(),
            Err(error) if exists => error.to_string(),
            Err(error) => format!("{}: {error}", place.display()),
        },
        free: nix::sys::statvfs::statvfs(place)
            .ok()
            .map(|system| system.blocks_available().saturating_mul(system.fragment_size())),
    }
}

fn try_directory(place: &Path) -> io::Result<()> {
    let probe = place.join(format!(".vrctl-doctor-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let table = "  sl  local_address rem_address\n  1: 0100007F:12B5 00000000:0000 07\n  2: 00000000000000000000000001000000:0035 0 07\n";
        let expected: [(IpAddr, u16); 2] = [("127.0.0.1".parse().unwrap(), 4789), ("::1".parse().unwrap(), 53)];
        if cfg!(target_endian = "little") {
            assert_eq!(sockets(table), expected);
        }
        let limits = "Limit  Soft Limit\nMax locked memory         8388608              8388608              bytes\nMax open files  unlimited unlimited files\n";
        assert_eq!(limit(limits, "Max locked memory"), Some(8 << 20));
        assert_eq!(limit(limits, "Max open files"), Some(u64::MAX));
        assert_eq!(limit(limits, "Max processes"), None);
    }

    #[test]
    fn a_store_that_is_not_there_is_tried_where_it_would_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/control.redb");
        let store = look_at_store(path.to_str().unwrap());
        assert!(!store.exists && store.refusal.is_empty() && store.free.is_some());
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
    }
}
