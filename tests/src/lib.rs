//! Checks of the tree itself; see `tidy.rs`.
