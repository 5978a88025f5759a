//! Claviger: see `claviger --help`, and the library beside this file.

use std::process::ExitCode;

/// Requests make many small, short-lived allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Said once and for all, so that no dependency can bring another provider in.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    claviger::cli::run()
}
