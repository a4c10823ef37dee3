//! Names of objects.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of an object: 1 to 63 of lower-case letters, digits, `-`, `_`, `.`, starting with a letter or digit. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is empty.
    #[error("is empty; a name has 1 to 63 characters")]
    Empty,
    /// It is longer than 63 characters.
    #[error("has {0} characters; a name has 1 to 63")]
    TooLong(usize),
    /// It starts with something else than a letter or digit.
    #[error("{0:?} starts with {1:?}; a name starts with a lower-case letter or a digit")]
    Start(String, char),
    /// It has a character that names do not have.
    #[error("{0:?} has a {1:?}; a name is made of a-z, 0-9, \"-\", \"_\" and \".\"")]
    Character(String, char),
}

impl Name {
    /// Most characters of a name.
    pub const MAX: usize = 63;

    /// Checks and takes `text`.
    ///
    /// # Errors
    /// [`BadName`] tells which rule `text` breaks.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first = text.chars().next().ok_or(BadName::Empty)?;
        if text.chars().count() > Self::MAX {
            return Err(BadName::TooLong(text.chars().count()));
        }
        if !allowed(first) {
            return Err(BadName::Start(text.to_owned(), first));
        }
        match text.chars().find(|&c| !allowed(c) && !matches!(c, '-' | '_' | '.')) {
            Some(bad) => Err(BadName::Character(text.to_owned(), bad)),
            None => Ok(Self(text.into())),
        }
    }

    /// Sorts before every name; itself none. For the start of ranges only.
    pub(crate) fn lowest() -> Self {
        Self("".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rules() {
        for good in ["a", "0", "blue", "node-1.rack_2", &"x".repeat(63)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        assert_eq!(Name::new(""), Err(BadName::Empty));
        assert_eq!(Name::new(&"x".repeat(64)), Err(BadName::TooLong(64)));
        assert_eq!(Name::new("-a"), Err(BadName::Start("-a".into(), '-')));
        assert_eq!(Name::new("aB"), Err(BadName::Character("aB".into(), 'B')));
        assert_eq!(Name::new("a/b"), Err(BadName::Character("a/b".into(), '/')));
        assert_eq!(
            Name::new("a\u{e9}"),
            Err(BadName::Character("a\u{e9}".into(), '\u{e9}'))
        );
    }
}
