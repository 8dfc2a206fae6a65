//! initrd-builder
fn main() {}
