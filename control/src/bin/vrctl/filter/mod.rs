//! The filter language of every list: `key=value` and `key!=value`, all of which must hold.
//!
//! `ip=10.1.0.2 port=443 proto=tcp vrf=blue` — conditions are separated by blanks (the word `and` between them is allowed);
//! a value with blanks is written in double quotes. What a value may be depends on its key: see [`Kind`].

mod net;
pub(crate) mod protocol;

use std::fmt::Write as _;

pub(crate) use self::net::Net;
use crate::{failure::Failure, output::Record};

/// What a key's values are, and so what may be asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text; upper and lower case are alike, `*` stands for anything.
    Text,
    /// A whole number.
    Number,
    /// `yes` or `no`.
    Flag,
    /// An address, or a prefix: matches addresses within it, and prefixes that hold it or lie within it.
    Address,
    /// Exactly this prefix.
    Prefix,
    /// An IP protocol by name or number.
    Protocol,
    /// An object of another kind by name (with `*`) or number.
    Reference,
}

/// A value of an object, to be compared with a condition.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Owned(String),
    Number(u64),
    Flag(bool),
    /// Number and name of another object.
    Reference(u64, Option<&'a str>),
    /// An address or prefix written as text.
    Net(&'a str),
}

/// One key of a kind of object.
pub(crate) struct Key<T> {
    /// As it is written in a filter.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// For people.
    pub(crate) help: &'static str,
    /// Pushes the object's values for this key; a condition holds when it holds for one of them.
    pub(crate) values: for<'a> fn(&'a T, &mut Vec<Value<'a>>),
}

impl<T> Key<T> {
    /// A key called `name`.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        values: for<'a> fn(&'a T, &mut Vec<Value<'a>>),
    ) -> Self {
        Self {
            name,
            kind,
            help,
            values,
        }
    }
}

/// Conditions on objects of kind `R`, all of which must hold.
pub(crate) struct Filter<R: 'static> {
    conditions: Vec<Condition<R>>,
}

impl<R> Default for Filter<R> {
    /// Matches everything.
    fn default() -> Self {
        Self { conditions: Vec::new() }
    }
}

struct Condition<R: 'static> {
    key: &'static Key<R>,
    equal: bool,
    wanted: Wanted,
    text: String,
}

enum Wanted {
    Text(String),
    Number(u64),
    Flag(bool),
    Address(Net),
    Prefix(Net),
}

impl<R: Record> Filter<R> {
    /// Reads filters; several are joined. Unknown keys and values that make no sense for their key are refused with what
    /// would be right.
    pub(crate) fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, Failure> {
        let mut filter = Self::default();
        for text in texts {
            for word in words(text.as_ref())? {
                if !word.eq_ignore_ascii_case("and") {
                    filter.conditions.push(condition(&word)?);
                }
            }
        }
        Ok(filter)
    }

    /// Adds `name=value`; `name` must be a key of this kind.
    pub(crate) fn and(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        self.conditions.push(build(name, true, value)?);
        Ok(())
    }

    /// Nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// What `name=` is asked to be, where it is asked at all: lets a server do a part of the work.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        let condition = self.conditions.iter().find(|it| it.equal && it.key.name == name)?;
        Some(&condition.text)
    }

    /// Every condition holds for `record`.
    pub(crate) fn matches(&self, record: &R) -> bool {
        let mut values = Vec::new();
        self.conditions.iter().all(|condition| {
            values.clear();
            (condition.key.values)(record, &mut values);
            values.iter().any(|value| holds(&condition.wanted, value)) == condition.equal
        })
    }
}

fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err(Failure::Usage(format!("filter: a quote is not closed in: {text}")));
    }
    words.extend(word);
    Ok(words)
}

fn condition<R: Record>(word: &str) -> Result<Condition<R>, Failure> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(Failure::Usage(format!(
            "filter: {word:?} is no condition; key=value or key!=value would be one.\n{}",
            valid_keys::<R>()
        )));
    };
    match name.strip_suffix('!') {
        Some(name) => build(name, false, value),
        None => build(name, true, value),
    }
}

fn build<R: Record>(name: &str, equal: bool, value: &str) -> Result<Condition<R>, Failure> {
    let Some(key) = R::KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)) else {
        return Err(Failure::Usage(format!(
            "filter: {} have no key {name:?}.\n{}",
            R::NOUNS,
            valid_keys::<R>()
        )));
    };
    let wanted = wanted(key.kind, value)
        .map_err(|right| Failure::Usage(format!("filter: {}={value}: {right} would be right", key.name)))?;
    Ok(Condition {
        key,
        equal,
        wanted,
        text: value.to_owned(),
    })
}

fn wanted(kind: Kind, value: &str) -> Result<Wanted, &'static str> {
    Ok(match kind {
        Kind::Text | Kind::Reference => Wanted::Text(value.to_lowercase()),
        Kind::Number => Wanted::Number(value.parse().map_err(|_| "a whole number")?),
        Kind::Flag => Wanted::Flag(match value.to_lowercase().as_str() {
            "yes" | "true" | "1" => true,
            "no" | "false" | "0" => false,
            _ => return Err("yes or no"),
        }),
        Kind::Address => Wanted::Address(
            value
                .parse()
                .map_err(|()| "an address or prefix, like 10.1.0.2 or fd00::/64")?,
        ),
        Kind::Prefix => Wanted::Prefix(value.parse().map_err(|()| "a prefix, like 10.1.0.0/24 or fd00::/64")?),
        Kind::Protocol => Wanted::Number(
            protocol::number(value)
                .map(u64::from)
                .ok_or("tcp, udp, sctp, icmp, icmpv6 or a number up to 255")?,
        ),
    })
}

fn holds(wanted: &Wanted, value: &Value<'_>) -> bool {
    match (wanted, value) {
        (Wanted::Text(pattern), Value::Text(text)) => glob(pattern, &text.to_lowercase()),
        (Wanted::Text(pattern), Value::Owned(text)) => glob(pattern, &text.to_lowercase()),
        (Wanted::Text(pattern), Value::Reference(number, name)) => {
            (*number != 0 && *pattern == number.to_string())
                || name.is_some_and(|name| glob(pattern, &name.to_lowercase()))
        }
        (Wanted::Number(wanted), Value::Number(number)) => wanted == number,
        (Wanted::Flag(wanted), Value::Flag(flag)) => wanted == flag,
        (Wanted::Address(wanted), Value::Net(text)) => text
            .parse::<Net>()
            .is_ok_and(|net| wanted.contains(net) || (wanted.is_host() && net.contains(*wanted))),
        (Wanted::Prefix(wanted), Value::Net(text)) => text.parse::<Net>().is_ok_and(|net| net == *wanted),
        _ => false,
    }
}

/// `*` stands for any text, also none.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut rest = rest;
    let mut text = text;
    // The first place that fits is as good as any later one, except for the last part, which must stand at the end.
    while let Some((middle, tail)) = rest.split_once('*') {
        let Some(at) = text.find(middle) else {
            return false;
        };
        text = &text[at + middle.len()..];
        rest = tail;
    }
    text.ends_with(rest)
}

/// The keys of a kind, for an error message.
fn valid_keys<R: Record>() -> String {
    let names: Vec<_> = R::KEYS.iter().map(|key| key.name).collect();
    format!("valid keys: {}", names.join(", "))
}

/// The keys of a kind with their meaning, and examples, for the help of a `list` command.
pub(crate) fn help<R: Record>(examples: &[&str]) -> String {
    let width = R::KEYS.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let mut text = String::from("Filter keys (key=value or key!=value, all must hold, * stands for any text):\n");
    for key in R::KEYS {
        let _ = writeln!(text, "  {:width$}  {}", key.name, key.help);
    }
    text.push_str("\nExamples:\n");
    for example in examples {
        let _ = writeln!(text, "  {example}");
    }
    text
}

#[cfg(test)]
mod tests;
