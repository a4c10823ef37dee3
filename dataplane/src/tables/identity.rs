//! Whom addresses belong to: the groups of the longest prefix that contains an address.
//!
//! Identities are in the same arena as routes, under roots of their own; a value there is the place of a list of groups in
//! [`Tables::group_sets`], which equal lists share. So a group of ten thousand addresses costs a policy no more than one of one, and an
//! address that changes its groups changes one value.

use std::net::IpAddr;

use super::{Tables, forwarding::Vrf};

impl Tables {
    /// The groups of an address in a VRF, ascending. None for addresses without identity.
    #[inline]
    pub fn groups(&self, vrf: &Vrf, address: IpAddr) -> &[u32] {
        self.identity(vrf, address).map_or(&[], |place| self.group_set(place))
    }

    /// The identity of an address: the place of its [list of groups](Self::group_set).
    #[inline]
    pub fn identity(&self, vrf: &Vrf, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => self.routes.lookup(vrf.identities4, address.to_bits()),
            IpAddr::V6(address) => self.routes.lookup(vrf.identities6, address.to_bits()),
        }
    }

    /// The groups of an identity, ascending.
    #[inline]
    pub fn group_set(&self, place: u32) -> &[u32] {
        self.group_sets.get(place as usize).map_or(&[], |groups| groups)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::lpm::{LpmWriter, Prefix, Root, Root4, Root6},
        *,
    };

    #[test]
    fn an_address_has_the_groups_of_its_longest_prefix() {
        let mut writer = LpmWriter::new(1 << 20).unwrap();
        let mut tables = Tables::new(writer.arena().clone());
        for (place, groups) in [&[1, 2][..], &[2, 7, 9], &[]].iter().enumerate() {
            tables.group_sets.set(place, Arc::from(*groups));
        }
        let (mut identities4, mut identities6): (Root4, Root6) = (Root::EMPTY, Root::EMPTY);
        let four = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
        let six = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
        for (prefix, length, place) in [
            ("10.0.0.0", 8, 0),
            ("10.1.2.3", 32, 1),
            ("10.1.2.4", 32, 2),
            ("10.9.0.0", 16, 9),
        ] {
            let prefix = Prefix::new(four(prefix), length).unwrap();
            writer.insert(&mut identities4, prefix, place).unwrap();
        }
        for (prefix, length, place) in [("fd00::", 16, 0), ("fd00::7", 128, 1)] {
            let prefix = Prefix::new(six(prefix), length).unwrap();
            writer.insert(&mut identities6, prefix, place).unwrap();
        }
        let vrf = Vrf {
            id: 1,
            name: "v".into(),
            epoch: 1,
            v4: Root::EMPTY,
            v6: Root::EMPTY,
            identities4,
            identities6,
            gateway4: None,
            gateway6: None,
        };
        let groups = |address: &str| tables.groups(&vrf, address.parse().unwrap());
        assert_eq!(groups("10.200.0.1"), [1, 2]);
        assert_eq!(groups("10.1.2.3"), [2, 7, 9]);
        assert!(groups("10.1.2.4").is_empty(), "an identity without groups");
        assert!(groups("11.0.0.1").is_empty(), "no identity");
        assert!(groups("10.9.0.1").is_empty(), "a place without a list");
        assert_eq!(groups("fd00::8"), [1, 2]);
        assert_eq!(groups("fd00::7"), [2, 7, 9]);
        assert!(groups("::ffff:10.1.2.3").is_empty(), "families are apart");
    }
}
