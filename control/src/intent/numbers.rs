//! Numbers of networks, endpoints and nodes, and VNIs.

use super::Refusal;
use crate::{
    ipam::Pool,
    state::{Cursor, Numbers, Record, Transaction},
};

/// Takes the next free number. It stays taken while the object that is put next carries it.
pub(super) fn next(
    transaction: &mut Transaction,
    cursor: Cursor,
    field: &str,
    pool: impl Fn(&Numbers) -> &Pool,
) -> Result<u32, Refusal> {
    let from = transaction.cursor(&cursor);
    let found = pool(transaction.numbers())
        .next_free(from)
        .and_then(|n| u32::try_from(n).ok());
    let Some(number) = found else {
        let taken = pool(transaction.numbers()).taken();
        return Err(Refusal::exhausted(field, format!("all {taken} numbers are in use")));
    };
    transaction.put(Record::Cursor(cursor, u128::from(number) + 1));
    Ok(number)
}
