//! imageinit
fn main() {}
