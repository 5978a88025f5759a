//! Reading a whole body, bounded.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};

/// Why a body could not be had.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is, or says it is, longer than allowed.
    TooLarge,
    /// The client broke off, or broke the protocol.
    Broken(hyper::Error),
}

/// The whole body, of at most `bytes_max` bytes. A body that came in one piece is not copied.
pub(super) async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Unreadable> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Unreadable::TooLarge);
    }
    let Some(first) = next_piece(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        return Err(Unreadable::TooLarge);
    }
    let Some(mut piece) = next_piece(&mut body).await? else { return Ok(first) };
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(bytes_max);
    let mut whole = BytesMut::with_capacity(first.len() + piece.len() + expected);
    whole.extend_from_slice(&first);
    loop {
        if whole.len() + piece.len() > bytes_max {
            return Err(Unreadable::TooLarge);
        }
        whole.extend_from_slice(&piece);
        match next_piece(&mut body).await? {
            Some(next) => piece = next,
            None => return Ok(whole.freeze()),
        }
    }
}

/// The next piece with something in it; trailers are skipped.
async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Unreadable> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Unreadable::Broken(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
                _ => {}
            },
        }
    }
}
