//! The doors of this server: one line each.

use std::sync::Arc;

use bytes::Bytes;
use claviger_service::Service;
use claviger_service::hyok::ClientCertificate;
use http::{Request, Response};

use crate::server::{Handler, Peer};

/// What answers all protocols on the main listeners. `with_hyok`: that of the door `hyok` as well, for development.
pub fn handler(service: &Arc<Service>, with_hyok: bool) -> impl Handler + use<> {
    let aws = claviger_door_aws::Door::new(Arc::clone(service));
    Doors { aws, hyok: with_hyok.then(|| HyokDoor::of(service)) }
}

/// What answers clouds that use keys which they do not hold, on listeners of its own.
pub fn hyok_handler(service: &Arc<Service>) -> impl Handler + use<> {
    HyokDoor::of(service)
}

struct Doors {
    aws: claviger_door_aws::Door,
    hyok: Option<HyokDoor>,
}

impl Handler for Doors {
    async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        match &self.hyok {
            Some(hyok) if is_of_hyok(request.uri().path()) => Box::pin(hyok.answer(request, peer)).await,
            _ => self.aws.handle(request, claviger_door_aws::Peer { address: peer.address.ip(), secure: peer.tls }).await,
        }
    }
}

/// Whether a path is one that AWS's clients, who ask for the root, would not ask for, and AWS KMS would, or means to.
fn is_of_hyok(path: &str) -> bool {
    path.len() > 1 && (path == "/ping" || path.to_ascii_lowercase().contains("/kms/xks/v1"))
}

struct HyokDoor(claviger_door_hyok::Door);

impl HyokDoor {
    fn of(service: &Arc<Service>) -> Self {
        Self(claviger_door_hyok::Door::new(Arc::clone(service)))
    }
}

impl Handler for HyokDoor {
    async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        let Peer { address, tls, client } = peer;
        let client = client.map(|client| client as Arc<dyn ClientCertificate>);
        self.0.handle(request, claviger_door_hyok::Peer { address: address.ip(), secure: tls, client }).await
    }
}
