//! What labels must be: `tier in a,b`, `tier notin a`, `tier` (has it), `!tier` (has it not).

use std::{fmt, str::FromStr};

use vrouter_proto::control::{self as api, label_requirement::Operator};

/// A requirement as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::intent) struct Requirement(pub(in crate::intent) api::LabelRequirement);

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (key, operator, values) = match words.as_slice() {
            [key] => match key.strip_prefix('!') {
                Some(key) => (key, Operator::DoesNotExist, ""),
                None => (*key, Operator::Exists, ""),
            },
            [key, "in", values] => (*key, Operator::In, *values),
            [key, "notin", values] => (*key, Operator::NotIn, *values),
            _ => ("", Operator::Unspecified, ""),
        };
        if key.is_empty() || key.contains('=') {
            return Err(format!(
                "{text:?} is no requirement: KEY, !KEY, 'KEY in A,B' or 'KEY notin A,B' is wanted"
            ));
        }
        Ok(Self(api::LabelRequirement {
            key: key.to_owned(),
            operator: operator.into(),
            values: values.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect(),
        }))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.0.key, self.0.values.join(","));
        match self.0.operator() {
            Operator::In => write!(f, "{key} in {values}"),
            Operator::NotIn => write!(f, "{key} notin {values}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Exists | Operator::Unspecified => f.write_str(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_written_as_they_are_read() {
        for text in ["tier", "!tier", "tier in a,b", "tier notin a"] {
            assert_eq!(text.parse::<Requirement>().unwrap().to_string(), text);
        }
        for text in ["", "!", "tier=a", "tier of a", "tier in a b"] {
            assert!(text.parse::<Requirement>().unwrap_err().contains("notin"), "{text}");
        }
    }
}
