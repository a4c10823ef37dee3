//! Traffic between namespaces, with answers that say what was lost: ping, TCP and UDP with content that is checked, streams
//! with sequence numbers, iperf3, and all pairs of a set of containers.

mod echo;
mod iperf;
mod matrix;
mod ping;
mod stream;

pub use echo::{Connection, Echo, tcp, udp};
pub use iperf::{Throughput, iperf};
pub use matrix::{Pair, matrix, reachable};
pub use ping::{Pings, ping, ping_with, pings};
pub use stream::{Report, Stream};
