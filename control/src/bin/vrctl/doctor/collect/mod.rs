//! Finding out what there is to know. Judges nothing; what cannot be found out is left out.

mod daemons;
mod ethtool;
mod links;
mod machine;

use super::facts::Facts;
use crate::cli::Context;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// Further interfaces.
    pub(super) interfaces: Vec<String>,
    /// The store's file.
    pub(super) store: String,
    /// The node whose dataplane is asked through control; empty: this host's, directly.
    pub(super) node: String,
}

/// Collects all facts.
pub(super) async fn facts(wish: &Wish, context: &Context) -> Facts {
    let mut facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        ..Facts::default()
    };
    daemons::ask(&mut facts, wish, context).await;
    machine::look(&mut facts, &wish.store);
    // Uplinks of a dataplane elsewhere are not here.
    let uplinks = match &facts.node {
        Some(node) if wish.node.is_empty() => node.uplinks.clone(),
        _ => Vec::new(),
    };
    links::look(&mut facts, &uplinks, &wish.interfaces).await;
    facts
}
