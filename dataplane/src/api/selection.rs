//! Which objects a dump is about.

/// The kinds of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Port,
    Vrf,
    Bridge,
    NextHop,
    Route,
    Mac,
    Neighbor,
    Vni,
    Label,
    Identity,
    Policy,
    SourceNat,
    Service,
    Mirror,
    HealthCheck,
}

/// Kinds, and the VRF of routes and identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// One bit for each kind; none: all.
    kinds: u16,
    /// Routes and identities only of this VRF.
    pub(super) vrf: Option<u32>,
}

impl Selection {
    /// Objects of these kinds (of all kinds, if none is given), routes only of `vrf`, if it is given.
    pub(super) fn new(kinds: &[Kind], vrf: Option<u32>) -> Self {
        let kinds = kinds.iter().fold(0, |bits, kind| bits | 1 << *kind as u16);
        Self { kinds, vrf }
    }

    /// Objects of this kind are asked for.
    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.kinds == 0 || self.kinds & 1 << kind as u16 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_wants_what_it_names_or_all() {
        let all = Selection::new(&[], None);
        assert!(all.wants(Kind::Port) && all.wants(Kind::Label));
        let some = Selection::new(&[Kind::Vrf, Kind::Label], Some(7));
        assert!(some.wants(Kind::Vrf) && some.wants(Kind::Label));
        assert!(!some.wants(Kind::Port) && !some.wants(Kind::Vni));
        assert_eq!(some.vrf, Some(7));
    }
}
