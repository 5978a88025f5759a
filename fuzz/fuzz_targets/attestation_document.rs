//! See `src/attestation_document.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::attestation_document::run(data);
});
