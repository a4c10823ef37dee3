//! Labels of objects: `key=value` pairs on the command line and in tables.

use std::collections::{BTreeMap, HashMap};

use clap::Args;

use super::Mask;
use crate::filter::Value;

/// One label, `key=value`; the value may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    key: String,
    value: String,
}

impl std::str::FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("KEY=VALUE is wanted, like app=web".to_owned()),
        }
    }
}

/// `--label` of a create command.
#[derive(Args, Debug)]
pub(super) struct Labels {
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
}

impl From<Labels> for HashMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels
            .labels
            .into_iter()
            .map(|label| (label.key, label.value))
            .collect()
    }
}

/// `--label` and `--unlabel` of an update command: changes of the labels there are.
#[derive(Args, Debug)]
pub(super) struct LabelChanges {
    /// Set a label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    set: Vec<Label>,
    /// Remove a label; may be given several times
    #[arg(long = "unlabel", value_name = "KEY")]
    remove: Vec<String>,
}

impl LabelChanges {
    /// There is nothing to change.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Adds the labels to the fields that an update changes, if there is anything to change.
    pub(super) fn announce(&self, mask: &mut Mask) {
        if !self.is_empty() {
            mask.add("labels");
        }
    }

    /// What becomes of `labels`, those the object has now. What is both set and removed is set.
    pub(super) fn apply(self, mut labels: HashMap<String, String>) -> HashMap<String, String> {
        for key in self.remove {
            labels.remove(&key);
        }
        labels.extend(self.set.into_iter().map(|label| (label.key, label.value)));
        labels
    }
}

/// Labels in a fixed order.
pub(super) fn sorted(labels: &HashMap<String, String>) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Labels as a person reads them: "app=web,tier=front".
pub(super) fn text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// Labels as values of the filter key `label`.
pub(super) fn values(labels: &BTreeMap<String, String>, out: &mut Vec<Value<'_>>) {
    out.extend(labels.iter().map(|(key, value)| Value::Owned(format!("{key}={value}"))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_key() {
        assert!("app=web".parse::<Label>().is_ok());
        assert!("app=".parse::<Label>().is_ok());
        assert!("app".parse::<Label>().is_err());
        assert!("=web".parse::<Label>().is_err());
    }

    #[test]
    fn changes_keep_what_they_do_not_name() {
        let labels = HashMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let changes = LabelChanges {
            set: vec!["c=3".parse().unwrap()],
            remove: vec!["b".to_owned()],
        };
        assert_eq!(text(&sorted(&changes.apply(labels))), "a=1,c=3");
    }
}
