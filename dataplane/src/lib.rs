//! The packet mover of vrouter: takes frames from ports, looks them up, rewrites and encapsulates them, and sends them on.
//!
//! The rooms, lowest floor first; an import goes only down:
//! [`wire`] (what bytes mean), [`packet`] (frames), [`port`] (where they come and go),
//! [`service`] (what the router says itself).

pub mod packet;
pub mod port;
pub mod service;
pub mod tables;
pub mod wire;
