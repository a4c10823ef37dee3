//! What all kinds that were made of one mould have in common: creating, updating and deleting, with numbers, revisions and references.

use std::sync::Arc;

use super::{Refusal, numbers, references, uid};
use crate::{
    model::{Mask, Name, Object, Target, Wish},
    state::{Kind, Transaction},
};

/// The rules of one kind, beyond those that all objects keep.
pub trait Rules: Kind {
    /// Checks a wish against everything else, and takes what the server gives. `existing` is the object that it updates.
    ///
    /// # Errors
    /// A rule is broken; nothing is left to hand out.
    fn give(
        transaction: &mut Transaction,
        name: &Name,
        spec: &Self,
        existing: Option<&Object<Self>>,
    ) -> Result<Self::Given, Refusal>;

    /// Checks everything else against the object, which is in the transaction already.
    ///
    /// # Errors
    /// A rule is broken.
    fn verify(transaction: &Transaction, object: &Object<Self>) -> Result<(), Refusal> {
        let _ = (transaction, object);
        Ok(())
    }

    /// Gives back what the server gave.
    fn give_back(transaction: &mut Transaction, object: &Object<Self>) {
        let _ = (transaction, object);
    }

    /// How others refer to it, if they do; while one does, it cannot be deleted.
    fn target(name: &Name) -> Option<Target> {
        let _ = name;
        None
    }
}

/// Creates an object; idempotent by name.
///
/// # Errors
/// The name is taken by another wish; something that it refers to does not exist; a rule of its kind is broken.
pub fn create<K: Rules>(transaction: &mut Transaction, mut wish: Wish<K>) -> Result<Arc<Object<K>>, Refusal> {
    let id = K::id(&wish.name, &wish.spec);
    if let Some(existing) = transaction.object::<K>(&id) {
        wish.spec.settle(existing);
        return match wish.spec.difference(&existing.spec, K::FIELDS) {
            None => Ok(existing.clone()),
            Some(field) => Err(Refusal::taken(
                &format!("{}.name", K::KIND),
                format!(
                    "{} exists already, with another {field}; update it, or choose another name",
                    wish.name
                ),
            )),
        };
    }
    wish.spec.check()?;
    references::check(transaction, &wish.spec)?;
    let given = K::give(transaction, &wish.name, &wish.spec, None)?;
    let field = format!("{}.number", K::KIND);
    let object = Arc::new(Object {
        uid: uid(),
        revision: transaction.revision(),
        number: numbers::next(transaction, K::CURSOR, &field, K::numbers)?,
        given,
        name: wish.name,
        spec: wish.spec,
    });
    transaction.put(K::record(object.clone()));
    K::verify(transaction, &object)?;
    Ok(object)
}

/// Updates the fields of an object that `mask` names.
///
/// # Errors
/// It does not exist or is at another revision; the wish changes what cannot change, refers to what does not exist, or breaks a rule of
/// its kind.
pub fn update<K: Rules>(
    transaction: &mut Transaction,
    mut wish: Wish<K>,
    mask: &Mask,
) -> Result<Arc<Object<K>>, Refusal> {
    if let Some(network) = wish.spec.scope() {
        super::network::find(transaction, network, &format!("{}.network", K::KIND))?;
    }
    let existing = transaction
        .object::<K>(&K::id(&wish.name, &wish.spec))
        .cloned()
        .ok_or_else(|| references::no_object(transaction, &wish))?;
    Refusal::unless_revision(K::KIND, wish.revision, existing.revision)?;
    wish.spec.settle(&existing);
    let fixed: Vec<&str> = K::FIXED.iter().copied().filter(|field| mask.has(field)).collect();
    if let Some(field) = wish.spec.difference(&existing.spec, &fixed) {
        let message = "cannot change; delete it and create another one";
        return Err(Refusal::invalid(&format!("{}.{field}", K::KIND), message));
    }
    let mut object = existing.as_ref().clone();
    object.spec.replace(wish.spec, mask);
    if object.spec == existing.spec {
        return Ok(existing);
    }
    object.spec.check()?;
    references::check(transaction, &object.spec)?;
    object.given = K::give(transaction, &object.name, &object.spec, Some(&existing))?;
    object.revision = transaction.revision();
    let object = Arc::new(object);
    transaction.put(K::record(object.clone()));
    K::verify(transaction, &object)?;
    Ok(object)
}

/// Deletes an object; whether it was there.
///
/// # Errors
/// Others refer to it.
pub fn delete<K: Rules>(transaction: &mut Transaction, id: &K::Id) -> Result<bool, Refusal> {
    let Some(object) = transaction.object::<K>(id).cloned() else {
        return Ok(false);
    };
    if let Some(target) = K::target(&object.name) {
        references::unless_used(transaction, &target, "name")?;
    }
    K::give_back(transaction, &object);
    transaction.delete(K::key(id.clone()));
    Ok(true)
}
