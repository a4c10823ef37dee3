//! Sections of a Markdown file that programs write and people do not: each between two markers with its name.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context as _, Result};

/// Puts a section in place of the one of that name, or at the end. The rest of the file stays as it is.
pub(crate) fn write(path: &Path, name: &str, body: &str) -> Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => "# Results\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    fs::write(path, placed(&old, name, body)).with_context(|| format!("cannot write {}", path.display()))
}

fn placed(old: &str, name: &str, body: &str) -> String {
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let section = format!("{begin}\n{}\n{end}", body.trim_end());
    let found = old.split_once(begin.as_str());
    let found = found.and_then(|(before, rest)| Some((before, rest.split_once(end.as_str())?.1)));
    match found {
        Some((before, after)) => format!("{before}{section}{after}"),
        None => format!("{}\n\n{section}\n", old.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let first = placed("# Results\n\nWords.\n", "edge", "one\n");
        assert_eq!(
            first,
            "# Results\n\nWords.\n\n<!-- begin edge -->\none\n<!-- end edge -->\n"
        );
        let both = placed(&first, "other", "o");
        let second = placed(&both, "edge", "two\nlines");
        assert_eq!(second, both.replace("\none\n", "\ntwo\nlines\n"));
        assert_eq!(placed(&second, "edge", "two\nlines"), second);
    }

    #[test]
    fn a_file_is_made_when_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RESULTS.md");
        write(&path, "edge", "one").unwrap();
        write(&path, "edge", "two").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "# Results\n\n<!-- begin edge -->\ntwo\n<!-- end edge -->\n"
        );
    }
}
