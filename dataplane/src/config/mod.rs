//! What the daemon is told, by flags and by a TOML file: read, checked, and put together, flags first.
//!
//! Nothing is opened or looked up here: what this says is right may still not exist. Every error names the flag, or the file and
//! the key, and says what would be right.

mod cpus;
mod error;
mod file;
mod flags;
mod given;
mod reference;
mod timeouts;
mod uplinks;

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use self::{file::File, given::Given, uplinks::uplinks};
use crate::{
    api::{Address, DEFAULT_NAMED, ExportSettings},
    engine::{
        Settings,
        daemon::{DaemonSettings, MetricsSettings},
        interfaces::UplinkSettings,
        threads::Pinning,
    },
    packet::pool::{MAX_CHUNK, MIN_CHUNK},
    port::af_xdp::RingSizes,
    tables::conntrack::Timeouts,
    worker::{Polling, fleet::MAX_WORKERS},
};

pub use cpus::{BadCpuList, CpuList};
pub use error::ConfigError;
pub use flags::{Flags, UplinkFlag};
pub use reference::REFERENCE;
pub use timeouts::FlowTimeout;

/// Where the API listens when nothing else is said.
pub const DEFAULT_LISTEN: &str = "/run/vrouter/vrouterd.sock";

/// Frames when nothing else is said: 128 MiB of packet memory, for some 200 ports. The kernel keeps 128 bytes for each frame and
/// port on top: more frames than needed are not free.
const DEFAULT_FRAMES: u64 = 64 << 10;

/// Large frames when nothing else is said: 33 MiB. They are needed only while a packet is carried, a batch at a time.
const DEFAULT_LARGE_FRAMES: u64 = 512;

/// Most large frames: as much memory as all others may take.
const MAX_LARGE_FRAMES: u64 = 1 << 20;

/// Most names in metrics, of one kind.
const MAX_NAMES: u64 = 100_000;

/// Most bytes of packet memory.
const MAX_MEMORY: u64 = 64 << 30;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Poll {
    /// Looks for a while, then sleeps until woken.
    #[default]
    Adaptive,
    /// Never sleeps: lowest latency, one CPU always busy for each worker.
    Busy,
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the node.
    pub node: String,
    /// Where the API listens.
    pub listen: Vec<Address>,
    /// Interfaces of the underlay.
    pub uplinks: Vec<UplinkSettings>,
    /// Number of workers.
    pub workers: usize,
    /// CPU of each worker. Empty: not pinned.
    pub cpus: Vec<usize>,
    /// What idle workers do.
    pub polling: Polling,
    /// Frames of packet memory.
    pub frames: u32,
    /// Bytes of each frame.
    pub frame_size: u16,
    /// Frames for packets larger than others hold.
    pub large_frames: u32,
    /// Ring sizes of workloads' ports.
    pub access_rings: RingSizes,
    /// Flow pairs that fit.
    pub flows: usize,
    /// Most flow pairs of one VRF.
    pub vrf_flows: u32,
    /// When idle flows are forgotten.
    pub flow_timeouts: Timeouts,
    /// Whom flows are told; `None`: nobody.
    pub ipfix: Option<ExportSettings>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<MetricsSettings>,
    /// What is logged.
    pub log: String,
    /// How it is written.
    pub log_format: LogFormat,
}

impl Config {
    /// Puts flags over the file that they name. `hostname`: name of the node when nothing else is said.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(flags: Flags, hostname: &str) -> Result<Self, ConfigError> {
        let path = flags.config.clone();
        let file = path.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let path = path.as_deref();

        let cpus = Given::choose("cpus", flags.cpus, file.cpus, path);
        let workers = Given::choose("workers", flags.workers, file.workers, path);
        let (workers, cpus) = workers_and_cpus(workers, cpus)?;
        let (frames, frame_size) = memory(
            Given::choose("frames", flags.frames, file.frames, path),
            Given::choose("frame-size", flags.frame_size, file.frame_size, path),
        )?;
        let large_frames = Given::choose("large-frames", flags.large_frames, file.large_frames, path);
        let flows = Given::choose("flows", flags.flows, file.flows, path);
        let vrf_flows = Given::choose("vrf-flows", flags.vrf_flows, file.vrf_flows, path);
        let rings = |name, flag, file, default| rings(Given::choose(name, flag, file, path), default);
        let access_rings = rings("access-rings", flags.access_rings, file.access_rings, RingSizes::ACCESS)?;
        let uplink_rings = rings("uplink-rings", flags.uplink_rings, file.uplink_rings, RingSizes::UPLINK)?;
        let poll = Given::choose("poll", flags.poll, file.poll, path);
        let spin = Given::choose("spin", flags.spin, file.spin, path);
        let number =
            |name, flag, file, range, default| Given::within(Given::choose(name, flag, file, path), range, default);
        let domain = number(
            "ipfix-domain",
            flags.ipfix_domain,
            file.ipfix_domain,
            0..=u32::MAX.into(),
            1,
        )? as u32;
        let active = number("ipfix-active", flags.ipfix_active, file.ipfix_active, 1..=86_400, 60)?;
        let one_of = number("ipfix-sample", flags.ipfix_sample, file.ipfix_sample, 1..=1_000_000, 1)? as u32;
        let rate = number("ipfix-rate", flags.ipfix_rate, file.ipfix_rate, 1..=1_000_000, 10_000)? as u32;
        let collectors = Given::choose_list("ipfix", flags.ipfix, file.ipfix, path);
        let names = Given::choose(
            "metrics-max-names",
            flags.metrics_max_names,
            file.metrics_max_names,
            path,
        );
        let names = Given::within(names, 0..=MAX_NAMES, DEFAULT_NAMED as u64)? as usize;
        let metrics = Given::choose("metrics", flags.metrics, file.metrics, path);
        let log = Given::choose("log", flags.log, file.log, path);
        let log_format = flags.log_format.or(file.log_format).unwrap_or_default();
        Ok(Self {
            node: node(Given::choose("node", flags.node, file.node, path), hostname)?,
            listen: listen(Given::choose_list("listen", flags.listen, file.listen, path))?,
            uplinks: uplinks(
                Given::choose_list(
                    "uplink",
                    flags.uplink.into_iter().map(Into::into).collect(),
                    file.uplink,
                    path,
                ),
                Given::choose_list("vtep", flags.vtep, file.vtep, path),
                Given::choose_list("gateway", flags.gateway, file.gateway, path),
                uplink_rings,
            )?,
            workers,
            cpus,
            polling: polling(poll, spin)?,
            frames,
            frame_size,
            large_frames: Given::within(large_frames, 0..=MAX_LARGE_FRAMES, DEFAULT_LARGE_FRAMES)? as u32,
            access_rings,
            flows: Given::within(flows, 1024..=1 << 27, 1 << 20)? as usize,
            vrf_flows: Given::within(vrf_flows, 1..=u32::MAX.into(), u32::MAX.into())? as u32,
            flow_timeouts: timeouts::timeouts(&flags.flow_timeout, &file.flow_timeout, path)?,
            ipfix: collectors.map(|collectors| ExportSettings {
                collectors: collectors.value,
                domain,
                active: Duration::from_secs(active),
                one_of,
                rate,
            }),
            metrics: metrics.map(|address| MetricsSettings {
                address: address.value,
                names,
            }),
            log: log_filter(log)?,
            log_format,
        })
    }

    /// For the daemon. `seed` keys its hashes: draw it at random.
    pub fn daemon(self, seed: u64) -> DaemonSettings {
        DaemonSettings {
            node: self.node,
            listen: self.listen,
            uplinks: self.uplinks,
            settings: Settings {
                workers: self.workers,
                flows: self.flows,
                vrf_flows: self.vrf_flows,
                flow_timeouts: self.flow_timeouts,
                seed,
                ..Settings::default()
            },
            frames: self.frames,
            frame_size: self.frame_size,
            large_frames: self.large_frames,
            access_rings: self.access_rings,
            ipfix: self.ipfix,
            metrics: self.metrics,
            pinning: Pinning {
                cpus: self.cpus,
                polling: self.polling,
            },
        }
    }
}

fn node(given: Option<Given<String>>, hostname: &str) -> Result<String, ConfigError> {
    let Some(given) = given else {
        return Ok(hostname.to_owned());
    };
    let bad = given.value.is_empty() || given.value.len() > 63 || given.value.chars().any(char::is_control);
    if bad {
        return Err(given.wrong("a node's name has from 1 to 63 bytes and no control characters"));
    }
    Ok(given.value)
}

fn listen(given: Option<Given<Vec<Address>>>) -> Result<Vec<Address>, ConfigError> {
    let Some(given) = given else {
        return Ok(vec![Address::Unix(DEFAULT_LISTEN.into())]);
    };
    for (index, address) in given.value.iter().enumerate() {
        if given.value[..index].contains(address) {
            return Err(given.wrong(format!("{address} is given twice")));
        }
    }
    Ok(given.value)
}

fn workers_and_cpus(
    workers: Option<Given<u64>>,
    cpus: Option<Given<CpuList>>,
) -> Result<(usize, Vec<usize>), ConfigError> {
    let asked = workers.as_ref().map(|workers| workers.value);
    let count = Given::within(workers, 1..=MAX_WORKERS as u64, 1)? as usize;
    let Some(cpus) = cpus else {
        return Ok((count, Vec::new()));
    };
    let listed = cpus.value.0.len();
    if listed > MAX_WORKERS {
        return Err(cpus.wrong(format!(
            "{listed} CPUs for as many workers; at most {MAX_WORKERS} are possible"
        )));
    }
    if asked.is_some() && count != listed {
        let message =
            format!("{listed} CPUs for {count} workers; name one for each, or leave the number of workers out");
        return Err(cpus.wrong(message));
    }
    Ok((listed, cpus.value.0))
}

fn memory(frames: Option<Given<u64>>, size: Option<Given<u64>>) -> Result<(u32, u16), ConfigError> {
    let chunk = match size {
        None => MIN_CHUNK,
        Some(size) => {
            let chunk = u16::try_from(size.value).ok();
            let chunk = chunk.filter(|chunk| chunk.is_power_of_two() && (MIN_CHUNK..=MAX_CHUNK).contains(chunk));
            let right = format!(
                "{} is no frame size; give 2048, 4096, 8192, 16384 or 32768 bytes",
                size.value
            );
            chunk.ok_or_else(|| size.wrong(right))?
        }
    };
    let most = (MAX_MEMORY / u64::from(chunk)).min(u64::from(u32::MAX));
    let frames = Given::within(frames, 1024..=most, DEFAULT_FRAMES)?;
    Ok((u32::try_from(frames).unwrap_or(u32::MAX), chunk))
}

fn rings(given: Option<Given<u64>>, default: RingSizes) -> Result<RingSizes, ConfigError> {
    let Some(given) = given else { return Ok(default) };
    let size = u32::try_from(given.value).ok();
    let size = size.filter(|size| size.is_power_of_two() && (64..=32_768).contains(size));
    let Some(size) = size else {
        let message = format!("{} is no ring size; give a power of two from 64 to 32768", given.value);
        return Err(given.wrong(message));
    };
    Ok(RingSizes {
        fill: size,
        rx: size,
        tx: size,
        completion: size,
    })
}

fn polling(poll: Option<Given<Poll>>, spin: Option<Given<u64>>) -> Result<Polling, ConfigError> {
    match (poll.map(|poll| poll.value).unwrap_or_default(), spin) {
        (Poll::Busy, None) => Ok(Polling::Busy),
        (Poll::Busy, Some(spin)) => {
            Err(spin.wrong("busy workers never stop looking; leave this out or poll adaptively"))
        }
        (Poll::Adaptive, None) => Ok(Polling::default()),
        (Poll::Adaptive, spin) => Ok(Polling::Adaptive {
            spin: Duration::from_micros(Given::within(spin, 0..=1_000_000, 0)?),
        }),
    }
}

fn log_filter(given: Option<Given<String>>) -> Result<String, ConfigError> {
    let Some(given) = given else {
        return Ok("info".to_owned());
    };
    if let Err(error) = EnvFilter::try_new(&given.value) {
        let right = "give error, warn, info, debug, trace, or a filter like info,vrouter_dataplane::api=debug";
        return Err(given.wrong(format!("{:?} is no log level ({error}); {right}", given.value)));
    }
    Ok(given.value)
}

#[cfg(test)]
mod tests;
