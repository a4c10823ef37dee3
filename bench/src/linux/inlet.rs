//! Receives on all (or one) of an interface's queues.
#![allow(unsafe_code)]

use std::{fmt, io, os::fd::AsRawFd};

use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue, Umem};

use super::{
    Interface, OpenError, TransmitPort, XdpMode,
    socket::{BATCH, Bound, bind, dropped, frames, longest, patiently, sleep},
};
use crate::receive::Receive;

/// One receive queue.
struct Inlet {
    umem: Umem,
    rx: RxQueue,
    fill: FillQueue,
    scratch: Vec<FrameDesc>,
    // Dropped with the rest: the socket lives as long as any of its rings.
    _sending: Option<(TxQueue, CompQueue)>,
}

impl Inlet {
    fn open(interface: &Interface, queue: u32, mode: XdpMode) -> Result<Self, OpenError> {
        let (umem, free) = frames(longest(interface.mtu), 1)?;
        let bound = bind(interface, queue, &umem, &mode.flags())?;
        let Bound {
            tx,
            completion,
            rx,
            fill,
        } = bound;
        Ok(Self::new(umem, &free, rx, fill, Some((tx, completion))))
    }

    /// The receiving half of a socket, with these free frames.
    fn new(
        umem: Umem,
        free: &[FrameDesc],
        rx: RxQueue,
        mut fill: FillQueue,
        sending: Option<(TxQueue, CompQueue)>,
    ) -> Self {
        // SAFETY: these frames are of this umem, new, and from here on in rings or, while a batch is looked at, in `scratch`.
        unsafe { fill.produce(free) };
        Self {
            umem,
            rx,
            fill,
            scratch: vec![FrameDesc::default(); BATCH],
            _sending: sending,
        }
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
}

/// Tries native mode first where the choice is ours. Gives the mode that it became.
pub(super) fn in_mode<T>(
    mode: XdpMode,
    mut open: impl FnMut(XdpMode) -> Result<T, OpenError>,
) -> Result<(T, XdpMode), OpenError> {
    let mut open = |mode| patiently(|| open(mode)).map(|opened| (opened, mode));
    match mode {
        XdpMode::Auto => match open(XdpMode::Native) {
            // The driver cannot. Whatever else is wrong would be wrong with generic mode too, or hide there.
            Err(OpenError::Queue { .. } | OpenError::Other { .. }) => open(XdpMode::Generic),
            result => result,
        },
        mode => open(mode),
    }
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
        let (inlets, mode) = in_mode(mode, |mode| {
            let inlets = queues.clone().map(|queue| Inlet::open(interface, queue, mode));
            inlets.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Self::new(inlets, mode, busy))
    }

    /// Opens one queue of one interface for both directions, for a device under test that sends back where it receives; frames
    /// to send are of up to `frame_len` bytes. Other queues are not received from.
    ///
    /// # Errors
    /// As [`ReceivePort::open`].
    pub fn open_both_ways(
        interface: &Interface,
        queue: u32,
        mode: XdpMode,
        busy: bool,
        frame_len: usize,
    ) -> Result<(TransmitPort, Self), OpenError> {
        interface.check_fits(frame_len)?;
        let ((transmit, inlet), mode) = in_mode(mode, |mode| {
            let (umem, mut free) = frames(longest(interface.mtu).max(frame_len), 2)?;
            let Bound {
                tx,
                completion,
                rx,
                fill,
            } = bind(interface, queue, &umem, &mode.flags())?;
            // Each half has as many frames as its rings can hold.
            let to_receive = free.split_off(free.len() / 2);
            let inlet = Inlet::new(umem.clone(), &to_receive, rx, fill, None);
            Ok((TransmitPort::new(umem, free, tx, completion, None), inlet))
        })?;
        Ok((transmit, Self::new(vec![inlet], mode, busy)))
    }

    fn new(inlets: Vec<Inlet>, mode: XdpMode, busy: bool) -> Self {
        let polls = inlets.iter().map(|inlet| libc::pollfd {
            fd: inlet.rx.fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        Self {
            polls: polls.collect(),
            inlets,
            mode,
            busy,
        }
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
            sleep(&mut self.polls)?;
        }
        Ok(count)
    }

    fn dropped(&self) -> u64 {
        self.inlets.iter().map(|inlet| dropped(&inlet.rx)).sum()
    }
}
