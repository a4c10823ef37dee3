//! Figures for programs: a JSON list of name, value and unit.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::table;

/// One figure as it was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// One of [`table::names`].
    pub name: String,
    /// In `unit`.
    pub value: f64,
    /// As [`table::Unit::name`] writes it.
    pub unit: String,
}

/// The JSON cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Some figures are missing: a list in part would be taken for the whole.
    #[error("not all figures were measured; missing: {0}")]
    Missing(String),
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is in the file.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// All figures in their order, with the values that `value` gives for the names.
///
/// # Errors
/// [`JsonError::Missing`] when it gives none for some.
pub fn complete(value: impl Fn(&str) -> Option<f64>) -> Result<Vec<Measured>, JsonError> {
    let (mut list, mut missing) = (Vec::new(), Vec::new());
    for name in table::names() {
        match (value(&name), table::find(&name)) {
            (Some(value), Some(figure)) => list.push(Measured {
                // A tenth of a nanosecond is far below what repeats.
                value: (value * 1000.0).round() / 1000.0,
                unit: figure.unit.name().to_owned(),
                name,
            }),
            _ => missing.push(name),
        }
    }
    match missing.is_empty() {
        true => Ok(list),
        false => Err(JsonError::Missing(missing.join(", "))),
    }
}

/// Writes the list, one figure a line.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, figures: &[Measured]) -> Result<(), JsonError> {
    let lines = figures
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<Vec<_>, _>>()?;
    fs::write(path, format!("[\n  {}\n]\n", lines.join(",\n  ")))?;
    Ok(())
}

/// Reads a list.
///
/// # Errors
/// When there is none, or it is malformed.
pub fn read(path: &Path) -> Result<Vec<Measured>, JsonError> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_is_written_and_read_again() {
        let list = complete(|name| Some(name.len() as f64 + 0.12345)).unwrap();
        assert_eq!(list.len(), table::names().count());
        assert_eq!(
            list.first(),
            Some(&Measured {
                name: "route_1".to_owned(),
                value: 7.123,
                unit: "ns".to_owned()
            })
        );
        let units = |name: &str| list.iter().find(|one| one.name == name).map(|one| one.unit.as_str());
        assert_eq!(units("flow_bytes_v6"), Some("bytes"));
        assert_eq!(units("route_load_1m"), Some("s"));
        let path = std::env::temp_dir().join(format!("vrouter-bench-{}.json", std::process::id()));
        write(&path, &list).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let again = read(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(again.unwrap(), list);
        assert!(
            text.starts_with("[\n  {\"name\":\"route_1\",\"value\":7.123,\"unit\":\"ns\"},\n"),
            "{text}"
        );
    }

    #[test]
    fn a_list_in_part_is_refused_and_says_what_is_missing() {
        let error = complete(|name| (name != "flow_setup_v6").then_some(1.0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "not all figures were measured; missing: flow_setup_v6"
        );
    }
}
