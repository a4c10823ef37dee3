//! Why settings cannot be used.

use std::{io, path::PathBuf};

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the config file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, has a key that nobody knows, or a value of the wrong kind.
    #[error("{}: {}", path.display(), error.to_string().trim_end())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where in it, and what.
        error: Box<toml::de::Error>,
    },
    /// A value is out of range, or contradicts another.
    #[error("{place}: {message}")]
    Value {
        /// The flag, or the file and the key.
        place: String,
        /// What is wrong and what would be right.
        message: String,
    },
}
