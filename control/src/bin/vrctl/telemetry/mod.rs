//! Commands about what one `vrouterd` counts and is.

pub(crate) mod drops;
pub(crate) mod info;
mod rates;
pub(crate) mod stats;
mod totals;
