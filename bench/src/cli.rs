//! The command line.

use std::net::IpAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vrouter_bench::{
    encap::EncapSpec,
    linux::XdpMode,
    rate::Rate,
    reflect::{ReflectPlan, Side},
};
use vrouter_dataplane::wire::Mac;

/// A traffic generator and receiver on AF_XDP.
///
/// Every packet carries a sequence number and a time in its UDP payload; a receiver on the same machine tells loss, order and
/// latency from them. Exit status: 0, 1 when something failed, 2 for a wrong command line, 3 when packets that were expected
/// did not come.
#[derive(Debug, Parser)]
#[command(name = "pktgen", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How to write the report.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Show what libxdp and libbpf say while they load a program.
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send packets.
    Send(SendArgs),
    /// Receive packets; takes all frames that come, so that the host's stack sees none.
    Receive(ReceiveArgs),
    /// Send on one interface and receive on another, in one report.
    Run(RunArgs),
    /// Move frames from one interface to the other and do nothing else: the floor that routers are compared with.
    ///
    /// One thread moves descriptors from a receive ring to a transmit ring over one shared memory; no payload is copied or looked
    /// at in userspace. Both interfaces need the same MTU. Senders whose checksums are left to the interface must sum them
    /// themselves (`ethtool -K IFACE tx off`), since nothing here completes them. Ends on SIGINT, SIGTERM or after --seconds.
    #[command(after_help = REFLECT_EXAMPLES)]
    Reflect(ReflectArgs),
}

const REFLECT_EXAMPLES: &str = "\
Examples:
  # Join two veth ends in both directions, in the driver, without ever sleeping
  pktgen reflect --from v1 --to w1 --both --mode native --busy
  # The ends are in other network namespaces; report as JSON after ten seconds
  pktgen reflect --from v1 --from-netns a --to w1 --to-netns b --seconds 10 --output json
  # Send everything back to where it came from
  pktgen reflect --from eth1 --swap-macs";

#[derive(Debug, Args)]
pub(crate) struct ReflectArgs {
    /// Interface to receive on.
    #[arg(long)]
    from: String,
    /// Network namespace of that interface, as `ip netns` names it.
    #[arg(long)]
    from_netns: Option<String>,
    /// Interface to send on [default: the same one; then --swap-macs is needed].
    #[arg(long, required_unless_present = "swap_macs")]
    to: Option<String>,
    /// Network namespace of that interface.
    #[arg(long, requires = "to")]
    to_netns: Option<String>,
    /// Move frames in the other direction too.
    #[arg(long, requires = "to")]
    both: bool,
    /// Swap the Ethernet addresses of each frame, so that a switch or the sender takes it back.
    #[arg(long)]
    swap_macs: bool,
    /// Where to take frames from the kernel.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(crate) mode: Mode,
    /// Only this queue of each interface [default: all].
    #[arg(long)]
    queue: Option<u32>,
    /// Never sleep: takes a whole CPU.
    #[arg(long)]
    pub(crate) busy: bool,
    /// Stop after so many seconds [default: only when told to].
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
}

impl ReflectArgs {
    pub(crate) fn plan(&self) -> ReflectPlan {
        let side = |interface: &String, netns: &Option<String>| Side {
            interface: interface.clone(),
            netns: netns.clone(),
        };
        let from = side(&self.from, &self.from_netns);
        let to = self.to.as_ref().map(|to| side(to, &self.to_netns));
        ReflectPlan {
            to: to.filter(|to| *to != from),
            from,
            both: self.both,
            swap_macs: self.swap_macs,
            queue: self.queue,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Interface to send on.
    #[arg(long)]
    pub(crate) interface: String,
    /// Network namespace of the interface, as `ip netns` names it.
    #[arg(long)]
    pub(crate) netns: Option<String>,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TrafficArgs {
    /// Ethernet destination. Needed unless the packets go in MPLS, which carries IP alone.
    #[arg(long)]
    pub(crate) to_mac: Option<Mac>,
    /// Ethernet source [default: that of the interface].
    #[arg(long)]
    pub(crate) from_mac: Option<Mac>,
    /// IP source, IPv4 or IPv6.
    #[arg(long)]
    pub(crate) src: IpAddr,
    /// IP destination.
    #[arg(long)]
    pub(crate) dst: IpAddr,
    /// Transport protocol.
    #[arg(long, value_enum, default_value_t = Proto::Udp)]
    pub(crate) proto: Proto,
    /// Source port of the first flow.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) sport: u16,
    /// Destination port of the first flow.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) dport: u16,
    /// Bytes of a frame without check sequence and before encapsulation [default: 64, IPv6: 80, the smallest].
    #[arg(long)]
    pub(crate) size: Option<usize>,
    /// Flows that the packets take in turn: source ports from --sport up, then destination ports.
    #[arg(long, default_value_t = 1)]
    pub(crate) flows: u32,
    /// Packets per second, like 5000, 100k, 1.5M, or max.
    #[arg(long, default_value = "max")]
    pub(crate) rate: Rate,
    /// Stop after so many packets.
    #[arg(long, required_unless_present = "seconds")]
    pub(crate) count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// A tunnel around each packet: vxlan,vni=VNI,src=ADDR,dst=ADDR,to-mac=MAC[,from-mac=MAC] or mpls,label=LABEL,...
    #[arg(long)]
    pub(crate) encap: Option<EncapSpec>,
    /// Transmit queue.
    #[arg(long, default_value_t = 0)]
    pub(crate) queue: u32,
    /// Send without a copy, on drivers that can; loads an XDP program.
    #[arg(long)]
    pub(crate) zero_copy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proto {
    /// UDP.
    Udp,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Interface to receive on.
    #[arg(long)]
    pub(crate) interface: String,
    /// Network namespace of the interface, as `ip netns` names it.
    #[arg(long)]
    pub(crate) netns: Option<String>,
    /// Stop after so many seconds.
    #[arg(long, value_parser = seconds, default_value = "10")]
    pub(crate) seconds: f64,
    /// Stop once so many different packets have come; fewer are a failure.
    #[arg(long)]
    pub(crate) expect: Option<u64>,
    #[command(flatten)]
    pub(crate) port: ReceivePortArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReceivePortArgs {
    /// Where to take frames from the kernel.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(crate) mode: Mode,
    /// Receive on this queue only [default: all].
    #[arg(long)]
    pub(crate) receive_queue: Option<u32>,
    /// Never sleep: takes a whole CPU, and shows no wake-up in the latency.
    #[arg(long)]
    pub(crate) busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Native where the driver can, else generic.
    Auto,
    /// In the driver.
    Native,
    /// In the driver, without a copy.
    NativeZc,
    /// Behind the driver.
    Generic,
}

impl From<Mode> for XdpMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::Native => Self::Native,
            Mode::NativeZc => Self::NativeZeroCopy,
            Mode::Generic => Self::Generic,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Interface to send on.
    #[arg(long)]
    pub(crate) tx: String,
    /// Interface to receive on.
    #[arg(long)]
    pub(crate) rx: String,
    /// Network namespace of the sending interface.
    #[arg(long)]
    pub(crate) tx_netns: Option<String>,
    /// Network namespace of the receiving interface.
    #[arg(long)]
    pub(crate) rx_netns: Option<String>,
    #[command(flatten)]
    pub(crate) traffic: TrafficArgs,
    #[command(flatten)]
    pub(crate) port: ReceivePortArgs,
}

/// A number of seconds, above zero and at most a year.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 31_536_000.0 => Ok(seconds),
        _ => Err("write a number of seconds above zero, like 10 or 0.5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mistakes_are_told() {
        let complaint = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
        let base = "pktgen send --interface eth1 --src 10.0.0.1 --dst 10.0.0.2 --count 1";
        assert!(Cli::try_parse_from(base.split(' ')).is_ok());
        assert!(complaint(&format!("{base} --to-mac 02:00:00:00:00")).contains("write six bytes in hexadecimal"));
        assert!(complaint(&format!("{base} --rate fast")).contains("write packets per second like 5000"));
        assert!(complaint(&format!("{base} --encap gre")).contains("unknown tunnel \"gre\""));
        assert!(complaint(&format!("{base} --seconds 0")).contains("above zero"));
        assert!(complaint("pktgen send --interface eth1 --src 10.0.0.1 --dst 10.0.0.2").contains("--count"));
    }
}
