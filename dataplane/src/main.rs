//! vrouterd.
fn main() {}
