//! Update masks: which fields of an object a request replaces.

use super::error::Invalid;

/// The fields that an update replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// The whole wish.
    Whole,
    /// The fields named.
    Fields(Vec<String>),
}

impl Mask {
    /// Checks a request's mask against the fields a client may choose. An absent or empty mask means the whole wish.
    ///
    /// # Errors
    /// A path that is not one of `known`.
    pub fn new(mask: Option<prost_types::FieldMask>, known: &[&str]) -> Result<Self, Invalid> {
        let paths = mask.map(|m| m.paths).unwrap_or_default();
        match paths.iter().find(|path| !known.contains(&path.as_str())) {
            _ if paths.is_empty() => Ok(Self::Whole),
            Some(bad) => Err(Invalid::new(
                "update_mask",
                format!(
                    "{bad:?} is no field that can be named here; these are: {}",
                    known.join(", ")
                ),
            )),
            None => Ok(Self::Fields(paths)),
        }
    }

    /// One field.
    #[must_use]
    pub fn only(field: &str) -> Self {
        Self::Fields(vec![field.to_owned()])
    }

    /// Whether the update replaces `field`.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Fields(fields) => fields.iter().any(|f| f == field),
        }
    }
}
