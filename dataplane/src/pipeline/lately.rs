//! What the tables said lately to one worker: where addresses are routed, whose they are, and what policies say. Most new flows have ends that
//! others had just before.
//!
//! An answer holds for one publication of the tables, and carries its number: those of earlier ones are passed over, not cleared away.

use std::net::IpAddr;

use super::rulings::Rulings;
use crate::tables::{
    Tables,
    forwarding::Vrf,
    slots::{NextHopSlot, VrfSlot},
};

/// Addresses that are remembered: a power of two.
const PLACES: usize = 1024;

/// "Nothing" in place of an answer.
const NOTHING: u32 = u32::MAX;

/// What the tables said lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    /// What policies said.
    pub rulings: Rulings,
    routes: Addresses,
    identities: Addresses,
}

impl Lately {
    /// As [`Tables::route`], in the VRF at a slot.
    #[inline]
    pub(super) fn route(&mut self, tables: &Tables, vrf: VrfSlot, address: IpAddr) -> Option<NextHopSlot> {
        let ask = |vrf: &Vrf| tables.route(vrf, address).map(NextHopSlot::raw);
        let slot = self.routes.ask(tables, vrf, address, ask)?;
        Some(NextHopSlot::from_raw(slot))
    }

    /// As [`Tables::groups`], in the VRF at a slot.
    #[inline]
    pub(super) fn groups<'a>(&mut self, tables: &'a Tables, vrf: VrfSlot, address: IpAddr) -> &'a [u32] {
        let ask = |vrf: &Vrf| tables.identity(vrf, address);
        let place = self.identities.ask(tables, vrf, address, ask);
        place.map_or(&[], |place| tables.group_set(place))
    }
}

/// An answer about an address.
#[derive(Clone, Copy, Debug)]
struct Known {
    address: [u64; 2],
    /// Publication, VRF and family; none is zero.
    of: u64,
    answer: u32,
}

/// Answers about addresses.
#[derive(Debug)]
struct Addresses(Box<[Known]>);

impl Default for Addresses {
    fn default() -> Self {
        let none = Known {
            address: [0; 2],
            of: 0,
            answer: NOTHING,
        };
        Self(vec![none; PLACES].into())
    }
}

impl Addresses {
    /// What `answer` gives, or gave lately, for an address in the VRF at a slot; nothing if there is no such VRF.
    #[inline]
    fn ask(
        &mut self,
        tables: &Tables,
        vrf: VrfSlot,
        address: IpAddr,
        answer: impl FnOnce(&Vrf) -> Option<u32>,
    ) -> Option<u32> {
        // What was never published may change under our hands.
        if tables.publication == 0 {
            return answer(tables.vrf(vrf)?);
        }
        let (address, family) = match address {
            IpAddr::V4(address) => ([u64::from(address.to_bits()), 0], 0),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                ([bits as u64, (bits >> 64) as u64], 1)
            }
        };
        let of = tables.publication << 17 | family << 16 | u64::from(vrf.raw());
        let mixed =
            (address[0] ^ address[1].rotate_left(32) ^ u64::from(vrf.raw()) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (mixed >> 48) as usize % PLACES;
        let known = self.0.get_mut(place)?;
        if known.of != of || known.address != address {
            let answer = answer(tables.vrf(vrf)?).unwrap_or(NOTHING);
            *known = Known { address, of, answer };
        }
        (known.answer != NOTHING).then_some(known.answer)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        sync::Arc,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::tables::{
        lpm::{LpmWriter, Prefix, Root, Root4, Root6},
        route::RouteValue,
    };

    /// Tables of two VRFs, in which the same addresses lead elsewhere, and elsewhere again in the next publication.
    fn tables(publication: u64) -> (LpmWriter, Tables) {
        let mut writer = LpmWriter::new(1 << 20).unwrap();
        let mut tables = Tables::new(writer.arena().clone());
        tables.publication = publication;
        for place in 0..4 {
            tables
                .group_sets
                .set(place, Arc::from([publication as u32, place as u32]));
        }
        for slot in 0..2_u32 {
            let (mut v4, mut identities4): (Root4, Root4) = (Root::EMPTY, Root::EMPTY);
            let (mut v6, mut identities6): (Root6, Root6) = (Root::EMPTY, Root::EMPTY);
            for n in 0..3_u32 {
                let route = RouteValue::new(NextHopSlot::from_raw(publication as u32 * 100 + slot * 10 + n), 1, 1);
                let four = Prefix::new(n << 24, 8).unwrap();
                let six = Prefix::new(u128::from(n) << 120, 8).unwrap();
                writer.insert(&mut v4, four, route.raw()).unwrap();
                writer.insert(&mut v6, six, route.raw() + 50).unwrap();
                // The last names a list that is not there.
                writer.insert(&mut identities4, four, (n + slot) * 2).unwrap();
                writer.insert(&mut identities6, six, n + slot).unwrap();
            }
            tables.vrfs.set(
                slot as usize,
                Vrf {
                    id: slot,
                    name: "v".into(),
                    epoch: 1,
                    v4,
                    v6,
                    identities4,
                    identities6,
                    gateway4: None,
                    gateway6: None,
                },
            );
        }
        (writer, tables)
    }

    proptest! {
        /// Whatever was asked before, of whatever tables.
        #[test]
        fn answers_are_the_tables_own(
            asked in proptest::collection::vec((0..3_usize, 0..3_u16, any::<bool>(), 0..5_u8, 0..40_u16), 1..300),
        ) {
            // What was not published, and two publications.
            let all = [0, 1, 2].map(tables);
            let mut lately = Lately::default();
            for (which, slot, six, high, low) in asked {
                let tables = &all[which].1;
                let slot = VrfSlot::from_raw(slot);
                let address = match six {
                    false => Ipv4Addr::from_bits(u32::from(high) << 24 | u32::from(low)).into(),
                    true => Ipv6Addr::from_bits(u128::from(high) << 120 | u128::from(low)).into(),
                };
                let vrf = tables.vrf(slot);
                prop_assert_eq!(lately.route(tables, slot, address), vrf.and_then(|vrf| tables.route(vrf, address)));
                let groups = vrf.map_or(&[][..], |vrf| tables.groups(vrf, address));
                prop_assert_eq!(lately.groups(tables, slot, address), groups);
            }
        }
    }
}
