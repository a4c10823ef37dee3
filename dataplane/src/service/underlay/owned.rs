//! Addresses that are this node's alone, on all uplinks: the resolver answers for them, asks from them, and tells all stations of
//! new ones.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Action, Uplink, words};

const MILLISECOND: u64 = 1_000_000;

/// How often a new address is announced (ANNOUNCE_NUM of RFC 5227): one announcement may be lost.
const ANNOUNCEMENTS: u8 = 2;

/// Time between announcements of one address (ANNOUNCE_INTERVAL of RFC 5227); nanoseconds.
const ANNOUNCE_INTERVAL: u64 = 2000 * MILLISECOND;

/// Addresses announced at once: others wait for [`PAUSE`], so that no queue overflows when thousands come together.
const AT_ONCE: usize = 64;

/// Nanoseconds.
const PAUSE: u64 = 10 * MILLISECOND;

/// The addresses, and what is still to be said of them.
#[derive(Debug, Default)]
pub(super) struct Owned {
    addresses: BTreeSet<IpAddr>,
    /// Announcements by when they are due, with how many follow.
    due: BTreeSet<(u64, IpAddr, u8)>,
    /// No announcement before this time.
    not_before: u64,
}

impl Owned {
    /// Is the address one of them?
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    /// Adds some addresses, to be announced, and takes others away.
    pub(super) fn change(&mut self, added: &[IpAddr], removed: &[IpAddr], now: u64) {
        for address in removed {
            self.addresses.remove(address);
        }
        if !removed.is_empty() {
            self.due.retain(|(_, address, _)| self.addresses.contains(address));
        }
        for address in added {
            if self.addresses.insert(*address) {
                self.due.insert((now, *address, ANNOUNCEMENTS - 1));
            }
        }
    }

    /// When the next announcement is due; nanoseconds.
    pub(super) fn deadline(&self) -> Option<u64> {
        let (due, ..) = self.due.first()?;
        Some((*due).max(self.not_before))
    }

    /// The announcements due at `now`.
    pub(super) fn announce(&mut self, uplinks: &[Uplink], now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        if now < self.not_before {
            return actions;
        }
        for _ in 0..AT_ONCE {
            let next = self.due.first().copied().filter(|(due, ..)| *due <= now);
            let Some((_, address, more)) = next else {
                return actions;
            };
            self.due.pop_first();
            actions.extend(uplinks.iter().filter_map(|uplink| words::announcement(uplink, address)));
            if more > 0 {
                self.due.insert((now + ANNOUNCE_INTERVAL, address, more - 1));
            }
        }
        self.not_before = now + PAUSE;
        actions
    }

    /// The address that has most of its leading bits in common with `other`: the likeliest to be in the same subnet.
    pub(super) fn nearest(&self, other: IpAddr) -> Option<IpAddr> {
        let common = |own: &IpAddr| match (own, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => Some((own.to_bits() ^ other.to_bits()).leading_zeros()),
            (IpAddr::V6(own), IpAddr::V6(other)) => Some((own.to_bits() ^ other.to_bits()).leading_zeros()),
            _ => None,
        };
        // In the order of addresses, the nearest by prefix is next to it.
        let (before, after) = (
            self.addresses.range(..other).next_back(),
            self.addresses.range(other..).next(),
        );
        [before, after]
            .into_iter()
            .flatten()
            .filter_map(|own| Some((common(own)?, *own)))
            .max_by_key(|(bits, _)| *bits)
            .map(|(_, own)| own)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_by_prefix() {
        let mut owned = Owned::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(owned.nearest(ip("192.0.2.1")), None);
        let own = ["192.0.2.7", "198.51.100.7", "2001:db8:1::7", "2001:db8:2::7"].map(ip);
        owned.change(&own, &[], 0);
        assert_eq!(owned.nearest(ip("192.0.2.200")), Some(own[0]));
        assert_eq!(owned.nearest(ip("198.51.100.1")), Some(own[1]));
        assert_eq!(owned.nearest(ip("255.0.0.1")), Some(own[1]));
        assert_eq!(owned.nearest(ip("2001:db8:1:ffff::")), Some(own[2]));
        assert_eq!(owned.nearest(ip("2001:db8:2::1")), Some(own[3]));
        assert_eq!(owned.nearest(ip("::1")), Some(own[2]));
    }

    proptest! {
        #[test]
        fn no_other_has_more_in_common(own in proptest::collection::btree_set(any::<u32>(), 1..20), other: u32) {
            let mut owned = Owned::default();
            let own: Vec<IpAddr> = own.into_iter().map(|bits| IpAddr::V4(bits.into())).collect();
            owned.change(&own, &[], 0);
            let bits = |address: IpAddr| match address {
                IpAddr::V4(address) => (address.to_bits() ^ other).leading_zeros(),
                IpAddr::V6(_) => 0,
            };
            let nearest = owned.nearest(IpAddr::V4(other.into())).unwrap();
            prop_assert_eq!(bits(nearest), own.iter().map(|a| bits(*a)).max().unwrap());
        }
    }
}
