//! Commands that follow packets over all nodes: where one would go, and which flows come and go. They ask `vrouter-control`, which
//! asks every dataplane concerned.

pub(crate) mod flows;
mod packet;
pub(crate) mod trace;
