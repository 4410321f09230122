//! The `sipjab` command.

fn main() {}
