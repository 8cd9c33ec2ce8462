//! The start.

fn main() {}
