//! Groups: no circles, and no labels that nobody has.

use std::sync::Arc;

use super::{Refusal, nearest, object, object::Rules};
use crate::{
    model::{Group, GroupSpec, Mask, Name, Object, Spec as _, Target, Wish},
    state::{State, Transaction},
};

/// Labels or values that a message names, at most.
const NAMED: usize = 10;

impl Rules for GroupSpec {
    fn give(
        transaction: &mut Transaction,
        name: &Name,
        spec: &Self,
        _existing: Option<&Object<Self>>,
    ) -> Result<(), Refusal> {
        if let Some(way) = transaction.group_cycle(name, spec) {
            let way: Vec<&str> = way.iter().map(Name::as_str).collect();
            let message = format!("{name} would contain itself: {}", way.join(" contains "));
            return Err(Refusal::invalid("group.groups", message));
        }
        Ok(())
    }

    fn target(name: &Name) -> Option<Target> {
        Some(Target::Group(name.clone()))
    }
}

/// Creates a group; idempotent by name.
///
/// # Errors
/// Those of [`object::create`]; it would contain itself; it asks for a label that no endpoint has, unless `allow_unknown_labels`.
pub fn create_group(
    transaction: &mut Transaction,
    wish: Wish<GroupSpec>,
    allow_unknown_labels: bool,
) -> Result<Arc<Group>, Refusal> {
    if !allow_unknown_labels && transaction.group(&wish.name).is_none() {
        // A group that does not hold together by itself is told of that first.
        wish.spec.check()?;
        check_labels(transaction, &wish.spec)?;
    }
    object::create(transaction, wish)
}

/// Updates a group.
///
/// # Errors
/// Those of [`object::update`]; it would contain itself; it newly asks for a label that no endpoint has, unless `allow_unknown_labels`.
pub fn update_group(
    transaction: &mut Transaction,
    wish: Wish<GroupSpec>,
    mask: &Mask,
    allow_unknown_labels: bool,
) -> Result<Arc<Group>, Refusal> {
    if !allow_unknown_labels && let Some(existing) = transaction.group(&wish.name) {
        let mut asked = GroupSpec::default();
        if mask.has("match_labels") {
            asked.match_labels = wish.spec.match_labels.clone();
            asked
                .match_labels
                .retain(|key, value| existing.spec.match_labels.get(key) != Some(value));
        }
        if mask.has("match_expressions") {
            asked.match_expressions.clone_from(&wish.spec.match_expressions);
            asked
                .match_expressions
                .retain(|e| !existing.spec.match_expressions.contains(e));
        }
        check_labels(transaction, &asked)?;
    }
    object::update(transaction, wish, mask)
}

/// Refuses labels that no endpoint has: most of all, they are misspelt.
fn check_labels(state: &State, spec: &GroupSpec) -> Result<(), Refusal> {
    for (key, value) in &spec.match_labels {
        check_label(state, key, [value], "group.match_labels")?;
    }
    for (index, e) in spec.match_expressions.iter().enumerate() {
        check_label(state, &e.key, &e.values, &format!("group.match_expressions[{index}]"))?;
    }
    Ok(())
}

fn check_label<'a>(
    state: &State,
    key: &str,
    values: impl IntoIterator<Item = &'a String>,
    field: &str,
) -> Result<(), Refusal> {
    let unknown = |what: String, wrong: &str, known: &mut dyn Iterator<Item = &str>| {
        let known: Vec<&str> = known.collect();
        let there = match known.len() {
            0 => "there are none at all".to_owned(),
            count if count > NAMED => format!("there are {}, and {} more", known[..NAMED].join(", "), count - NAMED),
            _ => format!("there are {}", known.join(", ")),
        };
        let hint = nearest::hint(wrong, known.iter().copied());
        let message = format!("{what}: {there}{hint}; allow_unknown_labels lets it be asked for all the same");
        Refusal::invalid(field, message)
    };
    let Some(known) = state.label_values(key) else {
        let what = format!("no endpoint has a label {key:?}");
        return Err(unknown(what, key, &mut state.label_keys()));
    };
    let known: Vec<&str> = known.collect();
    for value in values {
        if !known.contains(&value.as_str()) {
            let what = format!("no endpoint has {value:?} for its label {key:?}");
            return Err(unknown(what, value, &mut known.iter().copied()));
        }
    }
    Ok(())
}
