//! An authenticated request's circumstances: everything but the operation itself.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::identity::Identity;
use crate::ids::{AccessKeyId, Region};
use crate::timestamp::Timestamp;

/// Who asks, from where, through which door. A door makes one for each request, after authentication.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who asks.
    pub identity: Arc<Identity>,
    /// The credential that proved it.
    pub access_key: AccessKeyId,
    /// The request itself.
    pub request: Request,
    /// The grant tokens that came with it, as they were sent. The service looks at them before anything else.
    pub grant_tokens: Vec<String>,
}

/// What is known of a request before anybody is authenticated.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id that the answer, the logs and the audit entry carry.
    pub id: Uuid,
    /// The door it came through: `aws-kms`.
    pub door: &'static str,
    /// The Region it is about.
    pub region: Region,
    /// When it arrived.
    pub at: Timestamp,
    /// The address of the peer.
    pub source_ip: IpAddr,
    /// What the client calls itself, cut to a bounded length.
    pub user_agent: String,
    /// Whether it came over TLS.
    pub secure_transport: bool,
}
