//! Packet memory in the hands of the kernel: registering the pool's region.
#![allow(unsafe_code)]

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use libc::xdp_umem_reg;
use libxdp_sys::XDP_UMEM_REG;

use super::{
    error::{MAX_UMEM_CHUNK, OpenError, kernel_release, locked_memory_limit},
    socket::{self, Bind},
};
use crate::packet::FramePool;

/// The pool's region as a UMEM that sockets of any interface can share.
///
/// A kernel UMEM belongs to the socket that registered it, and others can share it only while that one is bound. So that ports
/// can come and go in any order, that socket is none of them: it is bound to the loopback interface of a network namespace of
/// its own, which nobody else sees and no packet ever crosses.
///
/// Sockets that share a UMEM are in copy mode when its first socket is (`xp_assign_dev_shared` in the kernel). Zero-copy ports
/// therefore register the same region once more, each for itself; frame addresses are equal in both.
#[derive(Debug)]
pub(super) struct Umem {
    pool: Arc<FramePool>,
    anchor: OwnedFd,
    /// Frames may be larger than a chunk.
    takes_large: bool,
}

impl Umem {
    /// Registers the pool's region.
    pub(super) fn new(pool: Arc<FramePool>) -> Result<Self, OpenError> {
        if pool.chunk() > MAX_UMEM_CHUNK {
            return Err(OpenError::Chunk { chunk: pool.chunk() });
        }
        let (anchor, takes_large) = match in_private_namespace(|| anchor(&pool)) {
            Some(done) => done?,
            // Not permitted to make a namespace: the loopback of this one, which one process at a time can have.
            None => anchor(&pool)?,
        };
        Ok(Self {
            pool,
            anchor,
            takes_large,
        })
    }

    /// Frames larger than a chunk are received, up to the pool's large frames.
    pub(super) fn takes_large(&self) -> bool {
        self.takes_large
    }

    /// The pool that was registered.
    pub(super) fn pool(&self) -> &Arc<FramePool> {
        &self.pool
    }

    /// The socket that other sockets name to share the memory.
    pub(super) fn anchor(&self) -> BorrowedFd<'_> {
        self.anchor.as_fd()
    }
}

/// The socket, and whether those that share its memory receive frames larger than a chunk.
fn anchor(pool: &FramePool) -> Result<(OwnedFd, bool), OpenError> {
    const LOOPBACK: &str = "lo";
    let failed = |doing, source| OpenError::from_call(doing, LOOPBACK, source);
    let ifindex = super::interface::index_of(LOOPBACK).map_err(|e| failed("find the loopback interface", e))?;
    let bound = |memory| {
        while_busy(|| {
            let socket = new_socket(LOOPBACK)?;
            register(socket.as_fd(), pool)?;
            socket::set_ring_sizes(socket.as_fd(), 2, 2, Some(2), None).map_err(|e| failed("set up rings", e))?;
            socket::bind(socket.as_fd(), ifindex, 0, memory).map_err(|e| OpenError::from_bind(LOOPBACK, 0, e))?;
            Ok(socket)
        })
    };
    if pool.large() > 0
        && let Ok(socket) = bound(Bind::OwnCopyLarge)
    {
        return Ok((socket, true));
    }
    // An older kernel knows nothing of them.
    Ok((bound(Bind::OwnCopy)?, false))
}

/// Tries for as long as the queue is busy, and patience lasts: the kernel frees a queue some milliseconds after its socket was
/// closed, so what is busy now may have been ours.
pub(super) fn while_busy<T>(mut bind: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    const PATIENCE: Duration = Duration::from_millis(500);
    const STEP: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        match bind() {
            Err(OpenError::QueueBusy { .. }) if waited < PATIENCE => {
                thread::sleep(STEP);
                waited += STEP;
            }
            done => return done,
        }
    }
}

/// Makes an AF_XDP socket.
pub(super) fn new_socket(name: &str) -> Result<OwnedFd, OpenError> {
    socket::new().map_err(|e| match e.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => OpenError::Kernel {
            release: kernel_release(),
            feature: "AF_XDP sockets (CONFIG_XDP_SOCKETS)",
        },
        _ => OpenError::from_call("open an AF_XDP socket", name, e),
    })
}

/// Registers the pool's region with the socket.
pub(super) fn register(socket: BorrowedFd<'_>, pool: &FramePool) -> Result<(), OpenError> {
    let (base, bytes) = pool.memory();
    let registration = xdp_umem_reg {
        addr: base.as_ptr() as u64,
        len: bytes as u64,
        chunk_size: u32::from(pool.chunk()),
        // The kernel itself leaves 256 bytes, our `HEADROOM`, in front of each packet; this would be on top.
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    // SAFETY: the struct is what this option takes. From here on the kernel writes to frames, but only to those that a
    // [`Ledger`](super::ledger::Ledger) lends it, each of which was a `Frame`'s alone.
    unsafe { socket::set_option(socket, XDP_UMEM_REG, &registration) }.map_err(|source| match source.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM) => OpenError::LockedMemory {
            bytes,
            limit: locked_memory_limit(),
            source,
        },
        _ => OpenError::from_call("register packet memory with the kernel", "lo", source),
    })
}

/// Runs `work` on a thread within a new network namespace. `None`: not permitted.
fn in_private_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: changes the namespace of this thread alone, which ends with `work`.
            let unshared = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            (unshared == 0).then(work)
        });
        thread.join().ok().flatten()
    })
}
