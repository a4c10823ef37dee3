//! The way to standard output, as tables for people or JSON for programs. Nothing else writes there.

mod record;
mod table;

use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use self::{
    record::{Column, Record},
    table::{Cell, Style},
};
use crate::failure::Failure;

/// What the output looks like: aligned columns for people, or JSON for programs (lists are arrays; names and meanings of
/// fields are stable). The words have no help of their own, which would fill a screen in the help of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Whether tables are coloured; `Auto`: on a terminal, unless NO_COLOR is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Never,
    Always,
}

/// Standard output in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    paint: bool,
    terminal: bool,
}

impl Output {
    /// Decides once what the output looks like.
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            paint: match color {
                Color::Auto => terminal && !refused,
                Color::Never => false,
                Color::Always => true,
            },
            terminal,
        }
    }

    /// JSON was asked for.
    pub(crate) fn json(&self) -> bool {
        self.format == Format::Json
    }

    /// Standard output is a terminal that can be drawn on.
    pub(crate) fn terminal(&self) -> bool {
        self.terminal && !self.json()
    }

    /// Writes a list. An empty one says so.
    pub(crate) fn list<R: Record>(&self, records: &[R], filtered: bool) -> Result<(), Failure> {
        if self.json() {
            return self.value(&records);
        }
        if records.is_empty() {
            let nouns = R::NOUNS;
            return self.text(&if filtered {
                format!("no {nouns} match\n")
            } else {
                format!("no {nouns}\n")
            });
        }
        self.text(&self.table(records))
    }

    /// A list as a table.
    pub(crate) fn table<R: Record>(&self, records: &[R]) -> String {
        let columns: Vec<_> = R::COLUMNS.iter().filter(|column| !column.detail).collect();
        let headings: Vec<_> = columns.iter().map(|column| (column.heading, column.align)).collect();
        let rows: Vec<Vec<Cell>> = records
            .iter()
            .map(|record| columns.iter().map(|column| (column.cell)(record)).collect())
            .collect();
        table::render(&headings, &rows, self.paint)
    }

    /// Writes one object with all its details.
    pub(crate) fn one<R: Record>(&self, record: &R) -> Result<(), Failure> {
        if self.json() {
            return self.value(record);
        }
        self.text(&self.details(record))
    }

    /// Writes several objects with all their details; an array in JSON, also of one.
    pub(crate) fn several<R: Record>(&self, records: &[R]) -> Result<(), Failure> {
        if self.json() {
            return self.value(&records);
        }
        let blocks: Vec<String> = records.iter().map(|record| self.details(record)).collect();
        self.text(&blocks.join("\n"))
    }

    fn details<R: Record>(&self, record: &R) -> String {
        let lines: Vec<_> = R::COLUMNS
            .iter()
            .map(|column| (column.heading, (column.cell)(record)))
            .collect();
        self.lines(&lines)
    }

    /// Named values, one on each line.
    pub(crate) fn lines(&self, lines: &[(&str, Cell)]) -> String {
        table::render_lines(lines, self.paint)
    }

    /// Writes a JSON value over several lines.
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        serde_json::to_writer_pretty(&mut out, value)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Writes a JSON value on one line, at once: an element of a stream.
    pub(crate) fn line(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Tells a person something beside the output, on standard error. Nobody is there to hear that it failed.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "vrctl: {text}");
    }

    /// Writes text as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are, and flushes.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }
}
