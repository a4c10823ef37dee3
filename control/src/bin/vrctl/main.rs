//! vrctl.
fn main() {}
