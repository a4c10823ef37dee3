//! Figures for people: sections of a Markdown file that benches write anew, between marks, so that no figure is ever typed by hand. What
//! is outside of the marks is left alone.

use std::{
    fmt::Write as _,
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use super::{
    json::Measured,
    table::{self, FIGURES, Unit, V6},
};

/// What a file begins with that is not there yet.
const TITLE: &str = "# Results\n";

fn marks(section: &str) -> (String, String) {
    (
        format!("<!-- begin {section}: written by the bench, do not edit -->"),
        format!("<!-- end {section} -->"),
    )
}

/// The text with this section in place of the one of that name, or at its end.
#[must_use]
pub fn replace(text: &str, section: &str, content: &str) -> String {
    let (begin, end) = marks(section);
    let body = format!("{begin}\n\n{}\n\n{end}", content.trim());
    let found = text.split_once(begin.as_str());
    let found = found.and_then(|(before, rest)| Some((before, rest.split_once(end.as_str())?.1)));
    match found {
        Some((before, after)) => format!("{before}{body}{after}"),
        None => format!("{}\n\n{body}\n", text.trim_end()),
    }
}

/// Writes a section of a file, which is made when it is not there.
///
/// # Errors
/// When the file cannot be read or written.
pub fn rewrite(path: &Path, section: &str, content: &str) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => TITLE.to_owned(),
        Err(error) => return Err(error),
    };
    fs::write(path, replace(&text, section, content))
}

/// The table of all figures beside their targets. `per_nanosecond`: ticks of the time stamp counter.
#[must_use]
pub fn table(figures: &[Measured], per_nanosecond: f64) -> String {
    let value = |name: &str| figures.iter().find(|one| one.name == name).map(|one| one.value);
    let mut text = String::from(
        "| figure | what | IPv4 | IPv6 | target | VPP (IPv4) | IPv4 / target | IPv4 / VPP |\n|---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for figure in &FIGURES {
        let (v4, v6) = (value(figure.name), value(&format!("{}{V6}", figure.name)));
        // Targets of time are in clocks.
        let counted = |value: f64| match figure.unit {
            Unit::Nanoseconds => value * per_nanosecond,
            _ => value,
        };
        let ratio = |to: Option<f64>| match (v4, to) {
            (Some(value), Some(to)) => format!("{:.2}", counted(value) / to),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            figure.name,
            figure.what,
            shown(figure.unit, v4, per_nanosecond),
            shown(figure.unit, v6, per_nanosecond),
            wanted(figure.unit, figure.target),
            wanted(figure.unit, figure.peer),
            ratio(figure.target),
            ratio(figure.peer),
        );
    }
    text
}

/// A value in its unit; time in nanoseconds and in clocks.
fn shown(unit: Unit, value: Option<f64>, per_nanosecond: f64) -> String {
    let Some(value) = value else { return "–".to_owned() };
    match unit {
        Unit::Nanoseconds => format!("{value:.1} ns = {:.0} clocks", value * per_nanosecond),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Seconds => format!("{value:.2} s"),
    }
}

fn wanted(unit: Unit, value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    match unit {
        Unit::Nanoseconds => format!("{value:.0} clocks"),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::Seconds => format!("{value} s"),
    }
}

/// One figure in a line, beside what it is to be. `with_feeding`: the same with the making of packets, nanoseconds.
#[must_use]
pub fn line(name: &str, value: f64, with_feeding: Option<f64>, per_nanosecond: f64) -> String {
    let Some(figure) = table::find(name) else {
        return format!("{name}: {value}");
    };
    let counted = match figure.unit {
        Unit::Nanoseconds => value * per_nanosecond,
        _ => value,
    };
    let mut text = format!("{name:<26} {}", shown(figure.unit, Some(value), per_nanosecond));
    for (what, to) in [("target", figure.target), ("VPP", figure.peer)] {
        if let Some(to) = to {
            let _ = write!(
                text,
                "; {what} {} (x{:.2})",
                wanted(figure.unit, Some(to)),
                counted / to
            );
        }
    }
    if let Some(all) = with_feeding {
        let _ = write!(text, "; {all:.1} ns with feeding");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_is_left_alone() {
        let (begin, end) = marks("figures");
        let text = format!("# Title\n\n{begin}\nold\n{end}\n\nWords.\n");
        let new = replace(&text, "figures", "new\n");
        assert_eq!(new, format!("# Title\n\n{begin}\n\nnew\n\n{end}\n\nWords.\n"));
        assert_eq!(replace(&new, "figures", "new"), new, "again");
        let other = replace(&new, "other", "x");
        assert!(
            other.starts_with(&new) && other.len() > new.len(),
            "at the end: {other}"
        );
        assert_eq!(replace(&other, "figures", "new"), other);
    }

    #[test]
    fn a_file_is_made_when_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RESULTS.md");
        rewrite(&path, "edge", "one").unwrap();
        rewrite(&path, "edge", "two").unwrap();
        let (begin, end) = marks("edge");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{TITLE}\n{begin}\n\ntwo\n\n{end}\n")
        );
    }

    #[test]
    fn tables_and_lines_count_in_clocks_where_targets_do() {
        let one = |name: &str, value: f64| Measured {
            name: name.to_owned(),
            value,
            unit: String::new(),
        };
        let text = table(
            &[one("route_1", 20.0), one("route_1_v6", 25.0), one("flow_bytes", 128.0)],
            2.25,
        );
        assert!(
            text.contains("| 20.0 ns = 45 clocks | 25.0 ns = 56 clocks | 45 clocks | 42 clocks | 1.00 | 1.07 |"),
            "{text}"
        );
        assert!(text.contains("| 128 B | – | 256 B | 318 B | 0.50 | 0.40 |"), "{text}");
        assert_eq!(text.lines().count(), FIGURES.len() + 2);
        let line = line("route_1_v6", 20.0, Some(30.5), 2.25);
        assert!(line.contains("20.0 ns = 45 clocks; target 45 clocks (x1.00)"), "{line}");
        assert!(line.ends_with("30.5 ns with feeding"), "{line}");
    }
}
