//! The flow key: what makes two packets belong to one flow, and the one hash computed from it.
//!
//! The hash is computed once per packet and serves every later choice: bucket and tag in the flow table, ECMP member,
//! tunnel source port. No parsing here (that is `wire` and the parse stage) and no table.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::Plain;

/// The number of 64-bit words of a [`FlowKey`].
pub const KEY_WORDS: usize = 6;

/// Odd constants with no structure, so that a word of zeros (most of an IPv4 key) still meets a full multiplier.
const MIX: [u64; 6] = [
    0x9e6c_63d0_7629_3ac5,
    0xc13f_a9a9_02a6_328f,
    0x91e1_0da5_c79e_7b1d,
    0xd134_2543_de82_ef95,
    0xaf25_1af3_b0f0_25b5,
    0xb564_ef22_ec7a_ece5,
];

/// A flow key: context (the VRF), addresses, protocol and ports of one direction of a flow. 48 bytes, no hidden padding.
///
/// Laid out as source address (16 bytes), destination (16), context (4), ports (2 each), protocol, family, six zero bytes.
/// An IPv4 address stands in the first four bytes of its field, the other twelve being zero; the family keeps
/// the two apart. Protocols without ports carry what their flows are told apart by (the ICMP identifier) or zero.
///
/// Held as words, because it is made, hashed and compared within nanoseconds: fields written narrow and read back wide
/// would wait for the processor's store buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(C, align(16))]
pub struct FlowKey {
    words: [u64; KEY_WORDS],
}

const _: () = assert!(size_of::<FlowKey>() == 48 && align_of::<FlowKey>() == 16);

impl FlowKey {
    /// Of no packet.
    pub const NONE: Self = Self { words: [0; KEY_WORDS] };

    /// The key of an IPv4 packet. `context` is the VRF slot (other bits are the caller's); ports in host order.
    #[inline]
    #[must_use]
    pub fn v4(context: u32, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, src_port: u16, dst_port: u16) -> Self {
        let word = |address: Ipv4Addr| u64::from(u32::from_le_bytes(address.octets()));
        Self {
            words: [
                word(src),
                0,
                word(dst),
                0,
                context_and_ports(context, src_port, dst_port),
                u64::from(protocol) | 4 << 8,
            ],
        }
    }

    /// The key of an IPv6 packet; see [`FlowKey::v4`].
    #[inline]
    #[must_use]
    pub fn v6(context: u32, src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, src_port: u16, dst_port: u16) -> Self {
        let (src, dst) = (u128::from_le_bytes(src.octets()), u128::from_le_bytes(dst.octets()));
        Self {
            words: [
                src as u64,
                (src >> 64) as u64,
                dst as u64,
                (dst >> 64) as u64,
                context_and_ports(context, src_port, dst_port),
                u64::from(protocol) | 6 << 8,
            ],
        }
    }

    /// The key of a packet by words as they stand in it, as [`Plain`] has them.
    #[inline(always)]
    #[must_use]
    pub fn plain(context: u32, packet: &Plain) -> Self {
        let ([s0, s1], [d0, d1]) = (packet.source, packet.destination);
        let family = if packet.v6 { 6 << 8 } else { 4 << 8 };
        Self {
            words: [
                s0,
                s1,
                d0,
                d1,
                u64::from(context) | u64::from(packet.ports) << 32,
                u64::from(packet.proto) | family,
            ],
        }
    }

    /// The key between two addresses, if they are of one family.
    #[inline]
    #[must_use]
    pub fn between(
        context: u32,
        src: IpAddr,
        dst: IpAddr,
        protocol: u8,
        (src_port, dst_port): (u16, u16),
    ) -> Option<Self> {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Some(Self::v4(context, src, dst, protocol, src_port, dst_port)),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Some(Self::v6(context, src, dst, protocol, src_port, dst_port)),
            _ => None,
        }
    }

    /// The key of the answers: addresses and ports change places, context and protocol stay.
    #[inline]
    #[must_use]
    pub fn reversed(&self) -> Self {
        let [s0, s1, d0, d1, _, last] = self.words;
        let ports = context_and_ports(self.context(), self.dst_port(), self.src_port());
        Self {
            words: [d0, d1, s0, s1, ports, last],
        }
    }

    /// The same key in another context (a flow that leaves one VRF for another).
    #[inline]
    #[must_use]
    pub fn with_context(&self, context: u32) -> Self {
        let mut key = *self;
        key.words[4] = context_and_ports(context, self.src_port(), self.dst_port());
        key
    }

    /// The addresses, protocol and ports are the same, whatever the contexts.
    #[inline]
    #[must_use]
    pub fn same_tuple(&self, other: &Self) -> bool {
        let differ = |word: usize| self.words[word] ^ other.words[word];
        // The context is the lower half of its word.
        differ(0) | differ(1) | differ(2) | differ(3) | differ(4) >> 32 | differ(5) == 0
    }

    /// The same context and addresses with another protocol and ports.
    #[inline]
    #[must_use]
    pub fn with_transport(&self, protocol: u8, src_port: u16, dst_port: u16) -> Self {
        let mut key = *self;
        key.words[4] = context_and_ports(self.context(), src_port, dst_port);
        key.words[5] = key.words[5] & !0xff | u64::from(protocol);
        key
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> IpAddr {
        self.address(self.words[0], self.words[1])
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> IpAddr {
        self.address(self.words[2], self.words[3])
    }

    /// The context: the VRF slot in the low bits.
    #[inline]
    #[must_use]
    pub fn context(&self) -> u32 {
        self.words[4] as u32
    }

    /// Source port, host order; zero or the protocol's own identifier where there are no ports.
    #[inline]
    #[must_use]
    pub fn src_port(&self) -> u16 {
        (self.words[4] >> 32) as u16
    }

    /// Destination port; see [`FlowKey::src_port`].
    #[inline]
    #[must_use]
    pub fn dst_port(&self) -> u16 {
        (self.words[4] >> 48) as u16
    }

    /// IP protocol number (IANA's registry).
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.words[5] as u8
    }

    /// 4 or 6; 0 in a default (empty) key.
    #[inline]
    #[must_use]
    pub fn family(&self) -> u8 {
        (self.words[5] >> 8) as u8
    }

    /// The key as six words, in a form that lives only inside this machine (not a wire order).
    #[inline(always)]
    #[must_use]
    pub fn words(&self) -> [u64; KEY_WORDS] {
        self.words
    }

    /// The words where they are.
    #[inline(always)]
    #[must_use]
    pub fn as_words(&self) -> &[u64; KEY_WORDS] {
        &self.words
    }

    /// The same key. (Compared word by word, as one is made: what was just written narrow cannot be read wide at once.)
    #[inline(always)]
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.words, &other.words);
        let differ = |at: usize| mine[at] ^ theirs[at];
        let differs = differ(0) | differ(2) | differ(4) | differ(5);
        // The upper words of IPv4 addresses are zeros, and the family is the same if the last word is.
        if self.family() == 4 {
            differs == 0
        } else {
            differs | differ(1) | differ(3) == 0
        }
    }

    /// The key that [`FlowKey::words`] came from. Bits that no key has are ignored.
    #[inline]
    #[must_use]
    pub fn from_words(mut words: [u64; KEY_WORDS]) -> Self {
        words[5] &= 0xffff;
        Self { words }
    }

    /// A seeded hash, well mixed in all 64 bits. The two directions of a flow hash apart; the seed, chosen at start, keeps
    /// senders from aiming many flows at one bucket.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: u64) -> u64 {
        hash_words(&self.words, seed)
    }

    fn address(&self, low: u64, high: u64) -> IpAddr {
        if self.family() == 6 {
            IpAddr::from((u128::from(low) | u128::from(high) << 64).to_le_bytes())
        } else {
            IpAddr::from((low as u32).to_le_bytes())
        }
    }
}

#[inline]
fn context_and_ports(context: u32, src_port: u16, dst_port: u16) -> u64 {
    u64::from(context) | u64::from(src_port) << 32 | u64::from(dst_port) << 48
}

/// [`FlowKey::hash`] of a key already taken apart by [`FlowKey::words`].
#[inline(always)]
#[must_use]
pub fn hash_words(w: &[u64; KEY_WORDS], seed: u64) -> u64 {
    // Every multiplication has the seed in both factors: a sender who knows this file still cannot make a factor zero.
    let (a, b) = (seed, seed.rotate_left(29) ^ MIX[5]);
    if w[5] >> 8 == 4 {
        // Both addresses are one word, and all that may differ is in two and a byte.
        let ends = fold(w[0] ^ w[2] << 32 ^ a ^ MIX[0], w[4] ^ b ^ MIX[1]);
        return fold(ends ^ w[5] ^ a ^ MIX[2], ends.rotate_left(32) ^ b ^ MIX[3]);
    }
    let src = fold(w[0] ^ a ^ MIX[0], w[1] ^ b ^ MIX[1]);
    let dst = fold(w[2] ^ b ^ MIX[2], w[3] ^ a ^ MIX[3]);
    let rest = fold(w[4] ^ a ^ MIX[4], w[5] ^ b ^ MIX[0]);
    let ends = fold(src ^ a, dst.rotate_left(23) ^ b);
    fold(ends ^ rest ^ MIX[1], rest.rotate_left(41) ^ a ^ MIX[2]) ^ ends
}

/// The source port of a tunnel's outer header: 49152..=65535 (RFC 6335's dynamic range, as RFC 7348 and RFC 7510 ask), the
/// same for every packet of a flow.
#[inline]
#[must_use]
pub fn entropy_port(hash: u64) -> u16 {
    // Bits in the middle: the ends of the hash already chose bucket and tag here and perhaps in the next router.
    49152 | (hash >> 24) as u16 & 0x3fff
}

/// The 128-bit product folded to 64 bits: the mixing step.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (src, dst) = (self.src(), self.dst());
        let (context, protocol, sp, dp) = (self.context(), self.protocol(), self.src_port(), self.dst_port());
        if self.family() == 6 {
            write!(f, "vrf {context} proto {protocol} [{src}]:{sp} > [{dst}]:{dp}")
        } else {
            write!(f, "vrf {context} proto {protocol} {src}:{sp} > {dst}:{dp}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = FlowKey> {
        (
            any::<bool>(),
            any::<[u8; 16]>(),
            any::<[u8; 16]>(),
            any::<u32>(),
            any::<(u16, u16)>(),
            any::<u8>(),
        )
            .prop_map(|(six, s, d, context, (sp, dp), protocol)| {
                if six {
                    FlowKey::v6(context, s.into(), d.into(), protocol, sp, dp)
                } else {
                    let four = |b: [u8; 16]| Ipv4Addr::new(b[0], b[1], b[2], b[3]);
                    FlowKey::v4(context, four(s), four(d), protocol, sp, dp)
                }
            })
    }

    proptest! {
        #[test]
        fn words_carry_the_whole_key(key in any_key()) {
            prop_assert_eq!(FlowKey::from_words(key.words()), key);
        }

        #[test]
        fn reversing_twice_changes_nothing(key in any_key()) {
            prop_assert_eq!(key.reversed().reversed(), key);
            prop_assert_eq!(key.reversed().src(), key.dst());
            prop_assert_eq!(key.reversed().src_port(), key.dst_port());
            prop_assert_eq!(key.reversed().context(), key.context());
        }

        #[test]
        fn entropy_ports_are_dynamic_ports(hash in any::<u64>()) {
            prop_assert!(entropy_port(hash) >= 49152);
        }
    }

    #[test]
    fn families_do_not_meet() {
        let four = FlowKey::v4(0, Ipv4Addr::new(1, 2, 3, 4), Ipv4Addr::new(5, 6, 7, 8), 6, 1, 2);
        let six = FlowKey::v6(
            0,
            Ipv6Addr::from([1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Ipv6Addr::from([5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            6,
            1,
            2,
        );
        assert_ne!(four, six);
        assert_ne!(four.words(), six.words());
        assert_ne!(four.hash(7), six.hash(7));
        assert_eq!(format!("{four:?}"), "vrf 0 proto 6 1.2.3.4:1 > 5.6.7.8:2");
    }

    /// Each input bit must flip each output bit about half of the time, over keys that are as dull as real ones.
    #[test]
    fn every_bit_of_a_dull_key_reaches_every_bit_of_the_hash() {
        const KEYS: u32 = 512;
        let used: Vec<usize> = (0..384)
            .filter(|bit| matches!(bit / 64, 0 | 2 | 4) && (bit / 64 == 4 || bit % 64 < 32) || (320..328).contains(bit))
            .collect();
        for seed in [0, 1, 0xdead_beef_0123_4567] {
            for &bit in &used {
                let mut flips = [0u32; 64];
                for i in 0..KEYS {
                    let dst = Ipv4Addr::from(0x0a01_0000 + (i >> 4));
                    let words = FlowKey::v4(1, Ipv4Addr::new(10, 0, 0, 1), dst, 17, 1000 + i as u16, 53).words();
                    let mut other = words;
                    other[bit / 64] ^= 1 << (bit % 64);
                    let delta = hash_words(&words, seed) ^ hash_words(&other, seed);
                    for (out, count) in flips.iter_mut().enumerate() {
                        *count += (delta >> out & 1) as u32;
                    }
                }
                for (out, count) in flips.iter().enumerate() {
                    // Mean 256, standard deviation 11: eight of them on either side.
                    assert!(
                        (166..=346).contains(count),
                        "seed {seed:#x} bit {bit} -> {out}: {count} of {KEYS}"
                    );
                }
            }
        }
    }

    #[test]
    fn neighbouring_flows_spread_evenly_over_low_and_high_bits() {
        let mut low = vec![0u32; 4096];
        let mut high = vec![0u32; 4096];
        let mut ports = vec![0u32; 1 << 14];
        let mut seen = std::collections::HashSet::new();
        for host in 0..256u32 {
            for port in 0..1024u16 {
                let key = FlowKey::v4(
                    3,
                    Ipv4Addr::from(0x0a00_0000 + host),
                    Ipv4Addr::new(10, 9, 9, 9),
                    6,
                    port,
                    443,
                );
                for hash in [key.hash(42), key.reversed().hash(42)] {
                    low[(hash & 4095) as usize] += 1;
                    high[(hash >> 52) as usize] += 1;
                    ports[usize::from(entropy_port(hash) - 49152)] += 1;
                    assert!(seen.insert(hash), "two of half a million keys share 64 bits");
                }
            }
        }
        // Mean 128, standard deviation 11.3 (ports: 32 and 5.7).
        for count in low.iter().chain(&high) {
            assert!((60..=200).contains(count), "{count}");
        }
        assert!(ports.iter().all(|n| (3..=80).contains(n)));
    }
}
