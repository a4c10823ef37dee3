//! One AF_XDP socket: its options, its four rings, its binding to a queue of an interface.
//!
//! libxdp's `xsk_socket__create_shared` is not used: it gives all sockets of a UMEM the same fill and completion rings' size,
//! keeps a list in the UMEM that no two threads may touch, and its ring functions are calls for each entry from Rust.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr, thread,
    time::Duration,
};

use libxdp_sys::{
    XDP_COPY, XDP_MMAP_OFFSETS, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_RX_RING, XDP_SHARED_UMEM, XDP_STATISTICS,
    XDP_TX_RING, XDP_UMEM_COMPLETION_RING, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
    XDP_UMEM_PGOFF_FILL_RING, XDP_USE_NEED_WAKEUP, XDP_ZEROCOPY, xdp_desc, xdp_mmap_offsets, xdp_statistics,
};

use super::{
    RingSizes,
    ring::{Consumer, Producer},
};

/// Descriptors that one kick may send in copy mode (`XDP_MAX_TX_SKB_BUDGET`, Linux 6.17; 32 before). Not in libxdp's headers.
const XDP_MAX_TX_SKB_BUDGET: u32 = 9;

/// Frames larger than a chunk come and go as several descriptors (Linux 6.6). Not in libxdp's headers.
const XDP_USE_SG: u32 = 1 << 4;

/// Option of a descriptor: the frame goes on in the next one.
pub(super) const XDP_PKT_CONTD: u32 = 1;

/// Bytes that a frame on its way counts against the socket's send buffer, with the kernel's overhead, at most.
const SEND_BUFFER_PER_FRAME: u32 = 8192;

/// Which memory a socket is bound with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bind<'a> {
    /// What was registered with the socket itself, copied to and from.
    OwnCopy,
    /// As `OwnCopy`, with frames larger than a chunk.
    OwnCopyLarge,
    /// What was registered with the socket itself, accessed by the NIC.
    OwnZeroCopy,
    /// What was registered with another socket, in that one's mode.
    Shared(BorrowedFd<'a>),
}

/// Makes an AF_XDP socket.
pub(super) fn new() -> io::Result<OwnedFd> {
    // SAFETY: a plain call; the descriptor is new and ours.
    unsafe {
        match libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Sets an option of the AF_XDP level.
///
/// # Safety
/// `T` must be what the option takes, and what it makes the kernel do must be sound.
pub(super) unsafe fn set_option<T>(socket: BorrowedFd<'_>, option: u32, value: &T) -> io::Result<()> {
    // SAFETY: the value is valid for its own size; the rest is the caller's promise.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option as libc::c_int,
            ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads an option of the AF_XDP level.
///
/// # Safety
/// `T` must be what the option gives: plain data, any bits of which are a value.
unsafe fn get_option<T: Copy>(socket: BorrowedFd<'_>, option: u32, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            option as libc::c_int,
            ptr::from_mut(value).cast::<c_void>(),
            &mut length,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Says how large the rings are to be. A socket needs one of `rx` and `tx` at least.
pub(super) fn set_ring_sizes(
    socket: BorrowedFd<'_>,
    fill: u32,
    completion: u32,
    rx: Option<u32>,
    tx: Option<u32>,
) -> io::Result<()> {
    let rings = [
        (XDP_UMEM_FILL_RING, Some(fill)),
        (XDP_UMEM_COMPLETION_RING, Some(completion)),
        (XDP_RX_RING, rx),
        (XDP_TX_RING, tx),
    ];
    for (option, size) in rings {
        if let Some(size) = size {
            // SAFETY: each of these options takes a count of entries.
            unsafe { set_option(socket, option, &size) }?;
        }
    }
    Ok(())
}

/// Binds the socket to a queue. Its rings' sizes must be set.
pub(super) fn bind(socket: BorrowedFd<'_>, ifindex: u32, queue: u32, memory: Bind<'_>) -> io::Result<()> {
    let (flags, shared) = match memory {
        Bind::OwnCopy => (XDP_COPY | XDP_USE_NEED_WAKEUP, 0),
        Bind::OwnCopyLarge => (XDP_COPY | XDP_USE_NEED_WAKEUP | XDP_USE_SG, 0),
        Bind::OwnZeroCopy => (XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP, 0),
        Bind::Shared(other) => (XDP_SHARED_UMEM, other.as_raw_fd() as u32),
    };
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags as u16,
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: shared,
    };
    // SAFETY: the address is valid for its own size.
    let status = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast::<libc::sockaddr>(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A bound socket and its rings.
#[derive(Debug)]
pub(super) struct Socket {
    // The mappings keep the socket alive in the kernel as much as the descriptor does: all go before `end`.
    pub(super) rx: Consumer<xdp_desc>,
    pub(super) tx: Producer<xdp_desc>,
    pub(super) fill: Producer<u64>,
    pub(super) completion: Consumer<u64>,
    end: End,
}

impl Socket {
    /// Binds `socket` to a queue and maps its rings. `zero_copy` is the mode that `memory` leads to.
    pub(super) fn open(
        socket: OwnedFd,
        ifindex: u32,
        queue: u32,
        memory: Bind<'_>,
        zero_copy: bool,
        sizes: &RingSizes,
    ) -> io::Result<Self> {
        let fd = socket.as_fd();
        set_ring_sizes(fd, sizes.fill, sizes.completion, Some(sizes.rx), Some(sizes.tx))?;
        let none = libxdp_sys::xdp_ring_offset {
            producer: 0,
            consumer: 0,
            desc: 0,
            flags: 0,
        };
        let mut at = xdp_mmap_offsets {
            rx: none,
            tx: none,
            fr: none,
            cr: none,
        };
        // SAFETY: this option gives these offsets (with flags since Linux 5.4, below which we do not go).
        unsafe { get_option(fd, XDP_MMAP_OFFSETS, &mut at) }?;
        let rx = Consumer::new(fd, u64::from(XDP_PGOFF_RX_RING), &at.rx, sizes.rx)?;
        let tx = Producer::new(fd, u64::from(XDP_PGOFF_TX_RING), &at.tx, sizes.tx)?;
        let fill = Producer::new(fd, XDP_UMEM_PGOFF_FILL_RING, &at.fr, sizes.fill)?;
        let completion = Consumer::new(fd, XDP_UMEM_PGOFF_COMPLETION_RING, &at.cr, sizes.completion)?;

        // Both only make kicks fewer; an older kernel or a lesser permission does without.
        if sizes.tx > 32 {
            // SAFETY: the option takes a count of descriptors.
            let _ = unsafe { set_option(fd, XDP_MAX_TX_SKB_BUDGET, &sizes.tx.min(256)) };
        }
        force_send_buffer(fd, sizes.tx.saturating_mul(SEND_BUFFER_PER_FRAME));

        bind(fd, ifindex, queue, memory)?;
        Ok(Self {
            rx,
            tx,
            fill,
            completion,
            end: End {
                fd: Some(socket),
                ifindex,
                queue,
                zero_copy,
            },
        })
    }

    /// The NIC accesses our frames.
    pub(super) fn zero_copy(&self) -> bool {
        self.end.zero_copy
    }

    /// The descriptor.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.end.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// The descriptor, for another socket to share the memory.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.end.fd.as_ref().map(AsFd::as_fd)
    }

    /// Makes the kernel send what is in the transmit ring; never waits.
    pub(super) fn kick_transmit(&self) -> io::Result<()> {
        // SAFETY: no data is passed.
        let status = unsafe { libc::sendto(self.raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        if status >= 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Makes the driver look at the fill ring; never waits.
    pub(super) fn kick_receive(&self) {
        // SAFETY: no data is passed.
        unsafe {
            libc::recvfrom(
                self.raw_fd(),
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            );
        }
    }

    /// What the kernel has counted.
    pub(super) fn statistics(&self) -> xdp_statistics {
        let mut statistics = xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        if let Some(fd) = self.fd() {
            // SAFETY: this option gives these statistics. On failure they stay as they are.
            let _ = unsafe { get_option(fd, XDP_STATISTICS, &mut statistics) };
        }
        statistics
    }
}

/// Frames in flight count against the send buffer, whose default is a hundred frames or so.
fn force_send_buffer(socket: BorrowedFd<'_>, bytes: u32) {
    let bytes = bytes.min(libc::c_int::MAX as u32 / 2) as libc::c_int;
    // SAFETY: the option takes a C int.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUFFORCE,
            ptr::from_ref(&bytes).cast(),
            size_of_val(&bytes) as libc::socklen_t,
        );
    }
}

/// The descriptor, closed last.
#[derive(Debug)]
struct End {
    fd: Option<OwnedFd>,
    ifindex: u32,
    queue: u32,
    zero_copy: bool,
}

impl Drop for End {
    /// In copy mode the kernel has let go of all frames when the last reference is closed. With zero-copy the driver does so
    /// a little later, from a work queue, and until then the NIC may write to frames: wait until the queue is free.
    fn drop(&mut self) {
        drop(self.fd.take());
        if !self.zero_copy {
            return;
        }
        for _ in 0..200 {
            if self.queue_is_free().unwrap_or(false) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        tracing::warn!(
            ifindex = self.ifindex,
            queue = self.queue,
            "the driver has not released a zero-copy queue within a second"
        );
    }
}

impl End {
    /// Binds a socket with one page of memory in copy mode: refused as busy for as long as the old binding lasts.
    fn queue_is_free(&self) -> io::Result<bool> {
        #[repr(align(4096))]
        struct Page {
            _bytes: [u8; 4096],
        }
        let page = Box::new(Page { _bytes: [0; 4096] });
        let socket = new()?;
        let registration = libc::xdp_umem_reg {
            addr: ptr::from_ref(page.as_ref()) as u64,
            len: 4096,
            chunk_size: 4096,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        // SAFETY: the struct is what this option takes. The kernel is lent no chunk of it, so it writes nothing.
        unsafe { set_option(socket.as_fd(), libxdp_sys::XDP_UMEM_REG, &registration) }?;
        set_ring_sizes(socket.as_fd(), 2, 2, Some(2), None)?;
        match bind(socket.as_fd(), self.ifindex, self.queue, Bind::OwnCopy) {
            Ok(()) => Ok(true),
            // The interface is gone, and its queue with it.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::EINVAL)) => Ok(true),
            Err(_) => Ok(false),
        }
    }
}
