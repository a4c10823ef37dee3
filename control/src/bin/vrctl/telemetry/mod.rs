//! Commands about what one `vrouterd` counts and is.

pub(crate) mod drops;
pub(crate) mod info;
pub(crate) mod rates;
pub(crate) mod stats;
mod totals;
