//! See `src/policy_document.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::policy_document::run(data);
});
