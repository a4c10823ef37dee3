//! The reference of a config file: a page for people, and a file with every setting, commented out.

use std::{fmt::Write as _, fs, io, path::Path};

use clap::Command;

/// One key of a config file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, that of the flag, too, if there is one.
    pub name: &'static str,
    /// A value in TOML: the default, if `default` is set, else an example. Tables: their lines.
    pub value: &'static str,
    /// `value` is what holds when nothing is said.
    pub default: bool,
    /// It is a table, `[name]` or `[[name]]`, whose head this is.
    pub table: Option<&'static str>,
    /// What it means, where no flag says so, or where there is more to say.
    pub more: &'static str,
}

impl Key {
    /// A key with its default.
    #[must_use]
    pub const fn default(name: &'static str, value: &'static str) -> Self {
        Self {
            name,
            value,
            default: true,
            table: None,
            more: "",
        }
    }

    /// A key without a default that could be written down, with an example.
    #[must_use]
    pub const fn example(name: &'static str, value: &'static str) -> Self {
        Self {
            default: false,
            ..Self::default(name, value)
        }
    }

    /// A table, with its head.
    #[must_use]
    pub const fn table(self, head: &'static str) -> Self {
        Self {
            table: Some(head),
            ..self
        }
    }

    /// With more to say than the flag does.
    #[must_use]
    pub const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }
}

/// The reference of one program's config file.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// Where the file is in an installation, `/etc/vrouter/vrouterd.toml`.
    pub file: &'static str,
    /// All keys, tables last.
    pub keys: &'static [Key],
}

impl Reference {
    /// A config file in which every setting is explained and commented out: settings as `#key = value`, words as `# words`.
    #[must_use]
    pub fn sample(&self, command: &Command) -> String {
        let name = command.get_name();
        let mut text = format!(
            "# Settings of {name}. Those commented out show what holds when nothing is said, or an example. Flags win over this file.\n\
             # {name} reads it when it starts. Lines that it does not understand are refused, with their place.\n"
        );
        for key in self.keys {
            text.push('\n');
            for line in wrap(&meaning(command, key), 110) {
                let _ = writeln!(text, "# {line}");
            }
            if !key.default {
                text.push_str("# No default; an example:\n");
            }
            match key.table {
                Some(head) => {
                    let _ = writeln!(text, "#{head}");
                    for line in key.value.lines() {
                        let _ = writeln!(text, "#{line}");
                    }
                }
                None => {
                    let _ = writeln!(text, "#{} = {}", key.name, key.value);
                }
            }
        }
        text
    }

    /// A sample as it would be with its settings in force: all of them, or only defaults.
    #[must_use]
    pub fn in_force(&self, examples: bool) -> String {
        let wanted = self.keys.iter().filter(|key| examples || key.default);
        wanted.fold(String::new(), |text, key| match key.table {
            Some(head) => format!("{text}{head}\n{}\n", key.value),
            None => format!("{text}{} = {}\n", key.name, key.value),
        })
    }

    /// The page for people.
    #[must_use]
    pub fn page(&self, command: &Command) -> String {
        let name = command.get_name();
        let file = self.file;
        let mut text = format!(
            "<!-- Written by `{name} --write-reference .` from the definitions in the code: change those. -->\n\n\
             # Settings of {name}\n\n\
             `{name} --config {file}` reads a TOML file; a flag wins over the key of the same name. The package installs [a file with all of \
             them](../../deploy/etc{}) commented out. Keys that nobody knows, values that are out of range or contradict each other are refused \
             at the start, with file, key and what would be right.\n\n\
             | key in the file | flag | default, or an example | meaning |\n|---|---|---|---|\n",
            file.strip_prefix("/etc/vrouter").unwrap_or(file)
        );
        for key in self.keys {
            let flag = match flag(command, key.name) {
                Some(flag) => {
                    let values = flag.get_value_names().unwrap_or_default();
                    let values: Vec<_> = values.iter().map(|value| format!(" {value}")).collect();
                    format!("`--{}{}`", key.name, values.concat())
                }
                None => String::new(),
            };
            let value = match key.table {
                Some(head) => key
                    .value
                    .lines()
                    .fold(format!("`{head}`"), |text, line| format!("{text}<br>`{line}`")),
                None => format!("`{}`", key.value),
            };
            let value = format!("{}{value}", if key.default { "" } else { "e.g. " });
            let meaning = meaning(command, key).replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | {flag} | {value} | {meaning} |", key.name);
        }
        text
    }

    /// Writes both below the top of the repository.
    pub(crate) fn write(&self, command: &Command, top: &Path) -> io::Result<()> {
        let (page, sample) = places(command.get_name());
        for (place, text) in [(page, self.page(command)), (sample, self.sample(command))] {
            let file = top.join(place);
            if let Some(directory) = file.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(file, text)?;
        }
        Ok(())
    }

    /// Why what is committed below the top of the repository is not what the code says; `None` when it is.
    #[must_use]
    pub fn stale(&self, command: &Command, top: &Path) -> Option<String> {
        let name = command.get_name();
        let (page, sample) = places(name);
        let same = |place: &str, text: String| fs::read_to_string(top.join(place)).is_ok_and(|found| found == text);
        for (place, text) in [(page, self.page(command)), (sample, self.sample(command))] {
            if !same(&place, text) {
                return Some(format!(
                    "{place} is not what the code says: run `cargo run --bin {name} -- --write-reference .` and commit it"
                ));
            }
        }
        None
    }

    /// What is wrong with the list of keys: they must be `fields`, all of them, and each explained. `None` when all is well.
    #[must_use]
    pub fn gap(&self, command: &Command, fields: &[&str]) -> Option<String> {
        for field in fields {
            if !self.keys.iter().any(|key| key.name == *field) {
                return Some(format!("the key {field} of the file is not in the reference"));
            }
        }
        for key in self.keys {
            if !fields.contains(&key.name) {
                return Some(format!(
                    "the reference tells of {}, which the file does not know",
                    key.name
                ));
            }
            if meaning(command, key).is_empty() {
                return Some(format!("nobody says what {} means", key.name));
            }
        }
        let flags = command.get_arguments().filter_map(|flag| flag.get_long());
        let mut unknown = flags.filter(|flag| !["config", "help", "version"].contains(flag) && !fields.contains(flag));
        unknown
            .next()
            .map(|flag| format!("the flag --{flag} has no key in the file"))
    }
}

/// Where the page and the sample are in the repository.
fn places(program: &str) -> (String, String) {
    (
        format!("docs/config/{program}.md"),
        format!("deploy/etc/{program}.toml"),
    )
}

fn flag<'a>(command: &'a Command, name: &str) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|flag| flag.get_long() == Some(name))
}

/// The words of the flag without its default, and what there is to add.
fn meaning(command: &Command, key: &Key) -> String {
    let help = flag(command, key.name).and_then(|flag| flag.get_long_help().or_else(|| flag.get_help()));
    let mut words = help.map(ToString::to_string).unwrap_or_default();
    if key.default
        && let Some(at) = words.rfind("[default:")
    {
        words.truncate(at);
    }
    let words: Vec<_> = words.split_whitespace().collect();
    let words = words.join(" ");
    match (words.as_str(), key.more) {
        (_, "") => words,
        ("", more) => more.to_owned(),
        (words, more) => format!("{words}. {more}"),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    const REFERENCE: Reference = Reference {
        file: "/etc/vrouter/tool.toml",
        keys: &[
            Key::default("size", "3"),
            Key::example("name", "\"a\"").more("Up to 8 letters."),
            Key::default("limit", "x = 1\ny = 2").table("[limit]"),
        ],
    };

    fn tool() -> Command {
        Command::new("tool")
            .arg(
                Arg::new("size")
                    .long("size")
                    .value_name("N")
                    .help("How large [default: 3]"),
            )
            .arg(
                Arg::new("name")
                    .long("name")
                    .value_name("NAME")
                    .help("What it is called | known as"),
            )
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("KIND=N")
                    .help("How far to go"),
            )
            .arg(Arg::new("config").long("config"))
    }

    #[test]
    fn every_setting_is_explained_and_commented_out() {
        let sample = REFERENCE.sample(&tool());
        assert!(sample.contains("\n# How large\n#size = 3\n"), "{sample}");
        assert!(
            sample.contains(
                "\n# What it is called | known as. Up to 8 letters.\n# No default; an example:\n#name = \"a\"\n"
            ),
            "{sample}"
        );
        assert!(
            sample.ends_with("# How far to go\n#[limit]\n#x = 1\n#y = 2\n"),
            "{sample}"
        );
        assert!(sample.lines().all(|line| line.is_empty() || line.starts_with('#')));
        assert_eq!(REFERENCE.in_force(false), "size = 3\n[limit]\nx = 1\ny = 2\n");
        let page = REFERENCE.page(&tool());
        assert!(page.contains("| `size` | `--size N` | `3` | How large |"), "{page}");
        assert!(page.contains("called \\| known"), "{page}");
    }

    #[test]
    fn gaps_are_told() {
        let gap = |fields: &[&str]| REFERENCE.gap(&tool(), fields);
        assert_eq!(gap(&["size", "name", "limit"]), None);
        assert!(gap(&["size", "name", "limit", "new"]).unwrap().contains("new"));
        assert!(gap(&["size", "limit"]).unwrap().contains("name"));
        let more = tool().arg(Arg::new("deep").long("deep"));
        assert!(
            REFERENCE
                .gap(&more, &["size", "name", "limit"])
                .unwrap()
                .contains("--deep")
        );
    }
}
