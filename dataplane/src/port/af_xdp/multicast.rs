//! Hearing all multicast of an interface, for as long as it is needed.
//!
//! Neighbour solicitations for an address go to a multicast group that is made of it (RFC 4291, section 2.7.1). A host joins the
//! groups of its own addresses; nobody joins those of addresses that are ours alone, and network cards filter what nobody joined.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// Says whether an interface lets all multicast in. When this is dropped or the process is gone, it does not do so for us.
#[derive(Debug)]
pub(super) struct Multicast {
    socket: OwnedFd,
    ifindex: u32,
    all: bool,
}

impl Multicast {
    /// For the interface of this index in the thread's network namespace; asks for nothing yet.
    pub(super) fn new(ifindex: u32) -> io::Result<Self> {
        // SAFETY: a plain call; the descriptor is new and ours. Of protocol 0 it receives nothing.
        let socket = unsafe {
            match libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        Ok(Self {
            socket,
            ifindex,
            all: false,
        })
    }

    /// Asks the interface to let all multicast in, or needs it no more.
    pub(super) fn want_all(&mut self, all: bool) -> io::Result<()> {
        if self.all == all {
            return Ok(());
        }
        let membership = libc::packet_mreq {
            mr_ifindex: self.ifindex as libc::c_int,
            mr_type: libc::PACKET_MR_ALLMULTI as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let option = if all {
            libc::PACKET_ADD_MEMBERSHIP
        } else {
            libc::PACKET_DROP_MEMBERSHIP
        };
        // SAFETY: the struct of these options, valid through the call.
        let status = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                ptr::from_ref(&membership).cast(),
                size_of_val(&membership) as libc::socklen_t,
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        self.all = all;
        Ok(())
    }
}
