//! The `wardcast` binary.

fn main() {}
