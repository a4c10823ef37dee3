//! AF_XDP sockets through xsk-rs: frames, rings, and what is common to all that use them.
//!
//! A frame's descriptor is in exactly one place: in a list of ours, or in a ring (the kernel's). That is what every SAFETY
//! reason of this room leans on.
#![allow(unsafe_code)]

use std::{error::Error, fmt, io, num::NonZeroU32, thread, time::Duration};

use xsk_rs::{
    CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem,
    config::{
        BindFlags, FrameSize, Interface as XskInterface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig, XdpFlags,
    },
};

use super::{Interface, OpenError};

/// Frames, and entries of each ring, of a socket: a ring can hold all frames, so that it is never full.
pub(super) const FRAMES: u32 = 4096;

/// Bytes at the start of each chunk that the kernel keeps for XDP programs.
const XDP_HEADROOM: usize = 256;

/// Longest frame: one page less the headroom.
pub(super) const MAX_FRAME: usize = 4096 - XDP_HEADROOM;

/// Frames taken from a ring at once.
pub(super) const BATCH: usize = 64;

/// How long an idle receiver sleeps before it looks at its plan again, milliseconds.
pub(super) const NAP: i32 = 10;

/// How often, and after what pause, a queue in use is tried again.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Longest frame that is received where the MTU is `mtu`: a tunnel's header and a VLAN tag or two may come on top of it; an MTU
/// beyond a page is cut to what fits, and native drivers refuse it by themselves.
pub(super) fn longest(mtu: usize) -> usize {
    (mtu + 14 + 8).min(MAX_FRAME)
}

/// System calls made at once to get everything sent: each sends at most 32 frames in copy mode.
const MOST_KICKS: u32 = FRAMES / 32;

/// Where on the way of a frame the kernel hands it to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where the driver can, else generic.
    Auto,
    /// In the driver, without a copy where the driver can.
    Native,
    /// In the driver, without a copy.
    NativeZeroCopy,
    /// Behind the driver: works with every driver, slower.
    Generic,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::NativeZeroCopy => "native-zc",
            Self::Generic => "generic",
        })
    }
}

impl XdpMode {
    pub(super) fn flags(self) -> Flags {
        let bind = BindFlags::XDP_USE_NEED_WAKEUP;
        let (xdp, bind) = match self {
            Self::Auto | Self::Native => (XdpFlags::XDP_FLAGS_DRV_MODE, bind),
            Self::NativeZeroCopy => (XdpFlags::XDP_FLAGS_DRV_MODE, bind | BindFlags::XDP_ZEROCOPY),
            Self::Generic => (XdpFlags::XDP_FLAGS_SKB_MODE, bind | BindFlags::XDP_COPY),
        };
        Flags {
            libxdp: LibxdpFlags::empty(),
            xdp,
            bind,
        }
    }
}

/// How a socket is opened.
#[derive(Debug, Clone)]
pub(super) struct Flags {
    libxdp: LibxdpFlags,
    xdp: XdpFlags,
    bind: BindFlags,
}

impl Flags {
    /// For sending alone: no program is loaded, so one that is on the interface stays, and frames that come are not touched.
    pub(super) fn send_only() -> Self {
        Self {
            libxdp: LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD,
            xdp: XdpFlags::empty(),
            bind: BindFlags::XDP_USE_NEED_WAKEUP | BindFlags::XDP_COPY,
        }
    }
}

/// One socket with all its rings.
pub(super) struct Bound {
    pub(super) tx: TxQueue,
    pub(super) rx: RxQueue,
    pub(super) fill: FillQueue,
    pub(super) completion: CompQueue,
}

/// What [`bind`] reports where memory, and no interface, is what is missing.
fn memory(error: &dyn fmt::Display) -> OpenError {
    OpenError::Memory(error.to_string())
}

/// So many times [`FRAMES`] frames of up to `frame_len` bytes, for sockets that this thread makes.
pub(super) fn frames(frame_len: usize, times: u32) -> Result<(Umem, Vec<FrameDesc>), OpenError> {
    if frame_len > MAX_FRAME {
        return Err(OpenError::TooLong {
            frame: frame_len,
            most: MAX_FRAME,
        });
    }
    let ring = QueueSize::new(FRAMES).map_err(|e| memory(&e))?;
    let chunk: u32 = if frame_len + XDP_HEADROOM <= 2048 { 2048 } else { 4096 };
    let config = UmemConfig::builder()
        .frame_size(FrameSize::new(chunk).map_err(|e| memory(&e))?)
        .fill_queue_size(ring)
        .comp_queue_size(ring)
        .build()
        .map_err(|e| memory(&e))?;
    let count = NonZeroU32::new(FRAMES.saturating_mul(times)).ok_or_else(|| memory(&"none asked for"))?;
    Umem::new(config, count, false).map_err(|e| refusal("making the frames", "AF_XDP", 0, &e))
}

/// A socket on a queue, over `umem`. Over one umem each queue of an interface may be bound once.
pub(super) fn bind(interface: &Interface, queue: u32, umem: &Umem, flags: &Flags) -> Result<Bound, OpenError> {
    let ring = QueueSize::new(FRAMES).map_err(|e| memory(&e))?;
    let config = SocketConfig::builder()
        .rx_queue_size(ring)
        .tx_queue_size(ring)
        .libxdp_flags(flags.libxdp)
        .xdp_flags(flags.xdp)
        .bind_flags(flags.bind)
        .build();
    let name: XskInterface = interface.name.parse().map_err(|_| OpenError::NoInterface {
        name: interface.name.clone(),
    })?;
    // SAFETY: callers bind each queue once over one umem (a second time would give no rings, which is an error below).
    let (tx, rx, rings) = unsafe { Socket::new(config, umem, &name, queue) }
        .map_err(|e| refusal("opening an AF_XDP socket", &interface.name, queue, &e))?;
    let (fill, completion) = rings.ok_or_else(|| memory(&"the socket came without rings"))?;
    Ok(Bound {
        tx,
        rx,
        fill,
        completion,
    })
}

/// Has the kernel send what is in the ring, as far as it does at once.
pub(super) fn kick(tx: &mut TxQueue) -> io::Result<()> {
    for _ in 0..MOST_KICKS {
        let before = tx.nb_free_exact();
        if before == FRAMES || !tx.needs_wakeup() {
            break;
        }
        tx.wakeup()?;
        if tx.nb_free_exact() == before {
            // Busy: later then.
            break;
        }
    }
    Ok(())
}

/// Sleeps until something comes, or for a nap.
pub(super) fn sleep(polls: &mut [libc::pollfd]) -> io::Result<()> {
    // SAFETY: the entries live through the call; their descriptors are those of sockets that the caller holds.
    let status = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, NAP) };
    if status < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Frames that came for a socket and found no room.
pub(super) fn dropped(rx: &RxQueue) -> u64 {
    rx.fd()
        .xdp_statistics()
        .map_or(0, |statistics| statistics.rx_dropped() + statistics.rx_ring_full())
}

/// The kernel's refusal in words that say what to do.
fn refusal(what: &'static str, name: &str, queue: u32, error: &dyn Error) -> OpenError {
    let name = name.to_owned();
    let Some(source) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else {
        return OpenError::Memory(error.to_string());
    };
    let code = source.raw_os_error().unwrap_or(0);
    let source = io::Error::from_raw_os_error(code);
    match code {
        libc::EPERM | libc::EACCES => OpenError::Permission { name },
        libc::EAFNOSUPPORT => OpenError::NoAfXdp,
        libc::EBUSY | libc::EEXIST => OpenError::Busy { name, queue },
        libc::ENODEV => OpenError::NoInterface { name },
        libc::ENOMEM | libc::ENOBUFS => OpenError::Memory(format!("{source} (locked memory is limited: `ulimit -l`)")),
        libc::EINVAL | libc::EOPNOTSUPP => OpenError::Queue { name, queue, source },
        _ => OpenError::Other { what, name, source },
    }
}

/// Tries again for a while when the queue is in use: the kernel frees a queue a moment after its last user is gone, and runs
/// may follow each other closely.
pub(super) fn patiently<T>(mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    for _ in 0..BUSY_TRIES {
        match open() {
            Err(OpenError::Busy { .. }) => thread::sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    open()
}
