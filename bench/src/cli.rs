//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vrouter_bench::{
    encap::EncapSpec,
    flows::{AddressRange, Order, PortRange},
    linux::XdpMode,
    rate::Rate,
    reflect::{ReflectPlan, Side},
    sizes::Sizes,
    template::Proto,
};
use vrouter_dataplane::wire::Mac;

/// A traffic generator and receiver on AF_XDP.
///
/// Every packet carries a sequence number and a time in its payload; a receiver on the same machine tells loss, order and
/// latency from them. Works on any Ethernet interface, also on veths and in network namespaces; needs root. Exit status: 0, 1 when something failed, 2 for a wrong command line, 3 when packets that were expected
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
    #[command(after_help = SEND_EXAMPLES)]
    Send(Box<SendArgs>),
    /// Receive packets; takes all frames that come, so that the host's stack sees none.
    Receive(ReceiveArgs),
    /// Send on one interface and receive on another (or the same), in one report.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Search for the highest rate at which nothing is lost (NDR), and that at which little is (PDR), as RFC 2544 does (26.1).
    ///
    /// Offers rates between --min-rate and --max-rate, halving what lies between the highest that passed and the lowest that
    /// failed. Goals share their trials. A rate that the sender could not reach is reported as such: the device may do better.
    #[command(after_help = SEARCH_EXAMPLES)]
    Search(Box<SearchArgs>),
    /// Move frames from one interface to the other and do nothing else: the floor that routers are compared with.
    ///
    /// One thread moves descriptors from a receive ring to a transmit ring over one shared memory; no payload is copied or looked
    /// at in userspace. Both interfaces need the same MTU. Senders whose checksums are left to the interface must sum them
    /// themselves (`ethtool -K IFACE tx off`), since nothing here completes them. Ends on SIGINT, SIGTERM or after --seconds.
    #[command(after_help = REFLECT_EXAMPLES)]
    Reflect(ReflectArgs),
}

const SEND_EXAMPLES: &str = "\
Examples:
  # A thousand packets of one flow
  pktgen send --interface eth1 --to-mac 02:00:00:00:00:01 --src 10.0.0.1 --dst 10.1.0.1 --count 1000 --rate 10k
  # 254 x 60,000 flows in VXLAN, as fast as two queues take them
  pktgen send --interface eth1 --to-mac 02:00:00:00:00:01 --src 10.0.0.1-10.0.0.254 --dst 10.1.0.1 --sport 1024-61023 \\
      --encap vxlan,vni=5000,src=192.0.2.1,dst=192.0.2.2,to-mac=02:00:00:00:00:02 --senders 2 --seconds 10
  # A capture, again and again for a minute, at 200 Mbit/s
  pktgen send --interface eth1 --pcap trace.pcap --loops 0 --seconds 60 --rate 200Mbit";

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
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TrafficArgs {
    /// Ethernet destination. Needed unless the packets go in MPLS, which carries IP alone, or come from a capture.
    #[arg(long)]
    pub(crate) to_mac: Option<Mac>,
    /// Ethernet source [default: that of the interface; of a capture: as captured].
    #[arg(long)]
    pub(crate) from_mac: Option<Mac>,
    /// IP source, IPv4 or IPv6: an address, a range like 10.0.0.1-10.0.0.254, or a prefix like 2001:db8::/64.
    #[arg(long, required_unless_present = "pcap")]
    pub(crate) src: Option<AddressRange>,
    /// IP destination, likewise.
    #[arg(long, required_unless_present = "pcap")]
    pub(crate) dst: Option<AddressRange>,
    /// What is in the IP packets.
    #[arg(long, value_enum, default_value_t = ProtoArg::Udp)]
    pub(crate) proto: ProtoArg,
    /// Source port or ports, like 1024-65535 (of echo requests: the identifier).
    #[arg(long, default_value = "10000")]
    pub(crate) sport: PortRange,
    /// Destination port or ports (of echo requests: the sequence number).
    #[arg(long, default_value = "20000")]
    pub(crate) dport: PortRange,
    /// Bytes of a frame without check sequence and before encapsulation [default: 64, IPv6: 80, the smallest].
    #[arg(long, conflicts_with = "imix")]
    pub(crate) size: Option<usize>,
    /// A mix of sizes: simple (7 of 60, 4 of 590, 1 of 1514 bytes) or a list of SIZE:WEIGHT like 64:7,594:4,1514:1. Sizes that
    /// are too small for the headers are raised to the smallest.
    #[arg(long)]
    pub(crate) imix: Option<Sizes>,
    /// Flows that packets take in turn [default: one for each combination of addresses and ports]. More than that: a port that
    /// is no range becomes one, upwards, the source port first.
    #[arg(long)]
    pub(crate) flows: Option<u32>,
    /// Which flow comes next.
    #[arg(long, value_enum, default_value_t = OrderArg::RoundRobin)]
    pub(crate) flow_order: OrderArg,
    /// Replay a capture (pcap or pcapng) instead: its packets go out as they are, but for --to-mac and --from-mac; without
    /// --rate in their own time. They carry no stamp: received frames are only counted.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["src", "dst", "proto", "sport", "dport", "size", "imix", "flows", "flow_order", "encap"])]
    pub(crate) pcap: Option<PathBuf>,
    /// A tunnel around each packet: vxlan,vni=VNI,src=ADDR,dst=ADDR,to-mac=MAC[,from-mac=MAC] or mpls,label=LABEL,...
    #[arg(long)]
    pub(crate) encap: Option<EncapSpec>,
    /// Transmit queue; with --senders the first of them.
    #[arg(long, default_value_t = 0)]
    pub(crate) queue: u32,
    /// Threads that send, each on a queue of its own; they share flows and rate.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) senders: u32,
    /// Send without a copy, on drivers that can; loads an XDP program.
    #[arg(long)]
    pub(crate) zero_copy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AmountArgs {
    /// Packets per second like 5000, 100k, 1.5M; bits per second like 800Mbit (frames and check sequences) or 10Gbit-l1 (with
    /// preambles and gaps, as links count); or max [default: max; a capture: as recorded].
    #[arg(long)]
    pub(crate) rate: Option<Rate>,
    /// Stop after so many packets.
    #[arg(long, required_unless_present_any = ["seconds", "pcap"])]
    pub(crate) count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// Send a capture so many times; 0: until --count, --seconds or a signal ends it [default: 1, unless one of those is given].
    #[arg(long)]
    pub(crate) loops: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtoArg {
    /// UDP.
    Udp,
    /// ICMP or ICMPv6 echo requests; replies that come back are received like requests.
    IcmpEcho,
}

impl From<ProtoArg> for Proto {
    fn from(proto: ProtoArg) -> Self {
        match proto {
            ProtoArg::Udp => Self::Udp,
            ProtoArg::IcmpEcho => Self::IcmpEcho,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// Each in turn.
    RoundRobin,
    /// Any: each packet's flow is where a cache does not expect it.
    Random,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::RoundRobin => Self::RoundRobin,
            OrderArg::Random => Self::Random,
        }
    }
}

#[derive(Debug, Default, Args)]
pub(crate) struct LatencyArgs {
    /// Write all percentiles of the latency to this file, in microseconds, as HdrHistogram's plotters read it (.hgrm). A search
    /// writes one file per goal, with its name before the ending.
    #[arg(long, value_name = "FILE")]
    pub(crate) percentiles: Option<PathBuf>,
    /// Write the latency histogram to this file as an HdrHistogram interval log (.hlog), likewise.
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr_log: Option<PathBuf>,
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
    /// Count all frames, though they carry no stamp of ours, like those of a capture.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) port: ReceivePortArgs,
    #[command(flatten)]
    pub(crate) latency: LatencyArgs,
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
pub(crate) struct PathArgs {
    /// Interface to send on.
    #[arg(long)]
    pub(crate) tx: String,
    /// Interface to receive on; it may be the same.
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
    /// Seconds to wait for packets that are still under way when all are sent; ends early when all have come.
    #[arg(long, value_parser = seconds, default_value = "0.5")]
    pub(crate) linger: f64,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    /// Do it so many times, and report how the figures differ.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    #[command(flatten)]
    pub(crate) latency: LatencyArgs,
}

const RUN_EXAMPLES: &str = "\
Examples:
  # A router between two interfaces, a million packets per second for ten seconds, IPv6
  pktgen run --tx eth1 --rx eth2 --to-mac 02:00:00:00:00:01 --src 2001:db8::1 --dst 2001:db8:1::1 --rate 1M --seconds 10
  # 65,536 flows at random, simple IMIX, half of a 10 Gbit/s link, five times
  pktgen run --tx eth1 --rx eth2 --to-mac 02:00:00:00:00:01 --src 10.0.0.0/24 --dst 10.1.0.0/24 --flow-order random \\
      --imix simple --rate 5Gbit-l1 --seconds 10 --repeat 5
  # Replay a capture through a bridge, ten times as recorded
  pktgen run --tx v0 --tx-netns a --rx w0 --rx-netns b --pcap trace.pcapng --loops 10";

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) path: PathArgs,
    /// Loss that is allowed, in percent of the packets: a list; 0 finds the NDR, 0.5 the PDR.
    #[arg(long, value_delimiter = ',', default_value = "0,0.5")]
    pub(crate) loss: Vec<f64>,
    /// Seconds that each trial sends for (RFC 2544 wants 60).
    #[arg(long, value_parser = seconds, default_value = "10")]
    pub(crate) trial_seconds: f64,
    /// Trials at each rate; a rate passes when more than half of them do.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) trials: u32,
    /// Highest rate to try, as --rate of `run` takes it [default: as fast as the sender is in a first trial].
    #[arg(long, default_value = "max")]
    pub(crate) max_rate: Rate,
    /// Lowest rate to try.
    #[arg(long, default_value = "1k")]
    pub(crate) min_rate: Rate,
    /// How near to the best rate the found one must be, in percent of it.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) resolution: f64,
    /// Give up after so many trials.
    #[arg(long, default_value_t = 100)]
    pub(crate) max_trials: u32,
    /// Seconds to send for before the search, at a tenth of the highest rate, so that neighbours and flows are known; 0: not.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up: f64,
    /// Seconds of rest between trials (RFC 2544 wants 5).
    #[arg(long, default_value_t = 0.5)]
    pub(crate) pause: f64,
    #[command(flatten)]
    pub(crate) latency: LatencyArgs,
}

const SEARCH_EXAMPLES: &str = "\
Examples:
  # NDR and PDR of what is between two interfaces, in the smallest packets
  pktgen search --tx eth1 --rx eth2 --to-mac 02:00:00:00:00:01 --src 10.0.0.1 --dst 10.1.0.1
  # As RFC 2544 has it: trials of a minute, five seconds of rest, two for stragglers, up to the line rate of 10 Gbit/s
  pktgen search --tx eth1 --rx eth2 --to-mac 02:00:00:00:00:01 --src 10.0.0.1 --dst 10.1.0.1 --max-rate 10Gbit-l1 \\
      --loss 0 --trial-seconds 60 --pause 5 --linger 2
  # On a shared machine: the best of what passes two times of three, within 3 %, with the latency there
  pktgen search --tx v0 --rx w0 --to-mac 02:00:00:00:00:01 --src 2001:db8::/112 --dst 2001:db8:1::1 --trials 3 \\
      --trial-seconds 2 --resolution 3 --percentiles latency.hgrm";

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
        assert!(complaint(&format!("{base} --imix 64")).contains("sizes with weights like"));
        assert!(complaint(&format!("{base} --imix simple --size 64")).contains("cannot be used with"));
        assert!(complaint(&format!("{base} --pcap t.pcap")).contains("cannot be used with"));
        assert!(complaint(&base.replace("10.0.0.1", "10.0.0.9-10.0.0.1")).contains("ends before it starts"));
        assert!(complaint(&format!("{base} --sport 70000")).contains("a range like 1024-65535"));
        assert!(complaint(&format!("{base} --senders 17")).contains("17 is not in 1..=16"));
        assert!(Cli::try_parse_from("pktgen send --interface eth1 --pcap t.pcap".split(' ')).is_ok());
        assert!(Cli::try_parse_from("pktgen search --tx a --rx b --src ::1 --dst ::2 --loss 0,0.1".split(' ')).is_ok());
        assert!(complaint("pktgen reflect --from a --both --swap-macs").contains("--to"));
    }
}
