//! Sends packets that are larger than a chunk, as one piece each, by a packet socket.
//!
//! AF_XDP could send them in parts only, each in a chunk of its own. A packet socket takes them from where they are, and says to the kernel
//! which checksum is still open (`PACKET_VNET_HDR`), so a receiver on this host trusts it and nobody sums 60 KB twice. The queueing
//! discipline is passed by, as it is by AF_XDP.
#![allow(unsafe_code)]

use std::{io, os::fd::AsRawFd as _, ptr};

use super::packet_socket::PacketSocket;
use crate::{packet::Frame, port::Units};

/// `struct virtio_net_hdr` of `linux/virtio_net.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VirtioNetHeader {
    flags: u8,
    gso_type: u8,
    header_length: u16,
    gso_size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

impl VirtioNetHeader {
    /// As the kernel gives it.
    #[cfg(test)]
    pub(super) fn joined(
        flags: u8,
        gso_type: u8,
        gso_size: u16,
        (checksum_start, checksum_offset): (u16, u16),
    ) -> Self {
        Self {
            flags,
            gso_type,
            gso_size,
            checksum_start,
            checksum_offset,
            ..Self::default()
        }
    }

    /// The packet was joined of several.
    pub(super) fn is_joined(&self) -> bool {
        self.gso_type != 0
    }

    /// Where the sum starts that is left to be completed, and where behind this it is to be put.
    pub(super) fn open(&self) -> Option<(u16, u16)> {
        (self.flags & NEEDS_CHECKSUM != 0).then_some((self.checksum_start, self.checksum_offset))
    }

    /// Bytes behind the headers of each of the UDP datagrams that the packet was joined of, if it was.
    pub(super) fn datagrams(&self) -> Option<u16> {
        (self.gso_type & !GSO_ECN == GSO_UDP).then_some(self.gso_size)
    }
}

/// Flag: sum from `checksum_start` on and put the result at `checksum_offset` behind it.
const NEEDS_CHECKSUM: u8 = 1;

/// Kinds of segments that a packet is made of.
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// The packet is UDP, to be cut behind the UDP header.
const GSO_UDP: u8 = 5;

/// Beside the kind: some segments carry congestion marks.
const GSO_ECN: u8 = 0x80;

/// Bytes of a UDP header.
const UDP: u16 = 8;

/// Bytes of packets that may be on their way to receivers.
const SEND_BUFFER: libc::c_int = 64 << 20;

/// A packet socket that sends by one interface.
#[derive(Debug)]
pub(super) struct WholeSender {
    socket: PacketSocket,
}

impl WholeSender {
    /// For the interface of this index in the thread's network namespace. `cuts`: what it cannot send in one piece, the kernel cuts on the way to
    /// it; that takes the way through the queueing discipline.
    pub(super) fn new(ifindex: u32, cuts: bool) -> io::Result<Self> {
        let socket = PacketSocket::new()?;
        if !cuts {
            socket.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        }
        // The default holds three packets or so. A lesser permission does without.
        let _ = socket.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SEND_BUFFER);
        socket.bind(ifindex, 0)?;
        Ok(Self { socket })
    }

    /// Sends a packet now; never waits.
    pub(super) fn send(&self, frame: &Frame) -> io::Result<()> {
        let mut header = VirtioNetHeader::default();
        if let Some(partial) = frame.partial() {
            header.flags = NEEDS_CHECKSUM;
            header.checksum_start = partial.l4 as u16;
            header.checksum_offset = partial.field as u16;
        }
        // Joined segments pass an interface with a smaller MTU as such, too.
        if let Some(segments) = frame.segments() {
            header.gso_type = if segments.v6 { GSO_TCPV6 } else { GSO_TCPV4 };
            header.gso_size = segments.size;
        }
        let data = frame.data();
        let parts = [
            libc::iovec {
                iov_base: ptr::from_mut(&mut header).cast(),
                iov_len: size_of_val(&header),
            },
            libc::iovec {
                iov_base: data.as_ptr().cast_mut().cast(),
                iov_len: data.len(),
            },
        ];
        self.write(&parts)
    }

    /// Sends packets now, as one UDP packet that the interface cuts, or the kernel on the way to it; never waits.
    pub(super) fn send_units(&self, units: &Units<'_>) -> io::Result<()> {
        let checksum_start = units.headers.checked_sub(UDP).ok_or(io::ErrorKind::InvalidInput)?;
        let mut header = VirtioNetHeader {
            flags: NEEDS_CHECKSUM,
            gso_type: GSO_UDP,
            header_length: units.headers,
            gso_size: units.size,
            checksum_start,
            checksum_offset: 6,
        };
        let mut parts = [libc::iovec {
            iov_base: ptr::from_mut(&mut header).cast(),
            iov_len: size_of_val(&header),
        }; 1 + Units::PARTS];
        if units.parts.len() > Units::PARTS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (place, bytes) in parts.iter_mut().skip(1).zip(units.parts) {
            *place = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
        }
        self.write(parts.get(..1 + units.parts.len()).unwrap_or_default())
    }

    /// Gives the socket one packet in parts, which live for as long as the borrows that they were made of.
    fn write(&self, parts: &[libc::iovec]) -> io::Result<()> {
        // SAFETY: made by our callers of memory that they have borrowed, which the call only reads.
        let sent = unsafe { libc::writev(self.socket.as_raw_fd(), parts.as_ptr(), parts.len() as libc::c_int) };
        match sent {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
