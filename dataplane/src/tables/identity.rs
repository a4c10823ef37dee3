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
        let found = match address {
            IpAddr::V4(address) => self.routes.lookup(vrf.identities4, address.to_bits()),
            IpAddr::V6(address) => self.routes.lookup(vrf.identities6, address.to_bits()),
        };
        let set = found.and_then(|place| self.group_sets.get(place as usize));
        set.map_or(&[], |groups| groups)
    }
}
