//! Reads bytes as a message between the server and the process that holds a vendor's library, or as the reference of a key.

use claviger_token::wire::read_again;

/// Whether the input is a message: a letter that says of which kind (`o` an outcome, `a` what is asked, `h` the greeting, `r` a reference), and its
/// bytes. There is one way only to write a message.
pub fn run(data: &[u8]) -> bool {
    match read_again(data) {
        Some(written) => {
            assert_eq!(data.get(1..), Some(written.as_slice()));
            true
        }
        None => false,
    }
}
