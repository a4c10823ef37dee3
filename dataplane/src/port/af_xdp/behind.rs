//! Receives packets of an uplink behind the kernel's receive offload (GRO), by a packet socket.
//!
//! XDP sees packets one by one, each copied by drivers that have no memory of their own to receive into (a veth). Behind the receive offload,
//! tunnel packets of one flow come joined: one call and one copy for up to 64 KiB, and over a wire that carries whole frames as they were sent. They
//! are cut into packets again here ([`Joined`]), so that all that looks at packets, counts and judges them sees what was on the wire.
//!
//! Two programs decide what is ours (`behind.bpf.c`): the socket's filter, and one that keeps the same from the host.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, RawFd},
    ptr,
};

use super::{
    joined::{Joined, Next},
    packet_socket::PacketSocket,
    whole::VirtioNetHeader,
};
use crate::packet::{Frame, FrameCache};

/// Room of a packet: 64 KiB of IP, an Ethernet header and a tag; touched only as far as packets reach.
const ROOM: usize = 65535 + ETHERNET + TAG;

/// Bytes of an Ethernet header without tags, of its addresses, behind which a tag stands, and of a tag.
const ETHERNET: usize = 14;
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// Packets taken with one call while they are not joined.
const MESSAGES: usize = 32;

/// Bytes of packets that may wait, as the kernel counts them.
const RECEIVE_BUFFER: libc::c_int = 32 << 20;

/// Room for what the kernel says beside a packet: of its tag.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Beside([u8; 64]);

/// A packet that was taken: where in its room it starts, and its bytes.
#[derive(Clone, Copy, Default)]
struct Taken {
    start: usize,
    len: usize,
}

/// A packet socket that receives from one interface what is ours.
pub(super) struct Behind {
    socket: PacketSocket,
    /// A [`ROOM`] for each.
    rooms: Box<[u8]>,
    headers: Box<[VirtioNetHeader]>,
    beside: Box<[Beside]>,
    taken: Vec<Taken>,
    /// Packets of these that are done with.
    next: usize,
    /// Packets that came of the one after these.
    cut: usize,
    /// Packets to take with the next call.
    wanted: usize,
    lost: u64,
    /// What the kernel had no room for.
    dropped: Cell<u64>,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behind")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Behind {
    /// For the interface of this index in the thread's network namespace; `filter` says what is ours.
    pub(super) fn new(ifindex: u32, filter: BorrowedFd<'_>) -> io::Result<Self> {
        let socket = PacketSocket::new()?;
        socket.set(libc::SOL_SOCKET, libc::SO_ATTACH_BPF, filter.as_raw_fd())?;
        socket.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        // A lesser permission does with less.
        let _ = socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER);
        socket.bind(ifindex, libc::ETH_P_ALL as u16)?;
        Ok(Self {
            socket,
            rooms: vec![0; MESSAGES * ROOM].into_boxed_slice(),
            headers: vec![VirtioNetHeader::default(); MESSAGES].into_boxed_slice(),
            beside: vec![Beside([0; _]); MESSAGES].into_boxed_slice(),
            taken: Vec::with_capacity(MESSAGES),
            next: 0,
            cut: 0,
            wanted: MESSAGES,
            lost: 0,
            dropped: Cell::new(0),
        })
    }

    /// Polls readable when there is something.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Appends up to `max` packets; gives how many. What came joined ends what is given at once, so that it can be joined again as it was.
    pub(super) fn receive(&mut self, frames: &mut FrameCache, into: &mut Vec<Frame>, max: usize) -> usize {
        if self.next == self.taken.len() && !self.take() {
            return 0;
        }
        let before = into.len();
        while into.len() - before < max && self.next < self.taken.len() {
            self.unpack(frames, into, before + max);
        }
        into.len() - before
    }

    /// Takes what waits, with one call. `false`: nothing.
    fn take(&mut self) -> bool {
        (self.next, self.cut) = (0, 0);
        self.taken.clear();
        // SAFETY: all zero is a valid value of these plain C structs.
        let mut parts: [[libc::iovec; 2]; MESSAGES] = unsafe { mem::zeroed() };
        // SAFETY: likewise.
        let mut messages: [libc::mmsghdr; MESSAGES] = unsafe { mem::zeroed() };
        let places = self
            .rooms
            .chunks_exact_mut(ROOM)
            .zip(&mut self.headers)
            .zip(&mut self.beside);
        let messages = messages.get_mut(..self.wanted).unwrap_or_default();
        for ((message, parts), ((room, header), beside)) in messages.iter_mut().zip(&mut parts).zip(places) {
            // In front there is place for a tag.
            let room = room.get_mut(TAG..).unwrap_or_default();
            *parts = [
                libc::iovec {
                    iov_base: ptr::from_mut(header).cast(),
                    iov_len: size_of_val(header),
                },
                libc::iovec {
                    iov_base: room.as_mut_ptr().cast(),
                    iov_len: room.len(),
                },
            ];
            message.msg_hdr.msg_iov = parts.as_mut_ptr();
            message.msg_hdr.msg_iovlen = parts.len();
            message.msg_hdr.msg_control = ptr::from_mut(beside).cast();
            message.msg_hdr.msg_controllen = size_of_val(beside);
        }
        // SAFETY: as many messages as there are, whose parts are ours alone and live through the call.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            // Something of a kind that the kernel has no words for is lost; what is behind it comes with the next call.
            let odd = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
            self.lost += u64::from(odd);
            return false;
        };
        for (message, room) in messages.iter().zip(self.rooms.chunks_exact_mut(ROOM)).take(count) {
            let len = (message.msg_len as usize).saturating_sub(size_of::<VirtioNetHeader>());
            let mut taken = Taken { start: TAG, len };
            if let Some(tag) = tag(&message.msg_hdr) {
                taken = put_back(room, taken, tag);
            }
            if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                taken.len = 0;
            }
            self.taken.push(taken);
        }
        // While packets come joined, one at a time: it stays in the CPU's nearest memory until it is cut.
        let joined = self.headers.iter().take(count).any(VirtioNetHeader::is_joined);
        self.wanted = if joined { 1 } else { MESSAGES };
        count > 0
    }

    /// Makes packets of the next that was taken, until there are `most`.
    fn unpack(&mut self, frames: &mut FrameCache, into: &mut Vec<Frame>, most: usize) {
        let index = self.next;
        let joined = self
            .taken
            .get(index)
            .zip(self.headers.get(index))
            .and_then(|(taken, header)| {
                let start = index * ROOM + taken.start;
                let bytes = self.rooms.get(start..start + taken.len)?;
                Joined::new(bytes, taken.start == 0, header)
            });
        let Some(joined) = joined else {
            self.lost += 1;
            self.next += 1;
            return;
        };
        while into.len() < most {
            match joined.packet(self.cut, frames) {
                Next::Packet(frame) => into.push(frame),
                Next::Lost => self.lost += 1,
                Next::End => {
                    self.next += 1;
                    self.cut = 0;
                    return;
                }
            }
            self.cut += 1;
        }
    }

    /// Packets that were lost on the way here, since it was opened.
    pub(super) fn lost(&self) -> u64 {
        // `struct tpacket_stats`: packets, and those of them that were dropped, since the last look.
        let mut counts = [0_u32; 2];
        let mut length = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes.
        let status = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &mut length,
            )
        };
        if status == 0 {
            self.dropped.set(self.dropped.get() + u64::from(counts[1]));
        }
        self.lost + self.dropped.get()
    }
}

/// The tag that the kernel took out of a frame.
fn tag(message: &libc::msghdr) -> Option<[u8; TAG]> {
    // SAFETY: the kernel has filled in the control part, which lives as long as the message.
    unsafe {
        let mut beside = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = beside.as_ref() {
            if header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA {
                let data: libc::tpacket_auxdata =
                    libc::CMSG_DATA(beside).cast::<libc::tpacket_auxdata>().read_unaligned();
                if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
                    return None;
                }
                let ([a, b], [c, d]) = (data.tp_vlan_tpid.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
                return Some([a, b, c, d]);
            }
            beside = libc::CMSG_NXTHDR(message, beside);
        }
    }
    None
}

/// Puts a tag where it was.
fn put_back(room: &mut [u8], taken: Taken, tag: [u8; TAG]) -> Taken {
    if taken.start != TAG || taken.len < ETHERNET {
        return taken;
    }
    room.copy_within(TAG..TAG + ADDRESSES, 0);
    if let Some(place) = room.get_mut(ADDRESSES..ADDRESSES + TAG) {
        place.copy_from_slice(&tag);
    }
    Taken {
        start: 0,
        len: taken.len + TAG,
    }
}
