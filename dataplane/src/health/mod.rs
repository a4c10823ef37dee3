//! Asks workloads of this node whether they are well, from their gateway's address and by the port they are behind; the host's
//! network stack is not involved.
//!
//! [`prober`] asks each workload when its time has come ([`rhythm`]), by a [`question`] over a TCP [`connection`], and draws a
//! conclusion from the answers ([`record`]). A connection is a small TCP/IP [`stack`] of its own, because workloads of different
//! VRFs may have the same address. Its packets leave by a [`line`](self::line) to the workers and come back the same way.
//!
//! One thread does all of it. No decision about packets may enter here, nor anything that makes a worker or the programmer wait.

mod connection;
mod line;
mod prober;
mod question;
mod record;
mod rhythm;
mod stack;

pub use line::Line;
pub use prober::{Finding, Orders, Prober};
