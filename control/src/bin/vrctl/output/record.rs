//! What a kind of object must tell to be listed, shown, filtered and written as JSON: its columns and its keys, once.

use serde::Serialize;

use super::table::{Align, Cell};
use crate::filter::Key;

/// A kind of object as people see it. Its serde form is the JSON output, and is kept stable.
pub(crate) trait Record: Serialize + Sized + 'static {
    /// The word for several of them: "flows".
    const NOUNS: &'static str;
    /// What a person sees of it, in order.
    const COLUMNS: &'static [Column<Self>];
    /// What it can be filtered by.
    const KEYS: &'static [Key<Self>];
}

/// One column of a table, and one line of a single object.
pub(crate) struct Column<T> {
    pub(crate) heading: &'static str,
    pub(crate) align: Align,
    /// Too much for a list: only in `show`.
    pub(crate) detail: bool,
    pub(crate) cell: fn(&T) -> Cell,
}

impl<T> Column<T> {
    /// A column of words.
    pub(crate) const fn text(heading: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self {
            heading,
            align: Align::Left,
            detail: false,
            cell,
        }
    }

    /// A column of numbers.
    pub(crate) const fn number(heading: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self {
            heading,
            align: Align::Right,
            detail: false,
            cell,
        }
    }

    /// A value shown for a single object only.
    pub(crate) const fn detail(heading: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self {
            heading,
            align: Align::Left,
            detail: true,
            cell,
        }
    }
}
