//! What can be wrong with an interface, in words that say what to do.

use std::io;

/// Why an interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such interface.
    #[error("no interface {name} in this network namespace: `ip link` shows those there are")]
    NoInterface {
        /// Name asked for.
        name: String,
    },
    /// It is not up.
    #[error("interface {name} is down: `ip link set {name} up` brings it up")]
    Down {
        /// Its name.
        name: String,
    },
    /// It has no Ethernet address.
    #[error("interface {name} is not Ethernet")]
    NotEthernet {
        /// Its name.
        name: String,
    },
    /// Frames would be dropped on the way out.
    #[error(
        "frames of {frame} bytes do not fit interface {name}: its MTU is {mtu}, so frames have at most {most} bytes"
    )]
    Mtu {
        /// Its name.
        name: String,
        /// Bytes of a frame to send.
        frame: usize,
        /// Its MTU.
        mtu: usize,
        /// MTU and Ethernet header.
        most: usize,
    },
    /// A frame must fit into one chunk of a page at most.
    #[error("frames of {frame} bytes are too long: AF_XDP carries {most} bytes in one piece")]
    TooLong {
        /// Bytes of a frame.
        frame: usize,
        /// Most that fit.
        most: usize,
    },
    /// Not permitted.
    #[error("not permitted to open {name} with AF_XDP: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF")]
    Permission {
        /// Its name.
        name: String,
    },
    /// The kernel has no AF_XDP.
    #[error("this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)")]
    NoAfXdp,
    /// Somebody else is there.
    #[error(
        "queue {queue} of {name} is in use: another AF_XDP socket or XDP program is on the interface (`ip link show {name}` shows programs)"
    )]
    Busy {
        /// Its name.
        name: String,
        /// Queue.
        queue: u32,
    },
    /// No such queue.
    #[error("{name} has no queue {queue}, or its driver cannot do what was asked for: {source}")]
    Queue {
        /// Its name.
        name: String,
        /// Queue.
        queue: u32,
        /// The kernel's word.
        source: io::Error,
    },
    /// What one interface gives would not fit the other.
    #[error(
        "{from} has an MTU of {from_mtu} and {to} one of {to_mtu}: frames could come that cannot go on; give both the same"
    )]
    Mtus {
        /// Where frames come from.
        from: String,
        /// Its MTU.
        from_mtu: usize,
        /// Where they go.
        to: String,
        /// Its MTU.
        to_mtu: usize,
    },
    /// Its network namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Memory for frames.
    #[error("no memory for frames: {0}")]
    Memory(String),
    /// All else.
    #[error("{what} of {name}: {source}")]
    Other {
        /// What failed.
        what: &'static str,
        /// Interface.
        name: String,
        /// The kernel's word.
        source: io::Error,
    },
}

/// Why a network namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// There is none.
    #[error("no network namespace {0}: `ip netns` shows those there are")]
    None(String),
    /// The kernel refuses.
    #[error("cannot enter network namespace {name}: {source}")]
    Refused {
        /// Its name.
        name: String,
        /// The kernel's word.
        source: io::Error,
    },
    /// There is no way back.
    #[error("cannot come back from a network namespace: {source}")]
    Back {
        /// The kernel's word.
        source: io::Error,
    },
}
