//! The two APIs as data, read from their descriptors: what `docs/api.md` and the check of compatibility are made of.
//!
//! Nothing here is used by a daemon. `cargo run -p vrouter-proto -- document` writes the reference, `-- baseline` writes down the state of
//! a release; tests fail when the reference is stale, when something public has no comment, and when a change would break a client.

mod baseline;
mod compatibility;
mod document;
mod model;

pub use baseline::{BadBaseline, Fact, facts, parse, print};
pub use compatibility::{Break, compare};
pub use document::document;
pub use model::{Api, Cardinality, Enumeration, Field, Message, Method, Service, Value, apis};
