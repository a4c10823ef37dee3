//! Words and signs of an expression, with where they stand.

use super::parse::FilterError;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A name, number, address or range.
    Word(&'a str),
    And,
    Or,
    Not,
    Open,
    Close,
}

/// A token and the column of its first character, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) column: usize,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_')
}

/// Takes an expression apart.
///
/// # Errors
/// A sign that has no meaning here.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut column = 1;
    while let Some(c) = rest.chars().next() {
        let (kind, len) = match c {
            _ if c.is_whitespace() => (None, c.len_utf8()),
            '(' => (Some(Kind::Open), 1),
            ')' => (Some(Kind::Close), 1),
            '!' if !rest.starts_with("!=") => (Some(Kind::Not), 1),
            '&' if rest.starts_with("&&") => (Some(Kind::And), 2),
            '|' if rest.starts_with("||") => (Some(Kind::Or), 2),
            _ if is_word(c) => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..len).unwrap_or(rest);
                let kind = match word {
                    "and" => Kind::And,
                    "or" => Kind::Or,
                    "not" => Kind::Not,
                    _ => Kind::Word(word),
                };
                (Some(kind), len)
            }
            '[' | ']' | '=' | '<' | '>' | '!' | '&' | '|' | '+' | '*' => {
                let message = "tests of single bytes and arithmetic are not known here: say it with host, port, proto, ... ; and, or, not (or &&, ||, !)";
                return Err(FilterError::new(column, message));
            }
            _ => return Err(FilterError::new(column, format!("{c:?} has no meaning here"))),
        };
        if let Some(kind) = kind {
            tokens.push(Token { kind, column });
        }
        let (taken, left) = rest.split_at_checked(len).unwrap_or((rest, ""));
        column += taken.chars().count();
        rest = left;
    }
    Ok(tokens)
}
