//! What a route's place in the longest-prefix-match table holds.

use super::slots::NextHopSlot;

/// Largest source and largest preference of a route.
pub const MAX_SOURCE: u8 = 15;

/// The value of a route: its next hop, and for the writer who offers it and how much it is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteValue(u32);

impl RouteValue {
    /// Packs the parts. Source and preference are taken modulo 16.
    pub const fn new(next_hop: NextHopSlot, source: u8, preference: u8) -> Self {
        Self(next_hop.raw() | (preference as u32 & 0xf) << 28 | (source as u32 & 0xf) << 24)
    }

    /// From the number in the table.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// As the number in the table.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Where packets go.
    #[inline]
    pub const fn next_hop(self) -> NextHopSlot {
        NextHopSlot::from_raw(self.0 & NextHopSlot::MAX.raw())
    }

    /// Who offers it.
    pub const fn source(self) -> u8 {
        (self.0 >> 24 & 0xf) as u8
    }

    /// Smallest wins.
    pub const fn preference(self) -> u8 {
        (self.0 >> 28) as u8
    }

    /// Preferred over another offer of the same prefix: by preference, then by source.
    pub const fn better_than(self, other: Self) -> bool {
        self.0 >> 24 < other.0 >> 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_order_is_by_preference_then_source() {
        let next_hop = NextHopSlot::new(0x00ab_cdef).unwrap();
        let value = RouteValue::new(next_hop, 3, 9);
        assert_eq!((value.next_hop(), value.source(), value.preference()), (next_hop, 3, 9));
        assert!(RouteValue::new(next_hop, 9, 1).better_than(RouteValue::new(next_hop, 0, 2)));
        assert!(RouteValue::new(next_hop, 1, 1).better_than(RouteValue::new(next_hop, 2, 1)));
        assert!(!RouteValue::new(next_hop, 1, 1).better_than(RouteValue::new(next_hop, 1, 1)));
    }
}
