//! From the command line to traffic, and how much of it.

use vrouter_bench::{
    encap::Tunnel,
    flows::{FlowSpec, Flows},
    linux::Interface,
    rate::Rate,
    replay::{Replay, Rewrite},
    send::Timing,
    sizes::Sizes,
    template::{TemplateSpec, least_size},
    traffic::{Mix, Traffic},
};

use super::{Failure, nanoseconds};
use crate::cli::{AmountArgs, TrafficArgs};

impl TrafficArgs {
    /// The packets to send from this interface.
    pub(super) fn traffic(&self, interface: &Interface) -> Result<Traffic, Failure> {
        if let Some(path) = &self.pcap {
            let rewrite = Rewrite {
                to_mac: self.to_mac,
                from_mac: self.from_mac,
                own_mac: interface.mac,
            };
            let replay = Replay::load(path, &rewrite)?;
            if replay.cut > 0 {
                eprintln!(
                    "pktgen: {}: {} packets were cut by the capture, and are sent as short as they are",
                    path.display(),
                    replay.cut
                );
            }
            return Ok(Traffic::Replay(replay));
        }
        let (Some(src), Some(dst)) = (self.src, self.dst) else {
            return Err(Failure::NoAddresses);
        };
        let flows = Flows::new(&FlowSpec {
            src,
            dst,
            sport: self.sport,
            dport: self.dport,
            flows: self.flows,
            order: self.flow_order.into(),
        })?;
        let mpls = self.encap.is_some_and(|encap| matches!(encap.tunnel, Tunnel::Mpls(_)));
        let to_mac = match self.to_mac {
            Some(mac) => mac,
            None if mpls => interface.mac,
            None => return Err(Failure::NoMac),
        };
        let least = least_size(flows.tuple(0).ends);
        let sizes = match (&self.imix, self.size) {
            (Some(imix), _) => imix.clone().at_least(least),
            (None, Some(size)) => Sizes::one(size),
            (None, None) => Sizes::one(least.max(64)),
        };
        let spec = TemplateSpec {
            to_mac,
            from_mac: self.from_mac.unwrap_or(interface.mac),
            flows,
            proto: self.proto.into(),
            size: 0,
            outer: self.encap.map(|encap| encap.outer(interface.mac)),
        };
        Ok(Traffic::Mix(Mix::new(&spec, &sizes)?))
    }
}

/// How much of the traffic to send, and when.
pub(super) struct Amount {
    pub(super) timing: Timing,
    pub(super) count: Option<u64>,
    pub(super) duration: Option<u64>,
}

/// What the command line says of it.
pub(super) fn amount(args: &AmountArgs, traffic: &Traffic) -> Result<Amount, Failure> {
    let (timing, turn) = match (args.rate, traffic) {
        (Some(rate), Traffic::Mix(_)) => (Timing::Rate(rate), None),
        (None, Traffic::Mix(_)) => (Timing::Rate(Rate::Max), None),
        (Some(rate), Traffic::Replay(replay)) => (Timing::Rate(rate), Some(replay.count())),
        (None, Traffic::Replay(replay)) => (Timing::Recorded, Some(replay.count())),
    };
    if args.loops.is_some() && turn.is_none() {
        return Err(Failure::Loops);
    }
    let open = args.count.is_none() && args.seconds.is_none();
    let loops = match args.loops {
        Some(0) => None,
        Some(loops) => Some(loops),
        None => open.then_some(1),
    };
    let looped = turn.zip(loops).map(|(turn, loops)| turn.saturating_mul(loops));
    Ok(Amount {
        timing,
        count: [args.count, looped].into_iter().flatten().min(),
        duration: args.seconds.map(nanoseconds),
    })
}
