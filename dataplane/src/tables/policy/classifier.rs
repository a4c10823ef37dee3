//! The first rule that matches, without looking at the others.
//!
//! For every group that rules name there is a table, and one more for the rules that any peer matches. A table has, for every protocol, the
//! destination ports (or ICMP types and codes) cut into intervals, each with its first rule. The first rule of all is the least
//! one over the tables of the peer's groups and the table of anyone: one hash and one binary search per group, whatever the number of rules.
//! Groups that the very same rules name share a table.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{
    RuleSpec, TrafficMatch,
    traffic::{SHAPED, Traffic},
};

/// No rule matched.
pub(super) const NO_RULE: u32 = u32::MAX;

type Hash = foldhash::fast::RandomState;

/// A compiled list of rules. Rules are numbered as they stand in the list.
#[derive(Debug)]
pub(super) struct Classifier {
    groups: HashMap<u32, Entry, Hash>,
    anyone: u32,
    tables: Box<[Table]>,
}

/// Where the rules of a group are.
#[derive(Clone, Copy, Debug)]
struct Entry {
    table: u32,
    /// The first of its rules: a better one found already makes a look needless.
    first: u32,
}

/// The rules of some groups.
#[derive(Debug)]
struct Table {
    /// Protocols that some rule treats apart, ascending, and where their intervals begin and end.
    protocols: Box<[Protocol]>,
    /// First rule for all other protocols.
    others: u32,
    /// First values of intervals, ascending from 0 for each protocol.
    starts: Box<[u16]>,
    /// First rule of each interval.
    rules: Box<[u32]>,
}

#[derive(Clone, Copy, Debug)]
struct Protocol {
    number: u8,
    begin: u32,
    end: u32,
}

impl Classifier {
    pub(super) fn compile(rules: &[RuleSpec]) -> Self {
        let mut anyone = Vec::new();
        let mut by_group = HashMap::<u32, Vec<u32>, Hash>::default();
        for (index, rule) in (0..NO_RULE).zip(rules) {
            if rule.groups.is_empty() {
                anyone.push(index);
            }
            for group in rule.groups.iter() {
                let list = by_group.entry(*group).or_default();
                // A group may be named twice.
                if list.last() != Some(&index) {
                    list.push(index);
                }
            }
        }
        let mut tables = vec![Table::compile(rules, &anyone)];
        let mut shared = HashMap::<Vec<u32>, u32, Hash>::default();
        let mut groups = HashMap::with_capacity_and_hasher(by_group.len(), Hash::default());
        for (group, list) in by_group {
            let first = list.first().copied().unwrap_or(NO_RULE);
            let table = match shared.get(&list) {
                Some(table) => *table,
                None => {
                    let table = tables.len() as u32;
                    tables.push(Table::compile(rules, &list));
                    shared.insert(list, table);
                    table
                }
            };
            groups.insert(group, Entry { table, first });
        }
        Self {
            groups,
            anyone: anyone.first().copied().unwrap_or(NO_RULE),
            tables: tables.into(),
        }
    }

    /// The first rule that matches; [`NO_RULE`] if none does.
    #[inline]
    pub(super) fn first(&self, groups: &[u32], traffic: &Traffic) -> u32 {
        let (protocol, value) = (traffic.protocol, traffic.value());
        let look = |table: u32| {
            let table = self.tables.get(table as usize);
            table.map_or(NO_RULE, |table| table.first(protocol, value))
        };
        let mut best = if self.anyone == NO_RULE { NO_RULE } else { look(0) };
        if !self.groups.is_empty() {
            for group in groups {
                match self.groups.get(group) {
                    Some(entry) if entry.first < best => best = best.min(look(entry.table)),
                    _ => {}
                }
            }
        }
        best
    }
}

impl Table {
    /// The table of these of the rules, which are in ascending order.
    fn compile(rules: &[RuleSpec], list: &[u32]) -> Self {
        const ALL: &[TrafficMatch] = &[TrafficMatch::ALL];
        let kinds = || {
            let rule_of = |index: &u32| rules.get(*index as usize).map(|rule| (*index, rule));
            list.iter().filter_map(rule_of).flat_map(|(index, rule)| {
                let kinds = if rule.traffic.is_empty() { ALL } else { &rule.traffic };
                kinds.iter().map(move |kind| (index, kind))
            })
        };
        // Protocol 0 (IPv6 hop-by-hop options) is never a packet's own: here it is "all".
        let mut apart = Vec::new();
        for (_, kind) in kinds() {
            match kind.protocol {
                0 if kind.is_narrow() => apart.extend(SHAPED),
                0 => {}
                protocol if apart.last() == Some(&protocol) => {}
                protocol => apart.push(protocol),
            }
        }
        apart.sort_unstable();
        apart.dedup();
        let mut intervals = vec![Vec::new(); apart.len()];
        let mut others = NO_RULE;
        for (index, kind) in kinds() {
            let add = |number: u8, of: &mut Vec<_>| kind.intervals(number, |first, last| of.push((first, last, index)));
            if kind.protocol == 0 {
                apart
                    .iter()
                    .zip(&mut intervals)
                    .for_each(|(number, of)| add(*number, of));
                others = if kind.is_narrow() { others } else { others.min(index) };
            } else if let Ok(at) = apart.binary_search(&kind.protocol) {
                add(kind.protocol, &mut intervals[at]);
            }
        }
        let (mut starts, mut firsts) = (Vec::new(), Vec::new());
        let cut_up = |(number, mut intervals): (u8, Vec<_>)| {
            let begin = starts.len() as u32;
            cut(&mut intervals, |start, rule| {
                starts.push(start);
                firsts.push(rule);
            });
            let end = starts.len() as u32;
            Protocol { number, begin, end }
        };
        let protocols = apart.into_iter().zip(intervals).map(cut_up).collect();
        Self {
            protocols,
            others,
            starts: starts.into(),
            rules: firsts.into(),
        }
    }

    #[inline]
    fn first(&self, protocol: u8, value: u16) -> u32 {
        let Some(found) = self.protocols.iter().find(|p| p.number == protocol) else {
            return self.others;
        };
        let (begin, end) = (found.begin as usize, found.end as usize);
        let starts = self.starts.get(begin..end).unwrap_or_default();
        // The first interval starts at 0: there is always one at or before the value.
        let at = begin + starts.partition_point(|start| *start <= value);
        self.rules.get(at.wrapping_sub(1)).copied().unwrap_or(NO_RULE)
    }
}

/// Cuts overlapping intervals (first, last, rule) into disjoint ones that cover everything from 0 on, and tells each one's start and
/// least rule, ascending. Neighbours of the same rule are joined.
fn cut(intervals: &mut [(u16, u16, u32)], mut each: impl FnMut(u16, u32)) {
    intervals.sort_unstable();
    let mut edges: Vec<u32> = intervals
        .iter()
        .flat_map(|(first, last, _)| [u32::from(*first), u32::from(*last) + 1])
        .chain([0])
        .filter(|edge| *edge <= u32::from(u16::MAX))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    // What covers the edge, least rule on top; what ended before it is taken off when it comes to the top.
    let mut open = BinaryHeap::new();
    let mut coming = intervals.iter().peekable();
    let mut last_told = None;
    for edge in edges {
        let edge = edge as u16;
        while let Some((_, last, rule)) = coming.next_if(|(first, _, _)| *first <= edge) {
            open.push(Reverse((*rule, *last)));
        }
        while open.peek().is_some_and(|Reverse((_, last))| *last < edge) {
            open.pop();
        }
        let rule = open.peek().map_or(NO_RULE, |Reverse((rule, _))| *rule);
        if last_told != Some(rule) {
            last_told = Some(rule);
            each(edge, rule);
        }
    }
}
