//! `vrctl drops`: which packets were dropped, where, and why.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use clap::Args;
use serde::Serialize;
use vrouter_proto::dataplane as api;

use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record, Style},
};

#[derive(Args, Debug)]
#[command(after_help = format!("\
Each dropped packet has one reason. It is counted at the port it came in by and, where it got that far, in its VRF:
the two are views of the same packets and must not be added.

{}", filter::help::<DropView>(&["vrctl drops", "vrctl drops --match 'scope=port name=web-1'", "vrctl drops --all"])))]
pub(crate) struct Drops {
    /// Also the reasons that have dropped nothing
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    list: ListArgs,
}

/// Packets dropped for one reason at one place.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct DropView {
    /// "port" or "vrf"; "none" for a reason that has dropped nothing anywhere.
    scope: &'static str,
    id: u32,
    name: String,
    reason: String,
    packets: u64,
    description: String,
}

impl Record for DropView {
    const NOUNS: &'static str = "drops";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("WHERE", |it| match it.scope {
            "none" => Cell::nothing(),
            scope => scope.into(),
        }),
        Column::text("NAME", |it| match (it.scope, it.name.as_str()) {
            ("none", _) => Cell::nothing(),
            (_, "") => it.id.into(),
            (_, name) => format!("{name} ({})", it.id).into(),
        }),
        Column::text("REASON", |it| {
            let style = if it.packets == 0 { Style::Faint } else { Style::Bad };
            Cell::new(&it.reason).style(style)
        }),
        Column::number("PACKETS", |it| it.packets.into()),
        Column::text("EXPLANATION", |it| Cell::new(&it.description)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("scope", Kind::Text, "port or vrf", |it, out| {
            out.push(Value::Text(it.scope));
        }),
        Key::new("id", Kind::Number, "number of the port or VRF", |it, out| {
            out.push(Value::Number(it.id.into()));
        }),
        Key::new("name", Kind::Text, "name of the port or VRF", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("reason", Kind::Text, "why, like no_route", |it, out| {
            out.push(Value::Text(&it.reason));
        }),
    ];
}

/// All drops of `statistics`; with `all` also reasons that dropped nothing.
fn views(statistics: api::GetStatisticsResponse, all: bool) -> Vec<DropView> {
    let descriptions: HashMap<&str, &str> = statistics
        .drop_reasons
        .iter()
        .map(|reason| (reason.name.as_str(), reason.description.as_str()))
        .collect();
    let describe = |reason: &str| descriptions.get(reason).copied().unwrap_or_default().to_owned();
    let ports = statistics.ports.iter().map(|it| ("port", it.port, &it.name, &it.drops));
    let vrfs = statistics.vrfs.iter().map(|it| ("vrf", it.vrf, &it.name, &it.drops));
    let mut views: Vec<DropView> = ports
        .chain(vrfs)
        .flat_map(|(scope, id, name, drops)| drops.iter().map(move |drop| (scope, id, name, drop)))
        .filter(|(.., drop)| drop.packets > 0)
        .map(|(scope, id, name, drop)| DropView {
            scope,
            id,
            name: name.clone(),
            reason: drop.reason.clone(),
            packets: drop.packets,
            description: describe(&drop.reason),
        })
        .collect();
    if all {
        let met: BTreeSet<String> = views.iter().map(|view| view.reason.clone()).collect();
        let silent = statistics
            .drop_reasons
            .iter()
            .filter(|reason| !met.contains(&reason.name));
        views.extend(silent.map(|reason| DropView {
            scope: "none",
            id: 0,
            name: String::new(),
            reason: reason.name.clone(),
            packets: 0,
            description: reason.description.clone(),
        }));
    }
    views
}

/// Does what the command asks.
pub(crate) async fn run(drops: Drops, context: &Context) -> Result<(), Failure> {
    let filter = drops.list.filter::<DropView>()?;
    let request = api::GetStatisticsRequest {};
    let statistics = context.dataplane().await?.get_statistics(request).await?.into_inner();
    let order = |view: &DropView| {
        let scope = match view.scope {
            "port" => 0,
            "vrf" => 1,
            _ => 2,
        };
        (scope, view.id, Reverse(view.packets), view.reason.clone())
    };
    drops.list.write(
        &context.output,
        &filter,
        views(statistics, drops.all).into_iter(),
        order,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> api::GetStatisticsResponse {
        let count = |reason: &str, packets| api::DropCount {
            reason: reason.to_owned(),
            packets,
        };
        let reason = |name: &str, description: &str| api::DropReason {
            name: name.to_owned(),
            description: description.to_owned(),
        };
        api::GetStatisticsResponse {
            ports: vec![api::PortStatistics {
                port: 3,
                name: "web-1".to_owned(),
                drops: vec![count("no_route", 5), count("bad_checksum", 0)],
                ..Default::default()
            }],
            drop_reasons: vec![
                reason("no_route", "no route to the destination"),
                reason("bad_checksum", "the header's checksum is wrong"),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn only_what_was_dropped_is_shown() {
        let views = views(statistics(), false);
        assert_eq!(views.len(), 1);
        assert_eq!((views[0].reason.as_str(), views[0].packets), ("no_route", 5));
        assert_eq!(views[0].description, "no route to the destination");
    }

    #[test]
    fn all_adds_the_reasons_nothing_met_once() {
        let views = views(statistics(), true);
        assert_eq!(views.len(), 2);
        assert_eq!(
            (views[1].scope, views[1].reason.as_str(), views[1].packets),
            ("none", "bad_checksum", 0)
        );
    }
}
