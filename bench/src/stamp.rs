//! What the payload of every generated packet starts with, so that a receiver knows it again: magic, stream, sequence number
//! and time of sending. Eighteen bytes, big-endian, which fit into a 60-byte UDP packet over IPv4.

/// Bytes of a stamp.
pub const LEN: usize = 18;

/// The first four bytes: tells our packets from all others.
const MAGIC: u32 = 0x7670_6b67;

/// The stamp of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// One run of a sender: keeps apart senders that share a receiver, and leftovers of an earlier run.
    pub stream: u16,
    /// Counts the packets of the stream from zero; wraps around.
    pub sequence: u32,
    /// When it was sent, nanoseconds of the sender's clock.
    pub sent_at: u64,
}

impl Stamp {
    /// Its bytes.
    pub fn to_bytes(self) -> [u8; LEN] {
        let [m0, m1, m2, m3] = MAGIC.to_be_bytes();
        let [i0, i1] = self.stream.to_be_bytes();
        let [s0, s1, s2, s3] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3, t4, t5, t6, t7] = self.sent_at.to_be_bytes();
        [m0, m1, m2, m3, i0, i1, s0, s1, s2, s3, t0, t1, t2, t3, t4, t5, t6, t7]
    }

    /// The stamp at the start of a payload, if there is one.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<LEN>()?;
        let [m0, m1, m2, m3, i0, i1, s0, s1, s2, s3, t0, t1, t2, t3, t4, t5, t6, t7] = *bytes;
        (u32::from_be_bytes([m0, m1, m2, m3]) == MAGIC).then(|| Self {
            stream: u16::from_be_bytes([i0, i1]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            sent_at: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_knows_its_own() {
        let stamp = Stamp {
            stream: 0x1234,
            sequence: u32::MAX - 1,
            sent_at: 0x0102_0304_0506_0708,
        };
        let mut payload = stamp.to_bytes().to_vec();
        payload.push(0xff);
        assert_eq!(Stamp::from_payload(&payload), Some(stamp));
        assert_eq!(Stamp::from_payload(&payload[..LEN - 1]), None, "cut");
        payload[3] ^= 1;
        assert_eq!(Stamp::from_payload(&payload), None, "another magic");
    }
}
