//! What the kernel counts for this process, under the names that every Prometheus client uses for it.

use std::fs;

use crate::page::Page;

/// Ticks per second of what the kernel tells of time: the same on every architecture that we run on.
const TICKS: f64 = 100.0;

/// Writes them. What cannot be read is left out.
pub fn put(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields: Vec<f64> = stat.rsplit_once(')').map_or_else(Vec::new, |(_, rest)| {
        rest.split_whitespace()
            .skip(1)
            .map(|f| f.parse().unwrap_or(0.0))
            .collect()
    });
    // Counted from the fourth field of proc_pid_stat(5).
    let field = |number: usize| fields.get(number - 4).copied();
    if let Some((user, system)) = field(14).zip(field(15)) {
        page.counter("process_cpu_seconds", "Time that this process used a CPU.")
            .put(&[], (user + system) / TICKS);
    }
    if let Some((started, boot)) = field(22).zip(boot_time()) {
        page.gauge("process_start_time_seconds", "When this process began, since 1970.")
            .put(&[], boot + started / TICKS);
    }
    if let Some(threads) = field(20) {
        page.gauge("process_threads", "Threads of this process.")
            .put(&[], threads);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(resident) = kilobytes(&status, "VmRSS:") {
        page.gauge(
            "process_resident_memory_bytes",
            "Memory of this process that is in RAM.",
        )
        .put(&[], resident);
    }
    if let Some(virtual_memory) = kilobytes(&status, "VmSize:") {
        page.gauge("process_virtual_memory_bytes", "Memory that this process has mapped.")
            .put(&[], virtual_memory);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "File descriptors that are open.")
            .put(&[], open.count());
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(most) = most.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()) {
        page.gauge("process_max_fds", "File descriptors that may be open.")
            .put(&[], most);
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Format;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let mut page = Page::new(Format::Text);
        put(&mut page);
        let page = page.finish();
        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} in {page}"))
                .rsplit_once(' ')
                .unwrap()
                .1
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") > 3.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let began = value("process_start_time_seconds");
        assert!(began > 1e9 && began < now + 2.0, "{began} {now}");
    }
}
