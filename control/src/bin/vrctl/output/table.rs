//! Aligned columns without borders, and the cells they are made of. Knows nothing of what is shown.

use std::fmt::Write as _;

/// How a cell's text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    /// Headings.
    Bold,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
    /// Of little interest.
    Faint,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }
}

/// One value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell for `text`. Names come from other people: control characters are made visible, so that no name can move the
    /// cursor. Nothing at all is shown as `-`.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        let mut clean = String::with_capacity(text.as_ref().len());
        for character in text.as_ref().chars() {
            if character.is_control() {
                clean.extend(character.escape_default());
            } else {
                clean.push(character);
            }
        }
        if clean.is_empty() {
            clean.push('-');
        }
        Self {
            text: clean,
            style: Style::Plain,
        }
    }

    /// A cell without a value.
    pub(crate) fn nothing() -> Self {
        Self::new("")
    }

    /// The same cell in another style.
    pub(crate) fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The text as it is shown.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn write(&self, out: &mut String, paint: bool) {
        match self.style.code() {
            Some(code) if paint => {
                let _ = write!(out, "\x1b[{code}m{}\x1b[0m", self.text);
            }
            _ => out.push_str(&self.text),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}
impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::new(number.to_string())
    }
}
impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::from(u64::from(number))
    }
}
impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::new(if flag { "yes" } else { "no" })
    }
}

/// Which edge of its column a cell stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Renders `rows` under `headings`; each row has one cell for each heading. Every line ends with a newline and has no blanks
/// before it.
pub(crate) fn render(headings: &[(&str, Align)], rows: &[Vec<Cell>], paint: bool) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|(heading, _)| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let top = headings
        .iter()
        .map(|(heading, _)| Cell::new(heading).style(Style::Bold))
        .collect();
    let mut out = String::new();
    for row in std::iter::once(&top).chain(rows) {
        let columns = headings.iter().zip(&widths).zip(row);
        for (index, (((_, align), width), cell)) in columns.enumerate() {
            let gap = width.saturating_sub(cell.width());
            if index > 0 {
                out.push_str("  ");
            }
            if *align == Align::Right {
                pad(&mut out, gap);
            }
            cell.write(&mut out, paint);
            if *align == Align::Left && index + 1 < row.len() {
                pad(&mut out, gap);
            }
        }
        out.push('\n');
    }
    out
}

/// Renders one object: a line for each of its values, the names in a column of their own.
pub(crate) fn render_lines(lines: &[(&str, Cell)], paint: bool) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, cell) in lines {
        Cell::new(name).style(Style::Bold).write(&mut out, paint);
        pad(&mut out, width - name.chars().count() + 2);
        cell.write(&mut out, paint);
        out.push('\n');
    }
    out
}

fn pad(out: &mut String, blanks: usize) {
    out.extend(std::iter::repeat_n(' ', blanks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_left_and_numbers_right() {
        let headings = [("NAME", Align::Left), ("PACKETS", Align::Right), ("WHY", Align::Left)];
        let rows = vec![
            vec![Cell::from("web-1"), Cell::from(7_u32), Cell::from("a")],
            vec![
                Cell::from("database-primary"),
                Cell::from(123_456_789_u64),
                Cell::from(""),
            ],
        ];
        let expected = "NAME                PACKETS  WHY\n\
                        web-1                     7  a\n\
                        database-primary  123456789  -\n";
        assert_eq!(render(&headings, &rows, false), expected);
    }

    #[test]
    fn paint_does_not_move_columns() {
        let headings = [("A", Align::Left), ("B", Align::Left)];
        let rows = vec![vec![Cell::from("up").style(Style::Good), Cell::from("x")]];
        let painted = render(&headings, &rows, true);
        assert_eq!(painted, "\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[32mup\x1b[0m  x\n");
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let rows = vec![vec![Cell::from("evil\x1b[2J\n")]];
        assert_eq!(render(&[("N", Align::Left)], &rows, false), "N\nevil\\u{1b}[2J\\n\n");
    }

    #[test]
    fn one_object_is_a_line_for_each_value() {
        let lines = [("NAME", Cell::from("blue")), ("VNI", Cell::from(100_u32))];
        assert_eq!(render_lines(&lines, false), "NAME  blue\nVNI   100\n");
    }
}
