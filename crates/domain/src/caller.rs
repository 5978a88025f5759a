//! An authenticated request's circumstances: everything but the operation itself.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::identity::Identity;
use crate::ids::{AccessKeyId, AccountId, Region, ServiceName};
use crate::timestamp::Timestamp;

/// Who asks, from where, through which door. A door makes one for each request, after authentication.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who asks.
    pub identity: Arc<Identity>,
    /// The credential that proved it.
    pub access_key: AccessKeyId,
    /// What a service says of its request; none for everybody else.
    pub forwarding: Option<Arc<Forwarding>>,
    /// The request itself.
    pub request: Request,
    /// The grant tokens that came with it, as they were sent. The service looks at them before anything else.
    pub grant_tokens: Vec<String>,
    /// When what is said here of the identity and its credential was last known to be true, in milliseconds on a clock of the service; none where
    /// nobody looked it up.
    pub known_at_ms: Option<u64>,
}

/// What a service that is trusted says of a request: for whom and about what it makes it. Source: AWS IAM User Guide, "Forward access
/// sessions" and "The confused deputy problem".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// The service.
    pub service: ServiceName,
    /// The account of the user that is the service: its credential signed the request.
    pub service_account: AccountId,
    /// Whether the service asks on behalf of somebody else, who is then the caller's identity (forward access). Otherwise it asks for itself.
    pub on_behalf: bool,
    /// What the service works for, when it asks for itself: `aws:SourceArn`.
    pub source_arn: Option<String>,
    /// The account of that: `aws:SourceAccount`.
    pub source_account: Option<String>,
}

impl Caller {
    /// The service on whose way the request came: it asks in the identity's name.
    pub fn via(&self) -> Option<&ServiceName> {
        self.forwarding.as_ref().filter(|forwarding| forwarding.on_behalf).map(|forwarding| &forwarding.service)
    }

    /// The account to which the credential belongs: another one than the identity's where a service asks on somebody's behalf.
    pub fn credential_account(&self) -> AccountId {
        self.forwarding.as_ref().map_or(self.identity.account, |forwarding| forwarding.service_account)
    }
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

impl Request {
    /// How much of what a client calls itself is kept, in bytes.
    pub const USER_AGENT_BYTES_MAX: usize = 256;

    /// What a client calls itself, cut between two characters.
    pub fn cut_user_agent(text: &str) -> String {
        let end = text.floor_char_boundary(Self::USER_AGENT_BYTES_MAX);
        text.get(..end).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_user_agent_is_cut_between_characters() {
        assert_eq!(Request::cut_user_agent(&"é".repeat(500)).len(), Request::USER_AGENT_BYTES_MAX);
        assert_eq!(Request::cut_user_agent(&format!("x{}", "é".repeat(500))).len(), Request::USER_AGENT_BYTES_MAX - 1);
        assert_eq!(Request::cut_user_agent("aws-cli"), "aws-cli");
    }

    #[test]
    fn a_request_without_a_readable_region_still_has_one() {
        assert_eq!(Region::or_unknown("Not A Region"), Region::unknown());
        assert_eq!(Region::or_unknown("eu-west-1").as_str(), "eu-west-1");
        assert!(Region::unknown().as_str().parse::<Region>().is_ok(), "it can be read again");
    }
}
