//! How policies, limits and the like are written on the command line, and how they are shown: one spelling for both.

pub(super) mod collector;
pub(super) mod rate;
pub(super) mod requirement;
pub(super) mod rule;
pub(super) mod service;
pub(super) mod traffic;

/// `key=value`, or a bare word that stands for itself.
fn option(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (text.trim(), None),
    }
}
