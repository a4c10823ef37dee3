//! Man pages and completions.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

/// Writes `man/manN/*.N`, one page for the command and one for each subcommand, and completions for `bash`, `zsh` and `fish`, below
/// a directory.
///
/// # Errors
/// What the system says.
pub fn write(command: Command, section: &str, directory: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    let pages = directory.join(format!("man/man{section}"));
    fs::create_dir_all(&pages)?;
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    write_page(&built, section, &pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let place = directory.join(shell.to_string());
        fs::create_dir_all(&place)?;
        generate_to(shell, &mut command.clone(), &name, &place)?;
    }
    Ok(())
}

fn write_page(command: &Command, section: &str, directory: &Path) -> io::Result<()> {
    let subcommands = command.get_subcommands().filter(|command| !command.is_hide_set());
    for subcommand in subcommands {
        write_page(subcommand, section, directory)?;
    }
    // Subcommands have no version of their own; the page says that of the program all the same.
    let version = env!("CARGO_PKG_VERSION");
    let page = Man::new(command.clone())
        .section(section)
        .source(format!("vrouter {version}"))
        .manual("vrouter");
    page.render(&mut File::create(directory.join(page.get_filename()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completion() {
        let command = Command::new("tool")
            .about("Does things")
            .subcommand(
                Command::new("dig")
                    .about("Digs")
                    .subcommand(Command::new("deep").about("Digs deeply")),
            )
            .subcommand(Command::new("secret").hide(true));
        let directory = tempfile::tempdir().unwrap();
        write(command, "1", directory.path()).unwrap();
        let mut pages: Vec<_> = fs::read_dir(directory.path().join("man/man1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        pages.sort();
        assert_eq!(pages, ["tool-dig-deep.1", "tool-dig.1", "tool.1"]);
        let page = fs::read_to_string(directory.path().join("man/man1/tool-dig.1")).unwrap();
        assert!(page.contains(".TH tool-dig 1") && page.contains("Digs"), "{page}");
        for file in ["bash/tool.bash", "zsh/_tool", "fish/tool.fish"] {
            assert!(directory.path().join(file).is_file(), "{file}");
        }
    }
}
