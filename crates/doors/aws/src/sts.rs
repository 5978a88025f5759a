//! AWS STS: GetCallerIdentity in the query protocol. Source: AWS STS API Reference, "GetCallerIdentity".

use std::time::Instant;

use bytes::Bytes;
use claviger_domain::{Caller, Refusal};
use claviger_service::operation::Event;
use claviger_service::operations::sts::GetCallerIdentity;
use http::StatusCode;
use http::request::Parts;

use crate::door::{Door, unknown_operation};
use crate::errors::{XML, escape_xml, xml_error};
use crate::json::response;

/// The one operation that is offered.
pub(crate) const EVENT: Event = Event::sts("GetCallerIdentity");

/// Answers a request of the query protocol.
pub(crate) async fn dispatch(door: &Door, caller: Caller, parts: &Parts, body: &Bytes) -> http::Response<Bytes> {
    let began = Instant::now();
    let result = match action(parts, body) {
        Some("GetCallerIdentity") => door.service.perform(&caller, &GetCallerIdentity).await,
        _ => Err(refuse_unknown(door, &caller).await),
    };
    door.meters.count(EVENT.name, began.elapsed(), result.as_ref().err());
    match result {
        Ok(identity) => {
            let body = format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{}</Arn>\
                 <UserId>{}</UserId><Account>{}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{}</RequestId>\
                 </ResponseMetadata></GetCallerIdentityResponse>",
                escape_xml(&identity.arn),
                escape_xml(&identity.user_id),
                identity.account,
                caller.request.id
            );
            response(StatusCode::OK, XML, caller.request.id, body.into_bytes().into())
        }
        Err(refusal) => xml_error(&refusal, caller.request.id),
    }
}

async fn refuse_unknown(door: &Door, caller: &Caller) -> Refusal {
    let mut refusal = unknown_operation();
    refusal.detail = "Only GetCallerIdentity is offered here.".to_owned();
    door.record(&caller.request, Some(caller), None, EVENT, refusal).await
}

/// The parameter `Action`, from the form or from the query string. Names of actions need no percent-decoding.
fn action<'a>(parts: &'a Parts, body: &'a [u8]) -> Option<&'a str> {
    let from = |text: &'a str| text.split('&').find_map(|pair| pair.strip_prefix("Action="));
    std::str::from_utf8(body).ok().and_then(from).or_else(|| parts.uri.query().and_then(from))
}
