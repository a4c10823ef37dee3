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
pub(super) fn check(field: &str, labels: HashMap<String, String>) -> Result<Labels, Invalid> {
    let field = format!("{field}.labels");
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
        for text in [key, value] {
            if text.len() > MAX_BYTES {
                return Err(Invalid::new(
                    field,
                    format!("{key:?} or its value has more than {MAX_BYTES} bytes"),
                ));
            }
            if text.chars().any(char::is_control) {
                return Err(Invalid::new(
                    field,
                    format!("{key:?} or its value has a control character"),
                ));
            }
        }
    }
    Ok(labels.into_iter().collect())
}
