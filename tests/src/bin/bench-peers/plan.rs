//! What is measured of whom.

use std::str::FromStr;

use crate::{
    measure::Measure,
    peers::{self, Peer},
};

/// One `--only`: `tcp,latency/bridge,vrouter`. Without measures, all; without peers, all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Only {
    measures: Vec<Measure>,
    peers: Vec<String>,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (measures, peers) = text.split_once('/').unwrap_or((text, ""));
        let measures = names(measures).map(|name| {
            let found = Measure::ALL.into_iter().find(|measure| measure.name() == name);
            found.ok_or_else(|| {
                let all = Measure::ALL.map(Measure::name).join(", ");
                format!("no measure is named {name:?}; there are {all}")
            })
        });
        let peers = names(peers).map(|name| {
            if peers::ALL.iter().any(|peer| matches(name, peer.name)) {
                return Ok(name.to_owned());
            }
            let all: Vec<_> = peers::ALL.iter().map(|peer| peer.name).collect();
            Err(format!("no peer is named {name:?}; there are {}", all.join(", ")))
        });
        Ok(Self {
            measures: measures.collect::<Result<_, _>>()?,
            peers: peers.collect::<Result<_, _>>()?,
        })
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Whether a name is meant; `vrouter*` means all that begin so.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// Whether a measure of a peer was asked for. What changes a router is measured only when it is named.
pub(crate) fn wanted(only: &[Only], measure: Measure, peer: &Peer) -> bool {
    let asked = |only: &Only| {
        let measure = if only.measures.is_empty() {
            measure != Measure::Reconfigure
        } else {
            only.measures.contains(&measure)
        };
        measure && (only.peers.is_empty() || only.peers.iter().any(|name| matches(name, peer.name)))
    };
    let asked = if only.is_empty() {
        measure != Measure::Reconfigure
    } else {
        only.iter().any(asked)
    };
    asked && peer.measured(measure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str]) -> Vec<String> {
        let only: Vec<Only> = only.iter().map(|text| text.parse().unwrap()).collect();
        let pairs = peers::ALL
            .iter()
            .flat_map(|peer| Measure::ALL.map(|measure| (measure, peer)));
        let pairs = pairs.filter(|(measure, peer)| wanted(&only, *measure, peer));
        pairs
            .map(|(measure, peer)| format!("{}/{}", measure.name(), peer.name))
            .collect()
    }

    #[test]
    fn everything_is_measured_but_changes_of_the_router() {
        let all = chosen(&[]);
        assert!(all.contains(&"tcp/veth".to_owned()) && all.contains(&"connect/vrouter-vxlan-busy".to_owned()));
        assert!(
            !all.iter()
                .any(|pair| pair.starts_with("reconfigure") || pair == "tcp/vrouter-vxlan-busy")
        );
    }

    #[test]
    fn some_can_be_asked_for() {
        assert_eq!(chosen(&["tcp,latency/bridge"]), ["tcp/bridge", "latency/bridge"]);
        assert_eq!(chosen(&["reconfigure"]), ["reconfigure/vrouter"]);
        assert_eq!(chosen(&["rate/veth", "tcp/bridge-ct"]), ["rate/veth", "tcp/bridge-ct"]);
        assert_eq!(
            chosen(&["latency/kernel*"]),
            ["latency/kernel-vxlan", "latency/kernel-vxlan-whole"]
        );
        assert_eq!(chosen(&["/veth"]).len(), 4);
    }

    #[test]
    fn unknown_names_are_refused_with_those_that_are_known() {
        let refused = |text: &str| text.parse::<Only>().unwrap_err();
        assert!(refused("speed").contains("there are tcp, rate, latency"));
        assert!(refused("tcp/vpp").contains("there are veth, bridge"));
    }
}
