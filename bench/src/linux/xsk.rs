//! AF_XDP sockets through xsk-rs: one sends, one per receive queue receives.
//!
//! A frame's descriptor is in exactly one place: in `free` (ours), or in a ring (the kernel's). That is what every SAFETY
//! reason below leans on.
#![allow(unsafe_code)]

use std::{error::Error, fmt, io, num::NonZeroU32, os::fd::AsRawFd, thread, time::Duration};

use xsk_rs::{
    CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem,
    config::{
        BindFlags, FrameSize, Interface as XskInterface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig, XdpFlags,
    },
};

use super::{Interface, OpenError};
use crate::{receive::Receive, send::Transmit};

/// Frames, and entries of each ring, of a socket: a ring can hold all frames, so that it is never full.
const FRAMES: u32 = 4096;

/// Bytes at the start of each chunk that the kernel keeps for XDP programs.
const XDP_HEADROOM: usize = 256;

/// Longest frame: one page less the headroom.
const MAX_FRAME: usize = 4096 - XDP_HEADROOM;

/// Frames taken from a ring at once.
const BATCH: usize = 64;

/// How long an idle receiver sleeps before it looks at its plan again, milliseconds.
const NAP: i32 = 10;

/// How often, and after what pause, a queue in use is tried again.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

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
    fn flags(self) -> (XdpFlags, BindFlags) {
        let bind = BindFlags::XDP_USE_NEED_WAKEUP;
        match self {
            Self::Auto | Self::Native => (XdpFlags::XDP_FLAGS_DRV_MODE, bind),
            Self::NativeZeroCopy => (XdpFlags::XDP_FLAGS_DRV_MODE, bind | BindFlags::XDP_ZEROCOPY),
            Self::Generic => (XdpFlags::XDP_FLAGS_SKB_MODE, bind | BindFlags::XDP_COPY),
        }
    }
}

/// One socket with all its rings and frames of its own.
struct Bound {
    umem: Umem,
    frames: Vec<FrameDesc>,
    tx: TxQueue,
    rx: RxQueue,
    fill: FillQueue,
    completion: CompQueue,
}

fn bind(
    interface: &Interface,
    queue: u32,
    frame_len: usize,
    (libxdp, xdp, bind): (LibxdpFlags, XdpFlags, BindFlags),
) -> Result<Bound, OpenError> {
    let memory = |error: &dyn fmt::Display| OpenError::Memory(error.to_string());
    let ring = QueueSize::new(FRAMES).map_err(|e| memory(&e))?;
    let chunk: u32 = if frame_len + XDP_HEADROOM <= 2048 { 2048 } else { 4096 };
    if frame_len > MAX_FRAME {
        return Err(OpenError::TooLong {
            frame: frame_len,
            most: MAX_FRAME,
        });
    }
    let config = UmemConfig::builder()
        .frame_size(FrameSize::new(chunk).map_err(|e| memory(&e))?)
        .fill_queue_size(ring)
        .comp_queue_size(ring)
        .build()
        .map_err(|e| memory(&e))?;
    let count = NonZeroU32::new(FRAMES).ok_or_else(|| memory(&"none asked for"))?;
    let (umem, frames) =
        Umem::new(config, count, false).map_err(|e| refusal("making the frames", &interface.name, queue, &e))?;
    let config = SocketConfig::builder()
        .rx_queue_size(ring)
        .tx_queue_size(ring)
        .libxdp_flags(libxdp)
        .xdp_flags(xdp)
        .bind_flags(bind)
        .build();
    let name: XskInterface = interface.name.parse().map_err(|_| OpenError::NoInterface {
        name: interface.name.clone(),
    })?;
    // SAFETY: this umem is new and not shared, so it is bound to no other socket.
    let (tx, rx, rings) = unsafe { Socket::new(config, &umem, &name, queue) }
        .map_err(|e| refusal("opening an AF_XDP socket", &interface.name, queue, &e))?;
    let (fill, completion) = rings.ok_or_else(|| memory(&"the socket came without rings"))?;
    Ok(Bound {
        umem,
        frames,
        tx,
        rx,
        fill,
        completion,
    })
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

/// Sends on one queue of an interface.
pub struct TransmitPort {
    umem: Umem,
    free: Vec<FrameDesc>,
    scratch: Vec<FrameDesc>,
    tx: TxQueue,
    completion: CompQueue,
    // Dropped with the rest: the socket lives as long as any of its rings.
    _rx: RxQueue,
    _fill: FillQueue,
}

impl fmt::Debug for TransmitPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransmitPort").finish_non_exhaustive()
    }
}

impl TransmitPort {
    /// Opens a queue for frames of up to this length.
    ///
    /// Without `zero_copy` no XDP program is loaded, so a program that is on the interface stays and frames that come are not
    /// touched. Drivers that send without a copy want a program.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(interface: &Interface, queue: u32, frame_len: usize, zero_copy: bool) -> Result<Self, OpenError> {
        interface.check_fits(frame_len)?;
        let flags = if zero_copy {
            let (xdp, bind) = XdpMode::NativeZeroCopy.flags();
            (LibxdpFlags::empty(), xdp, bind)
        } else {
            (
                LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD,
                XdpFlags::empty(),
                BindFlags::XDP_USE_NEED_WAKEUP | BindFlags::XDP_COPY,
            )
        };
        let bound = patiently(|| bind(interface, queue, frame_len, flags))?;
        Ok(Self {
            umem: bound.umem,
            free: bound.frames,
            scratch: vec![FrameDesc::default(); BATCH],
            tx: bound.tx,
            completion: bound.completion,
            _rx: bound.rx,
            _fill: bound.fill,
        })
    }

    /// Takes back the frames that were sent.
    fn reclaim(&mut self) {
        loop {
            // SAFETY: the descriptors of `scratch` are free to be overwritten; what comes are frames of our only umem.
            let count = unsafe { self.completion.consume(&mut self.scratch) };
            self.free.extend(self.scratch.iter().take(count));
            if count < self.scratch.len() {
                return;
            }
        }
    }

    /// Has the kernel send what is in the ring.
    fn kick(&mut self) -> io::Result<()> {
        for _ in 0..MOST_KICKS {
            let before = self.tx.nb_free_exact();
            if before == FRAMES || !self.tx.needs_wakeup() {
                break;
            }
            self.tx.wakeup()?;
            if self.tx.nb_free_exact() == before {
                // Busy: later then.
                break;
            }
        }
        Ok(())
    }
}

impl Transmit for TransmitPort {
    fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
        self.reclaim();
        if self.free.len() < count {
            self.kick()?;
            self.reclaim();
        }
        let count = count.min(self.free.len());
        let kept = self.free.len() - count;
        let Some(batch) = self.free.get_mut(kept..) else {
            return Ok(0);
        };
        for desc in batch.iter_mut() {
            // SAFETY: the frame is in `free`: of this umem, and not the kernel's.
            let mut data = unsafe { self.umem.data_mut(desc) };
            // The cursor stops at the end of the frame.
            data.cursor().set_pos(usize::MAX);
            let len = write(data.contents_mut());
            data.cursor().set_pos(len);
        }
        // SAFETY: as above; what is taken leaves `free` until the completion ring gives it back.
        let taken = unsafe { self.tx.produce(batch) };
        if taken == count {
            self.free.truncate(kept);
        }
        self.kick()?;
        Ok(taken)
    }

    fn pending(&mut self) -> io::Result<usize> {
        self.kick()?;
        self.reclaim();
        Ok(FRAMES as usize - self.free.len())
    }
}

/// One receive queue.
struct Inlet {
    umem: Umem,
    rx: RxQueue,
    fill: FillQueue,
    scratch: Vec<FrameDesc>,
    // Dropped with the rest: the socket lives as long as any of its rings.
    _tx: TxQueue,
    _completion: CompQueue,
}

impl Inlet {
    fn open(interface: &Interface, queue: u32, mode: XdpMode) -> Result<Self, OpenError> {
        let (xdp, flags) = mode.flags();
        // A tunnel's header and a VLAN tag or two may come on top of the MTU; an MTU beyond a page is cut to what fits, and
        // native drivers refuse it by themselves.
        let frame_len = (interface.mtu + 14 + 8).min(MAX_FRAME);
        let mut bound = bind(interface, queue, frame_len, (LibxdpFlags::empty(), xdp, flags))?;
        // SAFETY: all frames are of this umem, new, and from here on in rings or, while a batch is looked at, in `scratch`.
        unsafe { bound.fill.produce(&bound.frames) };
        Ok(Self {
            umem: bound.umem,
            rx: bound.rx,
            fill: bound.fill,
            scratch: vec![FrameDesc::default(); BATCH],
            _tx: bound.tx,
            _completion: bound.completion,
        })
    }

    fn receive(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<usize> {
        // SAFETY: the descriptors of `scratch` were given back, and are free to be overwritten.
        let count = unsafe { self.rx.consume(&mut self.scratch) };
        let batch = self.scratch.get(..count).unwrap_or_default();
        for desc in batch {
            // SAFETY: the frame came from the ring of this umem: it is ours until it goes to the fill ring below.
            each(unsafe { self.umem.data(desc) }.contents());
        }
        // SAFETY: as above; nothing looks at these frames any more. The ring has room: it can hold all frames.
        unsafe { self.fill.produce(batch) };
        if count > 0 && self.fill.needs_wakeup() {
            self.fill.wakeup(self.rx.fd_mut(), 0)?;
        }
        Ok(count)
    }

    fn dropped(&self) -> u64 {
        self.rx
            .fd()
            .xdp_statistics()
            .map_or(0, |statistics| statistics.rx_dropped() + statistics.rx_ring_full())
    }
}

/// Tries again for a while when the queue is in use: the kernel frees a queue a moment after its last user is gone, and runs
/// may follow each other closely.
fn patiently<T>(mut open: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    for _ in 0..BUSY_TRIES {
        match open() {
            Err(OpenError::Busy { .. }) => thread::sleep(BUSY_PAUSE),
            result => return result,
        }
    }
    open()
}

/// Receives on all (or one) of an interface's queues. While it is open, the host's own stack sees no frame of theirs.
pub struct ReceivePort {
    inlets: Vec<Inlet>,
    polls: Vec<libc::pollfd>,
    mode: XdpMode,
    busy: bool,
}

impl fmt::Debug for ReceivePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivePort")
            .field("queues", &self.inlets.len())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl ReceivePort {
    /// Opens the queues and loads libxdp's program, which hands all their frames to us. `queue`: only this one. `busy`: never
    /// sleep.
    ///
    /// # Errors
    /// [`OpenError`]; with [`XdpMode::Auto`] that of the generic mode, if the driver cannot do native.
    pub fn open(interface: &Interface, queue: Option<u32>, mode: XdpMode, busy: bool) -> Result<Self, OpenError> {
        let queues = match queue {
            Some(queue) => queue..queue + 1,
            None => 0..interface.queues,
        };
        let open = |mode| {
            let inlets = queues.clone().map(|queue| Inlet::open(interface, queue, mode));
            inlets.collect::<Result<Vec<_>, _>>().map(|inlets| (inlets, mode))
        };
        let (inlets, mode) = match mode {
            XdpMode::Auto => match patiently(|| open(XdpMode::Native)) {
                // The driver cannot. Whatever else is wrong would be wrong with generic mode too, or hide there.
                Err(OpenError::Queue { .. } | OpenError::Other { .. }) => patiently(|| open(XdpMode::Generic))?,
                result => result?,
            },
            mode => patiently(|| open(mode))?,
        };
        let polls = inlets.iter().map(|inlet| libc::pollfd {
            fd: inlet.rx.fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        Ok(Self {
            polls: polls.collect(),
            inlets,
            mode,
            busy,
        })
    }

    /// The mode in use; never [`XdpMode::Auto`].
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Queues that are open.
    pub fn queues(&self) -> usize {
        self.inlets.len()
    }
}

impl Receive for ReceivePort {
    fn receive(&mut self, each: &mut dyn FnMut(usize, &[u8])) -> io::Result<usize> {
        let mut count = 0;
        for (queue, inlet) in self.inlets.iter_mut().enumerate() {
            count += inlet.receive(&mut |frame| each(queue, frame))?;
        }
        if count == 0 && !self.busy {
            // SAFETY: the entries live through the call, and their descriptors as long as the sockets.
            let status = unsafe { libc::poll(self.polls.as_mut_ptr(), self.polls.len() as libc::nfds_t, NAP) };
            if status < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(count)
    }

    fn dropped(&self) -> u64 {
        self.inlets.iter().map(Inlet::dropped).sum()
    }
}
