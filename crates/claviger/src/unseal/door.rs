//! What a sealed server answers: `/unseal` takes what people bring, everything else is told to come back later, as AWS tells it.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Offered, Unsealing};
use crate::server::Peer;

/// Where shares and passphrases are brought.
pub(super) const PATH: &str = "/unseal";
/// How long clients may wait before they ask again, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// What is brought: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Brought {
    share: Option<String>,
    passphrase: Option<String>,
    seal: Option<String>,
}

impl Unsealing {
    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        let (parts, body) = request.into_parts();
        if parts.uri.path() != PATH {
            // The sentence says whose turn it is, and nothing that an attacker could use.
            let text = format!("Nothing can be done now: {}. Try again later.", self.waits_for());
            let mut response = claviger_door_aws::unavailable(&parts, &text);
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
            return response;
        }
        match parts.method {
            Method::GET => json_response(StatusCode::OK, &self.status()),
            Method::POST => self.take(&body, peer).await,
            _ => method_not_allowed(),
        }
    }

    async fn take(&self, body: &Bytes, peer: Peer) -> Response<Bytes> {
        let from = peer.address.ip();
        let offered = match serde_json::from_slice(body) {
            Ok(Brought { share: Some(share), passphrase: None, seal: None }) => {
                self.offer_share(&Zeroizing::new(share), from).await
            }
            Ok(Brought { share: None, passphrase: Some(text), seal }) => {
                self.offer_passphrase(seal, Zeroizing::new(text), from).await
            }
            _ => Offered::Refused("bring {\"share\": ...}, or {\"passphrase\": ..., \"seal\": ...}".to_owned()),
        };
        answer_to(&offered)
    }
}

fn answer_to(offered: &Offered) -> Response<Bytes> {
    match offered {
        Offered::Progress { seal, have, need } => {
            let message = format!("{have} of {need} shares of the seal {seal} are here");
            json_response(
                StatusCode::OK,
                &json!({ "sealed": true, "seal": seal, "have": have, "need": need, "message": message }),
            )
        }
        Offered::Opened { seal } => {
            let message = format!("the seal {seal} opened the deployment: the server begins to serve");
            json_response(StatusCode::OK, &json!({ "sealed": false, "seal": seal, "message": message }))
        }
        Offered::Refused(why) => json_response(StatusCode::BAD_REQUEST, &json!({ "sealed": true, "message": why })),
        Offered::TooOften => {
            let message = "too many attempts: wait a little";
            let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, &json!({ "sealed": true, "message": message }));
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
            response
        }
    }
}

/// What a server that is open says to those who would unseal it.
pub(super) fn already_open() -> Response<Bytes> {
    json_response(StatusCode::CONFLICT, &json!({ "sealed": false, "message": "the server is open already: nothing was taken" }))
}

fn method_not_allowed() -> Response<Bytes> {
    let mut response =
        json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": "only GET and POST are answered here" }));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
