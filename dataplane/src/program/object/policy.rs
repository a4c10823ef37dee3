//! Whom addresses belong to, and who may talk to whom.

use std::sync::Arc;

pub use crate::tables::policy::{PolicySpec, RuleSpec, TrafficMatch, Verdict};
use crate::wire::IpPrefix;

/// The groups of addresses, as policies see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySpec {
    /// VRF.
    pub vrf: u32,
    /// The addresses; the longest prefix that contains an address tells its groups.
    pub prefix: IpPrefix,
    /// Groups, ascending.
    pub groups: Arc<[u32]>,
}
