//! How objects name each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    endpoint::Endpoint,
    error::{InField, Invalid},
    name::Name,
};

/// An endpoint by network and name. Written `blue/web-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EndpointRef {
    /// The network it is in.
    pub network: Name,
    /// Its name in that network.
    pub name: Name,
}

impl EndpointRef {
    /// Reads `text`.
    ///
    /// # Errors
    /// In words, when it is not two names with a slash between them.
    pub fn new(text: &str) -> Result<Self, String> {
        let (network, name) = text
            .split_once('/')
            .ok_or_else(|| format!("{text:?} names no endpoint; NETWORK/NAME would be right, like blue/web-1"))?;
        let part = |what: &str, text: &str| Name::new(text).map_err(|e| format!("{what} {e}"));
        Ok(Self {
            network: part("the network's name", network)?,
            name: part("the endpoint's name", name)?,
        })
    }

    /// The reference that names `endpoint`.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            network: endpoint.network.clone(),
            name: endpoint.name.clone(),
        }
    }

    /// Network and name, as the state keeps them.
    #[must_use]
    pub fn scoped(&self) -> (Name, Name) {
        (self.network.clone(), self.name.clone())
    }
}

impl FromStr for EndpointRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

impl TryFrom<String> for EndpointRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<EndpointRef> for String {
    fn from(value: EndpointRef) -> Self {
        value.to_string()
    }
}

impl fmt::Display for EndpointRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.network, self.name))
    }
}

/// What an object can refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A network.
    Network(Name),
    /// A group.
    Group(Name),
    /// An endpoint.
    Endpoint(EndpointRef),
    /// A QoS profile.
    QosProfile(Name),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Endpoint(name) => write!(f, "endpoint {name}"),
            Self::QosProfile(name) => write!(f, "QoS profile {name}"),
        }
    }
}

/// Reads a list of which no two may be equal.
pub(super) fn list<T: PartialEq, E: fmt::Display>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Invalid> {
    let mut read = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let value = parse(text).in_field(&field)?;
        if read.contains(&value) {
            return Err(Invalid::new(field, format!("{text} is there twice")));
        }
        read.push(value);
    }
    Ok(read)
}

/// Reads a text that may be left empty.
pub(super) fn optional<T, E>(text: &str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, E> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

/// The fields `field[0]`, `field[1]`, ... that refer to these.
pub(super) fn each<'a, T: Clone + 'a>(
    field: &'a str,
    names: &'a [T],
    target: impl Fn(T) -> Target + 'a,
) -> impl Iterator<Item = (String, Target)> + 'a {
    names
        .iter()
        .enumerate()
        .map(move |(index, name)| (format!("{field}[{index}]"), target(name.clone())))
}
