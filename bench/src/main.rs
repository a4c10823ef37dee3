//! pktgen.
fn main() {}
