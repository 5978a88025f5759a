//! What AWS-LC can do and its safe interface (`aws-lc-rs`) does not offer: Ed25519ph, ML-DSA over an external µ, and ML-KEM keys from their seed.
//! Each behind a safe function; nothing else of `aws-lc-sys` is used anywhere.
#![allow(unsafe_code, reason = "calls C functions of AWS-LC that have no safe interface; architecture.md names this file")]

use std::ptr::{NonNull, null_mut};

use aws_lc_sys as c;
use zeroize::Zeroizing;

use crate::memory::Secret;

/// Signs with Ed25519ph (RFC 8032, section 5.1), without a context. The message is hashed here.
pub(crate) fn ed25519ph_sign(seed: &Secret, message: &[u8]) -> Option<[u8; 64]> {
    let (mut public, mut private, mut signature) = ([0; 32], Zeroizing::new([0; 64]), [0; 64]);
    // SAFETY: the function reads 32 bytes of seed, and writes 32 bytes of public and 64 of private key, which is what these arrays have.
    unsafe { c::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.expose().as_ptr()) };
    // SAFETY: the function reads the message by its length and 64 bytes of private key, writes 64 bytes of signature, and reads no context, whose
    // length is zero.
    let signed = unsafe {
        c::ED25519ph_sign(signature.as_mut_ptr(), message.as_ptr(), message.len(), private.as_ptr(), std::ptr::null(), 0)
    };
    (signed == 1).then_some(signature)
}

/// Whether it is a signature of [`ed25519ph_sign`] over this message.
pub(crate) fn ed25519ph_verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <&[u8; 64]>::try_from(signature) else { return false };
    // SAFETY: the function reads the message by its length, 64 bytes of signature and 32 of public key, and no context, whose length is zero.
    let verified =
        unsafe { c::ED25519ph_verify(message.as_ptr(), message.len(), signature.as_ptr(), public.as_ptr(), std::ptr::null(), 0) };
    verified == 1
}

/// A private key that AWS-LC has parsed.
pub(crate) struct ParsedKey(NonNull<c::EVP_PKEY>);

// SAFETY: evp.h: "A given object may be used concurrently on multiple threads by non-mutating functions". Nothing here changes a key once it is made;
// contexts only count references to it, which is atomic.
unsafe impl Send for ParsedKey {}
// SAFETY: as above.
unsafe impl Sync for ParsedKey {}

impl Drop for ParsedKey {
    fn drop(&mut self) {
        // SAFETY: the one reference that this value owns is given back once. AWS-LC wipes what it frees.
        unsafe { c::EVP_PKEY_free(self.0.as_ptr()) };
    }
}

impl ParsedKey {
    /// Parses PKCS#8. Bytes after it are ignored.
    pub(crate) fn parse(pkcs8: &[u8]) -> Option<Self> {
        let mut input = c::CBS { data: pkcs8.as_ptr(), len: pkcs8.len() };
        // SAFETY: the function reads the bytes that `input` describes, which outlive the call, and returns a new key or null.
        NonNull::new(unsafe { c::EVP_parse_private_key(&raw mut input) }).map(Self)
    }

    /// The key's expanded private form (FIPS 203, section 7.1) of this length.
    pub(crate) fn private(&self, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let (mut bytes, mut written) = (Zeroizing::new(vec![0; length]), length);
        // SAFETY: the function writes at most `written` bytes, which is what the buffer has.
        let done = unsafe { c::EVP_PKEY_get_raw_private_key(self.0.as_ptr(), bytes.as_mut_ptr(), &raw mut written) };
        (done == 1 && written == length).then_some(bytes)
    }

    /// The key's public form of this length.
    pub(crate) fn public(&self, length: usize) -> Option<Vec<u8>> {
        let (mut bytes, mut written) = (vec![0; length], length);
        // SAFETY: the function writes at most `written` bytes, which is what the buffer has.
        let done = unsafe { c::EVP_PKEY_get_raw_public_key(self.0.as_ptr(), bytes.as_mut_ptr(), &raw mut written) };
        (done == 1 && written == length).then_some(bytes)
    }

    /// Signs a message representative µ with ML-DSA (FIPS 204, algorithm 7 from its line 7 on). `length` is that of a signature.
    pub(crate) fn sign_mu(&self, mu: &[u8; 64], length: usize) -> Option<Vec<u8>> {
        let context = Context::new(self)?;
        let (mut signature, mut written) = (vec![0; length], length);
        // SAFETY: the context is alive, and used by nobody else.
        let ready = unsafe { c::EVP_PKEY_sign_init(context.0.as_ptr()) };
        if ready != 1 {
            return None;
        }
        // SAFETY: the context was prepared for signing; the function reads 64 bytes of µ and writes at most `written` bytes, which is what the buffer
        // has.
        let signed =
            unsafe { c::EVP_PKEY_sign(context.0.as_ptr(), signature.as_mut_ptr(), &raw mut written, mu.as_ptr(), mu.len()) };
        (signed == 1 && written == length).then_some(signature)
    }

    /// Whether it is a signature over this message representative.
    pub(crate) fn verify_mu(&self, mu: &[u8; 64], signature: &[u8]) -> bool {
        let Some(context) = Context::new(self) else { return false };
        // SAFETY: the context is alive, and used by nobody else.
        let ready = unsafe { c::EVP_PKEY_verify_init(context.0.as_ptr()) };
        // SAFETY: the function reads signature and µ by their lengths; a context that was not prepared makes it fail.
        ready == 1
            && unsafe { c::EVP_PKEY_verify(context.0.as_ptr(), signature.as_ptr(), signature.len(), mu.as_ptr(), mu.len()) } == 1
    }
}

/// What one operation with a key needs.
struct Context(NonNull<c::EVP_PKEY_CTX>);

impl Context {
    fn new(key: &ParsedKey) -> Option<Self> {
        // SAFETY: the key is alive, and the context holds a reference of its own to it. No engine is used.
        NonNull::new(unsafe { c::EVP_PKEY_CTX_new(key.0.as_ptr(), null_mut()) }).map(Self)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is owned by this value alone, and freed once.
        unsafe { c::EVP_PKEY_CTX_free(self.0.as_ptr()) };
    }
}
