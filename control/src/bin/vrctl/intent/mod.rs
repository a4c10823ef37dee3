//! Commands about intent: what people wish, kept by `vrouter-control`. One file for each kind of object.

pub(crate) mod audit;
pub(crate) mod endpoint;
pub(crate) mod floating_ip;
pub(crate) mod group;
mod labels;
pub(crate) mod mirror;
mod names;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod qos;
pub(crate) mod router;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod subnet;
mod syntax;
pub(crate) mod watch;

use serde::Serialize;

use self::labels::LabelChanges;
use crate::{cli::Context, failure::Failure};

/// The answer to a delete, as JSON.
#[derive(Serialize)]
struct Deleted<'a> {
    kind: &'a str,
    name: &'a str,
    existed: bool,
}

/// Says that something was deleted. Deleting what is not there is success too, but told apart.
fn deleted(context: &Context, kind: &str, name: &str, existed: bool) -> Result<(), Failure> {
    if context.output.json() {
        return context.output.value(&Deleted { kind, name, existed });
    }
    context.output.text(&if existed {
        format!("{kind} {name} deleted\n")
    } else {
        format!("{kind} {name} was not there\n")
    })
}

/// The update mask, collected while the changes are.
#[derive(Default)]
struct Mask(Vec<String>);

impl Mask {
    /// Sets `field`, called `path` in the mask, where the command line has a value for it.
    fn set<T>(&mut self, path: &str, field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
            self.add(path);
        }
    }

    fn add(&mut self, path: &str) {
        self.0.push(path.to_owned());
    }

    /// The mask for the request; an update that changes nothing is a mistake.
    fn finish(self) -> Result<Option<prost_types::FieldMask>, Failure> {
        if self.0.is_empty() {
            return Err(Failure::Usage(
                "nothing to update: name at least one change (see --help)".to_owned(),
            ));
        }
        Ok(Some(prost_types::FieldMask { paths: self.0 }))
    }
}

/// A value of an update, unless it is empty: nothing was said of it then.
fn given<T>(value: T, empty: impl Fn(&T) -> bool) -> Option<T> {
    (!empty(&value)).then_some(value)
}
