//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::Parser;

use super::{CpuList, LogFormat, Poll, timeouts::FlowTimeout, uplinks};
use crate::{
    api::{Address, Collector},
    port::check_interface_name,
    program::object::Mode,
    tables::port::Gateway,
};

/// The command line.
#[derive(Debug, Default, Parser)]
#[command(
    name = "vrouterd",
    version,
    about = "Moves the packets of containers and virtual machines, as it is programmed over gRPC"
)]
pub struct Flags {
    /// TOML file with the same settings; what is given on the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Address to serve the API on (repeatable): unix:/path or http://host:port [default: unix:/run/vrouter/vrouterd.sock]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<Address>,
    /// Interface towards other nodes (repeatable), and how to attach to it: auto, native, native-zc, generic or packet
    #[arg(long, value_name = "IFACE[,mode=MODE]")]
    pub uplink: Vec<UplinkFlag>,
    /// Tunnel address of this node with the prefix length of its subnet (repeatable: one IPv4, one IPv6)
    #[arg(long, value_name = "ADDR/LEN")]
    pub vtep: Vec<Gateway>,
    /// Router of the underlay towards other subnets (repeatable)
    #[arg(long, value_name = "ADDR")]
    pub gateway: Vec<IpAddr>,
    /// Threads that move packets, 1 to 64 [default: one for each of --cpus, else 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u64>,
    /// CPUs to pin workers to, one each: 0,2-3
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// What a worker does when there is nothing to do [default: adaptive]
    #[arg(long, value_name = "MODE")]
    pub poll: Option<Poll>,
    /// Microseconds that an adaptive worker looks for packets before it sleeps [default: 1000]
    #[arg(long, value_name = "MICROSECONDS")]
    pub spin: Option<u64>,
    /// Frames of packet memory; each port needs some 500 [default: 65536]
    #[arg(long, value_name = "N")]
    pub frames: Option<u64>,
    /// Bytes of each frame, a power of two; without large frames it limits the MTU to 256 less [default: 2048]
    #[arg(long, value_name = "BYTES")]
    pub frame_size: Option<u64>,
    /// Frames for packets larger than the others hold, of up to 64 KiB; 0: such packets cannot be received [default: 512]
    #[arg(long, value_name = "N")]
    pub large_frames: Option<u64>,
    /// Size of the rings of each queue of a workload's port, a power of two [default: 2048 to receive, 256 to send]
    #[arg(long, value_name = "N")]
    pub access_rings: Option<u64>,
    /// Size of the rings of each queue of an uplink, a power of two [default: 2048]
    #[arg(long, value_name = "N")]
    pub uplink_rings: Option<u64>,
    /// Flows that can be remembered, both directions as one [default: 1048576]
    #[arg(long, value_name = "N")]
    pub flows: Option<u64>,
    /// Flows that one VRF may have at most [default: no bound but the table]
    #[arg(long, value_name = "N")]
    pub vrf_flows: Option<u64>,
    /// Seconds until an idle flow is forgotten (repeatable); kinds: tcp, tcp-syn-sent, tcp-syn-received, tcp-closing, tcp-time-wait,
    /// tcp-closed, udp, icmp, other, unreplied, denied, untracked [default: tcp=7440, tcp-syn-sent=30, tcp-syn-received=60,
    /// tcp-closing=240, tcp-time-wait=120, tcp-closed=10, udp=180, icmp=60, other=600, unreplied=30, denied=10, untracked=120]
    #[arg(long, value_name = "KIND=SECONDS")]
    pub flow_timeout: Vec<FlowTimeout>,
    /// IPFIX collector to tell of flows, over UDP (repeatable): udp:ADDR:PORT [default: none]
    #[arg(long, value_name = "udp:ADDR:PORT")]
    pub ipfix: Vec<Collector>,
    /// Observation domain of IPFIX messages [default: 1]
    #[arg(long, value_name = "N")]
    pub ipfix_domain: Option<u64>,
    /// Seconds after which collectors are told of a flow that lasts, and again [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub ipfix_active: Option<u64>,
    /// Tell collectors of one of so many flows, chosen by a hash [default: 1, which is all]
    #[arg(long, value_name = "N")]
    pub ipfix_sample: Option<u64>,
    /// Records per second for collectors at most; what is beyond is counted and not sent [default: 10000]
    #[arg(long, value_name = "N")]
    pub ipfix_rate: Option<u64>,
    /// Address to serve metrics for Prometheus on, and /healthz and /readyz: host's address and port [default: not served]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Ports, VRFs and so on, of each kind, that metrics name; the rest is one series "_other" [default: 1000]
    #[arg(long, value_name = "N")]
    pub metrics_max_names: Option<u64>,
    /// What to log: error, warn, info, debug, trace, or a filter like "info,vrouter_dataplane::api=debug" [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// How to write the log [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// An uplink on the command line: `wire0` or `wire0,mode=native`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkFlag {
    /// Linux interface.
    pub interface: String,
    /// How to attach.
    pub mode: Mode,
}

impl FromStr for UplinkFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let interface = parts.next().unwrap_or_default();
        check_interface_name(interface).map_err(|error| format!("interface: {error}"))?;
        let mut mode = None;
        for part in parts {
            let word = part.strip_prefix("mode=");
            let word =
                word.ok_or_else(|| format!("{part:?} is no option of an uplink; write one like wire0,mode=native"))?;
            if mode.replace(uplinks::mode(word)?).is_some() {
                return Err("mode is given twice".to_owned());
            }
        }
        Ok(Self {
            interface: interface.to_owned(),
            mode: mode.unwrap_or_default(),
        })
    }
}
