//! Labels: what people and orchestrators note on an object.

use std::collections::{BTreeMap, HashMap};

use super::error::Invalid;

/// Labels of an object, in order of their keys.
pub type Labels = BTreeMap<String, String>;

/// Most labels of one object.
const MAX_LABELS: usize = 64;
/// Most bytes of a key or value.
const MAX_BYTES: usize = 256;

/// Checks labels: at most 64, keys not empty, keys and values up to 256 bytes without control characters.
pub(super) fn check(kind: &str, labels: HashMap<String, String>) -> Result<Labels, Invalid> {
    check_in(&format!("{kind}.labels"), labels)
}

/// The same, for a field of any name.
pub(super) fn check_in(field: &str, labels: HashMap<String, String>) -> Result<Labels, Invalid> {
    if labels.len() > MAX_LABELS {
        return Err(Invalid::new(
            field,
            format!("{} labels; at most {MAX_LABELS}", labels.len()),
        ));
    }
    for (key, value) in &labels {
        if key.is_empty() {
            return Err(Invalid::new(field, "a key is empty"));
        }
        check_text(key)
            .and_then(|()| check_text(value))
            .map_err(|error| Invalid::new(field, error))?;
    }
    Ok(labels.into_iter().collect())
}

/// Checks a key or a value.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        Err(format!("{text:?} has more than {MAX_BYTES} bytes"))
    } else if text.chars().any(char::is_control) {
        Err(format!("{text:?} has a control character"))
    } else {
        Ok(())
    }
}
