//! IPv4 fragmentation (RFC 791, section 3.2) of a packet that is too big for its path and may be fragmented.
//!
//! IPv6 has none on the way: there the sender is told ([`icmp::error`](super::icmp::error()), too big).

use smoltcp::wire::Ipv4Packet;

use crate::{
    packet::{Frame, FrameCache, frame::NoRoom},
    wire::{IpKind, ParseError, parse_ip},
};

/// Bytes of an IPv4 header without options.
const HEADER: usize = 20;

/// Bytes of the longest IPv4 header.
const MAX_HEADER: usize = 60;

/// Smallest MTU of IPv4 (RFC 791): the longest header and 8 bytes.
pub const MIN_MTU: u16 = 68;

/// Why a packet is not fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The packet contradicts itself.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// Only IPv4 is fragmented on the way.
    #[error("not an IPv4 packet")]
    NotIpv4,
    /// The options cannot be read, so that nobody can say which of them go into each fragment.
    #[error("the IPv4 options are malformed")]
    Options,
    /// The sender forbids it.
    #[error("the packet must not be fragmented: DF is set")]
    DontFragment,
    /// No path of IPv4 carries so little.
    #[error("the MTU {0} is below the least of IPv4, {MIN_MTU}")]
    MtuTooSmall(u16),
    /// A frame is too small for a fragment.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The frames ran out.
    #[error("no free frame for a fragment")]
    NoFrame,
}

/// Cuts `original` (from its IPv4 header on) into packets of at most `mtu` bytes, each in a frame of `cache`, and hands them
/// to `emit` in order; returns how many. A packet that fits is handed on as one copy. Only IP packets: Ethernet or tunnel
/// headers are for the caller to put in front. L4 checksums must be complete, for they cover what is about to be cut.
///
/// # Errors
/// [`FragmentError`]. If frames run out on the way, those emitted before are the caller's as usual; the receiver will
/// discard them.
pub fn fragments(
    original: &[u8],
    mtu: u16,
    cache: &mut FrameCache,
    mut emit: impl FnMut(Frame),
) -> Result<usize, FragmentError> {
    let mut fragmenter = Fragmenter::new(original, mtu)?;
    let mut count = 0;
    while !fragmenter.is_done() {
        let mut frame = cache.take().ok_or(FragmentError::NoFrame)?;
        if let Err(error) = fragmenter.write_next(&mut frame) {
            cache.free(frame);
            return Err(error.into());
        }
        emit(frame);
        count += 1;
    }
    Ok(count)
}

/// A packet on its way to be cut: writes one fragment after the other.
#[derive(Clone, Debug)]
pub struct Fragmenter<'a> {
    /// Header of the next fragment, with its options.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Options of all fragments but the first: those with the copy bit.
    copied: [u8; MAX_HEADER - HEADER],
    copied_len: usize,
    rest: &'a [u8],
    /// Offset of `rest` in the whole datagram, bytes.
    offset: usize,
    /// The original is not the last fragment of its datagram.
    more: bool,
    mtu: usize,
    done: bool,
}

impl<'a> Fragmenter<'a> {
    /// Takes a packet, from its IPv4 header on, to be cut for `mtu`.
    ///
    /// # Errors
    /// [`FragmentError`] when it must not or cannot be cut.
    pub fn new(original: &'a [u8], mtu: u16) -> Result<Self, FragmentError> {
        if mtu < MIN_MTU {
            return Err(FragmentError::MtuTooSmall(mtu));
        }
        let parsed = parse_ip(original)?;
        if parsed.kind != IpKind::V4 {
            return Err(FragmentError::NotIpv4);
        }
        let packet = original.get(..parsed.end as usize).unwrap_or(original);
        let ip = Ipv4Packet::new_unchecked(packet);
        if ip.dont_frag() && packet.len() > usize::from(mtu) {
            return Err(FragmentError::DontFragment);
        }
        let header_len = usize::from(ip.header_len());
        let (original_header, rest) = packet.split_at_checked(header_len).unwrap_or((packet, &[]));
        let mut header = [0; MAX_HEADER];
        if let Some(head) = header.get_mut(..header_len) {
            head.copy_from_slice(original_header);
        }
        let mut copied = [0; MAX_HEADER - HEADER];
        let options = original_header.get(HEADER..).unwrap_or_default();
        let copied_len = copy_options(options, &mut copied).ok_or(FragmentError::Options)?;
        Ok(Self {
            header,
            header_len,
            copied,
            copied_len,
            rest,
            offset: usize::from(ip.frag_offset()),
            more: ip.more_frags(),
            mtu: usize::from(mtu),
            done: false,
        })
    }

    /// All fragments have been written.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Writes the next fragment to `out`; nothing when all are written.
    ///
    /// # Errors
    /// [`NoRoom`] when the frame is too small; `out` is unchanged then, and another frame may be tried.
    pub fn write_next(&mut self, out: &mut Frame) -> Result<(), NoRoom> {
        if self.done {
            return Ok(());
        }
        let room = self.mtu.saturating_sub(self.header_len);
        // All fragments but the last carry a multiple of 8 bytes, the unit of the offset.
        let take = if self.rest.len() <= room {
            self.rest.len()
        } else {
            room & !7
        };
        let (payload, rest) = self.rest.split_at_checked(take).unwrap_or((self.rest, &[]));
        let last = rest.is_empty();
        let total = self.header_len + payload.len();
        let packet = out.fill_zero(total)?;
        let (head, body) = packet.split_at_mut_checked(self.header_len).unwrap_or_default();
        head.copy_from_slice(self.header.get(..self.header_len).unwrap_or_default());
        body.copy_from_slice(payload);
        let mut ip = Ipv4Packet::new_unchecked(head);
        ip.set_header_len(self.header_len as u8);
        ip.set_total_len(total as u16);
        ip.set_more_frags(self.more || !last);
        ip.set_frag_offset(self.offset as u16);
        ip.fill_checksum();

        self.rest = rest;
        self.offset += payload.len();
        self.done = last;
        // From the second on: only the options that go into each fragment.
        self.header_len = HEADER + self.copied_len;
        if let (Some(to), Some(from)) = (
            self.header.get_mut(HEADER..self.header_len),
            self.copied.get(..self.copied_len),
        ) {
            to.copy_from_slice(from);
        }
        Ok(())
    }
}

/// Copies the options with the copy bit set and gives their length, padded with end-of-list to a multiple of 4 bytes. `None`
/// when the options are malformed.
fn copy_options(mut options: &[u8], out: &mut [u8; MAX_HEADER - HEADER]) -> Option<usize> {
    let mut copied = 0;
    loop {
        match *options {
            [] | [0, ..] => break,
            [1, ..] => options = options.get(1..)?,
            [kind, length, ..] if length >= 2 => {
                let (option, rest) = options.split_at_checked(usize::from(length))?;
                if kind & 0x80 != 0 {
                    out.get_mut(copied..copied + option.len())?.copy_from_slice(option);
                    copied += option.len();
                }
                options = rest;
            }
            _ => return None,
        }
    }
    Some(copied.next_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use etherparse::Ipv4Slice;
    use proptest::prelude::*;

    use super::*;
    use crate::{packet::FramePool, wire::checksum::Sum};

    /// A packet with a right checksum.
    fn packet(flags_and_offset: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![
            0x45 + (options.len() / 4) as u8,
            0x2e,
            0,
            0,
            0xab,
            0xcd,
            0,
            0,
            61,
            253,
            0,
            0,
        ];
        packet.extend([10, 0, 0, 1, 192, 0, 2, 1]);
        packet.extend(options);
        packet.extend(payload);
        let total = packet.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
        let check = Sum::of(&packet[..20 + options.len()]).checksum();
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        packet
    }

    fn cut(original: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, FragmentError> {
        let pool = FramePool::new(256, 2048).unwrap();
        let mut cache = pool.cache();
        let mut frames = Vec::new();
        let outcome = fragments(original, mtu, &mut cache, |frame| frames.push(frame));
        let packets: Vec<_> = frames.iter().map(|frame| frame.data().to_vec()).collect();
        frames.into_iter().for_each(|frame| cache.free(frame));
        assert_eq!(pool.free(), 256);
        outcome.map(|count| {
            assert_eq!(count, packets.len());
            packets
        })
    }

    /// Puts fragments together again, checking each with another reader; gives payload and the last MF flag.
    fn assemble(fragments: &[Vec<u8>], mtu: u16, mut offset: usize) -> (Vec<u8>, bool) {
        let mut payload = Vec::new();
        let mut more = true;
        for fragment in fragments {
            let slice = Ipv4Slice::from_slice(fragment).unwrap();
            let header = slice.header();
            assert!(fragment.len() <= usize::from(mtu));
            assert_eq!(usize::from(header.total_len()), fragment.len());
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            assert_eq!(usize::from(header.fragments_offset().value()) * 8, offset);
            assert_eq!(
                (header.identification(), header.ttl(), header.slice()[1]),
                (0xabcd, 61, 0x2e)
            );
            assert!(more, "only the last may lack the MF flag");
            more = header.more_fragments();
            offset += slice.payload().payload.len();
            payload.extend(slice.payload().payload);
        }
        (payload, more)
    }

    #[test]
    fn a_large_packet_is_cut_at_multiples_of_eight() {
        let payload: Vec<u8> = (0..3000u32).map(|i| i as u8).collect();
        let fragments = cut(&packet(0, &[], &payload), 1450).unwrap();
        assert_eq!(fragments.iter().map(Vec::len).collect::<Vec<_>>(), [1444, 1444, 172]);
        assert_eq!(assemble(&fragments, 1450, 0), (payload, false));
    }

    #[test]
    fn what_fits_stays_whole() {
        for flags in [0, 0x4000] {
            let original = packet(flags, &[], &[1; 1430]);
            assert_eq!(cut(&original, 1450).unwrap(), [original]);
        }
    }

    #[test]
    fn a_fragment_is_cut_again() {
        // From the middle of a datagram: offset 80, more to follow.
        let fragments = cut(&packet(0x2000 | 10, &[], &[7; 160]), 108).unwrap();
        assert_eq!(assemble(&fragments, 108, 80), (vec![7; 160], true));
        assert_eq!(fragments.len(), 2);
        // The last one.
        let fragments = cut(&packet(10, &[], &[7; 161]), 108).unwrap();
        assert_eq!(assemble(&fragments, 108, 80), (vec![7; 161], false));
        assert_eq!(fragments.len(), 2);
    }

    #[test]
    fn options_go_where_their_copy_bit_says() {
        // Record route (no copy), no operation, router alert (copy), end.
        let options = [7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0];
        let fragments = cut(&packet(0, &options, &[7; 200]), 100).unwrap();
        assert_eq!(fragments[0][20..32], options);
        assert_eq!(fragments[0][0], 0x48);
        for later in &fragments[1..] {
            assert_eq!((later[0], &later[20..24]), (0x46, &[148, 4, 0, 0][..]));
        }
        assert_eq!(assemble(&fragments, 100, 0), (vec![7; 200], false));
        // Padding to a multiple of four.
        let fragments = cut(&packet(0, &[136, 3, 9, 0], &[7; 200]), 100).unwrap();
        assert_eq!(fragments[1][20..24], [136, 3, 9, 0]);
        for malformed in [[148, 9, 0, 0], [148, 0, 0, 0], [1, 1, 1, 148], [148, 1, 0, 0]] {
            assert_eq!(cut(&packet(0, &malformed, &[7; 200]), 100), Err(FragmentError::Options));
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(
            cut(&packet(0x4000, &[], &[0; 200]), 100),
            Err(FragmentError::DontFragment)
        );
        assert_eq!(cut(&packet(0, &[], &[0; 200]), 67), Err(FragmentError::MtuTooSmall(67)));
        assert_eq!(
            cut(&packet(0, &[], &[0; 200])[..100], 100),
            Err(ParseError::BadTotalLength.into())
        );
        assert!(matches!(
            cut(&packet(0, &[], &[0; 4000]), 3000),
            Err(FragmentError::NoRoom(_))
        ));
        let mut six = vec![0; 80];
        (six[0], six[5], six[6]) = (0x60, 40, 253);
        assert_eq!(cut(&six, 70), Err(FragmentError::NotIpv4));
    }

    #[test]
    fn frames_run_out() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let mut frames = Vec::new();
        let outcome = fragments(&packet(0, &[], &[7; 60_000]), 100, &mut cache, |frame| {
            frames.push(frame);
        });
        assert_eq!(outcome, Err(FragmentError::NoFrame));
        assert_eq!(frames.len(), 64);
        frames.into_iter().for_each(|frame| cache.free(frame));
        assert_eq!(pool.free(), 64);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            options in prop::collection::vec(any::<u8>(), 0..=10),
            payload in prop::collection::vec(any::<u8>(), 0..4000),
            offset in 0u16..1000,
            mtu in MIN_MTU..1700,
        ) {
            // Options of four bytes each, with all kinds.
            let options: Vec<u8> = options.iter().flat_map(|kind| [kind | 2, 4, 1, 2]).collect();
            let fragments = cut(&packet(offset, &options, &payload), mtu).unwrap();
            prop_assert_eq!(assemble(&fragments, mtu, usize::from(offset) * 8), (payload, false));
        }

        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..400), mtu: u16, plausible: bool) {
            let length = bytes.len() as u16;
            if plausible && length >= 60 {
                bytes[0] = 0x40 | (bytes[0] % 11 + 5);
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                bytes[6] &= 0x3f;
                bytes[9] = 253;
                bytes[10..12].fill(0);
                let check = Sum::of(&bytes[..usize::from(bytes[0] & 15) * 4]).checksum();
                bytes[10..12].copy_from_slice(&check.to_be_bytes());
            }
            let _ = cut(&bytes, mtu);
        }
    }
}
