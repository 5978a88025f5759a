//! What server and host say to each other.
//!
//! A frame is its length as `u32`, the id of the request as `u64`, and a body: what is asked on the way to the host, an outcome on the way back.
//! Answers come in any order. The first frame each way is a greeting, with a version: the two are the same program, but an upgrade may
//! exchange the file while a server runs.

use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

pub(crate) mod codec;
mod message;

pub use message::{
    Answer, Curve, Fault, FaultKind, Form, Hash, Hello, KeyKind, MadeKey, ObjectFacts, Purpose, Request, Scheme, Selector,
    TokenFacts, TokenName,
};

use codec::{Malformed, Reader, Wire, Writer};

/// Bytes that are wiped when they are dropped: PINs, plaintexts.
pub type Secret = Zeroizing<Vec<u8>>;

/// The version of frames and messages.
pub const PROTOCOL: u16 = 1;

/// The longest body: a plaintext of 4 KiB with 8 KiB of associated data is far below, and so is a token's list of keys.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame before its body.
pub(crate) const HEAD_BYTES: usize = 12;

/// A request with what goes with it.
pub struct Asked {
    /// How long the asker still waits, in milliseconds. What nobody waits for any more is not done.
    pub patience_ms: u32,
    /// What is asked.
    pub request: Request,
}

/// What came of a request.
pub type Outcome = Result<Answer, Fault>;

impl Wire for Asked {
    fn write(&self, out: &mut Writer) {
        self.patience_ms.write(out);
        self.request.write(out);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { patience_ms: u32::read(input)?, request: Request::read(input)? })
    }
}

/// A request as a whole frame, without taking it: it may have to be sent a second time.
pub(crate) fn request_frame(id: u64, patience_ms: u32, request: &Request) -> Option<Secret> {
    frame_of(id, |out| {
        patience_ms.write(out);
        request.write(out);
    })
}

impl Wire for Outcome {
    fn write(&self, out: &mut Writer) {
        self.is_ok().write(out);
        match self {
            Ok(answer) => answer.write(out),
            Err(fault) => fault.write(out),
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(if bool::read(input)? { Ok(Answer::read(input)?) } else { Err(Fault::read(input)?) })
    }
}

/// A value as a whole frame. None when it is longer than a frame may be.
pub(crate) fn frame(id: u64, body: &impl Wire) -> Option<Secret> {
    frame_of(id, |out| body.write(out))
}

fn frame_of(id: u64, body: impl FnOnce(&mut Writer)) -> Option<Secret> {
    let mut out = Writer::new();
    out.put(&[0; 4]);
    id.write(&mut out);
    body(&mut out);
    let mut frame = out.finish();
    let length = frame.len() - HEAD_BYTES;
    if length > BODY_BYTES_MAX {
        return None;
    }
    frame.first_chunk_mut::<4>()?.copy_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
    Some(frame)
}

/// The length of the body, and the request's id.
pub(crate) fn head(bytes: [u8; HEAD_BYTES]) -> io::Result<(usize, u64)> {
    let mut input = Reader(&bytes);
    let parts = u32::read(&mut input).and_then(|length| Ok((length, u64::read(&mut input)?)));
    match parts.map(|(length, id)| (usize::try_from(length).unwrap_or(usize::MAX), id)) {
        Ok((length, id)) if length <= BODY_BYTES_MAX => Ok((length, id)),
        _ => Err(io::Error::other("a frame is longer than frames may be")),
    }
}

/// Reads the next frame: id and body. None at the end of the stream.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<Option<(u64, Secret)>> {
    let mut bytes = [0; HEAD_BYTES];
    match stream.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (length, id) = head(bytes)?;
    let mut body = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut body)?;
    Ok(Some((id, body)))
}

/// Writes a value as a frame.
pub(crate) fn write_frame(stream: &mut impl Write, id: u64, body: &impl Wire) -> io::Result<()> {
    let frame = frame(id, body).ok_or_else(|| io::Error::other("an answer is longer than frames may be"))?;
    stream.write_all(&frame)
}

/// Reads bytes as whatever travels between server and host, or is kept of a key; and writes it again: for fuzzing. What was read and written is the same.
pub fn read_again(bytes: &[u8]) -> Option<Vec<u8>> {
    fn again<T: Wire>(bytes: &[u8]) -> Option<Vec<u8>> {
        T::parse(bytes).ok().map(|value| Wire::to_bytes(&value).to_vec())
    }
    let (kind, body) = bytes.split_first()?;
    match kind {
        b'o' => again::<Outcome>(body),
        b'a' => again::<Asked>(body),
        b'h' => again::<Hello>(body),
        b'r' => again::<crate::Reference>(body),
        _ => None,
    }
}

impl Fault {
    /// A fault with what may be shown of it.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests;
