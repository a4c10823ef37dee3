//! What all readings say together: medians, ratios to vrouter, as tables for people and JSON for programs.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    conditions::Conditions,
    measure::{Measure, Reading, cpu::DISTURBED},
    metric::{Better, Metric},
    peers::{self, Peer, Setting},
    statistics::{median, range, short},
};

/// All readings of one case of one peer, over all rounds.
struct Entry {
    peer: &'static Peer,
    measure: Measure,
    case: String,
    readings: Vec<Reading>,
    failures: Vec<String>,
}

/// Everything that a run has to say.
#[derive(Default)]
pub(crate) struct Report {
    entries: Vec<Entry>,
    notes: Vec<(&'static str, String)>,
    skipped: Vec<(&'static str, String)>,
}

/// One number with where it comes from.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    value: f64,
    unit: &'static str,
    peer: &'static str,
    setting: &'static str,
    case: String,
    metric: &'static str,
    rounds: Vec<f64>,
    cpu_busy: Vec<f64>,
    cpu_others: f64,
    vrouter_is_better_by: Value,
}

impl Report {
    /// Notes what came of one case in one round.
    pub(crate) fn add(&mut self, peer: &'static Peer, measure: Measure, case: &str, outcome: Result<Reading, String>) {
        let found = self
            .entries
            .iter()
            .position(|e| e.peer.name == peer.name && e.case == case);
        let index = found.unwrap_or_else(|| {
            self.entries.push(Entry {
                peer,
                measure,
                case: case.to_owned(),
                readings: Vec::new(),
                failures: Vec::new(),
            });
            self.entries.len() - 1
        });
        if let Some(entry) = self.entries.get_mut(index) {
            match outcome {
                Ok(reading) => entry.readings.push(reading),
                Err(error) => entry.failures.push(error),
            }
        }
    }

    /// Notes what a reader should know of a peer; once is enough.
    pub(crate) fn note(&mut self, peer: &'static Peer, note: &str) {
        let note = (peer.name, note.to_owned());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Notes that a peer could not be measured.
    pub(crate) fn skip(&mut self, peer: &'static Peer, why: &str) {
        self.skipped.push((peer.name, why.to_owned()));
    }

    /// Whether a peer was left out.
    pub(crate) fn is_skipped(&self, peer: &Peer) -> bool {
        self.skipped.iter().any(|(name, _)| *name == peer.name)
    }

    /// How many cases failed, in any round.
    pub(crate) fn failures(&self) -> usize {
        self.entries.iter().map(|entry| entry.failures.len()).sum()
    }

    /// Whether there is anything about a measure.
    pub(crate) fn has(&self, measure: Measure) -> bool {
        self.entries.iter().any(|entry| entry.measure == measure)
    }

    /// Everything, for programs.
    pub(crate) fn json(&self, conditions: &Conditions, command: &str) -> Value {
        let lines: Vec<Line> = self.entries.iter().flat_map(|entry| self.lines(entry)).collect();
        let peers = peers::ALL
            .iter()
            .filter(|peer| self.entries.iter().any(|e| e.peer.name == peer.name));
        let peers = peers.map(|peer| {
            let notes: Vec<_> = self
                .notes
                .iter()
                .filter(|(name, _)| *name == peer.name)
                .map(|(_, note)| note)
                .collect();
            json!({"name": peer.name, "about": peer.about, "setting": peer.setting.title(), "notes": notes})
        });
        let failures = self.entries.iter().flat_map(|entry| {
            let (peer, case) = (entry.peer.name, &entry.case);
            entry
                .failures
                .iter()
                .map(move |why| json!({"peer": peer, "case": case, "why": why}))
        });
        let skipped = self.skipped.iter().map(|(peer, why)| json!({"peer": peer, "why": why}));
        json!({
            "conditions": conditions,
            "command": command,
            "peers": peers.collect::<Vec<_>>(),
            "results": lines,
            "failures": failures.collect::<Vec<_>>(),
            "skipped": skipped.collect::<Vec<_>>(),
        })
    }

    fn lines(&self, entry: &Entry) -> Vec<Line> {
        let metrics = entry.metrics();
        let lines = metrics.into_iter().filter_map(|metric| {
            let ratios = self.rivals(entry).filter_map(|ours| {
                let ratio = metric.advantage(ours.median(metric)?, entry.median(metric)?)?;
                Some((ours.peer.name.to_owned(), json!(ratio)))
            });
            Some(Line {
                name: format!("{}.{}.{}", entry.peer.name, entry.case, metric.name),
                value: entry.median(metric)?,
                unit: metric.unit,
                peer: entry.peer.name,
                setting: entry.peer.setting.title(),
                case: entry.case.clone(),
                metric: metric.name,
                rounds: entry.values(metric),
                cpu_busy: entry.busy(),
                cpu_others: entry.others(),
                vrouter_is_better_by: Value::Object(ratios.collect()),
            })
        });
        lines.collect()
    }

    /// The same case of vrouter in the same setting.
    fn rivals<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> {
        let same = move |other: &&Entry| other.case == entry.case && other.peer.setting == entry.peer.setting;
        let ours = self
            .entries
            .iter()
            .filter(|other| other.peer.ours && other.peer.name != entry.peer.name);
        ours.filter(same)
    }

    /// Tables in Markdown, aligned for people, of some measures.
    pub(crate) fn tables(&self, measures: &[Measure]) -> String {
        let mut text = String::new();
        for setting in Setting::ALL {
            let here = |e: &&Entry| e.peer.setting == setting && measures.contains(&e.measure);
            let mut cases: Vec<(Measure, &str)> = Vec::new();
            for entry in self.entries.iter().filter(here) {
                let has_figures = !entry.readings.is_empty();
                if has_figures && !cases.contains(&(entry.measure, entry.case.as_str())) {
                    cases.push((entry.measure, &entry.case));
                }
            }
            if cases.is_empty() {
                continue;
            }
            text.push_str(&format!("### {}\n\n", capital(setting.title())));
            // Cases of one measure stand together, in the order in which they were measured.
            cases.sort_by_key(|(measure, _)| Measure::ALL.iter().position(|m| m == measure));
            if let Some(summary) = self.summary(setting, &cases) {
                text.push_str(&format!("{summary}\n"));
            }
            for (_, case) in cases {
                let entries: Vec<&Entry> = self.entries.iter().filter(here).filter(|e| e.case == case).collect();
                text.push_str(&format!("`{case}`\n\n{}\n", self.table(&entries)));
            }
        }
        text.push_str(&self.remarks(measures));
        text
    }

    /// All cases of a setting at a glance: how many times better vrouter is than each other peer in what matters most.
    fn summary(&self, setting: Setting, cases: &[(Measure, &str)]) -> Option<String> {
        let find = |peer: &Peer, case: &str| self.entries.iter().find(|e| e.peer.name == peer.name && e.case == case);
        let here = || {
            let peers = peers::ALL.iter().filter(|peer| peer.setting == setting);
            peers.filter(|peer| cases.iter().any(|(_, case)| find(peer, case).is_some()))
        };
        let ours = here().find(|peer| peer.ours)?;
        let mut rows = vec![vec![format!("{} is better by", ours.name)]];
        rows.iter_mut()
            .for_each(|head| head.extend(cases.iter().map(|(_, case)| (*case).to_owned())));
        for peer in here().filter(|peer| peer.name != ours.name) {
            let ratio = |case: &str| {
                let (ours, theirs) = (find(ours, case)?, find(peer, case)?);
                let metric = *ours.metrics().first()?;
                metric.advantage(ours.median(metric)?, theirs.median(metric)?)
            };
            let mut row = vec![format!("than {}", peer.name)];
            row.extend(cases.iter().map(|(_, case)| ratio(case).map(short).unwrap_or_default()));
            rows.push(row);
        }
        (rows.len() > 1).then(|| aligned(&rows))
    }

    fn table(&self, entries: &[&Entry]) -> String {
        let metrics = entries
            .iter()
            .map(|entry| entry.metrics())
            .max_by_key(Vec::len)
            .unwrap_or_default();
        let ours: Vec<&Entry> = entries.iter().copied().filter(|entry| entry.peer.ours).collect();
        let compared = entries.iter().any(|entry| !entry.peer.ours);
        let mut head = vec!["peer".to_owned()];
        head.extend(metrics.iter().map(Metric::title));
        let several = entries.iter().any(|entry| entry.readings.len() > 1);
        if several {
            head.push("lowest to highest".to_owned());
        }
        head.push("busy % of each CPU".to_owned());
        if compared {
            head.extend(ours.iter().map(|entry| format!("{} is better by", entry.peer.name)));
        }
        let mut rows = vec![head];
        for entry in entries {
            let mut row = vec![entry.peer.name.to_owned()];
            row.extend(metrics.iter().map(|metric| match entry.median(*metric) {
                Some(value) => metric.write(value),
                None => "failed".to_owned(),
            }));
            if several {
                row.push(spread(entry, &metrics));
            }
            let mut busy = entry
                .busy()
                .iter()
                .map(|busy| format!("{:.0}", busy * 100.0))
                .collect::<Vec<_>>()
                .join(" / ");
            if entry.others() > DISTURBED {
                busy.push_str(" !");
            }
            row.push(busy);
            if compared {
                row.extend(ours.iter().map(|ours| advantage(ours, entry, &metrics)));
            }
            rows.push(row);
        }
        aligned(&rows)
    }

    /// What stands below the tables.
    fn remarks(&self, measures: &[Measure]) -> String {
        let mut text = String::new();
        let shown = |name: &str| {
            let mut entries = self.entries.iter();
            entries.any(|e| e.peer.name == name && measures.contains(&e.measure))
        };
        let peers = peers::ALL.iter().filter(|peer| shown(peer.name));
        for peer in peers {
            text.push_str(&format!("- **{}**: {}.\n", peer.name, peer.about));
            for (_, note) in self.notes.iter().filter(|(name, _)| *name == peer.name) {
                text.push_str(&format!("  - {note}\n"));
            }
        }
        for (peer, why) in &self.skipped {
            text.push_str(&format!("- **{peer}** SKIPPED: this machine lacks {why}.\n"));
        }
        for entry in self.entries.iter().filter(|entry| measures.contains(&entry.measure)) {
            for why in &entry.failures {
                let why = why.lines().next().unwrap_or_default();
                text.push_str(&format!("- **{}** `{}` FAILED: {why}\n", entry.peer.name, entry.case));
            }
        }
        let here = self.entries.iter().filter(|entry| measures.contains(&entry.measure));
        let readings: Vec<&Reading> = here.flat_map(|entry| &entry.readings).collect();
        let disturbed = readings.iter().filter(|reading| reading.load.disturbed()).count();
        if disturbed > 0 {
            text.push_str(&format!(
                "- `!` DOUBTFUL: during {disturbed} of {} readings, other programs on this machine took more than {:.0} % of a CPU.\n",
                readings.len(),
                DISTURBED * 100.0
            ));
        }
        text
    }
}

impl Entry {
    fn metrics(&self) -> Vec<Metric> {
        let first = self.readings.first();
        first
            .map(|reading| reading.values.iter().map(|(metric, _)| *metric).collect())
            .unwrap_or_default()
    }

    fn values(&self, metric: Metric) -> Vec<f64> {
        let values = self.readings.iter().flat_map(|reading| &reading.values);
        values.filter(|(m, _)| *m == metric).map(|(_, value)| *value).collect()
    }

    fn median(&self, metric: Metric) -> Option<f64> {
        median(&self.values(metric))
    }

    /// The median of each CPU.
    fn busy(&self) -> Vec<f64> {
        let cpus = self
            .readings
            .iter()
            .map(|reading| reading.load.busy.len())
            .max()
            .unwrap_or(0);
        let of = |cpu: usize| {
            let values: Vec<f64> = self
                .readings
                .iter()
                .filter_map(|r| r.load.busy.get(cpu).copied())
                .collect();
            median(&values).unwrap_or(0.0)
        };
        (0..cpus).map(of).collect()
    }

    fn others(&self) -> f64 {
        let values: Vec<f64> = self.readings.iter().map(|reading| reading.load.others).collect();
        median(&values).unwrap_or(0.0)
    }
}

/// The least and the greatest value of what matters most.
fn spread(entry: &Entry, metrics: &[Metric]) -> String {
    let Some(primary) = metrics.first() else {
        return String::new();
    };
    range(&entry.values(*primary))
        .map(|(low, high)| format!("{} to {}", primary.write(low), primary.write(high)))
        .unwrap_or_default()
}

/// How many times better ours is, in everything that can be compared.
fn advantage(ours: &Entry, theirs: &Entry, metrics: &[Metric]) -> String {
    if ours.peer.name == theirs.peer.name {
        return String::new();
    }
    let compared = metrics.iter().filter(|metric| metric.better != Better::Neither);
    let ratios: Vec<String> = compared
        .filter_map(|metric| metric.advantage(ours.median(*metric)?, theirs.median(*metric)?))
        .map(short)
        .collect();
    ratios.join(" / ")
}

/// Rows as a Markdown table; the first is its head, the first column is text, the others are numbers.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| cell(row, column).chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        })
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let value = cell(row, column);
            let padded = if column == 0 {
                format!("{value:<width$}")
            } else {
                format!("{value:>width$}")
            };
            text.push_str(&format!("| {padded} "));
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let rule = "-".repeat(width - 1);
                text.push_str(&if column == 0 {
                    format!("|:{rule}--")
                } else {
                    format!("|--{rule}:")
                });
            }
            text.push_str("|\n");
        }
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::cpu::Load,
        metric::{P50, P99, RETRANSMITS, THROUGHPUT},
    };

    fn peer(name: &str) -> &'static Peer {
        peers::ALL.iter().find(|peer| peer.name == name).unwrap()
    }

    fn reading(values: &[(Metric, f64)], others: f64) -> Result<Reading, String> {
        Ok(Reading {
            values: values.to_vec(),
            load: Load {
                busy: vec![0.9, 0.5],
                others,
            },
        })
    }

    fn conditions() -> Conditions {
        Conditions::here()
    }

    fn report() -> Report {
        let mut report = Report::default();
        for throughput in [10.0, 30.0, 20.0] {
            let values = [(THROUGHPUT, throughput), (RETRANSMITS, 3.0)];
            report.add(peer("bridge"), Measure::Tcp, "tcp_1", reading(&values, 0.0));
        }
        report.add(
            peer("vrouter"),
            Measure::Tcp,
            "tcp_1",
            reading(&[(THROUGHPUT, 5.0), (RETRANSMITS, 0.0)], 0.5),
        );
        report.add(
            peer("bridge"),
            Measure::Latency,
            "latency",
            reading(&[(P50, 20.0), (P99, 40.0)], 0.0),
        );
        report.add(
            peer("vrouter"),
            Measure::Latency,
            "latency",
            reading(&[(P50, 10.0), (P99, 80.0)], 0.0),
        );
        report.add(
            peer("vrouter-busy"),
            Measure::Latency,
            "latency",
            Err("no answer\nmore".to_owned()),
        );
        report.add(
            peer("veth"),
            Measure::Connect,
            "connect",
            Err("it was never made".to_owned()),
        );
        report.skip(peer("ovs"), "Open vSwitch");
        report
    }

    #[test]
    fn json_has_medians_rounds_and_ratios() {
        let json = report().json(&conditions(), "bench-peers");
        let results = json["results"].as_array().unwrap();
        let find = |name: &str| results.iter().find(|line| line["name"] == name).unwrap();
        let bridge = find("bridge.tcp_1.throughput");
        assert_eq!((&bridge["value"], &bridge["unit"]), (&json!(20.0), &json!("Gbit/s")));
        assert_eq!(bridge["rounds"], json!([10.0, 30.0, 20.0]));
        assert_eq!(bridge["vrouter_is_better_by"], json!({"vrouter": 0.25}));
        assert_eq!(
            find("bridge.latency.p50")["vrouter_is_better_by"],
            json!({"vrouter": 2.0})
        );
        assert_eq!(find("vrouter.tcp_1.throughput")["vrouter_is_better_by"], json!({}));
        assert_eq!(json["failures"][0]["peer"], "vrouter-busy");
        assert_eq!(json["failures"][1]["why"], "it was never made");
        assert_eq!(json["skipped"][0]["peer"], "ovs");
    }

    #[test]
    fn tables_show_peers_side_by_side_with_ratios_and_doubts() {
        let report = report();
        let text = report.tables(&Measure::ALL);
        let line = |start: &str, holds: &str| {
            let found = text.lines().any(|line| line.starts_with(start) && line.contains(holds));
            assert!(found, "{start} ... {holds} not in\n{text}");
        };
        line("| peer", "throughput, Gbit/s");
        line("| bridge", "10.0 to 30.0");
        line("| bridge", "0.250 |");
        line("| bridge", "2.00 / 0.500");
        line("| vrouter is better by", "tcp_1 | latency |");
        line("| than bridge", "0.250 |    2.00 |");
        line("| than vrouter-busy", "|         |");
        line("| vrouter ", "90 / 50 !");
        line("- **ovs** SKIPPED", "Open vSwitch");
        line("- **vrouter-busy** `latency` FAILED", "no answer");
        line("- `!` DOUBTFUL: during 1 of 6", "");
        line("- **veth** `connect` FAILED", "it was never made");
        assert!(!text.contains("\n`connect`"), "a table without figures:\n{text}");
        assert_eq!(report.failures(), 2);
        assert!(report.has(Measure::Tcp) && !report.has(Measure::Rate));
    }

    #[test]
    fn tables_of_one_measure_hold_no_other() {
        let text = report().tables(&[Measure::Latency]);
        assert!(text.contains("`latency`") && !text.contains("`tcp_1`"), "{text}");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["peer", "x"], ["a", "12345"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "| peer |     x |\n|:-----|------:|\n| a    | 12345 |\n");
    }
}
