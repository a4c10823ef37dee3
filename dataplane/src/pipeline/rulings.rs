//! What policies said lately: most new flows ask what another one asked just before. One per worker.
//!
//! An answer holds as long as the tables that were asked: those of one publication are the same in all. Policies and lists of groups are
//! told apart by where they are, which no other can be as long as a worker holds those tables.

use crate::tables::{
    Tables,
    policy::{Policy, Ruling, Side, Traffic},
};

/// Answers that are kept: a power of two.
const PLACES: usize = 64;

/// A question to a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    policy: usize,
    groups: usize,
    /// How many groups.
    count: usize,
    traffic: u64,
}

impl Asked {
    fn new(policy: &Policy, side: Side, groups: &[u32], traffic: &Traffic) -> Self {
        let side = match side {
            Side::Egress => 0,
            Side::Ingress => 1,
        };
        Self {
            policy: std::ptr::from_ref(policy).addr(),
            groups: groups.as_ptr().addr(),
            count: groups.len(),
            traffic: u64::from(traffic.first_port)
                | u64::from(traffic.code) << 16
                | u64::from(traffic.protocol) << 24
                | side << 32,
        }
    }

    /// Where its answer is kept.
    fn place(&self) -> usize {
        let mixed = (self.policy ^ self.groups.rotate_left(32)) as u64 ^ self.traffic.rotate_left(16);
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % PLACES
    }
}

/// Answers of policies.
#[derive(Debug)]
pub(super) struct Rulings {
    /// The tables that gave them.
    publication: u64,
    places: Box<[Option<(Asked, Ruling)>; PLACES]>,
}

impl Default for Rulings {
    fn default() -> Self {
        Self {
            publication: 0,
            places: Box::new([None; PLACES]),
        }
    }
}

impl Rulings {
    /// As [`Policy::decide`], of a policy of these tables and groups of them.
    #[inline]
    pub(super) fn ask(
        &mut self,
        tables: &Tables,
        policy: &Policy,
        side: Side,
        groups: &[u32],
        traffic: &Traffic,
    ) -> Ruling {
        // What was never published may change under our hands.
        if tables.publication == 0 {
            return policy.decide(side, groups, traffic);
        }
        if self.publication != tables.publication {
            self.publication = tables.publication;
            self.places.fill(None);
        }
        let asked = Asked::new(policy, side, groups, traffic);
        let place = &mut self.places[asked.place()];
        if let Some((known, ruling)) = place
            && *known == asked
        {
            return *ruling;
        }
        let ruling = policy.decide(side, groups, traffic);
        *place = Some((asked, ruling));
        ruling
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::tables::{
        lpm::LpmWriter,
        policy::{PolicySpec, RuleSpec, TrafficMatch, Verdict},
    };

    fn rule(id: u32, group: u32, port: u16, verdict: Verdict) -> RuleSpec {
        RuleSpec {
            id,
            name: "".into(),
            groups: [group].into(),
            traffic: [TrafficMatch::ports(17, port, port + 1)].into(),
            verdict,
            log: id.is_multiple_of(2),
        }
    }

    fn policy(id: u32) -> Policy {
        let rules = |first: u32| -> Arc<[RuleSpec]> {
            let verdict = |n: u32| {
                if n.is_multiple_of(3) {
                    Verdict::Deny
                } else {
                    Verdict::Allow
                }
            };
            (first..first + 6)
                .map(|n| rule(n, n * id % 3, (n % 4) as u16, verdict(n)))
                .collect()
        };
        Policy::compile(&PolicySpec {
            id,
            name: "".into(),
            egress: rules(1),
            ingress: rules(10),
            egress_default: Verdict::Deny,
            ingress_default: Verdict::Allow,
        })
    }

    proptest! {
        /// Whatever was asked before, and whatever took its place in memory in other tables.
        #[test]
        fn answers_are_the_policys_own(
            asked in proptest::collection::vec((0..3_usize, any::<bool>(), 0..4_usize, 0..6_u16, 16..19_u8, any::<bool>(), 0..30_u8), 1..400),
        ) {
            let mut tables = Tables::new(LpmWriter::new(1 << 16).unwrap().arena().clone());
            tables.publication = 1;
            let mut policies = [1, 2, 3].map(policy);
            let groups: [&[u32]; 4] = [&[], &[0], &[1], &[1, 2]];
            let mut rulings = Rulings::default();
            for (which, egress, list, port, protocol, published, again) in asked {
                if again == 0 {
                    policies.rotate_left(1);
                    tables.publication += 1;
                }
                let side = if egress { Side::Egress } else { Side::Ingress };
                let traffic = Traffic { protocol, first_port: port, code: 0 };
                let publication = tables.publication;
                tables.publication = if published { publication } else { 0 };
                let said = rulings.ask(&tables, &policies[which], side, groups[list], &traffic);
                prop_assert_eq!(said, policies[which].decide(side, groups[list], &traffic));
                tables.publication = publication;
            }
        }
    }
}
