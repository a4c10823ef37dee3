//! What the plugin is told.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use vrouter_control::{
    model::{Cidr, Family, Name, parse_address},
    transport::Address,
};

/// What networks can be told. `networks::Wish` reads it.
pub(crate) const NETWORK_OPTIONS: &str = "\
Options of `docker network create -d vrouter -o KEY=VALUE`:
  network=NAME         the network in vrouter-control: joined if it is there, else made [default: docker- and the id of Docker's]
  encapsulation=KIND   vxlan or mpls [default: vxlan]
  bridged=BOOL         one segment instead of routed subnets [default: false]
  vni=N                VXLAN network identifier, 1 to 16777215 [default: control chooses]
  mtu=BYTES            for a smaller one than the underlay lets pass";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The settings.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "vrouter-docker",
    version,
    about = "Docker's networks on vrouter: a network driver and an IPAM driver for dockerd",
    after_long_help = NETWORK_OPTIONS
)]
pub(crate) struct Config {
    /// The node that dockerd runs on, as vrouter-control knows it [default: the host's name]
    #[arg(long, value_name = "NAME", env = "VROUTER_NODE")]
    node: Option<Name>,
    /// Where dockerd finds the plugin: the file's name is the driver's
    #[arg(long, value_name = "FILE", default_value = "/run/docker/plugins/vrouter.sock")]
    pub(crate) listen: PathBuf,
    /// Where vrouter-control listens
    #[arg(
        long,
        value_name = "ADDR",
        env = "VROUTER_CONTROL",
        default_value = "unix:/run/vrouter/control.sock"
    )]
    pub(crate) control: Address,
    /// Directory for what must outlive the plugin
    #[arg(long, value_name = "DIR", default_value = "/var/lib/vrouter/docker")]
    pub(crate) state: PathBuf,
    /// Dockerd's API, which is asked for names and labels of containers; "none": they are not recorded
    #[arg(long, value_name = "ADDR", default_value = "unix:/var/run/docker.sock", value_parser = docker)]
    docker_api: DockerApi,
    /// Dockerd's socket, out of `docker_api`
    #[arg(skip)]
    pub(crate) docker: Option<PathBuf>,
    /// Address on the underlay that published ports of containers are at, one of each family [default: one of the external network for each family
    /// that it has subnets of]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) publish: Vec<IpAddr>,
    /// Where IPv4 subnets of networks without --subnet come from
    #[arg(long, value_name = "PREFIX", default_value = "10.192.0.0/10", value_parser = v4)]
    pub(crate) pool_v4: Cidr,
    /// How long their prefixes are
    #[arg(long, value_name = "BITS", default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=30))]
    pub(crate) pool_v4_length: u8,
    /// Where IPv6 subnets of networks without --subnet come from
    #[arg(long, value_name = "PREFIX", default_value = "fd76:726f:7574::/48", value_parser = v6)]
    pub(crate) pool_v6: Cidr,
    /// How long their prefixes are
    #[arg(long, value_name = "BITS", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=126))]
    pub(crate) pool_v6_length: u8,
    /// Milliseconds in which every request of dockerd is answered, also when vrouter-control is away
    #[arg(long, value_name = "MS", default_value = "800", value_parser = milliseconds)]
    pub(crate) answer_within: Duration,
    /// Seconds after which addresses and pools that dockerd asked for and made no use of are given back: it makes use of them within milliseconds, unless it
    /// died or gave up
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) forget_after: Duration,
    /// What to log: error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: String,
    /// How to write the log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

impl Config {
    /// Reads the command line.
    pub(crate) fn read() -> Self {
        let mut config = Self::parse();
        config.docker.clone_from(&config.docker_api.0);
        config
    }

    /// The node: as it was said, else the host's name.
    pub(crate) fn node(&self) -> Result<String, String> {
        if let Some(node) = &self.node {
            return Ok(node.to_string());
        }
        let text = std::fs::read_to_string("/proc/sys/kernel/hostname").map_err(|error| error.to_string())?;
        let name = Name::new(text.trim()).map_err(|error| format!("the host's name {error}; say --node"))?;
        Ok(name.to_string())
    }

    /// The prefix that subnets of a family are taken from, and their prefix length.
    pub(crate) fn pool(&self, family: Family) -> (Cidr, u8) {
        match family {
            Family::V4 => (self.pool_v4, self.pool_v4_length),
            Family::V6 => (self.pool_v6, self.pool_v6_length),
        }
    }
}

#[derive(Debug, Clone)]
struct DockerApi(Option<PathBuf>);

fn docker(text: &str) -> Result<DockerApi, String> {
    if text == "none" {
        return Ok(DockerApi(None));
    }
    match text.parse::<Address>() {
        Ok(Address::Unix(path)) => Ok(DockerApi(Some(path))),
        _ => Err("unix:/var/run/docker.sock, or none, would be right".to_owned()),
    }
}

fn v4(text: &str) -> Result<Cidr, String> {
    of_family(text, Family::V4)
}

fn v6(text: &str) -> Result<Cidr, String> {
    of_family(text, Family::V6)
}

fn of_family(text: &str, family: Family) -> Result<Cidr, String> {
    let cidr = Cidr::new(text).map_err(|error| error.to_string())?;
    if cidr.family() == family {
        Ok(cidr)
    } else {
        Err(format!("{cidr} is no {family} prefix"))
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(number) if (100..=25_000).contains(&number) => Ok(Duration::from_millis(number)),
        _ => Err("100 to 25000 would be right: dockerd itself gives up after 30 seconds".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(number) if (1..=150).contains(&number) => Ok(Duration::from_secs(number)),
        _ => Err("1 to 150 would be right".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Config::command().debug_assert();
        let config = Config::try_parse_from(["x", "--node", "node1"]).unwrap();
        assert_eq!(config.answer_within, Duration::from_millis(800));
        assert!(config.docker_api.0.is_some());
        for bad in [
            ["--pool-v4", "fd00::/48"],
            ["--pool-v6", "10.0.0.0/8"],
            ["--answer-within", "1"],
            ["--docker-api", "http://x:1"],
            ["--node", "A"],
            ["--publish", "::"],
        ] {
            assert!(Config::try_parse_from(["x", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
