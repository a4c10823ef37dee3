//! Why an interface cannot be opened, in words that say what to do about it.

use std::{fs, io};

use super::{AttachMode, Mode};

/// Why AF_XDP cannot be used, or an interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name belongs to no interface of this network namespace.
    #[error("there is no interface '{name}' in this network namespace")]
    NoSuchInterface {
        /// The name given.
        name: String,
    },
    /// Not an interface that carries Ethernet frames.
    #[error(
        "interface '{name}' does not carry Ethernet frames (hardware type {hardware_type}), so it cannot be a port"
    )]
    NotEthernet {
        /// The interface.
        name: String,
        /// Its `ARPHRD_` number.
        hardware_type: u16,
    },
    /// This or another vrouterd has the interface open.
    #[error(
        "interface '{name}' is open already: vrouter's own program '{program}' (id {id}, {mode}) is attached; \
         close it there, or stop the other vrouterd"
    )]
    AlreadyOurs {
        /// The interface.
        name: String,
        /// Name of the program.
        program: String,
        /// Id of the program in the kernel.
        id: u32,
        /// How it is attached.
        mode: AttachMode,
    },
    /// Somebody else's XDP program is attached.
    #[error(
        "interface '{name}' carries another XDP program: '{program}' (id {id}, {mode}); if nobody needs it, detach it with \
         'ip link set dev {name} {off} off'", off = mode.ip_link_word()
    )]
    Occupied {
        /// The interface.
        name: String,
        /// Name of the program.
        program: String,
        /// Id of the program in the kernel.
        id: u32,
        /// How it is attached.
        mode: AttachMode,
    },
    /// The driver refuses the mode (for `auto`: every mode).
    #[error("interface '{name}' (driver {driver}) cannot be opened in mode {mode}: {why}")]
    Refused {
        /// The interface.
        name: String,
        /// Its driver.
        driver: String,
        /// The mode asked for.
        mode: Mode,
        /// The driver's or the kernel's reason.
        why: String,
    },
    /// Frames of the pool are too small for the interface.
    #[error(
        "interface '{name}' has an MTU of {mtu}, but frames of {chunk} bytes carry {max_mtu} at most: \
         'ip link set dev {name} mtu {max_mtu}' makes it fit{larger}",
        larger = if *chunk < MAX_UMEM_CHUNK { ", or start with larger frames" } else { "" }
    )]
    MtuTooLarge {
        /// The interface.
        name: String,
        /// Its MTU, bytes.
        mtu: u32,
        /// Bytes of one frame of the pool.
        chunk: u16,
        /// Largest MTU that fits.
        max_mtu: u32,
    },
    /// Another AF_XDP socket is bound to the queue.
    #[error(
        "receive queue {queue} of interface '{name}' is taken by another program's AF_XDP socket ('ss --xdp' shows whose)"
    )]
    QueueBusy {
        /// The interface.
        name: String,
        /// Number of the queue.
        queue: u32,
    },
    /// The process may not do what is needed.
    #[error("not permitted to {doing}: {advice}")]
    Permission {
        /// What was tried.
        doing: &'static str,
        /// What is missing.
        advice: String,
    },
    /// The kernel may not lock so much memory for us.
    #[error(
        "cannot register {bytes} bytes of packet memory with the kernel: {source}; raise the limit of locked memory \
         (now {limit}; systemd: LimitMEMLOCK=infinity), give CAP_IPC_LOCK, or use fewer frames"
    )]
    LockedMemory {
        /// Bytes of the frame pool.
        bytes: usize,
        /// The limit in force.
        limit: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel lacks what is needed.
    #[error("this kernel ({release}) is too old or built without {feature}: vrouter needs Linux 5.18 or later")]
    Kernel {
        /// Its release.
        release: String,
        /// What is missing.
        feature: &'static str,
    },
    /// The kernel takes no chunks of this size.
    #[error("frames of {chunk} bytes cannot be used with AF_XDP, which takes up to {MAX_UMEM_CHUNK}")]
    Chunk {
        /// Bytes of one frame of the pool.
        chunk: u16,
    },
    /// Rings have a power of two of entries.
    #[error("a {ring} ring of {size} entries is not possible: it must be a power of two from 2 to 32768")]
    RingSize {
        /// Which ring.
        ring: &'static str,
        /// Entries asked for.
        size: u32,
    },
    /// More tunnel endpoints than the steering program's table holds.
    #[error("{count} tunnel endpoints of one IP version are more than an uplink takes ({max})")]
    TooManyVteps {
        /// Endpoints given.
        count: usize,
        /// Endpoints possible.
        max: usize,
    },
    /// Only uplinks know tunnel endpoints and other addresses.
    #[error("an access port has no tunnel endpoints or other addresses to steer by")]
    NotAnUplink,
    /// Loading or changing the XDP program failed.
    #[error("cannot {doing}: {source}")]
    Program {
        /// What was tried.
        doing: &'static str,
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// Another call failed.
    #[error("cannot {doing} on interface '{name}': {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// The interface.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Largest chunk that the kernel takes: a page.
pub(super) const MAX_UMEM_CHUNK: u16 = 4096;

impl OpenError {
    /// Explains a failed system call.
    pub(super) fn from_call(doing: &'static str, name: &str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::permission(doing),
            Some(libc::ENODEV) => Self::NoSuchInterface { name: name.into() },
            _ => Self::System {
                doing,
                name: name.into(),
                source,
            },
        }
    }

    /// Explains why a socket could not be bound to a queue.
    pub(super) fn from_bind(name: &str, queue: u32, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EBUSY) => Self::QueueBusy {
                name: name.into(),
                queue,
            },
            _ => Self::from_call("bind an AF_XDP socket", name, source),
        }
    }

    /// Explains a failed call of libbpf.
    pub(super) fn from_libbpf(doing: &'static str, source: libbpf_rs::Error) -> Self {
        match source.kind() {
            // Also what the verifier says when it does not like a program.
            libbpf_rs::ErrorKind::PermissionDenied if !missing_capabilities().is_empty() => Self::permission(doing),
            _ => Self::Program { doing, source },
        }
    }

    /// Not permitted: says which capabilities are missing.
    pub(super) fn permission(doing: &'static str) -> Self {
        let missing = missing_capabilities();
        let advice = if missing.is_empty() {
            "the process has the capabilities, but not over the initial user namespace, or a security module forbids it \
             (is this an unprivileged container?)"
                .to_owned()
        } else {
            format!("the process lacks {}", missing.join(", "))
        };
        Self::Permission { doing, advice }
    }
}

/// Those of the capabilities AF_XDP takes that this thread has not.
fn missing_capabilities() -> Vec<&'static str> {
    const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_BPF", 39)];
    const SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    let has = |bit: u32| effective & (1 << bit) != 0;
    NEEDED
        .into_iter()
        // What CAP_BPF allows, CAP_SYS_ADMIN allows too.
        .filter(|&(name, bit)| !has(bit) && (name != "CAP_BPF" || !has(SYS_ADMIN)))
        .map(|(name, _)| name)
        .collect()
}

/// The kernel's release, such as `6.1.0-28-amd64`.
pub(super) fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

/// Major and minor version of a release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The limit of locked memory, in words.
pub(super) fn locked_memory_limit() -> String {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))
        .and_then(|rest| rest.split_whitespace().next())
        .map_or_else(
            || "unknown".into(),
            |soft| {
                if soft == "unlimited" {
                    soft.to_owned()
                } else {
                    format!("{soft} bytes")
                }
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(version("5.18-rc1"), Some((5, 18)));
        assert_eq!(version("unknown"), None);
        assert!(version(&kernel_release()).is_some());
    }

    #[test]
    fn errors_tell_what_to_do() {
        let error = OpenError::MtuTooLarge {
            name: "eth1".into(),
            mtu: 9000,
            chunk: 2048,
            max_mtu: 1774,
        };
        assert_eq!(
            error.to_string(),
            "interface 'eth1' has an MTU of 9000, but frames of 2048 bytes carry 1774 at most: \
             'ip link set dev eth1 mtu 1774' makes it fit, or start with larger frames"
        );
        let error = OpenError::Occupied {
            name: "eth1".into(),
            program: "firewall".into(),
            id: 7,
            mode: AttachMode::Generic,
        };
        assert_eq!(
            error.to_string(),
            "interface 'eth1' carries another XDP program: 'firewall' (id 7, generic); if nobody needs it, detach it with \
             'ip link set dev eth1 xdpgeneric off'"
        );
    }
}
