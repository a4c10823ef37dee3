//! ICMP and ICMPv6 (RFC 792, 1122, 1812, 4443): echo replies, errors, and how many errors may be sent.

mod echo;
mod error;
mod rate_limit;

pub use echo::{EchoError, echo_reply};
pub use error::{IcmpError, MAX_ERROR_V4, MAX_ERROR_V6, Suppressed, error};
pub use rate_limit::RateLimit;

/// TTL or hop limit of what the router says itself.
const HOP_LIMIT: u8 = 64;
