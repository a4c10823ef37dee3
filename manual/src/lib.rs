//! What vrouter's programs say about themselves, made from their command lines: man pages, completions, and the reference of what
//! can stand in a config file.
//!
//! A program asks [`papers`] before it reads its command line. `PROGRAM --write-papers DIR` then writes its man pages
//! and completions, for packages; `PROGRAM --write-reference DIR` writes, below the top of the repository, what is committed there. Both are kept out of
//! `--help`: they are for those who build. Nothing here knows any setting.

mod fields;
mod pages;
mod reference;

use std::{env, io, path::PathBuf, process::ExitCode};

pub use fields::fields;
pub use pages::write as write_pages;
pub use reference::{Key, Reference};

/// Does what the command line asks for, if that is papers; `None`: go on.
///
/// `section` is that of the manual: 1 for commands, 8 for daemons. `reference` is for programs with a config file.
#[must_use]
pub fn papers(command: clap::Command, section: &str, reference: Option<&Reference>) -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let asked = arguments.next()?;
    let write: &dyn Fn(PathBuf) -> io::Result<()> = match (asked.to_str()?, reference) {
        ("--write-papers", _) => &|directory| pages::write(command.clone(), section, &directory),
        ("--write-reference", Some(reference)) => &|directory| reference.write(&command, &directory),
        _ => return None,
    };
    let Some(directory) = arguments.next() else {
        eprintln!("{}: say into which directory", command.get_name());
        return Some(ExitCode::from(2));
    };
    Some(match write(PathBuf::from(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", command.get_name());
            ExitCode::FAILURE
        }
    })
}
