//! See `src/xks_request.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::xks_request::run(data);
});
