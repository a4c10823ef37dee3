//! The inputs kept in the repository.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// A target by its name, and its property.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. `config` looks at vrouter-control too, with the feature `control`.
pub const TARGETS: &[Target] = &[
    ("frame", crate::frame::check),
    ("tunnel", crate::tunnel::check),
    ("service", crate::service::check),
    ("underlay", crate::underlay::check),
    ("pipeline", crate::pipeline::check),
    ("coalesce", crate::coalesce::check),
    ("api", crate::api::check),
    ("filter", crate::filter::check),
    ("config", crate::config::check),
];

/// Every input of a target that the repository keeps, in a fixed order.
///
/// # Panics
/// When there is none, or it cannot be read: a test over nothing would prove nothing.
pub fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for kind in ["seeds", "regressions"] {
        let Ok(directory) = fs::read_dir(root.join(kind).join(target)) else {
            continue;
        };
        for entry in directory {
            let path = entry.expect("the directory of inputs is readable").path();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path, bytes));
        }
    }
    assert!(!found.is_empty(), "no inputs for {target} under {}", root.display());
    found.sort();
    found
}

/// Runs a property over every kept input of its target, and over what each is cut short; returns how many whole ones.
///
/// # Panics
/// After all have run, with the names of the inputs for which the property does not hold.
pub fn replay((target, check): Target) -> usize {
    let inputs = inputs(target);
    let mut broken = Vec::new();
    for (path, bytes) in &inputs {
        let cuts = [bytes.len(), bytes.len() / 2, bytes.len().saturating_sub(1)];
        for length in cuts {
            let input = &bytes[..length];
            if catch_unwind(AssertUnwindSafe(|| check(input))).is_err() {
                broken.push(format!("{} (first {length} bytes)", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{target} does not hold for:\n{}", broken.join("\n"));
    inputs.len()
}
