//! A value, and where it was given: so that what is said of it can name the place.

use std::{fmt::Display, ops::RangeInclusive, path::Path};

use super::ConfigError;

/// A value that was given.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    place: String,
}

impl<T> Given<T> {
    /// The flag's value, else the file's.
    pub(super) fn choose(name: &str, flag: Option<T>, file: Option<T>, path: Option<&Path>) -> Option<Self> {
        // `flow-timeout.tcp` is a key of the file and a case of a flag.
        let as_flag = || format!("--{}", name.replace('.', " "));
        let as_key = || path.map_or_else(|| name.to_owned(), |path| format!("{}: {name}", path.display()));
        match (flag, file) {
            (Some(value), _) => Some(Self {
                value,
                place: as_flag(),
            }),
            (None, Some(value)) => Some(Self { value, place: as_key() }),
            (None, None) => None,
        }
    }

    /// This value is wrong, because.
    pub(super) fn wrong(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            place: self.place.clone(),
            message: message.into(),
        }
    }
}

impl<T> Given<Vec<T>> {
    /// The flags' values, if there are any, else the file's.
    pub(super) fn choose_list(name: &str, flags: Vec<T>, file: Vec<T>, path: Option<&Path>) -> Option<Self> {
        let some = |list: Vec<T>| (!list.is_empty()).then_some(list);
        Self::choose(name, some(flags), some(file), path)
    }
}

impl<T: PartialOrd + Display + Copy> Given<T> {
    /// The value, which must lie in `range`, or the default.
    pub(super) fn within(given: Option<Self>, range: RangeInclusive<T>, default: T) -> Result<T, ConfigError> {
        let Some(given) = given else { return Ok(default) };
        if !range.contains(&given.value) {
            let (least, most) = range.into_inner();
            return Err(given.wrong(format!(
                "{} is out of range: it must be from {least} to {most}",
                given.value
            )));
        }
        Ok(given.value)
    }
}
