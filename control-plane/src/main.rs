//! control-plane
fn main() {}
