//! The doors of this server: one line each.

use std::sync::Arc;

use bytes::Bytes;
use claviger_service::Service;
use http::{Request, Response};

use crate::server::{Handler, Peer};

/// What answers all protocols on the main listeners.
pub fn handler(service: &Arc<Service>) -> impl Handler + use<> {
    Doors { aws: claviger_door_aws::Door::new(Arc::clone(service)) }
}

struct Doors {
    aws: claviger_door_aws::Door,
}

impl Handler for Doors {
    async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        self.aws.handle(request, claviger_door_aws::Peer { address: peer.address.ip(), secure: peer.tls }).await
    }
}
