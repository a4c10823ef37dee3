//! The parameters that come by environment.

use std::{env, fmt, path::PathBuf};

use vrouter_control::model::InterfaceName;

use super::{arguments::Arguments, failure::Failure};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Command {
    pub(crate) fn from_environment() -> Result<Self, Failure> {
        let text = variable("CNI_COMMAND")?.unwrap_or_default();
        Ok(match text.as_str() {
            "ADD" => Self::Add,
            "DEL" => Self::Del,
            "CHECK" => Self::Check,
            "GC" => Self::Gc,
            "STATUS" => Self::Status,
            "VERSION" => Self::Version,
            "" => {
                let message =
                    "CNI_COMMAND is not set; this program is for container engines, see the CNI specification";
                return Err(Failure::environment(message));
            }
            other => {
                let message = format!("CNI_COMMAND: {other:?} is none of ADD, DEL, CHECK, GC, STATUS, VERSION");
                return Err(Failure::environment(message));
            }
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        })
    }
}

/// The parameters of a command. Those that it does not have are empty.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) command: Command,
    /// Id of the container.
    pub(crate) container: String,
    /// File of its network namespace. A DEL may have none.
    pub(crate) netns: Option<PathBuf>,
    /// Name of the interface inside.
    pub(crate) interface: String,
    /// Further arguments.
    pub(crate) arguments: Arguments,
}

impl Environment {
    pub(crate) fn read(command: Command) -> Result<Self, Failure> {
        let one = matches!(command, Command::Add | Command::Del | Command::Check);
        if !one {
            return Ok(Self {
                command,
                container: String::new(),
                netns: None,
                interface: String::new(),
                arguments: Arguments::default(),
            });
        }
        let container = variable("CNI_CONTAINERID")?.unwrap_or_default();
        let mut letters = container.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_alphanumeric());
        if !first || !letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
            let message =
                format!("CNI_CONTAINERID: {container:?} is no id: letters, digits, _ . - and a letter or digit first");
            return Err(Failure::environment(message));
        }
        let interface = variable("CNI_IFNAME")?.unwrap_or_default();
        InterfaceName::new(&interface).map_err(|error| Failure::environment(format!("CNI_IFNAME: {error}")))?;
        let netns = variable("CNI_NETNS")?.map(PathBuf::from);
        if netns.is_none() && command != Command::Del {
            return Err(Failure::environment("CNI_NETNS is missing"));
        }
        let arguments = variable("CNI_ARGS")?.unwrap_or_default();
        Ok(Self {
            command,
            container,
            netns,
            interface,
            arguments: Arguments::parse(&arguments)?,
        })
    }
}

/// A variable; `None` when it is empty.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::environment(format!("{name} is no UTF-8"))),
    }
}
