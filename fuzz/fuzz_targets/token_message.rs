//! See `src/token_message.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    claviger_fuzz::token_message::run(data);
});
