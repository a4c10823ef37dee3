//! Addresses in the underlay that are this node's: those of services and source translations that belong to the underlay's VRF.
//!
//! Every use of an address is counted, in whatever VRF it is, so that each change costs no more than what it changes, and so that it
//! does not matter which of several uses goes last.

use std::net::IpAddr;

use super::{
    effects::Effects,
    problem::Refusal,
    state::{Map, State},
};
use crate::tables::{Tables, slots::VrfSlot};

/// Most addresses that a node may own, IPv4 and IPv6 together. The steering programs' tables hold twice as many of each, because
/// old and new ones are there together for a moment.
pub(super) const MAX_OWNED: usize = 1 << 16;

/// How often each address is used, by the VRF it is in.
pub(super) type Owners = Map<(VrfSlot, IpAddr), u32>;

/// Counts one more use of an address in a VRF: by a service of the VRF, or by a source translation to it.
///
/// # Errors
/// When the address would be owned and is one that the host must keep, or no host's at all. Nothing is counted then.
pub(super) fn add(
    state: &mut State,
    effects: &mut Effects,
    field: &'static str,
    vrf: VrfSlot,
    address: IpAddr,
) -> Result<(), Refusal> {
    if state.tables.underlay == Some(vrf) {
        check(&state.tables, field, address)?;
        state.tables.owned.insert(address, ());
        effects.owned.insert(address);
    }
    *state.owners.entry((vrf, address)).or_insert(0) += 1;
    Ok(())
}

/// Takes back one [`add`]. The last one ends the ownership.
pub(super) fn remove(state: &mut State, effects: &mut Effects, vrf: VrfSlot, address: IpAddr) {
    let Some(uses) = state.owners.get_mut(&(vrf, address)) else {
        return;
    };
    *uses = uses.saturating_sub(1);
    if *uses > 0 {
        return;
    }
    state.owners.remove(&(vrf, address));
    if state.tables.underlay == Some(vrf) {
        state.tables.owned.remove(&address);
        effects.owned.insert(address);
    }
}

/// Makes another VRF, or none, that of the underlay: what is used in it is owned from now on, and nothing else.
///
/// # Errors
/// As [`add`], for an address that is used in the VRF already. The state is not to be used then.
pub(super) fn set_underlay(state: &mut State, effects: &mut Effects, vrf: Option<VrfSlot>) -> Result<(), Refusal> {
    if state.tables.underlay == vrf {
        return Ok(());
    }
    effects.owned.extend(state.tables.owned.keys().copied());
    state.tables.underlay = vrf;
    state.tables.owned = Map::default();
    let used: Vec<IpAddr> = state
        .owners
        .keys()
        .filter(|(of, _)| Some(*of) == vrf)
        .map(|(_, address)| *address)
        .collect();
    for address in used {
        check(&state.tables, "vrf.underlay", address)?;
        state.tables.owned.insert(address, ());
        effects.owned.insert(address);
    }
    Ok(())
}

/// What a batch makes of ownership.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Addresses that are new.
    pub(super) added: Vec<IpAddr>,
    /// Addresses that are gone.
    pub(super) removed: Vec<IpAddr>,
}

/// What a batch makes of ownership.
///
/// # Errors
/// When there are more than fit.
pub(super) fn change(before: &Tables, after: &Tables, effects: &Effects) -> Result<Change, Refusal> {
    if after.owned.len() > MAX_OWNED {
        let message = format!(
            "{} addresses in the underlay would be this node's own; it can hold {MAX_OWNED}",
            after.owned.len()
        );
        return Err(Refusal::exhausted("address", message));
    }
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for address in &effects.owned {
        match (before.owned.contains_key(address), after.owned.contains_key(address)) {
            (false, true) => added.push(*address),
            (true, false) => removed.push(*address),
            _ => {}
        }
    }
    Ok(Change { added, removed })
}

/// All that is sent to an owned address is taken from the host, so it must not be one that the host needs.
fn check(tables: &Tables, field: &'static str, address: IpAddr) -> Result<(), Refusal> {
    let vtep = match address {
        IpAddr::V4(address) => tables.vtep4 == Some(address),
        IpAddr::V6(address) => tables.vtep6 == Some(address),
    };
    if vtep {
        let message =
            format!("{address} is this node's tunnel address, which the host uses, too: use an address of its own");
        return Err(Refusal::invalid(field, message));
    }
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || link_local {
        let message = format!("{address} is not an address that others in the underlay can send to");
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{program::state::Limits, tables::lpm::LpmWriter};

    fn state() -> State {
        let writer = LpmWriter::new(1 << 20).unwrap();
        let mut state = State::new(Tables::new(writer.arena().clone()), &Limits::default());
        state.tables.vtep4 = Some("192.0.2.1".parse().unwrap());
        state.tables.vtep6 = Some("2001:db8::1".parse().unwrap());
        state
    }

    fn slot(number: usize) -> VrfSlot {
        VrfSlot::new(number).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_use_ends_ownership() {
        for address in [ip("203.0.113.7"), ip("2001:db8:f::7")] {
            let (mut state, mut effects) = (state(), Effects::default());
            set_underlay(&mut state, &mut effects, Some(slot(3))).unwrap();
            for _ in 0..2 {
                add(&mut state, &mut effects, "f", slot(3), address).unwrap();
            }
            add(&mut state, &mut effects, "f", slot(4), address).unwrap();
            assert_eq!(state.tables.owner(address), Some(slot(3)));
            remove(&mut state, &mut effects, slot(3), address);
            assert_eq!(state.tables.owner(address), Some(slot(3)));
            remove(&mut state, &mut effects, slot(3), address);
            assert_eq!(
                state.tables.owner(address),
                None,
                "its use in another VRF is no ownership"
            );
            set_underlay(&mut state, &mut effects, Some(slot(4))).unwrap();
            assert_eq!(state.tables.owner(address), Some(slot(4)));
            set_underlay(&mut state, &mut effects, None).unwrap();
            assert!(state.tables.owned.is_empty());
        }
    }

    #[test]
    fn addresses_that_the_host_needs_are_refused() {
        let (mut state, mut effects) = (state(), Effects::default());
        for address in [
            "192.0.2.1",
            "2001:db8::1",
            "fe80::1",
            "169.254.0.1",
            "224.0.0.1",
            "::1",
            "0.0.0.0",
        ] {
            add(&mut state, &mut effects, "f", slot(1), ip(address)).unwrap();
            remove(&mut state, &mut effects, slot(1), ip(address));
        }
        set_underlay(&mut state, &mut effects, Some(slot(1))).unwrap();
        for address in [
            "192.0.2.1",
            "2001:db8::1",
            "fe80::1",
            "169.254.0.1",
            "224.0.0.1",
            "::1",
            "0.0.0.0",
        ] {
            let refusal = add(&mut state, &mut effects, "service.address", slot(1), ip(address)).unwrap_err();
            assert_eq!(refusal.field, "service.address");
            assert!(refusal.message.starts_with(address), "{}", refusal.message);
        }
        assert!(state.tables.owned.is_empty() && state.owners.is_empty());
        add(&mut state, &mut effects, "f", slot(2), ip("192.0.2.1")).unwrap();
        let refusal = set_underlay(&mut state, &mut effects, Some(slot(2))).unwrap_err();
        assert_eq!(refusal.field, "vrf.underlay");
    }

    /// One step of a history: which VRF, which address, and what happens.
    fn steps() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
        proptest::collection::vec((0..3_usize, 0..6_u8, 0..5_u8), 0..60)
    }

    proptest! {
        /// The owned set is what a recount of all uses says, and the change is the difference of two sets.
        #[test]
        fn ownership_is_what_a_recount_says(steps in steps(), split in 0..60_usize) {
            let address = |number: u8| if number.is_multiple_of(2) {
                IpAddr::from([203, 0, 113, number])
            } else {
                format!("2001:db8:f::{number}").parse().unwrap()
            };
            let (mut state, mut effects) = (state(), Effects::default());
            let (mut uses, mut underlay) = (Vec::new(), None);
            let mut before = state.tables.clone();
            for (step, (vrf, number, what)) in steps.into_iter().enumerate() {
                if step == split {
                    before = state.tables.clone();
                    effects = Effects::default();
                }
                let (vrf, address) = (slot(vrf), address(number));
                match what {
                    0..2 => {
                        add(&mut state, &mut effects, "f", vrf, address).unwrap();
                        uses.push((vrf, address));
                    }
                    2..4 => {
                        if let Some(place) = uses.iter().position(|used| *used == (vrf, address)) {
                            uses.swap_remove(place);
                            remove(&mut state, &mut effects, vrf, address);
                        }
                    }
                    _ => {
                        underlay = (number > 0).then_some(vrf);
                        set_underlay(&mut state, &mut effects, underlay).unwrap();
                    }
                }
                let mut owned: Vec<_> = state.tables.owned.keys().copied().collect();
                let mut recount: Vec<_> = uses.iter().filter(|(of, _)| Some(*of) == underlay).map(|(_, a)| *a).collect();
                recount.sort_unstable();
                recount.dedup();
                owned.sort_unstable();
                prop_assert_eq!(&owned, &recount);
            }
            let Change { added, removed } = change(&before, &state.tables, &effects).unwrap();
            for (set, other, difference) in [(&state.tables, &before, added), (&before, &state.tables, removed)] {
                let mut expected: Vec<_> = set.owned.keys().filter(|a| !other.owned.contains_key(*a)).copied().collect();
                expected.sort_unstable();
                prop_assert_eq!(difference, expected);
            }
        }
    }
}
