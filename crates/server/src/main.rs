//! `cleanup-server`: the service as a program.

fn main() {}
