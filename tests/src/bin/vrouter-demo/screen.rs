//! What the demo looks like: headings, commands with their output, small tables. Colours only on a terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

/// Where the demo is shown.
pub(crate) struct Screen {
    colors: bool,
    step: u32,
    began: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let colors = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colors,
            step: 0,
            began: Instant::now(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colors {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(text: &str) {
        // A closed pipe is no reason to leave daemons behind: go on to the clean-up.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// The next step of the story.
    pub(crate) fn heading(&mut self, title: &str) {
        self.step += 1;
        let title = format!("{}. {title}", self.step);
        let time = format!("[{:.1} s]", self.began.elapsed().as_secs_f64());
        Self::line(&format!("\n{} {}", self.paint("1;36", &title), self.paint("2", &time)));
    }

    /// A sentence.
    pub(crate) fn say(&self, text: &str) {
        for line in text.lines() {
            Self::line(&format!("   {line}"));
        }
    }

    /// A success.
    pub(crate) fn good(&self, text: &str) {
        Self::line(&format!("   {} {text}", self.paint("32", "ok")));
    }

    /// A failure, on standard error.
    pub(crate) fn bad(&self, text: &str) {
        let _ = writeln!(io::stderr(), "\n{} {text}", self.paint("1;31", "failed:"));
    }

    /// A command and what it printed.
    pub(crate) fn command(&self, line: &str, output: &str) {
        Self::line(&format!("\n   {}", self.paint("1", &format!("$ {line}"))));
        for line in output.lines() {
            Self::line(&format!("   {line}"));
        }
    }

    /// Rows of equal length; the first is the head.
    pub(crate) fn table(&self, rows: &[Vec<String>]) {
        let columns = rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for (index, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("   ");
            let line = line.trim_end();
            Self::line(&format!(
                "   {}",
                if index == 0 {
                    self.paint("2", line)
                } else {
                    line.to_owned()
                }
            ));
        }
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}
