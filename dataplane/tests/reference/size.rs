//! What does not fit: segments are made smaller before they are, packets are cut.

use crate::{
    headers::{Fragment, Ip},
    lab::{
        bytes::{fix_v4, pseudo, sum},
        outer::word,
    },
    router::Packet,
};

/// Lowers the segment size that a SYN offers to what the path carries.
pub fn clamp_mss(packet: &mut Packet, mtu: usize) {
    if packet.ip.proto != 6 || packet.ip.tcp_flags & 2 == 0 || packet.ip.fragment != Fragment::No {
        return;
    }
    let most = (mtu - if packet.ip.source.is_ipv6() { 60 } else { 40 }) as u16;
    let (l4, end) = (packet.ip.l4, packet.ip.end);
    let header = l4 + usize::from(packet.bytes[l4 + 12] >> 4) * 4;
    let mut at = l4 + 20;
    while at + 1 < header {
        let (kind, length) = (packet.bytes[at], usize::from(packet.bytes[at + 1]));
        match kind {
            0 => return,
            1 => at += 1,
            _ if length < 2 || at + length > header => return,
            2 if length == 4 && word(&packet.bytes, at + 2) > most => {
                // RFC 1624: by the words that change, so that a wrong checksum stays as wrong as it was.
                let words = l4 + (at + 2 - l4) / 2 * 2..(l4 + (at + 4 - l4).div_ceil(2) * 2).min(end);
                let before = !sum(&[&packet.bytes[words.clone()]]);
                packet.bytes[at + 2..at + 4].copy_from_slice(&most.to_be_bytes());
                let after = sum(&[&packet.bytes[words]]);
                let check = !word(&packet.bytes, l4 + 16);
                let parts = [before.to_be_bytes(), after.to_be_bytes(), check.to_be_bytes()].concat();
                packet.bytes[l4 + 16..l4 + 18].copy_from_slice(&(!sum(&[&parts])).to_be_bytes());
                return;
            }
            2 => return,
            _ => at += length,
        }
    }
}

/// What becomes of a TCP packet that is too large.
pub enum Segments {
    /// It is not one that can be cut.
    No,
    /// Its checksum is wrong.
    Wrong,
    /// Packets that fit.
    Cut(Vec<Vec<u8>>),
}

/// Cuts a TCP packet into segments, as a network card does for its host.
pub fn segments(bytes: &[u8], ip: &Ip, mtu: usize) -> Segments {
    let bytes = &bytes[..ip.end];
    let v6 = ip.source.is_ipv6();
    if ip.proto != 6 || ip.fragment != Fragment::No || ip.tcp_flags & 0x26 != 0 || (!v6 && ip.l4 != 20) {
        return Segments::No;
    }
    if v6 {
        let (mut next, mut at) = (bytes[6], 40);
        while at < ip.l4 {
            if next != 0 && next != 60 {
                return Segments::No;
            }
            (next, at) = (bytes[at], at + (usize::from(bytes[at + 1]) + 1) * 8);
        }
    }
    let data = ip.l4 + usize::from(bytes[ip.l4 + 12] >> 4) * 4;
    if mtu < data + 48 || bytes.len() <= mtu {
        return Segments::No;
    }
    let check = |l4: &[u8]| pseudo(ip.source, ip.destination, 6, l4.len());
    let whole = &bytes[ip.l4..];
    if sum(&[&check(whole), whole]) != 0xffff && sum(&[&check(whole)]) != word(whole, 16) {
        return Segments::Wrong;
    }
    let chunks: Vec<_> = bytes[data..].chunks(mtu - data).collect();
    let sequence = u32::from_be_bytes([bytes[ip.l4 + 4], bytes[ip.l4 + 5], bytes[ip.l4 + 6], bytes[ip.l4 + 7]]);
    let mut cut = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut segment = [&bytes[..data], *chunk].concat();
        if v6 {
            let len = (segment.len() - 40) as u16;
            segment[4..6].copy_from_slice(&len.to_be_bytes());
        } else {
            let (total, id) = (segment.len() as u16, word(bytes, 4).wrapping_add(index as u16));
            segment[2..4].copy_from_slice(&total.to_be_bytes());
            segment[4..6].copy_from_slice(&id.to_be_bytes());
            fix_v4(&mut segment);
        }
        let tcp = &mut segment[ip.l4..];
        let sequence = sequence.wrapping_add((index * (mtu - data)) as u32);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        // CWR stays with the first, FIN and PSH with the last.
        if index > 0 {
            tcp[13] &= !0x80;
        }
        if index + 1 < chunks.len() {
            tcp[13] &= !0x09;
        }
        tcp[16..18].fill(0);
        let sum = !sum(&[&check(tcp), tcp]);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        cut.push(segment);
    }
    Segments::Cut(cut)
}

/// Cuts an IPv4 packet that may be cut (RFC 791, section 3.2).
pub fn fragments(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let field = word(packet, 6);
    if packet[0] >> 4 != 4 || field & 0x4000 != 0 {
        return None;
    }
    let header_len = usize::from(packet[0] & 15) * 4;
    let copied = copied_options(&packet[20..header_len])?;
    let mut header = packet[..header_len].to_vec();
    let (mut offset, more, mut rest) = (usize::from(field & 0x1fff), field & 0x2000, &packet[header_len..]);
    let reserved = field & 0x8000;
    let mut fragments = Vec::new();
    loop {
        let room = mtu - header.len();
        let take = if rest.len() <= room { rest.len() } else { room / 8 * 8 };
        let last = take == rest.len();
        let mut fragment = [&header[..], &rest[..take]].concat();
        let total = fragment.len() as u16;
        fragment[0] = 0x40 | (header.len() / 4) as u8;
        fragment[2..4].copy_from_slice(&total.to_be_bytes());
        // The reserved bit is handed on as in a packet that stays whole.
        let field = reserved | offset as u16 | if last { more } else { 0x2000 };
        fragment[6..8].copy_from_slice(&field.to_be_bytes());
        fix_v4(&mut fragment);
        fragments.push(fragment);
        if last {
            return Some(fragments);
        }
        rest = &rest[take..];
        offset += take / 8;
        header.truncate(20);
        header.extend(&copied);
    }
}

/// The options that go into every fragment: those with the copy bit. `None`: they cannot be read.
fn copied_options(mut options: &[u8]) -> Option<Vec<u8>> {
    let mut copied = Vec::new();
    while let Some(kind) = options.first().copied().filter(|kind| *kind != 0) {
        let length = if kind == 1 {
            1
        } else {
            usize::from(*options.get(1).filter(|l| **l >= 2)?)
        };
        let option = options.get(..length)?;
        if kind & 0x80 != 0 {
            copied.extend(option);
        }
        options = &options[length..];
    }
    copied.resize(copied.len().next_multiple_of(4), 0);
    Some(copied)
}
