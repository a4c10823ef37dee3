//! vrouter-control.
fn main() {}
