//! Packet sockets, which send to or receive from one interface below the host's IP stack.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// A packet socket. Before it is [bound](Self::bind), and of protocol 0, it receives nothing.
#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// One whose packets go with a `struct virtio_net_hdr` in front, in the thread's network namespace. It never waits.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a plain call; the descriptor is new and ours.
        let socket = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            match libc::socket(libc::AF_PACKET, kind, 0) {
                -1 => return Err(io::Error::last_os_error()),
                fd => Self(OwnedFd::from_raw_fd(fd)),
            }
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        Ok(socket)
    }

    /// Sets one of the options of packet sockets, or of all sockets, that take a C int.
    pub(super) fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the value is valid for its own size, and lives through the call.
        let status = unsafe {
            libc::setsockopt(
                self.as_raw_fd(),
                level,
                option,
                ptr::from_ref(&value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        match status {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Ties it to the interface of this index; `protocol` (`ETH_P_...`; 0: none) is received.
    pub(super) fn bind(&self, ifindex: u32, protocol: u16) -> io::Result<()> {
        // SAFETY: all zero is a valid value of this plain C struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = ifindex as libc::c_int;
        // SAFETY: the address is valid for its own size.
        let bound = unsafe {
            libc::bind(
                self.as_raw_fd(),
                ptr::from_ref(&address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        match bound {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
