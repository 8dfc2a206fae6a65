//! headnode
fn main() {}
