//! Reading a whole body, bounded: each by itself, and all together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a body could not be had.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is, or says it is, longer than allowed.
    TooLarge,
    /// All bodies together are.
    NoRoom,
    /// The client broke off, or broke the protocol.
    Broken(hyper::Error),
}

/// A body of up to this length that comes in one piece is not counted: it is gone as soon as its request is answered, and nobody can keep
/// the others from having room for theirs.
const UNCOUNTED_MAX: usize = 16 * 1024;

/// The whole body, of at most `bytes_max` bytes, and its part of the `room` that all bodies share. A body that came in one piece is not
/// copied.
pub(super) async fn collect(
    mut body: Incoming,
    bytes_max: usize,
    room: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Unreadable> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Unreadable::TooLarge);
    }
    let Some(first) = next_piece(&mut body).await? else { return Ok((Bytes::new(), None)) };
    if first.len() > bytes_max {
        return Err(Unreadable::TooLarge);
    }
    if body.is_end_stream() && first.len() <= UNCOUNTED_MAX {
        return Ok((first, None));
    }
    let mut taken = take(room, first.len())?;
    let Some(mut piece) = next_piece(&mut body).await? else { return Ok((first, Some(taken))) };
    let mut whole = BytesMut::with_capacity(first.len() + piece.len());
    whole.extend_from_slice(&first);
    loop {
        if whole.len() + piece.len() > bytes_max {
            return Err(Unreadable::TooLarge);
        }
        taken.merge(take(room, piece.len())?);
        whole.extend_from_slice(&piece);
        match next_piece(&mut body).await? {
            Some(next) => piece = next,
            None => return Ok((whole.freeze(), Some(taken))),
        }
    }
}

/// Room for what has come, not for what was announced: an announcement costs its sender nothing.
fn take(room: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Unreadable> {
    let bytes = u32::try_from(bytes).map_err(|_| Unreadable::TooLarge)?;
    Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Unreadable::NoRoom)
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
