//! TCP headers (RFC 9293), their options, and MSS clamping.

use super::bytes::{get_u8, get_u16, put_u16};
use super::checksum::update_u16;
use super::view::{fields, view};
use super::{WireError, tcp_flags};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_WINDOW_SCALE: u8 = 3;

/// Largest shift of a window (RFC 7323, section 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

view! {
    /// A TCP segment.
    Tcp, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("TCP", HEADER_LEN, bytes.len())?;
    let len = Tcp::new_unchecked(bytes).header_len();
    if len < HEADER_LEN {
        return Err(WireError::invalid(
            "TCP",
            "header length",
            len as u32,
            "at least 20 bytes",
        ));
    }
    WireError::need("TCP", len, bytes.len())
}

fields! {
    Tcp {
        "Source port." src_port, set_src_port: u16 = 0;
        "Destination port." dst_port, set_dst_port: u16 = 2;
        "Sequence number." seq, set_seq: u32 = 4;
        "Acknowledgement number." ack, set_ack: u32 = 8;
        "Flags; bits in [`tcp_flags`]." flags, set_flags: u8 = 13;
        "Window, unscaled." window, set_window: u16 = 14;
        "Checksum." checksum, set_checksum: u16 = 16;
        "Urgent pointer." urgent, set_urgent: u16 = 18;
    }
}

impl<T: AsRef<[u8]>> Tcp<T> {
    /// Length of the header with options, in bytes.
    pub fn header_len(&self) -> usize {
        usize::from(get_u8(self.as_bytes(), 12) >> 4) * 4
    }

    /// Are all of these flags set?
    pub fn has(&self, flags: u8) -> bool {
        self.flags() & flags == flags
    }

    /// The options, padding included.
    pub fn options(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes().get(self.header_len()..).unwrap_or_default()
    }

    /// Where the value of the maximum segment size option stands, from the first byte of the header.
    pub fn mss_offset(&self) -> Option<usize> {
        self.option(OPTION_MSS, 4)
    }

    /// The shift of the window scale option (RFC 7323), at most 14: what says more means 14. It counts on SYN segments only.
    pub fn window_scale(&self) -> Option<u8> {
        let at = self.option(OPTION_WINDOW_SCALE, 3)?;
        Some(get_u8(self.as_bytes(), at).min(MAX_WINDOW_SCALE))
    }

    /// Where the value of the first option of this kind stands, if the option is so long.
    fn option(&self, wanted: u8, wanted_len: usize) -> Option<usize> {
        let options = self.options();
        let mut at = 0;
        // Each turn goes at least one byte ahead and options are at most 40 bytes.
        while at < options.len() {
            match get_u8(options, at) {
                OPTION_END => return None,
                OPTION_NOP => at += 1,
                kind => {
                    let len = usize::from(get_u8(options, at + 1));
                    if len < 2 || at + len > options.len() {
                        return None;
                    }
                    if kind == wanted {
                        return (len == wanted_len).then_some(HEADER_LEN + at + 2);
                    }
                    at += len;
                }
            }
        }
        None
    }

    /// The maximum segment size option.
    pub fn mss(&self) -> Option<u16> {
        self.mss_offset().map(|at| get_u16(self.as_bytes(), at))
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Tcp<T> {
    /// Lowers the maximum segment size option of a SYN or SYN-ACK to `max` if it is higher, and keeps the checksum right. True
    /// if something changed.
    ///
    /// `partial`: the checksum field holds only the pseudo header sum, which does not cover options, so it stays as it is.
    pub fn clamp_mss(&mut self, max: u16, partial: bool) -> bool {
        if !self.has(tcp_flags::SYN) {
            return false;
        }
        match self.mss_offset() {
            Some(at) if get_u16(self.as_bytes(), at) > max => {
                self.write_mss(at, max, partial);
                true
            }
            _ => false,
        }
    }

    /// Gives the maximum segment size option of a SYN or SYN-ACK another value, if there is one, and keeps the checksum right. `partial` as
    /// for [`clamp_mss`](Self::clamp_mss).
    pub fn set_mss(&mut self, value: u16, partial: bool) {
        if let Some(at) = self.mss_offset().filter(|_| self.has(tcp_flags::SYN)) {
            self.write_mss(at, value, partial);
        }
    }

    fn write_mss(&mut self, at: usize, value: u16, partial: bool) {
        let old = get_u16(self.as_bytes(), at);
        put_u16(self.buf.as_mut(), at, value);
        if !partial {
            // NOPs can put the value at an odd offset: its bytes then belong to two words, which is the same as one word
            // with the bytes swapped (RFC 1071 section 2(B)).
            let (old, new) = if at.is_multiple_of(2) {
                (old, value)
            } else {
                (old.swap_bytes(), value.swap_bytes())
            };
            self.set_checksum(update_u16(self.checksum(), old, new));
        }
    }
}

/// A TCP header without options, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags; bits in [`tcp_flags`].
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
}

impl TcpHeader {
    /// Its bytes, without a checksum.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[12] = 0x50;
        let mut view = Tcp::new_unchecked(&mut bytes);
        view.set_src_port(self.src_port);
        view.set_dst_port(self.dst_port);
        view.set_seq(self.seq);
        view.set_ack(self.ack);
        view.set_flags(self.flags);
        view.set_window(self.window);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::{Sum, fill_l4, is_partial, verify_l4};
    use crate::wire::proto;
    use proptest::prelude::*;

    fn segment(flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = TcpHeader {
            src_port: 1,
            dst_port: 2,
            seq: 3,
            ack: 4,
            flags,
            window: 5,
        }
        .to_bytes()
        .to_vec();
        bytes[12] = ((20 + options.len()) as u8 / 4) << 4;
        bytes.extend(options);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn finds_mss_only_where_it_is_whole() {
        let mss = |options: &[u8]| Tcp::new_checked(segment(tcp_flags::SYN, options, &[])).unwrap().mss();
        assert_eq!(mss(&[2, 4, 5, 0xb4]), Some(1460));
        assert_eq!(mss(&[1, 1, 1, 2, 4, 5, 0xb4, 0]), Some(1460));
        assert_eq!(mss(&[3, 3, 7, 2, 4, 5, 0xb4, 0]), Some(1460));
        assert_eq!(mss(&[0, 2, 4, 5]), None, "behind the end");
        assert_eq!(mss(&[1, 1, 2, 4]), None, "cut off");
        assert_eq!(mss(&[2, 3, 5, 0xb4]), None, "wrong length");
        assert_eq!(
            mss(&[8, 0, 2, 4, 5, 0xb4, 0, 0]),
            None,
            "a length of zero does not loop"
        );
        assert_eq!(mss(&[]), None);
    }

    #[test]
    fn finds_the_window_scale_beside_other_options() {
        let scale = |options: &[u8]| {
            Tcp::new_checked(segment(tcp_flags::SYN, options, &[]))
                .unwrap()
                .window_scale()
        };
        assert_eq!(scale(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
        assert_eq!(scale(&[3, 3, 200, 0]), Some(14), "more than 14 is 14");
        assert_eq!(scale(&[3, 4, 7, 0]), None, "wrong length");
        assert_eq!(scale(&[1, 1, 3, 3]), None, "cut off");
        assert_eq!(scale(&[]), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let mut bytes = segment(0, &[], &[]);
        assert!(Tcp::new_checked(&bytes[..19]).is_err());
        bytes[12] = 0x40;
        assert_eq!(
            Tcp::new_checked(&bytes).unwrap_err().to_string(),
            "TCP: header length is 16, expected at least 20 bytes"
        );
        bytes[12] = 0x60;
        assert_eq!(
            Tcp::new_checked(&bytes).unwrap_err().to_string(),
            "TCP: needs 24 bytes, only 20 are there"
        );
    }

    proptest! {
        #[test]
        fn clamping_keeps_the_checksum_right(
            nops in 0usize..8, mss: u16, max: u16, pseudo in 1u16.., payload in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut options = vec![1; nops];
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
            options.resize((options.len() + 3) & !3, 0);
            let pseudo = Sum::ZERO.add_u16(pseudo);
            let mut bytes = segment(tcp_flags::SYN | tcp_flags::ACK, &options, &payload);
            fill_l4(&mut bytes, proto::TCP, pseudo);
            prop_assert_eq!(Tcp::new_unchecked(&mut bytes).clamp_mss(max, false), mss > max);
            prop_assert_eq!(Tcp::new_checked(&bytes).unwrap().mss(), Some(mss.min(max)));
            prop_assert!(verify_l4(&bytes, proto::TCP, pseudo));

            let mut bytes = segment(tcp_flags::SYN, &options, &payload);
            Tcp::new_unchecked(&mut bytes).set_checksum(pseudo.fold());
            Tcp::new_unchecked(&mut bytes).clamp_mss(max, true);
            prop_assert!(is_partial(&bytes, proto::TCP, pseudo));
            prop_assert_eq!(Tcp::new_checked(&bytes).unwrap().mss(), Some(mss.min(max)));

            let mut bytes = segment(tcp_flags::ACK, &options, &payload);
            prop_assert!(!Tcp::new_unchecked(&mut bytes).clamp_mss(0, false), "only on SYN");
        }

        #[test]
        fn agrees_with_etherparse(src_port: u16, dst_port: u16, seq: u32, ack: u32, flags: u8, window: u16) {
            let bytes = TcpHeader { src_port, dst_port, seq, ack, flags, window }.to_bytes();
            let e = etherparse::TcpHeaderSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!((e.source_port(), e.destination_port(), e.sequence_number()), (src_port, dst_port, seq));
            prop_assert_eq!((e.acknowledgment_number(), e.window_size()), (ack, window));
            let view = Tcp::new_checked(&bytes).unwrap();
            prop_assert_eq!((e.fin(), e.syn(), e.rst()), (view.has(tcp_flags::FIN), view.has(tcp_flags::SYN), view.has(tcp_flags::RST)));
            prop_assert_eq!((e.psh(), e.ack(), e.urg()), (view.has(tcp_flags::PSH), view.has(tcp_flags::ACK), view.has(tcp_flags::URG)));
            prop_assert_eq!((e.ece(), e.cwr()), (view.has(tcp_flags::ECE), view.has(tcp_flags::CWR)));
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut view = Tcp::new_unchecked(&mut bytes);
            view.clamp_mss(100, false);
            let _ = (view.mss(), view.payload(), view.options());
        }
    }
}
