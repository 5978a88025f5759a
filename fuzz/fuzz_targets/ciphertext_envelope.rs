//! See `src/ciphertext_envelope.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::ciphertext_envelope::run(data);
});
