//! The commands and global flags, and which room each command is in.

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use tonic::transport::Channel;
use vrouter_proto::{control::control_client::ControlClient, dataplane::dataplane_client::DataplaneClient};

use crate::{
    capture,
    connect::{self, Address},
    doctor,
    failure::Failure,
    intent,
    output::{Color, Format, Output},
    sight, tables, telemetry, top,
};

/// Says what containers' networks shall be, and shows what moves their packets.
#[derive(Debug, Parser)]
#[command(
    name = "vrctl",
    version,
    max_term_width = 120,
    after_help = "\
Intent (asks vrouter-control): network, subnet, endpoint, node, group, policy, router, floatingip, service, qos, mirror,
                               trace, flow watch, watch, status, audit
Tables (asks a vrouterd):      port, vrf, bridge, route, nexthop, mac, neighbor, label, vni, flow
Counters (asks a vrouterd):    drops, stats, top, info, capture
This host:                     doctor

Examples:
  vrctl network create blue
  vrctl subnet create blue/v4 --cidr 10.1.0.0/24
  vrctl endpoint create blue/web-1 --node node1 --interface veth1
  vrctl flow list --match 'ip=10.1.0.2 port=443 proto=tcp vrf=blue'
  vrctl route list --vrf blue -o json

Exit codes: 0 done, 1 the server refused or the object is not there, 2 usage, 3 cannot connect"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Debug)]
struct Globals {
    /// Where vrouter-control listens: unix:/path or http://host:port
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "VROUTER_CONTROL",
        default_value = "unix:/run/vrouter/control.sock",
        help_heading = "Global options"
    )]
    control: Address,
    /// Where vrouterd listens: unix:/path or http://host:port
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "VROUTER_DATAPLANE",
        default_value = "unix:/run/vrouter/vrouterd.sock",
        help_heading = "Global options"
    )]
    dataplane: Address,
    /// Tables for people or JSON for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    output: Format,
    /// Colours: auto is on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Logical networks
    #[command(subcommand, visible_alias = "net")]
    Network(intent::network::Command),
    /// Ranges of addresses of networks
    #[command(subcommand)]
    Subnet(intent::subnet::Command),
    /// Containers, VMs and hosts behind ports
    #[command(subcommand, visible_alias = "ep")]
    Endpoint(intent::endpoint::Command),
    /// Compute nodes
    #[command(subcommand)]
    Node(intent::node::Command),
    /// Endpoints by their labels
    #[command(subcommand)]
    Group(intent::group::Command),
    /// Who may talk to whom
    #[command(subcommand, visible_alias = "pol")]
    Policy(intent::policy::Command),
    /// Networks joined, and their way out
    #[command(subcommand)]
    Router(intent::router::Command),
    /// Addresses of the external network that stand for endpoints or their ports
    #[command(subcommand, name = "floatingip", visible_alias = "fip")]
    FloatingIp(intent::floating_ip::Command),
    /// Stable addresses for backends
    #[command(subcommand, visible_alias = "svc")]
    Service(intent::service::Command),
    /// Limits and marks for endpoints
    #[command(subcommand)]
    Qos(intent::qos::Command),
    /// Copies of packets for an observer
    #[command(subcommand)]
    Mirror(intent::mirror::Command),
    /// Show where a packet would go and why, step by step on every node, without sending it
    Trace(sight::trace::Trace),
    /// Show changes of intent as they are committed
    Watch(intent::watch::Watch),
    /// Show vrouter-control, its dataplanes and whether they are in sync
    Status,
    /// Compare addresses handed out with their holders, and what is programmed with what is wished
    Audit,

    /// Ports of a dataplane: veths of containers, and uplinks
    #[command(subcommand)]
    Port(tables::port::Command),
    /// Routing tables (VRFs) of a dataplane
    #[command(subcommand)]
    Vrf(tables::vrf::Command),
    /// Broadcast domains of a dataplane
    #[command(subcommand)]
    Bridge(tables::bridge::Command),
    /// Routes of a dataplane
    #[command(subcommand)]
    Route(tables::route::Command),
    /// Next hops of a dataplane: what is done with packets
    #[command(subcommand, visible_alias = "nh")]
    Nexthop(tables::nexthop::Command),
    /// MAC addresses, programmed and learned
    #[command(subcommand)]
    Mac(tables::mac::Command),
    /// Neighbours: IP to MAC, in bridges and on the underlay
    #[command(subcommand, visible_alias = "neigh")]
    Neighbor(tables::neighbor::Command),
    /// MPLS labels that arrive here
    #[command(subcommand)]
    Label(tables::label::Command),
    /// VXLAN network identifiers that arrive here
    #[command(subcommand)]
    Vni(tables::vni::Command),
    /// Flows as the workers hold them now
    #[command(subcommand)]
    Flow(tables::flow::Command),

    /// Packets as they come in, go out or are dropped: for Wireshark, or a line each
    Capture(capture::Capture),
    /// Dropped packets per port and per VRF, with the reason and what it means
    Drops(telemetry::drops::Drops),
    /// Counters of ports, VRFs, workers, frames and flows
    Stats(telemetry::stats::Stats),
    /// Show live what a node does: ports, flows, drops and workers
    Top(top::Top),
    /// What this vrouterd is, which revision it runs and what it can hold
    Info,

    /// Look for what is wrong or slow on this host and in the daemons, and say what to do
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  vrctl completions bash > /etc/bash_completion.d/vrctl
  vrctl completions zsh > /usr/share/zsh/vendor-completions/_vrctl
  vrctl completions fish > ~/.config/fish/completions/vrctl.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Completion,
    },
}

/// Shells with completions.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Completion {
    Bash,
    Zsh,
    Fish,
}

impl From<Completion> for Shell {
    fn from(shell: Completion) -> Self {
        match shell {
            Completion::Bash => Self::Bash,
            Completion::Zsh => Self::Zsh,
            Completion::Fish => Self::Fish,
        }
    }
}

/// What every command needs: the two servers and the output.
pub(crate) struct Context {
    control: Address,
    dataplane: Address,
    pub(crate) output: Output,
}

impl Context {
    /// Where `vrouter-control` listens.
    pub(crate) fn control_address(&self) -> &Address {
        &self.control
    }

    /// Where the `vrouterd` listens.
    pub(crate) fn dataplane_address(&self) -> &Address {
        &self.dataplane
    }

    /// Connects to `vrouter-control`.
    pub(crate) async fn control(&self) -> Result<ControlClient<Channel>, Failure> {
        connect::control(&self.control).await
    }

    /// Connects to the `vrouterd`.
    pub(crate) async fn dataplane(&self) -> Result<DataplaneClient<Channel>, Failure> {
        connect::dataplane(&self.dataplane).await
    }
}

impl Cli {
    /// Does what the command line asks.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Globals {
            control,
            dataplane,
            output,
            color,
        } = self.globals;
        let context = Context {
            control,
            dataplane,
            output: Output::new(output, color),
        };
        let context = &context;
        match self.command {
            Command::Network(command) => intent::network::run(command, context).await,
            Command::Subnet(command) => intent::subnet::run(command, context).await,
            Command::Endpoint(command) => intent::endpoint::run(command, context).await,
            Command::Node(command) => intent::node::run(command, context).await,
            Command::Group(command) => intent::group::run(command, context).await,
            Command::Policy(command) => intent::policy::run(command, context).await,
            Command::Router(command) => intent::router::run(command, context).await,
            Command::FloatingIp(command) => intent::floating_ip::run(command, context).await,
            Command::Service(command) => intent::service::run(command, context).await,
            Command::Qos(command) => intent::qos::run(command, context).await,
            Command::Mirror(command) => intent::mirror::run(command, context).await,
            Command::Trace(command) => sight::trace::run(command, context).await,
            Command::Watch(command) => intent::watch::run(command, context).await,
            Command::Status => intent::status::run(context).await,
            Command::Audit => intent::audit::run(context).await,
            Command::Port(command) => tables::port::run(command, context).await,
            Command::Vrf(command) => tables::vrf::run(command, context).await,
            Command::Bridge(command) => tables::bridge::run(command, context).await,
            Command::Route(command) => tables::route::run(command, context).await,
            Command::Nexthop(command) => tables::nexthop::run(command, context).await,
            Command::Mac(command) => tables::mac::run(command, context).await,
            Command::Neighbor(command) => tables::neighbor::run(command, context).await,
            Command::Label(command) => tables::label::run(command, context).await,
            Command::Vni(command) => tables::vni::run(command, context).await,
            Command::Flow(command) => tables::flow::run(command, context).await,
            Command::Doctor(command) => doctor::run(command, context).await,
            Command::Capture(command) => capture::run(command, context).await,
            Command::Drops(command) => telemetry::drops::run(command, context).await,
            Command::Stats(command) => telemetry::stats::run(command, context).await,
            Command::Top(command) => top::run(command, context).await,
            Command::Info => telemetry::info::run(context).await,
            Command::Completions { shell } => {
                // Written to memory first: the generator would panic on a closed pipe.
                let mut script = Vec::new();
                clap_complete::generate(Shell::from(shell), &mut Self::command(), "vrctl", &mut script);
                context.output.bytes(&script)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
