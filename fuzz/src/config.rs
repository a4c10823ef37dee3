//! Any text as a configuration file, and any words as a command line, of each daemon.
//!
//! No panic; what is refused is explained; and settings that are taken can be run with.

use std::io::Write as _;

use clap::Parser as _;
use tempfile::NamedTempFile;
use vrouter_dataplane::config::{Config, Flags};

/// Checks one text.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a file is written");
    dataplane(Flags {
        config: Some(file.path().into()),
        ..Flags::default()
    });
    #[cfg(feature = "control")]
    control::text(file.path(), bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let words = || std::iter::once("daemon").chain(text.split_whitespace());
        if let Ok(flags) = Flags::try_parse_from(words()) {
            // Whatever file it names is none of our business.
            dataplane(Flags { config: None, ..flags });
        }
        #[cfg(feature = "control")]
        control::words(words());
    }
}

fn dataplane(flags: Flags) {
    match Config::new(flags, "node-a") {
        Ok(config) => {
            assert!(!config.node.is_empty() && !config.listen.is_empty());
            assert!((1..=64).contains(&config.workers), "{} workers", config.workers);
            assert!(config.cpus.is_empty() || config.cpus.len() == config.workers);
            assert!(config.frames > 0 && config.frame_size.is_power_of_two());
            let addresses = config.uplinks.iter().flat_map(|uplink| &uplink.vteps);
            assert!(addresses.clone().filter(|(address, _)| address.is_ipv4()).count() <= 1);
            assert!(addresses.filter(|(address, _)| address.is_ipv6()).count() <= 1);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

#[cfg(feature = "control")]
mod control {
    use std::path::Path;

    use clap::Parser as _;
    use vrouter_control::config::{Config, Flags};

    pub(super) fn text(path: &Path, bytes: &[u8]) {
        let flags = || Flags {
            config: Some(path.into()),
            ..Flags::default()
        };
        let read = Config::new(flags());
        let Ok(text) = std::str::from_utf8(bytes) else {
            assert!(read.is_err());
            return;
        };
        match (read, Config::with_text(flags(), path, text)) {
            (Ok(read), Ok(given)) => {
                assert!(!read.listen.is_empty());
                assert_eq!(read, given);
            }
            (Err(error), Err(_)) => assert!(!error.to_string().is_empty()),
            (read, given) => panic!("read: {read:?}, given: {given:?}"),
        }
    }

    pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) {
        if let Ok(flags) = Flags::try_parse_from(words) {
            let _ = Config::new(Flags { config: None, ..flags });
        }
    }
}
