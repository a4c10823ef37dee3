//! The driver's own words for why it takes no program.
//!
//! A BPF link gives an errno alone. Netlink gives the driver's message with it ("MTU too large", "too few queues"), so after
//! a refusal the same is asked for once more by netlink, to hear why.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

use super::{AttachMode, link};

const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const FLAG_UPDATE_IF_NOEXIST: u32 = 1;
const ERROR_ATTRIBUTE_MESSAGE: u16 = 1;
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// Asks the driver to attach the program and gives its message, if it has one. Should it attach this time, that is undone.
pub(super) fn reason(program: BorrowedFd<'_>, ifindex: u32, mode: AttachMode) -> Option<String> {
    let (error, message) =
        set_link_xdp(program.as_raw_fd(), ifindex, link::flags(mode) | FLAG_UPDATE_IF_NOEXIST).ok()?;
    if error == 0 {
        let _ = set_link_xdp(-1, ifindex, link::flags(mode));
    }
    message
}

/// Gives the errno of the answer and the message with it.
fn set_link_xdp(program: i32, ifindex: u32, flags: u32) -> io::Result<(i32, Option<String>)> {
    // SAFETY: a plain call; the descriptor is new and ours.
    let socket = unsafe {
        match libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        ) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    let on: libc::c_int = 1;
    // SAFETY: the options take a C int and a timeval; the request is valid for its length.
    let sent = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_EXT_ACK,
            ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        );
        let request = request(program, ifindex, flags);
        libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0)
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = [0; 4096];
    // SAFETY: the kernel writes at most the buffer's length. It answers before `send` returns, so this does not wait.
    let received = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            answer.as_mut_ptr().cast(),
            answer.len(),
            libc::MSG_DONTWAIT,
        )
    };
    match usize::try_from(received) {
        Ok(length) => parse(&answer[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// `RTM_SETLINK` with the nested attribute `IFLA_XDP`.
fn request(program: i32, ifindex: u32, flags: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    // struct nlmsghdr; its length comes last.
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(libc::RTM_SETLINK.to_ne_bytes());
    bytes.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
    bytes.extend([0; 8]);
    // struct ifinfomsg.
    bytes.extend([0; 4]);
    bytes.extend(ifindex.to_ne_bytes());
    bytes.extend([0; 8]);
    // Attributes: length with the header of four bytes, type, value.
    bytes.extend(20u16.to_ne_bytes());
    bytes.extend((libc::IFLA_XDP | libc::NLA_F_NESTED as u16).to_ne_bytes());
    for (kind, value) in [
        (IFLA_XDP_FD, program.to_ne_bytes()),
        (IFLA_XDP_FLAGS, flags.to_ne_bytes()),
    ] {
        bytes.extend(8u16.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// Reads an acknowledgement (`NLMSG_ERROR`) with its extensions.
fn parse(answer: &[u8]) -> Option<(i32, Option<String>)> {
    const HEADER: usize = 16;
    let word = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if half(4)? != libc::NLMSG_ERROR as u16 {
        return None;
    }
    let (flags, error) = (i32::from(half(6)?), word(HEADER)? as i32);
    if flags & libc::NLM_F_ACK_TLVS == 0 {
        return Some((error, None));
    }
    // Then the request's header, with its payload unless the kernel says that it is capped.
    let mut at = HEADER + 4;
    at += if flags & libc::NLM_F_CAPPED != 0 {
        HEADER
    } else {
        word(at)? as usize
    };
    while let (Some(length), Some(kind)) = (half(at), half(at + 2)) {
        let length = usize::from(length);
        if length < 4 {
            break;
        }
        if kind & ATTRIBUTE_TYPE_MASK == ERROR_ATTRIBUTE_MESSAGE {
            let text = answer.get(at + 4..at + length)?;
            let text = String::from_utf8_lossy(text);
            return Some((error, Some(text.trim_end_matches('\0').to_owned())));
        }
        at += length.next_multiple_of(4);
    }
    Some((error, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(flags: i32, message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend((libc::NLMSG_ERROR as u16).to_ne_bytes());
        bytes.extend((flags as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend((-34i32).to_ne_bytes());
        let request = request(3, 7, 4);
        bytes.extend(if flags & libc::NLM_F_CAPPED != 0 {
            &request[..16]
        } else {
            &request[..]
        });
        bytes.extend((message.len() as u16 + 4).to_ne_bytes());
        bytes.extend(ERROR_ATTRIBUTE_MESSAGE.to_ne_bytes());
        bytes.extend(message);
        bytes
    }

    #[test]
    fn the_message_is_found_behind_the_request() {
        for flags in [libc::NLM_F_ACK_TLVS, libc::NLM_F_ACK_TLVS | libc::NLM_F_CAPPED] {
            let bytes = answer(flags, b"Peer MTU is too large\0");
            assert_eq!(parse(&bytes), Some((-34, Some("Peer MTU is too large".into()))));
        }
        assert_eq!(parse(&answer(0, b"")), Some((-34, None)));
    }

    #[test]
    fn cut_answers_are_survived() {
        let bytes = answer(libc::NLM_F_ACK_TLVS, b"reason\0");
        for length in 0..bytes.len() {
            if let Some((error, message)) = parse(&bytes[..length]) {
                assert_eq!((error, message), (-34, None));
            }
        }
        // A length of zero must not loop.
        assert_eq!(
            parse(&answer(libc::NLM_F_ACK_TLVS, b"")).map(|(_, m)| m),
            Some(Some(String::new()))
        );
    }
}
