//! The messages, with their tags. A change of any of them is a new [`super::PROTOCOL`].

use super::Secret;
use super::codec::{Malformed, Reader, Wire, Writer, enumerations, read_list, structures, write_list};

structures! {
    /// The first thing that a host hears.
    pub struct Hello {
        /// The version of the messages.
        pub protocol: u16,
        /// The path of the vendor's library.
        pub library: String,
        /// Which of the library's tokens.
        pub token: TokenName,
        /// The user's PIN, as the token wants it (CloudHSM: `user:password`).
        pub pin: Secret,
        /// The serial number of a token that refused this very PIN already: it is not asked again, because tokens lock themselves. May be empty.
        pub refused_by: String,
        /// How many sessions to keep open, and so how many requests are worked on at the same time.
        pub sessions: u16,
    }

    /// What a token says of itself.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TokenFacts {
        /// Its label.
        pub label: String,
        /// Its serial number.
        pub serial: String,
        /// Who made it.
        pub manufacturer: String,
        /// Its model.
        pub model: String,
        /// Its firmware's version.
        pub firmware: String,
        /// The library's description and version.
        pub library: String,
        /// What it can do for us, in words: "AES-GCM", "RSA-PSS", ...
        pub abilities: Vec<String>,
        /// What is special about it: names of rows of the table of quirks.
        pub quirks: Vec<String>,
    }

    /// A key that was made or adopted.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct MadeKey {
        /// What finds it again and tells it from others: the bytes of a [`crate::Reference`].
        pub reference: Vec<u8>,
        /// What it is.
        pub kind: KeyKind,
        /// What it is for.
        pub purpose: Purpose,
        /// The public key as SubjectPublicKeyInfo (RFC 5280, section 4.1), or empty.
        pub public_key: Vec<u8>,
    }

    /// What a token says of a key.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ObjectFacts {
        /// `CKA_LABEL`.
        pub label: String,
        /// `CKA_ID`.
        pub id: Vec<u8>,
        /// What it is, in words; such as "AES-256", "RSA-2048", "P-256".
        pub kind: String,
        /// Whether the token says that its value never was outside in the clear, and never can be (`CKA_ALWAYS_SENSITIVE`).
        pub always_sensitive: bool,
        /// Whether the token says that it never could be wrapped (`CKA_NEVER_EXTRACTABLE`).
        pub never_extractable: bool,
        /// Whether the token made it itself (`CKA_LOCAL`).
        pub local: bool,
    }

    /// Why something was not done.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Fault {
        /// What kind of fault.
        pub kind: FaultKind,
        /// One sentence that is safe to show.
        pub detail: String,
    }
}

enumerations! {
    /// How a token is told from the other tokens of a library.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum TokenName {
        /// By its label.
        Label = 1 { label: String },
        /// By its serial number, which no two have in common.
        Serial = 2 { serial: String },
    }

    /// How a key of a token is named.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Selector {
        /// `CKA_LABEL`.
        Label = 1 { label: String },
        /// `CKA_ID`.
        Id = 2 { id: Vec<u8> },
    }

    /// What a key is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum KeyKind {
        /// AES with 256 bits.
        Aes256 = 1,
        /// RSA with a modulus of so many bits.
        Rsa = 2 { bits: u32 },
        /// An elliptic curve.
        Ec = 3 { curve: Curve },
        /// Bytes, for HMAC.
        Secret = 4 { bytes: u32 },
    }

    /// NIST's curves.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Curve {
        /// P-256.
        P256 = 1,
        /// P-384.
        P384 = 2,
        /// P-521.
        P521 = 3,
    }

    /// What a key is for. One thing only, as NIST SP 800-57 part 1, section 5.2, wants it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Purpose {
        /// Encrypting and decrypting.
        Encrypt = 1,
        /// Signing.
        Sign = 2,
        /// Key agreement.
        Agree = 3,
        /// Message authentication codes.
        Mac = 4,
        /// Wrapping other keys of the token, on their way to the next one.
        Wrap = 5,
    }

    /// How an AES key encrypts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Form {
        /// AES-GCM under the key itself: good for 2^32 messages (NIST SP 800-38D, section 8.3).
        Direct = 1,
        /// AES-GCM under a key that is derived inside the token for each message: nobody has to count.
        Derived = 2,
    }

    /// Hash functions.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[expect(missing_docs, reason = "the names are the meaning")]
    pub enum Hash {
        Sha1 = 1,
        Sha224 = 2,
        Sha256 = 3,
        Sha384 = 4,
        Sha512 = 5,
    }

    /// How a digest is signed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Scheme {
        /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
        RsaPkcs1 = 1 { hash: Hash },
        /// RSASSA-PSS with a salt as long as the digest (RFC 8017, section 8.1).
        RsaPss = 2 { hash: Hash },
        /// ECDSA; the answer is in DER.
        Ecdsa = 3,
    }

    /// What a host is asked.
    pub enum Request {
        /// How the token is.
        Status = 1,
        /// Make a key. Asked again with the same id, it answers with the key that is there.
        Generate = 2 { kind: KeyKind, purpose: Purpose, id: Vec<u8>, label: String, extractable: bool },
        /// Take a key that is there already.
        Adopt = 3 { selector: Selector },
        /// All keys that the token shows.
        List = 4,
        /// What the token says of a key.
        Inspect = 5 { reference: Vec<u8> },
        /// Destroy a key, with its public half.
        Destroy = 6 { reference: Vec<u8> },
        /// AES-GCM.
        Encrypt = 7 { reference: Vec<u8>, plaintext: Secret, aad: Vec<u8> },
        /// AES-GCM, of what [`Request::Encrypt`] answered: a byte that says what follows, [the salt that the message's key was derived from,] the
        /// IV, ciphertext and tag.
        Decrypt = 8 { reference: Vec<u8>, ciphertext: Vec<u8>, aad: Vec<u8> },
        /// Sign a digest.
        Sign = 9 { reference: Vec<u8>, scheme: Scheme, digest: Vec<u8> },
        /// RSAES-OAEP with MGF1 of the same hash and no label.
        OaepDecrypt = 10 { reference: Vec<u8>, hash: Hash, ciphertext: Vec<u8> },
        /// HMAC.
        Mac = 11 { reference: Vec<u8>, hash: Hash, message: Secret },
        /// Elliptic curve Diffie-Hellman with a point of the other side (uncompressed, SEC 1, section 2.3.3).
        Agree = 12 { reference: Vec<u8>, point: Vec<u8> },
        /// Wrap a key under another one of the token (AES-KWP, RFC 5649).
        Wrap = 13 { under: Selector, reference: Vec<u8> },
        /// Unwrap a key that another token wrapped, and keep it under the same id.
        Unwrap = 14 { under: Selector, reference: Vec<u8>, wrapped: Vec<u8> },
        /// Random bytes of the token's own making.
        Random = 15 { length: u32 },
    }

    /// What a host answers.
    pub enum Answer {
        /// It is done.
        Done = 1,
        /// The token, as it is.
        Token = 2 { facts: TokenFacts },
        /// A key.
        Key = 3 { key: MadeKey },
        /// Keys.
        Objects = 4 { objects: Vec<ObjectFacts> },
        /// Bytes: ciphertext, signature, plaintext, MAC, shared secret, or a wrapped key.
        Bytes = 5 { bytes: Secret },
        /// To a greeting: the token of this serial number does not let its user in.
        LockedOut = 6 { serial: String, fault: Fault },
    }

    /// What went wrong, and so whose turn it is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum FaultKind {
        /// The token does not work at the moment. Trying again may help.
        Unavailable = 1,
        /// The library has no such token.
        NoSuchToken = 2,
        /// The token refused the PIN, and will not be asked again with it.
        PinRefused = 3,
        /// The token has locked its user, because of too many wrong PINs.
        PinLocked = 4,
        /// The key is not there.
        NotFound = 5,
        /// Several keys have that name.
        Ambiguous = 6,
        /// There is a key of that id, but it is not the one that the reference was made for.
        Swapped = 7,
        /// The ciphertext was not made with this key and associated data.
        InvalidCiphertext = 8,
        /// The token refuses.
        Refused = 9,
        /// The token cannot do this.
        Unsupported = 10,
        /// Too much is waiting already.
        Busy = 11,
        /// Nobody waits for it any more.
        Expired = 12,
        /// The two ends do not understand each other.
        Protocol = 13,
        /// The library cannot be loaded, or does not start.
        Library = 14,
        /// The host ended while it worked on this.
        Lost = 15,
    }
}

impl Wire for Vec<ObjectFacts> {
    fn write(&self, out: &mut Writer) {
        write_list(self, out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_list(input)
    }
}

impl Wire for Vec<String> {
    fn write(&self, out: &mut Writer) {
        write_list(self, out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        read_list(input)
    }
}
