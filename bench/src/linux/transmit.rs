//! Sends on one queue of an interface.
#![allow(unsafe_code)]

use std::{fmt, io};

use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue, Umem};

use super::{
    Interface, OpenError, XdpMode,
    socket::{BATCH, Bound, Flags, bind, frames, kick, patiently},
};
use crate::send::Transmit;

/// Sends on one queue of an interface.
pub struct TransmitPort {
    umem: Umem,
    free: Vec<FrameDesc>,
    /// Frames there are, in `free` or in rings.
    frames: usize,
    scratch: Vec<FrameDesc>,
    tx: TxQueue,
    completion: CompQueue,
    // Dropped with the rest: the socket lives as long as any of its rings.
    _receiving: Option<(RxQueue, FillQueue)>,
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
            XdpMode::NativeZeroCopy.flags()
        } else {
            Flags::send_only()
        };
        let (bound, umem, free) = patiently(|| {
            let (umem, free) = frames(frame_len, 1)?;
            Ok((bind(interface, queue, &umem, &flags)?, umem, free))
        })?;
        let Bound {
            tx,
            completion,
            rx,
            fill,
        } = bound;
        Ok(Self::new(umem, free, tx, completion, Some((rx, fill))))
    }

    /// The sending half of a socket, with these free frames; `receiving` lives as long.
    pub(super) fn new(
        umem: Umem,
        free: Vec<FrameDesc>,
        tx: TxQueue,
        completion: CompQueue,
        receiving: Option<(RxQueue, FillQueue)>,
    ) -> Self {
        Self {
            umem,
            frames: free.len(),
            free,
            scratch: vec![FrameDesc::default(); BATCH],
            tx,
            completion,
            _receiving: receiving,
        }
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
}

impl Transmit for TransmitPort {
    fn transmit(&mut self, count: usize, write: &mut dyn FnMut(&mut [u8]) -> usize) -> io::Result<usize> {
        self.reclaim();
        if self.free.len() < count {
            kick(&mut self.tx)?;
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
        kick(&mut self.tx)?;
        Ok(taken)
    }

    fn pending(&mut self) -> io::Result<usize> {
        kick(&mut self.tx)?;
        self.reclaim();
        Ok(self.frames - self.free.len())
    }
}
