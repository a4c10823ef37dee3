//! The headers in front of a UDP datagram whose size changes: when several become one, and one several.

use super::{
    checksum::{Delta, Sum},
    proto,
};

/// Bytes of a UDP header.
const UDP: usize = 8;

/// Makes headers, from IP's to the end of UDP's, those of a packet of `len` bytes. `open`: its UDP checksum covers the pseudo header only; else there is
/// none. `false`, with nothing to be relied on, when they are no such headers or `len` is too much for them.
pub fn set_datagram_length(headers: &mut [u8], len: usize, open: bool) -> bool {
    let Some((ip, udp)) = headers.split_last_chunk_mut::<UDP>() else {
        return false;
    };
    let Ok(total) = u16::try_from(len) else {
        return false;
    };
    let Some(datagram) = total.checked_sub(ip.len() as u16) else {
        return false;
    };
    let addresses = match ip.first().map(|first| first >> 4) {
        Some(4) => {
            let Some(ip) = ip.first_chunk_mut::<20>() else {
                return false;
            };
            let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
            let check = Delta::NONE.u16(word(2), total).apply(word(10));
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[10..12].copy_from_slice(&check.to_be_bytes());
            Sum::of(&ip[12..])
        }
        Some(6) => {
            let Some(ip) = ip.first_chunk_mut::<40>() else {
                return false;
            };
            ip[4..6].copy_from_slice(&(total - 40).to_be_bytes());
            Sum::of(&ip[8..])
        }
        _ => return false,
    };
    udp[4..6].copy_from_slice(&datagram.to_be_bytes());
    let sum = addresses.add_u16(u16::from(proto::UDP)).add_u16(datagram).fold();
    udp[6..].copy_from_slice(&if open { sum } else { 0 }.to_be_bytes());
    true
}

/// Counts an IPv4 header's identification up, as in packets that were sent one by one. Others have none.
pub fn count_up_identification(ip: &mut [u8], by: u16) {
    let Some(ip) = ip.first_chunk_mut::<20>().filter(|ip| ip[0] >> 4 == 4) else {
        return;
    };
    let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    let id = word(4).wrapping_add(by);
    let check = Delta::NONE.u16(word(4), id).apply(word(10));
    ip[4..6].copy_from_slice(&id.to_be_bytes());
    ip[10..12].copy_from_slice(&check.to_be_bytes());
}
