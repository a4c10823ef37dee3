//! What connection tracking wants to know of a TCP segment.

use crate::wire::{Tcp, tcp_flags};

/// The header is cut short or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole TCP header")]
pub struct NotTcp;

/// A TCP segment, as far as tracking reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of its first octet.
    pub seq: u32,
    /// Acknowledgement number; means nothing without the ACK flag.
    pub ack: u32,
    /// Sequence numbers it takes: payload, and one each for SYN and FIN.
    pub len: u32,
    /// Window, unscaled.
    pub window: u16,
    /// Bits of [`tcp_flags`].
    pub flags: u8,
    /// Shift of the window scale option (RFC 7323), 0 to 14. Only of a SYN.
    pub window_scale: Option<u8>,
}

impl Segment {
    /// Reads a TCP header; `header` begins with it and holds all of its options, `payload` is the number of bytes behind it (of the
    /// whole packet: `header` may end earlier).
    ///
    /// # Errors
    /// [`NotTcp`] when the header is not whole.
    pub fn parse(header: &[u8], payload: usize) -> Result<Self, NotTcp> {
        let tcp = Tcp::new_checked(header).map_err(|_| NotTcp)?;
        let flags = tcp.flags();
        let takes = |flag| u32::from(flags & flag != 0);
        let len = u32::try_from(payload).map_err(|_| NotTcp)?;
        Ok(Self {
            seq: tcp.seq(),
            ack: tcp.ack(),
            len: len.saturating_add(takes(tcp_flags::SYN) + takes(tcp_flags::FIN)),
            window: tcp.window(),
            flags,
            window_scale: if flags & tcp_flags::SYN == 0 {
                None
            } else {
                tcp.window_scale()
            },
        })
    }

    /// Whether all of these flags are set.
    #[must_use]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The sequence number after its last octet.
    pub(super) fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }

    /// Whether the flags make sense together (RFC 9293, section 3.10.7): anything with SYN and FIN, SYN and RST, or none of
    /// SYN, ACK and RST is made by scanners.
    pub(super) fn is_sane(&self) -> bool {
        let (syn, fin, rst, ack) = (
            self.has(tcp_flags::SYN),
            self.has(tcp_flags::FIN),
            self.has(tcp_flags::RST),
            self.has(tcp_flags::ACK),
        );
        if syn { !fin && !rst } else { rst && !fin || ack && !rst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::TcpHeader;

    fn header(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = TcpHeader {
            src_port: 1,
            dst_port: 2,
            seq: 100,
            ack: 200,
            flags,
            window: 300,
        }
        .to_bytes()
        .to_vec();
        bytes[12] = ((20 + options.len()) as u8 / 4) << 4;
        bytes.extend(options);
        bytes
    }

    #[test]
    fn reads_what_counts() {
        let syn = Segment::parse(&header(tcp_flags::SYN, &[1, 3, 3, 7]), 5).unwrap();
        assert_eq!((syn.seq, syn.ack, syn.len, syn.window), (100, 200, 6, 300));
        assert_eq!(syn.window_scale, Some(7));
        let large = Segment::parse(&header(tcp_flags::SYN, &[1, 3, 3, 99]), 0).unwrap();
        assert_eq!(large.window_scale, Some(14), "RFC 7323, section 2.3");
        let data = Segment::parse(&header(tcp_flags::ACK | tcp_flags::FIN, &[1, 3, 3, 7]), 10).unwrap();
        assert_eq!((data.len, data.window_scale), (11, None), "only a SYN has the option");
        assert_eq!(Segment::parse(&header(0, &[])[..19], 0), Err(NotTcp));
    }

    #[test]
    fn flags_that_no_sender_sets_together_are_not_sane() {
        use tcp_flags::{ACK, FIN, PSH, RST, SYN, URG};
        let sane = |flags| {
            Segment {
                seq: 0,
                ack: 0,
                len: 0,
                window: 0,
                flags,
                window_scale: None,
            }
            .is_sane()
        };
        for flags in [
            SYN,
            SYN | ACK,
            ACK,
            ACK | PSH | URG,
            FIN | ACK,
            RST,
            RST | ACK,
            SYN | 0xc0,
        ] {
            assert!(sane(flags), "{flags:#x}");
        }
        for flags in [
            0,
            FIN,
            PSH,
            SYN | FIN,
            SYN | RST,
            FIN | PSH | URG,
            RST | FIN | ACK,
            SYN | FIN | ACK,
        ] {
            assert!(!sane(flags), "{flags:#x}");
        }
    }
}
