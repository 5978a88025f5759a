//! The suite of tests that every engine must pass unchanged.
