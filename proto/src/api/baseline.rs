//! What clients rely on, as plain facts, one a line: a baseline can be read in a review.

use std::fmt::{self, Display};

use super::{Api, model::Field};

/// One thing that clients rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A message of this name exists.
    Message(String),
    /// A message has a field.
    Field {
        /// Full name of the message.
        message: String,
        /// Number on the wire.
        number: i32,
        /// Name in JSON, reflection and field masks.
        name: String,
        /// Type.
        kind: String,
        /// `singular`, `optional`, `repeated` or `map`.
        cardinality: String,
        /// The choice it is one of; `-` if none.
        oneof: String,
    },
    /// Numbers of a message that may not be used again.
    ReservedNumbers(String, i32, i32),
    /// A name of a message's field that may not be used again.
    ReservedName(String, String),
    /// An enumeration of this name exists.
    Enumeration(String),
    /// An enumeration has a value.
    Value {
        /// Full name of the enumeration.
        enumeration: String,
        /// Number on the wire.
        number: i32,
        /// Name.
        name: String,
    },
    /// A service has an RPC.
    Method {
        /// Full name of the service.
        service: String,
        /// Name.
        name: String,
        /// What the client sends: `stream `, if it is many, and the message.
        input: String,
        /// What the server sends.
        output: String,
    },
}

/// A line that is no fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the baseline is no fact: {text:?}")]
pub struct BadBaseline {
    line: usize,
    text: String,
}

impl Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Message(name) => write!(f, "message {name}"),
            Self::Field {
                message,
                number,
                name,
                kind,
                cardinality,
                oneof,
            } => write!(f, "field {message} {number} {name} {kind} {cardinality} {oneof}"),
            Self::ReservedNumbers(message, first, last) => write!(f, "reserved-numbers {message} {first} {last}"),
            Self::ReservedName(message, name) => write!(f, "reserved-name {message} {name}"),
            Self::Enumeration(name) => write!(f, "enum {name}"),
            Self::Value {
                enumeration,
                number,
                name,
            } => write!(f, "value {enumeration} {number} {name}"),
            Self::Method {
                service,
                name,
                input,
                output,
            } => write!(f, "rpc {service} {name} {} {}", dashed(input), dashed(output)),
        }
    }
}

fn dashed(message: &str) -> String {
    message.replacen(' ', ":", 1)
}

/// All facts of an API, in its order.
#[must_use]
pub fn facts(api: &Api) -> Vec<Fact> {
    let mut facts = Vec::new();
    for service in &api.services {
        for method in &service.methods {
            let side = |(message, many): &(String, bool)| format!("{}{message}", if *many { "stream " } else { "" });
            facts.push(Fact::Method {
                service: service.name.clone(),
                name: method.name.clone(),
                input: side(&method.input),
                output: side(&method.output),
            });
        }
    }
    for message in &api.messages {
        facts.push(Fact::Message(message.name.clone()));
        facts.extend(message.fields.iter().map(|field| field_fact(&message.name, field)));
        let (numbers, names) = &message.reserved;
        let numbers = numbers.iter();
        facts.extend(numbers.map(|(first, last)| Fact::ReservedNumbers(message.name.clone(), *first, *last)));
        let names = names.iter();
        facts.extend(names.map(|name| Fact::ReservedName(message.name.clone(), name.clone())));
    }
    for enumeration in &api.enumerations {
        facts.push(Fact::Enumeration(enumeration.name.clone()));
        facts.extend(enumeration.values.iter().map(|value| Fact::Value {
            enumeration: enumeration.name.clone(),
            number: value.number,
            name: value.name.clone(),
        }));
    }
    facts
}

fn field_fact(message: &str, field: &Field) -> Fact {
    Fact::Field {
        message: message.to_owned(),
        number: field.number,
        name: field.name.clone(),
        kind: field.kind.clone(),
        cardinality: field.cardinality.name().to_owned(),
        oneof: field.oneof.clone().unwrap_or_else(|| "-".to_owned()),
    }
}

/// The text of a baseline.
#[must_use]
pub fn print(api: &Api) -> String {
    let head = format!(
        "# What clients of {} rely on since the last release. Written by `cargo run -p vrouter-proto -- baseline`; see docs/api-versioning.md.\n",
        api.package
    );
    facts(api).iter().fold(head, |text, fact| format!("{text}{fact}\n"))
}

/// Reads the text of a baseline.
///
/// # Errors
/// The first line that is no fact.
pub fn parse(text: &str) -> Result<Vec<Fact>, BadBaseline> {
    let lines = text.lines().enumerate();
    let facts = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let bad = |line: usize, text: &str| BadBaseline {
        line: line + 1,
        text: text.to_owned(),
    };
    facts
        .map(|(index, line)| fact(line).ok_or_else(|| bad(index, line)))
        .collect()
}

fn fact(line: &str) -> Option<Fact> {
    let words: Vec<_> = line.split(' ').collect();
    let own = |word: &str| word.to_owned();
    let side = |word: &str| word.replacen("stream:", "stream ", 1);
    Some(match *words.as_slice() {
        ["message", name] => Fact::Message(own(name)),
        ["field", message, number, name, kind, cardinality, oneof] => Fact::Field {
            message: own(message),
            number: number.parse().ok()?,
            name: own(name),
            kind: own(kind),
            cardinality: own(cardinality),
            oneof: own(oneof),
        },
        ["reserved-numbers", message, first, last] => {
            Fact::ReservedNumbers(own(message), first.parse().ok()?, last.parse().ok()?)
        }
        ["reserved-name", message, name] => Fact::ReservedName(own(message), own(name)),
        ["enum", name] => Fact::Enumeration(own(name)),
        ["value", enumeration, number, name] => Fact::Value {
            enumeration: own(enumeration),
            number: number.parse().ok()?,
            name: own(name),
        },
        ["rpc", service, name, input, output] => Fact::Method {
            service: own(service),
            name: own(name),
            input: side(input),
            output: side(output),
        },
        _ => return None,
    })
}
