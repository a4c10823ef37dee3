//! What a check found.

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Nothing to say about it here.
    NotApplicable,
    /// As it should be.
    Ok,
    /// It works, and could be better or soon may not.
    Warning,
    /// Something does not work, or will not.
    Problem,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotApplicable => "n/a",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The check's stable name: "mtu".
    pub(super) check: &'static str,
    /// What it is about: an interface, an address; may be empty.
    pub(super) subject: String,
    pub(super) status: Status,
    /// What was seen.
    pub(super) saw: String,
    /// Why it matters. Empty where nothing is to be done.
    pub(super) why: &'static str,
    /// What to do: commands, where there are any. Empty where nothing is.
    pub(super) todo: String,
}

/// Begins a finding.
pub(super) fn about(check: &'static str, subject: impl Into<String>) -> About {
    About {
        check,
        subject: subject.into(),
    }
}

/// A check and what it is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    check: &'static str,
    subject: String,
}

impl About {
    fn finding(self, status: Status, saw: impl Into<String>, why: &'static str, todo: impl Into<String>) -> Finding {
        Finding {
            check: self.check,
            subject: self.subject,
            status,
            saw: saw.into(),
            why,
            todo: todo.into(),
        }
    }

    pub(super) fn ok(self, saw: impl Into<String>) -> Finding {
        self.finding(Status::Ok, saw, "", "")
    }

    pub(super) fn not_applicable(self, saw: impl Into<String>) -> Finding {
        self.finding(Status::NotApplicable, saw, "", "")
    }

    pub(super) fn warning(self, saw: impl Into<String>, why: &'static str, todo: impl Into<String>) -> Finding {
        self.finding(Status::Warning, saw, why, todo)
    }

    pub(super) fn problem(self, saw: impl Into<String>, why: &'static str, todo: impl Into<String>) -> Finding {
        self.finding(Status::Problem, saw, why, todo)
    }
}
