//! KC-XAES-256-GCM: C2SP XAES-256-GCM with the key commitment of ePrint 2025/758. The one construction that encrypts everything here.
//!
//! With K the 256-bit key and N a random 24-byte nonce:
//! - message key = CMAC_K(`00 01 58 00` ‖ N[0..12]) ‖ CMAC_K(`00 02 58 00` ‖ N[0..12]);
//!   ciphertext ‖ tag = AES-256-GCM(message key, iv = N[12..24], associated data, plaintext)
//! - commitment = CMAC_K("XCMT" ‖ N ‖ `00 01 00 01`) ‖ CMAC_K("XCMT" ‖ N ‖ `00 01 00 02`)
//!
//! A key per message and a nonce of 192 random bits remove the limit of 2^32 messages per key, so nobody has to count. The commitment means
//! that a ciphertext opens under one key only.
//!
//! The CMAC key is set up for each message and freed at once, although keeping it ready would save a key schedule: AWS-LC keeps the expanded
//! key in ordinary heap memory, about 600 bytes for each, which is neither locked nor excluded from dumps. So key material is expanded
//! for the microsecond in which it is used, and AWS-LC wipes what it frees.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::error::HsmError;

/// Bytes in a nonce.
pub(crate) const NONCE_BYTES: usize = 24;
/// Bytes in a commitment.
pub(crate) const COMMITMENT_BYTES: usize = 32;
/// Bytes in a tag.
pub(crate) const TAG_BYTES: usize = 16;
/// What a sealed message is longer than its plaintext.
pub(crate) const OVERHEAD: usize = NONCE_BYTES + COMMITMENT_BYTES + TAG_BYTES;

/// A message does not open. There is nothing more to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DoesNotOpen;

/// The parts of a sealed message, in their order: nonce ‖ commitment ‖ ciphertext ‖ tag.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    nonce: &'a [u8; NONCE_BYTES],
    commitment: &'a [u8; COMMITMENT_BYTES],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Message<'a> {
    /// The parts of these bytes; none if they are too short to be a message.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (nonce, rest) = bytes.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self { nonce, commitment, ciphertext, tag })
    }

    /// Bytes in the plaintext.
    pub(crate) fn plaintext_bytes(&self) -> usize {
        self.ciphertext.len()
    }
}

/// Seals a plaintext under a random nonce and appends nonce ‖ commitment ‖ ciphertext ‖ tag to `out`. The plaintext itself is never in `out`.
pub(crate) fn seal(key: &[u8; 32], associated_data: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), HsmError> {
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| HsmError::Primitive("the random generator"))?;
    seal_with_nonce(key, &nonce, associated_data, plaintext, out)
}

/// [`seal`] with the nonce given, for vectors and self-tests. Two messages under one key and nonce would reveal both.
pub(crate) fn seal_with_nonce(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), HsmError> {
    let refused = HsmError::Primitive("AES-256-GCM");
    let derived = Derived::new(key, nonce)?;
    out.reserve(OVERHEAD + plaintext.len());
    out.extend_from_slice(nonce);
    out.extend_from_slice(&derived.commitment);
    let start = out.len();
    out.resize(start + plaintext.len() + TAG_BYTES, 0);
    let Some((ciphertext, tag)) = out.get_mut(start..).and_then(|tail| tail.split_at_mut_checked(plaintext.len())) else {
        return Err(refused);
    };
    gcm_key(&derived.message_key)?
        .seal_out_of_place_scatter(gcm_nonce(nonce), Aad::from(associated_data), plaintext, ciphertext, &[], tag)
        .map_err(|_| refused)
}

/// Opens a message into `out`, which must be as long as its plaintext.
///
/// The commitment is compared, in constant time, before anything is decrypted. When it does not match, AES-GCM runs all the same, under a key of
/// zeroes: what comes out is refused in any case, and a wrong key takes as long as a wrong tag.
pub(crate) fn open(key: &[u8; 32], associated_data: &[u8], message: Message<'_>, out: &mut [u8]) -> Result<(), DoesNotOpen> {
    let mut derived = Derived::new(key, message.nonce).map_err(|_| DoesNotOpen)?;
    let committed = verify_slices_are_equal(&derived.commitment, message.commitment).is_ok();
    if !committed {
        derived.message_key.fill(0);
    }
    let opened = gcm_key(&derived.message_key).map_err(|_| DoesNotOpen)?.open_separate_gather(
        gcm_nonce(message.nonce),
        Aad::from(associated_data),
        message.ciphertext,
        message.tag,
        out,
    );
    if committed && opened.is_ok() { Ok(()) } else { Err(DoesNotOpen) }
}

struct Derived {
    message_key: Zeroizing<[u8; 32]>,
    commitment: [u8; COMMITMENT_BYTES],
}

impl Derived {
    fn new(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> Result<Self, HsmError> {
        let refused = |_| HsmError::Primitive("AES-CMAC");
        let key = cmac::Key::new(cmac::AES_256, key).map_err(refused)?;
        let message_key = derive_message_key(&key, nonce.split_at(12).0)?;
        let mut commitment = [0; COMMITMENT_BYTES];
        let mut blocks = [0; 32];
        blocks.split_at_mut(4).0.copy_from_slice(b"XCMT");
        blocks.split_at_mut(4).1.split_at_mut(NONCE_BYTES).0.copy_from_slice(nonce);
        for (counter, half) in (1_u8..).zip(commitment.chunks_exact_mut(16)) {
            blocks.split_at_mut(28).1.copy_from_slice(&[0, 1, 0, counter]);
            half.copy_from_slice(cmac::sign(&key, &blocks).map_err(refused)?.as_ref());
        }
        Ok(Self { message_key, commitment })
    }
}

/// The key of the message whose nonce begins with these 12 bytes, by itself: for what has no room for a commitment.
pub(crate) fn message_key(key: &[u8; 32], half_nonce: &[u8]) -> Result<Zeroizing<[u8; 32]>, HsmError> {
    let key = cmac::Key::new(cmac::AES_256, key).map_err(|_| HsmError::Primitive("AES-CMAC"))?;
    derive_message_key(&key, half_nonce)
}

/// C2SP XAES-256-GCM: CMAC_K(`00 01 58 00` ‖ N[0..12]) ‖ CMAC_K(`00 02 58 00` ‖ N[0..12]).
fn derive_message_key(key: &cmac::Key, half_nonce: &[u8]) -> Result<Zeroizing<[u8; 32]>, HsmError> {
    let mut message_key = Zeroizing::new([0; 32]);
    for (counter, half) in (1_u8..).zip(message_key.chunks_exact_mut(16)) {
        let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        block.iter_mut().skip(4).zip(half_nonce).for_each(|(to, from)| *to = *from);
        half.copy_from_slice(cmac::sign(key, &block).map_err(|_| HsmError::Primitive("AES-CMAC"))?.as_ref());
    }
    Ok(message_key)
}

fn gcm_key(key: &[u8; 32]) -> Result<LessSafeKey, HsmError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| HsmError::Primitive("AES-256-GCM"))
}

fn gcm_nonce(nonce: &[u8; NONCE_BYTES]) -> Nonce {
    let mut iv = [0; 12];
    iv.copy_from_slice(nonce.split_at(12).1);
    Nonce::assume_unique_for_key(iv)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; 24] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    #[test]
    fn published_vectors() {
        let vectors: [(u8, &[u8], &str, &str); 2] = [
            (
                1,
                b"",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
                "04076b6085eebab138855fe57811c04112eff989d44120dfff662d5475a383c3",
            ),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
                "5553cd21d1592b422e3129632a3187eee8a658cdca5c5b32ce86308dcc18e9d1",
            ),
        ];
        for (byte, associated_data, ciphertext, commitment) in vectors {
            let mut sealed = Vec::new();
            seal_with_nonce(&[byte; 32], NONCE, associated_data, b"XAES-256-GCM", &mut sealed).unwrap();
            assert_eq!(hex::encode(&sealed), format!("{}{commitment}{ciphertext}", hex::encode(NONCE)));
            let mut opened = [0; 12];
            open(&[byte; 32], associated_data, Message::parse(&sealed).unwrap(), &mut opened).unwrap();
            assert_eq!(&opened, b"XAES-256-GCM");
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let mut sealed = Vec::new();
        seal(&[9; 32], b"who", b"a secret", &mut sealed).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let mut out = [0; 8];
            assert_eq!(open(&[9; 32], b"who", Message::parse(&forged).unwrap(), &mut out), Err(DoesNotOpen), "bit {bit}");
            assert_ne!(&out, b"a secret");
        }
    }

    #[test]
    fn a_commitment_to_another_key_is_refused_although_the_tag_is_right() {
        let mut sealed = Vec::new();
        seal(&[9; 32], b"", b"a secret", &mut sealed).unwrap();
        let other = Derived::new(&[8; 32], sealed[..24].try_into().unwrap()).unwrap();
        sealed[24..56].copy_from_slice(&other.commitment);
        let mut out = [0; 8];
        assert_eq!(open(&[9; 32], b"", Message::parse(&sealed).unwrap(), &mut out), Err(DoesNotOpen));
    }

    #[test]
    fn a_message_under_the_key_of_zeroes_is_no_way_in() {
        // Whoever forges a message under the key that stands in when the commitment is wrong still has the wrong commitment.
        let iv: [u8; 12] = NONCE[12..].try_into().unwrap();
        let mut forged = b"owned".to_vec();
        gcm_key(&[0; 32]).unwrap().seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut forged).unwrap();
        let forged = [&NONCE[..], &[0; 32], &forged].concat();
        let mut out = [0; 5];
        assert_eq!(open(&[9; 32], b"", Message::parse(&forged).unwrap(), &mut out), Err(DoesNotOpen));
    }

    #[test]
    fn what_is_too_short_is_no_message() {
        for length in 0..OVERHEAD {
            assert!(Message::parse(&vec![0; length]).is_none(), "{length}");
        }
        assert_eq!(Message::parse(&[0; OVERHEAD]).unwrap().plaintext_bytes(), 0);
    }
}
