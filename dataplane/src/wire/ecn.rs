//! Explicit congestion notification through tunnels (RFC 6040).

use super::Ecn;
use Ecn::{Ce, Ect0, Ect1, NotEct};

/// The outer ECN field for an inner one at the tunnel's entry, normal mode (RFC 6040 section 4.1, figure 3): a copy.
#[inline]
pub const fn encapsulate(inner: Ecn) -> Ecn {
    inner
}

/// The outer TOS byte for an inner one, uniform model: DSCP (RFC 2983) and ECN are copied.
#[inline]
pub const fn encapsulate_tos(inner: u8) -> u8 {
    inner
}

/// What leaves the tunnel, by inner (row) and outer (column) field as numbers; none is a drop. RFC 6040 section 4.2, figure 4,
/// with its rows and columns put in the order of the code points (not-ECT, ECT(1), ECT(0), CE).
const DECAPSULATE: [[Option<Ecn>; 4]; 4] = [
    [Some(NotEct), Some(NotEct), Some(NotEct), None],
    [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)],
    [Some(Ect0), Some(Ect1), Some(Ect0), Some(Ce)],
    [Some(Ce), Some(Ce), Some(Ce), Some(Ce)],
];

/// The ECN field of what leaves a tunnel. None: the packet saw congestion but its transport could not be told, so it must be
/// dropped.
#[inline]
pub const fn decapsulate(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    DECAPSULATE[inner as usize][outer as usize]
}

/// The TOS byte / traffic class of what leaves a tunnel: the inner DSCP (RFC 2983, pipe model) and the combined ECN. None: drop.
#[inline]
pub const fn decapsulate_tos(inner: u8, outer: u8) -> Option<u8> {
    match decapsulate(Ecn::from_tos(inner), Ecn::from_tos(outer)) {
        Some(ecn) => Some(inner & !3 | ecn as u8),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figure 4 as printed: inner, then the results for outer Not-ECT, ECT(0), ECT(1), CE.
    const FIGURE_4: [(Ecn, [Option<Ecn>; 4]); 4] = [
        (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
        (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
        (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
        (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
    ];

    #[test]
    fn the_table_is_that_of_rfc_6040() {
        for (inner, row) in FIGURE_4 {
            for (outer, result) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
                assert_eq!(decapsulate(inner, outer), result, "inner {inner}, outer {outer}");
            }
        }
    }

    #[test]
    fn an_untouched_tunnel_changes_nothing() {
        for tos in 0..=255u8 {
            assert_eq!(decapsulate_tos(tos, encapsulate_tos(tos)), Some(tos));
            assert_eq!(encapsulate(Ecn::from_tos(tos)), Ecn::from_tos(encapsulate_tos(tos)));
        }
        assert_eq!(decapsulate_tos(0xb8, 3), None);
        assert_eq!(decapsulate_tos(0xb9, 0xff), Some(0xbb), "the inner DSCP stays");
    }
}
