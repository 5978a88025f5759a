//! PKCS#11 tokens (HSMs, smart cards, SoftHSM2): keys that live and are used in a device of somebody else's making.
//!
//! A vendor's library is code that nobody here has read, it blocks, and it may crash. So it is loaded by a process of its own, one for each token
//! ([`host::run`], as `claviger hsm-host`), which talks frames ([`wire`]) over a Unix socket with the server ([`client::Token`]). A crash costs
//! the requests that were under way a second try, and not the server.
//!
//! It knows no policy, no account and no store. It is not a place for plaintext keys either: what it makes stays in the token, and is
//! found again by a [`Reference`].
//!
//! Start reading at [`client::Token`], then [`host::run`]. `docs/tokens.md` is for operators.

pub mod client;
pub mod der;
pub mod host;
mod reference;
pub mod wire;

pub use client::{Health, Launcher, PinSource, Settings, Token};
pub use reference::{Check, Reference};
pub use wire::{
    Curve, Fault, FaultKind, Form, Hash, KeyKind, MadeKey, ObjectFacts, Purpose, Scheme, Secret, Selector, TokenFacts, TokenName,
};
