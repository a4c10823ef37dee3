//! The Ethernet header of frames that the router answers: where the payload begins, tags kept as they came.

use crate::{
    packet::Frame,
    wire::{Mac, ethertype, parse::MAX_VLAN_TAGS},
};

/// Bytes of an untagged header.
pub const HEADER: usize = 14;

/// Smallest frame without its checksum (IEEE 802.3): shorter ones are padded with zeros.
pub const MIN_FRAME: usize = 60;

/// Ethertype behind the tags and offset of what follows it. `None` when the header is cut short or tagged too deep.
pub(super) fn payload(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = HEADER;
    for _ in 0..=MAX_VLAN_TAGS {
        let next = u16::from_be_bytes(*frame.get(at - 2..at)?.first_chunk()?);
        match next {
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => at += 4,
            _ => return Some((next, at)),
        }
    }
    None
}

/// The station that sent the frame.
pub(super) fn source(frame: &[u8]) -> Option<Mac> {
    frame.get(6..12)?.first_chunk().copied().map(Mac)
}

/// Writes destination and source; tags and ethertype stay. Does nothing to a frame shorter than both.
pub(super) fn address(frame: &mut [u8], destination: Mac, source: Mac) {
    if let Some(header) = frame.first_chunk_mut::<12>() {
        header[..6].copy_from_slice(&destination.0);
        header[6..].copy_from_slice(&source.0);
    }
}

/// An untagged header.
pub(super) fn header(destination: Mac, source: Mac, ethertype: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    address(&mut header, destination, source);
    header[12..].copy_from_slice(&ethertype.to_be_bytes());
    header
}

/// Sends a frame back to where it came from, as the station `own`: for answers made in place, such as
/// [`icmp::echo_reply`](super::icmp::echo_reply). Tags stay. A frame too short for a header stays as it is.
pub fn turn_around(frame: &mut Frame, own: Mac) {
    if let Some(source) = source(frame.data()) {
        address(frame.data_mut(), source, own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_walked_and_bounded() {
        let mut frame = header(Mac::BROADCAST, Mac([2; 6]), 0x88a8).to_vec();
        frame.extend([0, 5, 0x81, 0x00, 0, 6, 0x08, 0x06]);
        assert_eq!(payload(&frame), Some((ethertype::ARP, 22)));
        assert_eq!(payload(&frame[..21]), None);
        frame[20] = 0x81;
        frame[21] = 0x00;
        frame.extend([0, 7, 0x08, 0x06]);
        assert_eq!(payload(&frame), None, "three tags");
        assert_eq!(payload(&[0; 13]), None);
    }
}
