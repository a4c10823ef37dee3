//! What the daemon is told: flags and a TOML file, flags first.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};
use serde::Deserialize;
use vrouter_manual::{Key, Reference};

use crate::{api::DEFAULT_NAMED, model::Name, transport::Address};

/// Where the API listens when nothing else is said.
pub const DEFAULT_LISTEN: &str = "/run/vrouter/control.sock";
/// Where the store is when nothing else is said.
pub const DEFAULT_STORE: &str = "/var/lib/vrouter/control.redb";

/// What can stand in the config file, with defaults, for documents and packages.
pub const REFERENCE: Reference = Reference {
    file: "/etc/vrouter/vrouter-control.toml",
    keys: &[
        Key::default("listen", "[\"unix:/run/vrouter/control.sock\"]")
            .more("TCP has no authentication: only on a management network."),
        Key::default("store", "\"/var/lib/vrouter/control.redb\""),
        Key::example("metrics", "\"127.0.0.1:9171\""),
        Key::default("metrics-max-names", "1000"),
        Key::default("log", "\"info\""),
        Key::default("log-format", "\"text\"").more("text or json."),
        Key::example(
            "dataplane",
            "node1 = \"unix:/run/vrouter/vrouterd.sock\"\nnode2 = \"http://192.0.2.2:7000\"",
        )
        .table("[dataplane]"),
    ],
};

/// The command line.
#[derive(Debug, Default, Parser)]
#[command(
    name = "vrouter-control",
    version,
    about = "Keeps networks, subnets, endpoints and nodes, and programs the vrouterd of every node"
)]
pub struct Flags {
    /// TOML file with the same settings; what is given on the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to serve the API on (repeatable): unix:/path or http://host:port [default: unix:/run/vrouter/control.sock]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<Address>,
    /// File that everything is kept in [default: /var/lib/vrouter/control.redb]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
    /// Dataplane to program (repeatable): the node's name and where its vrouterd listens
    #[arg(long, value_name = "NODE=ADDR", value_parser = parse_dataplane)]
    pub dataplane: Vec<(Name, Address)>,
    /// Address to serve metrics for Prometheus on, and /healthz and /readyz: host's address and port [default: not served]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Nodes, subnets and services, of each kind, that metrics name; of the rest only sums are told [default: 1000]
    #[arg(long, value_name = "N")]
    pub metrics_max_names: Option<u32>,
    /// What to log: error, warn, info, debug, trace, or a filter like "info,vrouter_control=debug" [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// How to write the log [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the API listens.
    pub listen: Vec<Address>,
    /// The store's file.
    pub store: PathBuf,
    /// Dataplanes to program, by node.
    pub dataplanes: BTreeMap<Name, Address>,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Most series of one kind that have names of their own.
    pub metrics_max_names: u32,
    /// Log filter.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not what is expected: the message names line and key.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
    /// A node is named twice.
    #[error("dataplane: node {0} is given twice")]
    TwoDataplanes(Name),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    listen: Vec<Address>,
    store: Option<PathBuf>,
    #[serde(default)]
    dataplane: BTreeMap<String, Address>,
    metrics: Option<SocketAddr>,
    metrics_max_names: Option<u32>,
    log: Option<String>,
    log_format: Option<LogFormat>,
}

impl Config {
    /// Puts flags over the file that they name.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the key at fault.
    pub fn new(flags: Flags) -> Result<Self, ConfigError> {
        let Some(path) = flags.config.clone() else {
            return Self::with_text(flags, Path::new(""), "");
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::with_text(flags, &path, &text),
            Err(error) => Err(ConfigError::Read { path, error }),
        }
    }

    /// Puts flags over the text of the file at `path`, which is not read.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the key at fault.
    pub fn with_text(flags: Flags, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = parse(path, text)?;
        let mut dataplanes = BTreeMap::new();
        for (node, address) in flags.dataplane {
            if dataplanes.insert(node.clone(), address).is_some() {
                return Err(ConfigError::TwoDataplanes(node));
            }
        }
        for (node, address) in file.1 {
            dataplanes.entry(node).or_insert(address);
        }
        let file = file.0;
        let listen = [flags.listen, file.listen, vec![Address::Unix(DEFAULT_LISTEN.into())]];
        Ok(Self {
            listen: listen.into_iter().find(|l| !l.is_empty()).unwrap_or_default(),
            store: flags.store.or(file.store).unwrap_or_else(|| DEFAULT_STORE.into()),
            dataplanes,
            metrics: flags.metrics.or(file.metrics),
            metrics_max_names: flags
                .metrics_max_names
                .or(file.metrics_max_names)
                .unwrap_or(DEFAULT_NAMED),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

fn parse(path: &Path, text: &str) -> Result<(File, BTreeMap<Name, Address>), ConfigError> {
    let syntax = |error| ConfigError::Syntax {
        path: path.to_owned(),
        error: Box::new(error),
    };
    let mut file: File = toml::from_str(text).map_err(syntax)?;
    let mut dataplanes = BTreeMap::new();
    for (node, address) in std::mem::take(&mut file.dataplane) {
        let name = Name::new(&node).map_err(|e| syntax(serde::de::Error::custom(format!("dataplane.{node}: {e}"))))?;
        dataplanes.insert(name, address);
    }
    Ok((file, dataplanes))
}

fn parse_dataplane(text: &str) -> Result<(Name, Address), String> {
    let (node, address) = text
        .split_once('=')
        .ok_or("NODE=ADDR would be right, like node-a=unix:/run/vrouter/vrouterd.sock")?;
    Ok((
        Name::new(node).map_err(|e| format!("node {e}"))?,
        address.parse().map_err(|e| format!("{e}"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, arguments: &[&str]) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let mut all = vec!["vrouter-control", "--config", &path];
        all.extend(arguments);
        Config::new(Flags::try_parse_from(all).unwrap())
    }

    #[test]
    fn every_key_and_every_flag_is_told_of_and_documents_are_what_the_code_says() {
        use clap::CommandFactory as _;
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(REFERENCE.gap(&Flags::command(), vrouter_manual::fields::<File>()), None);
        assert_eq!(REFERENCE.stale(&Flags::command(), &top), None);
    }

    #[test]
    fn the_defaults_told_are_those_in_force() {
        assert_eq!(
            with_file(&REFERENCE.in_force(false), &[]).unwrap(),
            with_file("", &[]).unwrap()
        );
        let all = with_file(&REFERENCE.in_force(true), &[]).unwrap();
        assert_eq!(all.dataplanes.len(), 2);
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "metrics = \"127.0.0.1:9171\"\nmetrics-max-names = 5\nlisten = [\"unix:/a\"]\nstore = \"/b\"\nlog-format = \"json\"\n[dataplane]\na = \"unix:/x\"\nb = \"http://[::1]:1\"\n";
        let config = with_file(text, &["--store", "/c", "--dataplane", "a=unix:/y"]).unwrap();
        assert_eq!(config.store, PathBuf::from("/c"));
        assert_eq!(config.listen, [Address::Unix("/a".into())]);
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.metrics, Some("127.0.0.1:9171".parse().unwrap()));
        assert_eq!(config.metrics_max_names, 5);
        let shown: Vec<_> = config.dataplanes.iter().map(|(n, a)| format!("{n}={a}")).collect();
        assert_eq!(shown, ["a=unix:/y", "b=http://[::1]:1"]);
    }

    #[test]
    fn errors_name_the_key() {
        let error = |text: &str| with_file(text, &[]).unwrap_err().to_string();
        assert!(error("lisen = []").contains("`lisen`"));
        let listen = error("listen = [\"/run/x\"]");
        assert!(
            listen.contains("listen") && listen.contains("unix:/run/vrouter/control.sock"),
            "{listen}"
        );
        assert!(error("[dataplane]\nA = \"unix:/x\"").contains("dataplane.A"));
        assert!(error("metrics = \":1\"").contains("metrics"));
        assert!(error("log-format = \"xml\"").contains("log-format"));
        assert!(error("store = 7").contains("store"));
    }

    #[test]
    fn bad_flags_are_explained() {
        let error = |arguments: &[&str]| {
            let all = std::iter::once(&"vrouter-control").chain(arguments);
            Flags::try_parse_from(all).unwrap_err().to_string()
        };
        assert!(error(&["--dataplane", "x"]).contains("NODE=ADDR"));
        assert!(error(&["--listen", "here"]).contains("unix:/run/vrouter/control.sock"));
        let twice = [
            "vrouter-control",
            "--dataplane",
            "a=unix:/x",
            "--dataplane",
            "a=unix:/y",
        ];
        let twice = Config::new(Flags::try_parse_from(twice).unwrap()).unwrap_err();
        assert!(twice.to_string().contains("twice"));
    }
}
