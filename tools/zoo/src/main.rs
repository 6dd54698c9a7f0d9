//! Placeholder of the tool; see CONTRIBUTING.md.
fn main() {}
