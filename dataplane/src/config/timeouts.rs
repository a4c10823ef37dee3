//! When idle flows are forgotten, as it is said on the command line and in the file.

use std::{collections::BTreeMap, path::Path, str::FromStr};

use super::{ConfigError, given::Given};
use crate::tables::conntrack::Timeouts;

/// Longest time until an idle flow is forgotten: a week, seconds.
const MAX_SECONDS: u64 = 7 * 86_400;

type Field = fn(&mut Timeouts) -> &mut u64;

/// What can be named, and what it stands for.
const NAMES: [(&str, Field); 12] = [
    ("tcp", |timeouts| &mut timeouts.established),
    ("tcp-syn-sent", |timeouts| &mut timeouts.syn_sent),
    ("tcp-syn-received", |timeouts| &mut timeouts.syn_received),
    ("tcp-closing", |timeouts| &mut timeouts.closing),
    ("tcp-time-wait", |timeouts| &mut timeouts.time_wait),
    ("tcp-closed", |timeouts| &mut timeouts.closed),
    ("udp", |timeouts| &mut timeouts.udp),
    ("icmp", |timeouts| &mut timeouts.icmp),
    ("other", |timeouts| &mut timeouts.other),
    ("unreplied", |timeouts| &mut timeouts.unreplied),
    ("denied", |timeouts| &mut timeouts.denied),
    ("untracked", |timeouts| &mut timeouts.untracked),
];

fn names() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

/// When idle flows of a kind are forgotten: `udp=60`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTimeout {
    /// One of `tcp` (established), `tcp-syn-sent`, `tcp-syn-received`, `tcp-closing`, `tcp-time-wait`, `tcp-closed`, `udp`, `icmp`, `other`,
    /// `unreplied`, `denied`, `untracked`.
    pub kind: &'static str,
    /// Seconds.
    pub seconds: u64,
}

impl FromStr for FlowTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('=').and_then(|(word, seconds)| {
            let (kind, _) = NAMES.into_iter().find(|(name, _)| *name == word)?;
            Some(Self {
                kind,
                seconds: seconds.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("write KIND=SECONDS like tcp=7440, of the kinds {}", names()))
    }
}

/// The timeouts in force: what flags say, else what the file says, else the defaults.
pub(super) fn timeouts(
    flags: &[FlowTimeout],
    file: &BTreeMap<String, u64>,
    path: Option<&Path>,
) -> Result<Timeouts, ConfigError> {
    if let Some((unknown, _)) = file
        .iter()
        .find(|(name, _)| NAMES.iter().all(|(known, _)| known != name))
    {
        let place = path.map_or_else(String::new, |path| path.display().to_string());
        return Err(ConfigError::Value {
            place: format!("{place}: flow-timeout.{unknown}"),
            message: format!("there is no such kind of flow; there are {}", names()),
        });
    }
    let mut timeouts = Timeouts::default();
    for (name, field) in NAMES {
        let flag = flags.iter().rev().find(|flag| flag.kind == name);
        let given = Given::choose(
            &format!("flow-timeout.{name}"),
            flag.map(|flag| flag.seconds),
            file.get(name).copied(),
            path,
        );
        let value = field(&mut timeouts);
        *value = Given::within(given, 1..=MAX_SECONDS, *value / 1000)? * 1000;
    }
    Ok(timeouts)
}
