//! What the machine is on which figures were measured.

use std::fs;

use serde::Serialize;

/// A machine in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// CPUs that this program may use.
    pub cpus: usize,
    /// Caches of a core, as the kernel names their sizes: "L1d 32K, L2 1024K, L3 32768K".
    pub caches: String,
    /// Memory, GiB.
    pub gibibytes: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Runs under a hypervisor.
    pub is_virtual: bool,
    /// What transparent huge pages are given to.
    pub huge_pages: String,
}

impl Machine {
    /// This one. What the system does not tell is "unknown".
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let memory = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            cpu: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            caches: caches(),
            gibibytes: memory.div_ceil(1 << 20),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            is_virtual: field(&cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")),
        }
    }

    /// In one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "{}{} ({} CPUs; {}), {} GiB of memory, {}, transparent huge pages: {}",
            self.cpu,
            if self.is_virtual { ", virtual machine" } else { "" },
            self.cpus,
            self.caches,
            self.gibibytes,
            self.kernel,
            self.huge_pages
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line "name : value".
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

/// Of "always [madvise] never" the one in brackets.
fn chosen(text: &str) -> String {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or("unknown", |(word, _)| word).to_owned()
}

fn caches() -> String {
    let cache = |index: usize| {
        let of = |file: &str| {
            read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}"))
                .trim()
                .to_owned()
        };
        let suffix = match of("type").as_str() {
            "Data" => "d",
            "Unified" => "",
            _ => return None,
        };
        Some(format!("L{}{suffix} {}", of("level"), of("size")))
    };
    let found: Vec<_> = (0..8).filter_map(cache).collect();
    match found.is_empty() {
        true => "caches unknown".to_owned(),
        false => found.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read() {
        let text = "model name\t: Some CPU\nflags\t\t: a hypervisor b\nmodel name : other\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "model"), None);
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen(""), "unknown");
    }
}
