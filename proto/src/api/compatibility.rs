//! Whether clients of a release would still be understood, and would still understand.
//!
//! Additions are free. Names count as much as numbers: they are in JSON, in reflection and in field masks.

use std::fmt::{self, Display};

use super::Fact;

/// A change that breaks clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// What was changed: "field vrouter.control.v1.Network.mtu".
    pub what: String,
    /// How.
    pub how: String,
    /// What to do instead.
    pub instead: &'static str,
}

impl Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}; instead: {}", self.what, self.how, self.instead)
    }
}

const KEEP_FIELD: &str = "keep it, mark it `[deprecated = true]`, say in its comment what takes its place, and add the new one under a new number";
const KEEP_VALUE: &str = "keep it, say in its comment that it is deprecated, and add the new one under a new number";
const KEEP_METHOD: &str =
    "keep it, say in its comment what takes its place, and add the new one beside it (or make a package v2)";
const KEEP_TYPE: &str = "keep it for as long as v1 is served; a type that no RPC leads to any more costs nothing";
const KEEP_RESERVED: &str =
    "keep the `reserved` line: what old clients send there must never be read as something else";
const NEW_NUMBER: &str = "take a number that this message has never had";

/// What in `now` would break clients that were made for `before`.
#[must_use]
pub fn compare(before: &[Fact], now: &[Fact]) -> Vec<Break> {
    let mut breaks = Vec::new();
    for fact in before {
        if !now.contains(fact) {
            breaks.extend(broken(fact, before, now));
        }
    }
    breaks
}

/// How a fact that does not hold any more was broken; several ways for a field.
fn broken(fact: &Fact, before: &[Fact], now: &[Fact]) -> Vec<Break> {
    let one = |what: String, how: String, instead| vec![Break { what, how, instead }];
    match fact {
        Fact::Message(name) => one(format!("message {name}"), "is gone".to_owned(), KEEP_TYPE),
        Fact::Enumeration(name) => one(format!("enum {name}"), "is gone".to_owned(), KEEP_TYPE),
        Fact::ReservedNumbers(message, first, last) => {
            let what = format!("reserved numbers {first} to {last} of {message}");
            one(what, "are free again".to_owned(), KEEP_RESERVED)
        }
        Fact::ReservedName(message, name) => {
            let what = format!("reserved name {name} of {message}");
            one(what, "is free again".to_owned(), KEEP_RESERVED)
        }
        Fact::Value {
            enumeration,
            number,
            name,
        } => value(enumeration, *number, name, now),
        Fact::Method {
            service,
            name,
            input,
            output,
        } => method(service, name, (input, output), now),
        Fact::Field { message, .. } => {
            // Told once, of the message.
            if now.contains(&Fact::Message(message.clone())) {
                field(fact, before, now)
            } else {
                Vec::new()
            }
        }
    }
}

fn value(enumeration: &str, number: i32, name: &str, now: &[Fact]) -> Vec<Break> {
    let name = name.to_owned();
    if !now.contains(&Fact::Enumeration(enumeration.to_owned())) {
        return Vec::new();
    }
    let values = now.iter().filter_map(|fact| match fact {
        Fact::Value {
            enumeration: of,
            number,
            name,
        } if of == enumeration => Some((*number, name)),
        _ => None,
    });
    let mut how = "is gone".to_owned();
    for (other_number, other_name) in values {
        if *other_name == name {
            how = format!("is now {other_number}, and was {number}");
        } else if other_number == number && how == "is gone" {
            how = format!("is now called {other_name}");
        }
    }
    vec![Break {
        what: format!("value {enumeration}.{name} = {number}"),
        how,
        instead: KEEP_VALUE,
    }]
}

fn method(service: &str, name: &str, sides: (&String, &String), now: &[Fact]) -> Vec<Break> {
    let same = now.iter().find_map(|fact| match fact {
        Fact::Method {
            service: of,
            name: called,
            input,
            output,
        } if of == service && called == name => Some((input, output)),
        _ => None,
    });
    let what = format!("rpc {service}/{name}");
    let Some((input, output)) = same else {
        return vec![Break {
            what,
            how: "is gone".to_owned(),
            instead: KEEP_METHOD,
        }];
    };
    let sides = [("takes", sides.0, input), ("returns", sides.1, output)];
    let changed = sides.iter().filter(|(_, before, now)| before != now);
    changed
        .map(|(verb, before, now)| Break {
            what: what.clone(),
            how: format!("now {verb} {now}, and was {before}"),
            instead: KEEP_METHOD,
        })
        .collect()
}

fn field(fact: &Fact, before: &[Fact], now: &[Fact]) -> Vec<Break> {
    let Fact::Field {
        message,
        number,
        name,
        kind,
        cardinality,
        oneof,
    } = fact
    else {
        return Vec::new();
    };
    let what = format!("field {message}.{name} = {number}");
    let mut breaks = Vec::new();
    let mut say = |how: String, instead| {
        breaks.push(Break {
            what: what.clone(),
            how,
            instead,
        });
    };
    let of_message = |fact: &&Fact| matches!(fact, Fact::Field { message: of, .. } if of == message);
    let mut by_name = None;
    let mut by_number = None;
    for other in now.iter().filter(of_message) {
        let Fact::Field {
            number: other_number,
            name: other_name,
            ..
        } = other
        else {
            continue;
        };
        if other_name == name {
            by_name = Some(other);
        }
        if other_number == number {
            by_number = Some((other, other_name));
        }
    }
    let known_before = |name: &str| {
        let mut fields = before.iter().filter(of_message);
        fields.any(|fact| matches!(fact, Fact::Field { name: called, .. } if called == name))
    };
    match (by_name, by_number) {
        (None, None) => say("is gone".to_owned(), KEEP_FIELD),
        (None, Some((_, called))) if known_before(called) => {
            say(format!("is gone, and its number belongs to {called} now"), NEW_NUMBER);
        }
        (None, Some((_, called))) => say(format!("is now called {called}"), KEEP_FIELD),
        (Some(other), _) => {
            let Fact::Field {
                number: new_number,
                kind: new_kind,
                cardinality: new_cardinality,
                oneof: new_oneof,
                ..
            } = other
            else {
                return breaks;
            };
            if new_number != number {
                say(format!("is now number {new_number}"), KEEP_FIELD);
            }
            if new_kind != kind {
                say(format!("is now of type {new_kind}, and was {kind}"), KEEP_FIELD);
            }
            if new_cardinality != cardinality {
                say(format!("is now {new_cardinality}, and was {cardinality}"), KEEP_FIELD);
            }
            if new_oneof != oneof {
                let named = |oneof: &str| match oneof {
                    "-" => "in no oneof".to_owned(),
                    name => format!("in oneof {name}"),
                };
                say(
                    format!("is now {}, and was {}", named(new_oneof), named(oneof)),
                    KEEP_FIELD,
                );
            }
        }
    }
    breaks
}
