//! Which network reaches which: what routers join, what they leak, and the way out.

use std::collections::BTreeMap;

use crate::model::{Cidr, Name, Router};

/// The part of a network that another one reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter(Option<Vec<Cidr>>);

impl Filter {
    /// Everything.
    pub(super) const ALL: Self = Self(None);

    /// Whether all of `cidr` is in the part.
    pub(super) fn admits(&self, cidr: Cidr) -> bool {
        self.0
            .as_ref()
            .is_none_or(|parts| parts.iter().any(|part| part.covers(cidr)))
    }
}

/// How the endpoints of a network get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WayOut {
    /// The external network.
    pub(super) network: Name,
    /// Sources without a floating address are translated.
    pub(super) translate: bool,
    /// Ports per block; 0: the dataplane's choice.
    pub(super) block_size: u32,
    /// Blocks of one source; 0: the dataplane's choice.
    pub(super) blocks: u32,
}

/// All connections between networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// By the network that sees, those that it sees.
    seen: BTreeMap<Name, BTreeMap<Name, Filter>>,
    ways_out: BTreeMap<Name, WayOut>,
}

impl Reach {
    /// Routers are taken in the order of their names: should a network have two ways out, it takes that of the first.
    pub(super) fn of<'a>(routers: impl Iterator<Item = &'a Router>) -> Self {
        let mut reach = Self::default();
        for router in routers {
            let spec = &router.spec;
            for by in &spec.networks {
                for of in spec.networks.iter().filter(|of| *of != by) {
                    *reach.entry(by, of) = Filter::ALL;
                }
                if let Some(network) = &spec.external_network {
                    reach.ways_out.entry(by.clone()).or_insert_with(|| WayOut {
                        network: network.clone(),
                        translate: spec.translate_sources,
                        block_size: spec.port_block_size,
                        blocks: spec.port_blocks_per_endpoint,
                    });
                }
            }
            for leak in spec.leaks.iter().filter(|leak| leak.from != leak.to) {
                if let Some(parts) = &mut reach.entry(&leak.to, &leak.from).0 {
                    parts.push(leak.prefix.cidr());
                }
            }
        }
        reach
    }

    fn entry(&mut self, by: &Name, of: &Name) -> &mut Filter {
        self.seen
            .entry(by.clone())
            .or_default()
            .entry(of.clone())
            .or_insert_with(|| Filter(Some(Vec::new())))
    }

    /// The other networks that endpoints of `network` reach.
    pub(super) fn seen_by(&self, network: &Name) -> impl Iterator<Item = (&Name, &Filter)> {
        self.seen.get(network).into_iter().flatten()
    }

    /// The part of `of` that endpoints of `by` reach. `None`: nothing.
    pub(super) fn filter(&self, by: &Name, of: &Name) -> Option<&Filter> {
        if by == of {
            return Some(&Filter::ALL);
        }
        self.seen.get(by)?.get(of)
    }

    /// Ports per block, and blocks of one source, for all sources that are translated on the way to an external network. A node's translations have the same
    /// addresses, so they share their ports, and have to agree on blocks: the smallest block that a router asks for, and as many of them as give everybody
    /// what their router promises.
    pub(super) fn blocks(&self, external: &Name) -> (u32, u32) {
        let ways = || self.ways_out.values().filter(|w| w.translate && w.network == *external);
        let size = ways().map(|w| w.block_size).min().unwrap_or(0);
        let ports = ways().map(|w| w.block_size.saturating_mul(w.blocks)).max().unwrap_or(0);
        (size, ports.checked_div(size).unwrap_or(0))
    }

    /// How endpoints of a network get out.
    pub(super) fn way_out(&self, network: &Name) -> Option<&WayOut> {
        self.ways_out.get(network)
    }
}
