//! A witness of decisions: packets have none, a trace has one.

use crate::packet::FlowKey;

/// Is told each step of a decision. For packets it is `()`: nothing is said and nothing is computed for saying it.
pub trait Recorder {
    /// A step: its stage (a stable name), what happened in words, and the object at work (may be empty).
    fn step(&mut self, stage: &'static str, detail: impl FnOnce() -> String, object: impl FnOnce() -> String);
}

impl Recorder for () {
    #[inline(always)]
    fn step(&mut self, _: &'static str, _: impl FnOnce() -> String, _: impl FnOnce() -> String) {}
}

/// What a trace hears of decisions.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// Stage, detail and object of each step.
    pub steps: Vec<(&'static str, String, String)>,
    /// The key of the packet that was decided about.
    pub key: Option<FlowKey>,
}

/// Nothing, or a witness: decisions are rare enough to ask.
impl Recorder for Option<Witness> {
    #[inline]
    fn step(&mut self, stage: &'static str, detail: impl FnOnce() -> String, object: impl FnOnce() -> String) {
        if let Some(witness) = self {
            witness.steps.push((stage, detail(), object()));
        }
    }
}

/// Steps in a row, for tests and traces: stage, detail, object.
impl Recorder for Vec<(&'static str, String, String)> {
    fn step(&mut self, stage: &'static str, detail: impl FnOnce() -> String, object: impl FnOnce() -> String) {
        self.push((stage, detail(), object()));
    }
}
