//! Handing out numbers from a range: addresses of subnets, VNIs, and the numbers of networks, endpoints and nodes.
//!
//! Pure data: a [`Pool`] lives inside the state that a transaction works on, so that taking an address and creating what holds it
//! are one change, kept or dropped together.

mod pool;

pub use pool::Pool;
