//! See `src/request_body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::request_body::run(data);
});
