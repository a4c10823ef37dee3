//! IPFIX (RFC 7011): flows as records that collectors understand, in messages that fit a path. Bytes only: when what is sent, and to whom, is not for this
//! room.
//!
//! Records are of one direction each. Elements are those of IANA's registry; there is none for the rule of a policy, and TCP's flags are not kept.

mod message;
mod record;
mod template;

pub use message::{Exporter, MAX_MESSAGE};
pub use record::{EndReason, ExporterRecord, Firewall, FlowRecord, Forwarding, NameRecord};
