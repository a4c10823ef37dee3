//! Names of objects that live in a network: `network/name`.

use std::{fmt, str::FromStr};

/// `blue/web-1`: a network and a name within it. Whether the two are good names is the server's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scoped {
    pub(crate) network: String,
    pub(crate) name: String,
}

impl FromStr for Scoped {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((network, name)) if !network.is_empty() && !name.is_empty() && !name.contains('/') => Ok(Self {
                network: network.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("NETWORK/NAME is wanted, like blue/web-1".to_owned()),
        }
    }
}

impl fmt::Display for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_needed() {
        assert_eq!("blue/web-1".parse::<Scoped>().unwrap().to_string(), "blue/web-1");
        for text in ["blue", "blue/", "/web-1", "blue/web/1", ""] {
            assert!(text.parse::<Scoped>().is_err(), "{text}");
        }
    }
}
