//! What the kinds of object that were made of one mould have in common: a name, what the server gave, and the wish itself.
//!
//! A kind is a [`Spec`]: the fields that a client chooses, under the names that the API gives them. [`Object`] is such a wish as stored,
//! [`Wish`] is one as asked for.

use std::fmt::Debug;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    error::{InField, Invalid},
    mask::Mask,
    name::Name,
    reference::Target,
};

/// What a client chooses of one kind of object.
pub trait Spec: Clone + Debug + PartialEq + Eq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the server gives beside uid and number: addresses. `()` for most.
    type Given: Clone + Debug + PartialEq + Eq + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The kind as messages name it: `floating_ip`.
    const KIND: &'static str;
    /// Fields that an update mask may name.
    const FIELDS: &'static [&'static str];
    /// Those of them that cannot change.
    const FIXED: &'static [&'static str] = &[];

    /// Takes over the fields that `mask` names.
    fn replace(&mut self, wish: Self, mask: &Mask);

    /// The first of `among` in which the two differ.
    fn difference(&self, other: &Self, among: &[&str]) -> Option<&'static str>;

    /// Replaces what only repeats what the server chose by what was wished then, so that sending back what was read is no new wish.
    fn settle(&mut self, existing: &Object<Self>) {
        let _ = existing;
    }

    /// Rules between the fields, once all of them are known.
    ///
    /// # Errors
    /// Names the field at fault.
    fn check(&self) -> Result<(), Invalid>;

    /// Everything that it refers to, each with the path of the field that does.
    fn references(&self) -> Vec<(String, Target)>;

    /// The network that the name is unique in; `None`: it is unique everywhere.
    fn scope(&self) -> Option<&Name> {
        None
    }
}

/// An object of a kind, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "S: Spec", deserialize = "S: Spec"))]
pub struct Object<S: Spec> {
    /// Its name.
    pub name: Name,
    /// Unique for ever.
    pub uid: String,
    /// Store revision of the last change.
    pub revision: u64,
    /// Number among the objects of its kind, 1..=16777215; not reused while in use.
    pub number: u32,
    /// What else the server gave.
    pub given: S::Given,
    /// What the client chose.
    pub spec: S,
}

/// What a client asks of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<S> {
    /// Its name.
    pub name: Name,
    /// The revision that an update expects; 0: any.
    pub revision: u64,
    /// What it chooses.
    pub spec: S,
}

impl<S: Spec> Wish<S> {
    pub(super) fn new(name: &str, revision: u64, spec: S) -> Result<Self, Invalid> {
        Ok(Self {
            name: Name::new(name).in_field(&format!("{}.name", S::KIND))?,
            revision,
            spec,
        })
    }
}

/// Implements the parts of [`Spec`] that go field by field: each field of the struct with the paths that a mask may name it by.
macro_rules! fields {
    ($($field:ident: $($path:literal)+),* $(,)?) => {
        const FIELDS: &'static [&'static str] = &[$($($path,)+)*];

        fn replace(&mut self, wish: Self, mask: &$crate::model::Mask) {
            $(if $(mask.has($path))||+ {
                self.$field = wish.$field;
            })*
        }

        fn difference(&self, other: &Self, among: &[&str]) -> Option<&'static str> {
            $($(if among.contains(&$path) && self.$field != other.$field {
                return Some($path);
            })+)*
            None
        }
    };
}
pub(super) use fields;
