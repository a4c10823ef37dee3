//! The checksum against RFC examples, a naive reading of RFC 1071 and full recomputation.

use super::*;
use proptest::prelude::*;

/// RFC 1071 as written: 16-bit words in network order, end-around carry.
fn naive(data: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[test]
fn rfc_1071_section_3_example() {
    let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::of(&data).fold(), 0xddf2);
    assert_eq!(Sum::of(&data).checksum(), 0x220d);
}

#[test]
fn rfc_1624_section_4_example() {
    // The case on which equation 2 fails: HC = 0xDD2F, m = 0x5555, m' = 0x3285 gives 0x0000, not 0xFFFF.
    assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn a_known_header() {
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8,
        0x00, 0xc7,
    ];
    assert!(ipv4_header_ok(&header));
    let mut bad = header;
    bad[8] -= 1;
    assert!(!ipv4_header_ok(&bad));
}

#[test]
fn the_sum_does_not_overflow_on_the_longest_frame() {
    assert_eq!(Sum::of(&[0xff; 65_535]).fold(), naive(&[0xff; 65_535]));
    assert_eq!(Sum(u64::MAX).fold_ne(), 0xffff);
}

#[test]
fn udp_zero() {
    // Payload chosen so that the complement is zero: it must be sent as all ones.
    let mut l4 = [0u8; 10];
    l4[8..].copy_from_slice(&[0xff, 0xff]);
    fill_l4(&mut l4, proto::UDP, Sum::ZERO);
    assert_eq!(l4[6..8], [0xff, 0xff]);
    assert_eq!(Delta::NONE.u16(1, 2).apply_udp(0), 0);
    assert_eq!(Delta::NONE.u16(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
    assert!(verify_l4(&[0; 8], proto::UDP, Sum::ZERO.add_u16(7)));
    assert!(!verify_l4(&[0; 7], proto::UDP, Sum::ZERO));
}

proptest! {
    #[test]
    fn agrees_with_the_naive_sum(data in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(Sum::of(&data).fold(), naive(&data));
    }

    /// From any alignment to any other; what is around it stays.
    #[test]
    fn copying_and_summing_is_copying_and_summing(
        data in proptest::collection::vec(any::<u8>(), 0..3000), from in 0usize..40, to in 0usize..40, before: u16,
    ) {
        let data = data.get(from..).unwrap_or_default();
        let start = Sum::ZERO.add_u16(before);
        let mut copy = vec![0xaa; to + data.len() + 5];
        let sum = start.add_copied(data, &mut copy[to..to + data.len()]);
        prop_assert_eq!(sum.fold(), start.add_bytes(data).fold());
        prop_assert_eq!(&copy[to..to + data.len()], data);
        prop_assert!(copy[..to].iter().chain(&copy[to + data.len()..]).all(|b| *b == 0xaa));
        // Of unequal lengths, the shorter counts.
        let half = data.len() / 2;
        prop_assert_eq!(Sum::ZERO.add_copied(data, &mut copy[..half]).fold(), naive(&data[..half]));
        prop_assert_eq!(Sum::ZERO.add_copied(&data[..half], &mut copy).fold(), naive(&data[..half]));
    }

    #[test]
    fn splitting_at_an_even_offset_changes_nothing(data in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100) {
        let (a, b) = data.split_at((at * 2).min(data.len() & !1));
        prop_assert_eq!(Sum::of(a).add_bytes(b).fold(), Sum::of(&data).fold());
        prop_assert_eq!(Sum::of(a).add_sum(Sum::of(b)).fold(), Sum::of(&data).fold());
    }

    #[test]
    fn incremental_is_full(
        mut data in proptest::collection::vec(any::<u8>(), 44..200),
        new16: u16, new32: u32, new128: u128,
    ) {
        // Checksum field at 0, a 16-bit field at 4, a 32-bit one at 8, a 128-bit one at 16. Constant 0x45 keeps the data
        // from being all zeros, where ones' complement has two zeros.
        data[2] = 0x45;
        data[..2].fill(0);
        let check = Sum::of(&data).checksum();
        let old16 = u16::from_be_bytes(data[4..6].try_into().unwrap());
        let old32 = u32::from_be_bytes(data[8..12].try_into().unwrap());
        let old128 = u128::from_be_bytes(data[16..32].try_into().unwrap());
        data[4..6].copy_from_slice(&new16.to_be_bytes());
        data[8..12].copy_from_slice(&new32.to_be_bytes());
        data[16..32].copy_from_slice(&new128.to_be_bytes());
        let full = Sum::of(&data).checksum();
        prop_assert_eq!(Delta::NONE.u16(old16, new16).u32(old32, new32).u128(old128, new128).apply(check), full);
        let steps = update_u128(update_u32(update_u16(check, old16, new16), old32, new32), old128, new128);
        prop_assert_eq!(steps, full);
    }

    #[test]
    fn partial_then_complete_is_full(
        mut l4 in proptest::collection::vec(any::<u8>(), 20..300), src: u128, dst: u128, new: u128, tcp: bool,
    ) {
        let proto = if tcp { proto::TCP } else { proto::UDP };
        let at = field_offset(proto).unwrap();
        let len = l4.len() as u32;
        let pseudo = pseudo_v6(src.into(), dst.into(), proto, len);
        fill_l4(&mut l4, proto, pseudo);
        prop_assert!(verify_l4(&l4, proto, pseudo));
        let full = l4.clone();

        put_u16(&mut l4, at, pseudo.fold());
        prop_assert!(is_partial(&l4, proto, pseudo));
        // An address rewritten while partial, and back.
        let there = Delta::NONE.u128(dst, new).apply_partial(get_u16(&l4, at));
        prop_assert_eq!(there, pseudo_v6(src.into(), new.into(), proto, len).fold());
        put_u16(&mut l4, at, there);
        put_u16(&mut l4, at, Delta::NONE.u128(new, dst).apply_partial(there));
        complete_l4(&mut l4, proto);
        prop_assert_eq!(&l4, &full);
    }

    #[test]
    fn completing_what_only_looks_partial_changes_nothing(mut l4 in proptest::collection::vec(any::<u8>(), 20..100)) {
        // Choose the pseudo sum such that the complete checksum equals it: p = ~(p + d) means p + p = ~d.
        let at = field_offset(proto::TCP).unwrap();
        put_u16(&mut l4, at, 0);
        let data = Sum::of(&l4).fold();
        for pseudo in 1..=0xffffu16 {
            let sum = Sum::ZERO.add_u16(pseudo);
            if sum.add_u16(data).checksum() == pseudo {
                put_u16(&mut l4, at, pseudo);
                prop_assert!(verify_l4(&l4, proto::TCP, sum) && is_partial(&l4, proto::TCP, sum));
                let before = l4.clone();
                complete_l4(&mut l4, proto::TCP);
                prop_assert_eq!(l4, before);
                break;
            }
        }
    }

    #[test]
    fn pseudo_v4_is_its_bytes(src: [u8; 4], dst: [u8; 4], proto: u8, len: u16) {
        let mut bytes = [0u8; 12];
        bytes[..4].copy_from_slice(&src);
        bytes[4..8].copy_from_slice(&dst);
        bytes[9] = proto;
        bytes[10..].copy_from_slice(&len.to_be_bytes());
        prop_assert_eq!(pseudo_v4(src.into(), dst.into(), proto, len.into()).fold(), Sum::of(&bytes).fold());
    }
}
