//! From sealed to open, on listeners that stay.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Request, Response};

use super::Unsealing;
use super::door::{PATH, already_open};
use crate::server::{Handler, Peer};

/// Answers as a sealed server until the doors are opened, and through the doors from then on.
pub struct Switch<H> {
    doors: OnceLock<H>,
    unsealing: Option<Arc<Unsealing>>,
}

impl<H: Handler> Switch<H> {
    /// Closed; with what people may bring meanwhile.
    pub fn closed(unsealing: Option<Arc<Unsealing>>) -> Arc<Self> {
        Arc::new(Self { doors: OnceLock::new(), unsealing })
    }

    /// Opens the doors, if they are not open yet. They are never closed again.
    pub fn open(&self, doors: impl FnOnce() -> H) {
        self.doors.get_or_init(doors);
    }
}

/// Behind an `Arc`, as listeners share it.
pub struct Shared<H>(pub Arc<Switch<H>>);

impl<H: Handler> Handler for Shared<H> {
    async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        match (self.0.doors.get(), &self.0.unsealing) {
            (Some(_), _) if request.uri().path() == PATH => already_open(),
            (Some(doors), _) => doors.answer(request, peer).await,
            (None, Some(unsealing)) => Box::pin(unsealing.answer(request, peer)).await,
            (None, None) => claviger_door_aws::unavailable(&request.into_parts().0, "The server is starting. Try again."),
        }
    }
}
