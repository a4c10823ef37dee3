//! What is known of this machine and its daemons, collected before anything is judged. `None`: it could not be found out, or is not there.

use std::net::IpAddr;

/// Everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) kernel: Kernel,
    pub(super) process: Process,
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
    /// Interfaces to be looked at, in order.
    pub(super) interfaces: Vec<Interface>,
    /// Interfaces that were asked for and are not there.
    pub(super) missing_interfaces: Vec<String>,
    /// VXLAN devices of the kernel.
    pub(super) vxlans: Vec<Vxlan>,
    /// Local ports and addresses of UDP sockets of the host.
    pub(super) udp: Vec<(IpAddr, u16)>,
    pub(super) sysctls: Sysctls,
    pub(super) store: Option<Store>,
    pub(super) control: Daemon,
    pub(super) dataplane: Daemon,
    /// What the dataplane says of itself.
    pub(super) node: Option<Node>,
    /// MTU of each network, by name, as control has it; 0: none is said.
    pub(super) networks: Vec<(String, u32)>,
    /// Dataplanes as control sees them.
    pub(super) driven: Vec<Driven>,
    /// Version of this program.
    pub(super) version: &'static str,
}

/// The kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    /// "6.18.5-amd64".
    pub(super) release: String,
    /// There are AF_XDP sockets.
    pub(super) af_xdp: Option<bool>,
    /// It knows its own types.
    pub(super) btf: bool,
    /// Name of the clock that is read.
    pub(super) clock_source: Option<String>,
    /// The wall's clock is kept right by somebody.
    pub(super) clock_synchronized: Option<bool>,
}

/// This process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// Bits of capabilities.
    pub(super) capabilities: Option<u64>,
    /// Bytes that may be locked; `u64::MAX`: any number.
    pub(super) memlock: Option<u64>,
    /// Files that may be open.
    pub(super) open_files: Option<u64>,
}

/// CPUs.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    /// Of the machine.
    pub(super) count: usize,
    /// Those that the scheduler leaves alone: "2-3".
    pub(super) isolated: String,
    /// How frequencies are chosen, each once.
    pub(super) governors: Vec<String>,
    /// Somebody moves interrupts around.
    pub(super) irqbalance: bool,
}

/// Memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// "always", "madvise" or "never".
    pub(super) transparent: Option<String>,
    /// Huge pages set aside, and those of them that are free.
    pub(super) huge: Option<(u64, u64)>,
}

/// A network interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Interface {
    pub(super) name: String,
    /// It is an uplink of the running dataplane.
    pub(super) is_uplink: bool,
    pub(super) driver: Option<String>,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) rx_queues: usize,
    pub(super) tx_queues: usize,
    /// Number of the XDP program on it.
    pub(super) xdp_program: Option<u32>,
    pub(super) offloads: Offloads,
}

/// What the device or the kernel does for it. `None`: it does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offloads {
    pub(super) lro: Option<bool>,
    pub(super) gro: Option<bool>,
    pub(super) rx_checksum: Option<bool>,
    pub(super) rx_vlan: Option<bool>,
}

/// A VXLAN device of the kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Vxlan {
    pub(super) name: String,
    pub(super) vni: u32,
    pub(super) local: Option<IpAddr>,
    pub(super) port: u16,
}

/// Settings of the kernel.
#[derive(Clone, Debug, Default)]
pub(super) struct Sysctls {
    pub(super) bpf_jit: Option<u64>,
    pub(super) somaxconn: Option<u64>,
}

/// Where intent is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) path: String,
    pub(super) exists: bool,
    /// Why it cannot be written; empty: it can.
    pub(super) refusal: String,
    /// Bytes free where it is.
    pub(super) free: Option<u64>,
}

/// A daemon, as reached from here.
#[derive(Clone, Debug, Default)]
pub(super) struct Daemon {
    pub(super) address: String,
    /// Its socket's file is there.
    pub(super) socket: Option<bool>,
    /// Its version, or why it does not answer.
    pub(super) answer: Option<Result<String, String>>,
}

/// What a dataplane says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) vteps: Vec<IpAddr>,
    pub(super) uplinks: Vec<String>,
    pub(super) underlay_mtu: u32,
    pub(super) workers: usize,
    pub(super) ports: Vec<Port>,
    pub(super) frames_total: u64,
    pub(super) frames_free: u64,
}

/// A port of a dataplane.
#[derive(Clone, Debug, Default)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) attachment: String,
    /// The kernel copies each packet's metadata through its own path first.
    pub(super) generic: bool,
}

/// A dataplane as control sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Driven {
    pub(super) node: String,
    /// Where control reaches it.
    pub(super) address: String,
    pub(super) connected: bool,
    pub(super) error: String,
}

impl Facts {
    /// Where control reaches the dataplane of a node.
    pub(super) fn driven_address(&self, node: &str) -> Option<String> {
        let driven = self.driven.iter().find(|driven| driven.node == node)?;
        Some(driven.address.clone())
    }
}
