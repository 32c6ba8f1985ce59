//! Load generator for Wardcast.

fn main() {}
