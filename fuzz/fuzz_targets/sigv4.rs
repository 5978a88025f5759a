//! See `src/sigv4.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::sigv4::run(data);
});
