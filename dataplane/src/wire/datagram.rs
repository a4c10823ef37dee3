//! The headers in front of a UDP datagram whose size changes: when several become one, and one several.

use super::{
    checksum::{Delta, Sum},
    proto,
};

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// Bytes of a UDP header.
const UDP: usize = 8;

/// Makes Ethernet, plain IP and UDP headers (without tags, options and extensions) those of a frame of `len` bytes. `open`: its UDP checksum covers the pseudo
/// header only; else there is none. `false`, with nothing to be relied on, when they are no such headers or `len` is too much for them.
pub fn set_datagram_length(headers: &mut [u8], len: usize, open: bool) -> bool {
    let Some((ip, udp)) = headers.split_last_chunk_mut::<UDP>() else {
        return false;
    };
    let Some((_, ip)) = ip.split_first_chunk_mut::<ETHERNET>() else {
        return false;
    };
    let Ok(total) = u16::try_from(len.saturating_sub(ETHERNET)) else {
        return false;
    };
    let Some(datagram) = total.checked_sub(ip.len() as u16) else {
        return false;
    };
    let addresses = if let Ok(header) = <&mut [u8; 20]>::try_from(&mut *ip) {
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let check = Delta::NONE.u16(word(2), total).apply(word(10));
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[10..12].copy_from_slice(&check.to_be_bytes());
        Sum::of(&header[12..])
    } else if let Ok(header) = <&mut [u8; 40]>::try_from(ip) {
        header[4..6].copy_from_slice(&datagram.to_be_bytes());
        Sum::of(&header[8..])
    } else {
        return false;
    };
    udp[4..6].copy_from_slice(&datagram.to_be_bytes());
    let sum = addresses.add_u16(u16::from(proto::UDP)).add_u16(datagram).fold();
    udp[6..].copy_from_slice(&if open { sum } else { 0 }.to_be_bytes());
    true
}
