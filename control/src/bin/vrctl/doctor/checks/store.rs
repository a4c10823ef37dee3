//! Where intent is kept.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Bytes below which a disk is full.
const LEAST: u64 = 64 << 20;
/// And below which it soon is.
const LITTLE: u64 = 512 << 20;

/// It can be written, and there is room.
pub(super) fn store(facts: &Facts) -> Vec<Finding> {
    let Some(store) = &facts.store else {
        return vec![about("store", "").not_applicable("not looked at")];
    };
    let finding = about("store", store.path.as_str());
    let mut findings = vec![match (store.refusal.as_str(), store.exists) {
        ("", true) => finding.ok("there, and may be written"),
        ("", false) => finding.ok("not there yet; it can be made"),
        (refusal, _) => finding.problem(
            refusal,
            "vrouter-control, started like this, cannot keep what it is told",
            "run it as root, or make the directory and give it to the user that it runs as",
        ),
    }];
    findings.push(match store.free {
        None => about("disk", store.path.as_str()).not_applicable("the file system does not say"),
        Some(free) => {
            let finding = about("disk", store.path.as_str());
            let saw = format!("{} MiB free", free >> 20);
            let (why, todo) = (
                "changes that cannot be written are refused",
                "make room, or move the store (--store)",
            );
            match free {
                ..LEAST => finding.problem(saw, why, todo),
                LEAST..LITTLE => finding.warning(saw, why, todo),
                _ => finding.ok(saw),
            }
        }
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Store, finding::Status};

    #[test]
    fn a_store_must_be_writable_and_have_room() {
        let statuses = |refusal: &str, free| {
            let facts = Facts {
                store: Some(Store {
                    refusal: refusal.into(),
                    free: Some(free),
                    ..Store::default()
                }),
                ..Facts::default()
            };
            store(&facts).iter().map(|finding| finding.status).collect::<Vec<_>>()
        };
        assert_eq!(statuses("", 1 << 40), [Status::Ok, Status::Ok]);
        assert_eq!(
            statuses("permission denied", 100 << 20),
            [Status::Problem, Status::Warning]
        );
        assert_eq!(statuses("", 1 << 20)[1], Status::Problem);
    }
}
