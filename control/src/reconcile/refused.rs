//! What a dataplane refuses, and when it is tried again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use vrouter_proto::dataplane as pb;

use super::diff::Step;
use crate::{
    compile::{ObjectKey, Owner, Plan},
    state::Scoped,
};

/// One refused step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    /// What was tried; `None`: to delete it.
    object: Option<Arc<pb::Object>>,
    /// Why, in words.
    message: String,
    /// It was not tried at all, because something that it needs is refused.
    dependent: bool,
}

/// All refused steps of one dataplane.
#[derive(Debug)]
pub(super) struct RefusedSteps {
    steps: BTreeMap<ObjectKey, Refused>,
    least: Duration,
    most: Duration,
    delay: Duration,
    due: Option<Instant>,
}

impl RefusedSteps {
    /// None yet. The first retry comes after `least`, later ones after twice as long each time, up to `most`.
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self {
            steps: BTreeMap::new(),
            least,
            most,
            delay: least,
            due: None,
        }
    }

    /// When to try all of them again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn keys(&self) -> BTreeSet<ObjectKey> {
        self.steps.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.steps.len() as u64
    }

    /// Whether just this was refused before: there is no use in trying it at every occasion.
    pub(super) fn knows(&self, key: &ObjectKey, plan: &Plan) -> bool {
        let wished = plan.get(key).map(|planned| &planned.object);
        self.steps
            .get(key)
            .is_some_and(|refused| refused.object.as_ref() == wished)
    }

    /// Notes how trying `tried` ended.
    pub(super) fn note(&mut self, tried: &BTreeSet<ObjectKey>, refused: Vec<(Step, Problem)>, now: Instant) {
        let before: BTreeSet<ObjectKey> = tried
            .iter()
            .filter(|key| self.steps.remove(*key).is_some())
            .cloned()
            .collect();
        let mut news = false;
        let mut still = 0;
        for (step, problem) in refused {
            if before.contains(&step.key) {
                still += 1;
            } else {
                news = true;
            }
            let refused = Refused {
                object: step.object,
                message: problem.message,
                dependent: problem.dependent,
            };
            self.steps.insert(step.key, refused);
        }
        if self.steps.is_empty() {
            (self.due, self.delay) = (None, self.least);
        } else if still < before.len() {
            // Something that was refused is not any more: what depended on it may go through right now.
            (self.due, self.delay) = (Some(now), self.least);
        } else if news {
            (self.due, self.delay) = (Some(now + self.least), self.least);
        } else if !tried.is_empty() && !before.is_empty() {
            self.delay = (self.delay * 2).min(self.most);
            self.due = Some(now + self.delay);
        }
    }

    /// In words; empty when nothing is refused.
    pub(super) fn summary(&self) -> String {
        let first = self
            .steps
            .iter()
            .find(|(_, r)| !r.dependent)
            .or_else(|| self.steps.iter().next());
        match first {
            None => String::new(),
            Some((key, refused)) => match self.steps.len() - 1 {
                0 => format!("refused: {key}: {}", refused.message),
                more => format!("refused: {key}: {} (and {more} more)", refused.message),
            },
        }
    }

    /// Why, by endpoint.
    pub(super) fn by_endpoint(&self, plan: &Plan) -> HashMap<Scoped, String> {
        let mut reasons: HashMap<Scoped, (bool, String)> = HashMap::new();
        for (key, refused) in &self.steps {
            let Some(Owner::Endpoint(endpoint)) = plan.get(key).map(|planned| planned.owner.as_ref()) else {
                continue;
            };
            let reason = (refused.dependent, format!("{key}: {}", refused.message));
            let known = reasons.entry(endpoint.clone()).or_insert_with(|| reason.clone());
            if known.0 && !refused.dependent {
                *known = reason;
            }
        }
        reasons
            .into_iter()
            .map(|(endpoint, (_, message))| (endpoint, message))
            .collect()
    }
}

/// Why a step was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    /// It was left out because of another one.
    pub(super) dependent: bool,
}
