//! What a file of this door says about one operation: how its request is read and how its answer is written.

use std::time::Instant;

use bytes::Bytes;
use claviger_domain::{Caller, Kind, Refusal};
use claviger_service::Operation;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::door::{Door, unknown_operation};
use crate::errors::json_error;
use crate::json::{self, JSON, read, response};

/// One operation in a JSON protocol.
pub(crate) trait Mapping {
    /// The request's body, its members as the model names them.
    type Request: DeserializeOwned + Send;
    /// The operation.
    type Operation: Operation;
    /// The answer's body; `()` for an operation without one.
    type Response: Serialize;

    /// Whether the answer holds a secret, which is then wiped from memory once it has been sent.
    const SECRET: bool = false;

    /// The grant tokens in the request, for the operations that take any. Whoever forgets to write this is found by `test_grants.py`.
    fn grant_tokens(_request: &Self::Request) -> Option<&Vec<String>> {
        None
    }

    /// Checks the request against the model and makes the operation of it.
    fn decode(request: Self::Request) -> Result<Self::Operation, Refusal>;

    /// Makes the answer's body of what the operation answered.
    fn encode(output: <Self::Operation as Operation>::Output) -> Self::Response;
}

/// Runs one request through its mapping.
pub(crate) async fn run<M: Mapping>(door: &Door, mut caller: Caller, body: &Bytes) -> http::Response<Bytes> {
    let began = Instant::now();
    let event = M::Operation::EVENT;
    let decode = |request: M::Request| {
        let tokens = M::grant_tokens(&request).cloned();
        let operation = M::decode(request)?;
        caller.grant_tokens = tokens.unwrap_or_default();
        Ok(operation)
    };
    let decoded = read(body).and_then(decode).map_err(as_modelled::<M::Operation>);
    let result = match decoded {
        Ok(operation) => match door.service.perform(&caller, &operation).await {
            Ok(output) => write::<M>(&M::encode(output)),
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(door.record(&caller.request, Some(&caller), None, event, refusal).await),
    };
    door.meters.count(event.name, began.elapsed(), result.as_ref().err());
    match result {
        Ok(body) => response(StatusCode::OK, JSON, caller.request.id, body),
        Err(refusal) => json_error(&refusal, caller.request.id),
    }
}

/// The operations that use keys, and those on aliases, have no error for an ARN that cannot be read: it names nothing that is there. Source:
/// AWS KMS service model, the errors of each operation.
fn as_modelled<O: Operation>(refusal: Refusal) -> Refusal {
    match refusal.kind {
        Kind::InvalidArn if O::USES_KEYS || matches!(O::EVENT.name, "CreateAlias" | "UpdateAlias") => {
            Refusal { kind: Kind::NotFound, ..refusal }
        }
        _ => refusal,
    }
}

/// An operation that answers nothing sends no body at all, as AWS KMS does.
fn write<M: Mapping>(value: &M::Response) -> Result<Bytes, Refusal> {
    match (size_of::<M::Response>(), M::SECRET) {
        (0, _) => Ok(Bytes::new()),
        (_, true) => json::write_secret(value),
        (_, false) => json::write(value),
    }
}

/// Reads a body as the request of the operation that `target` names (`TrentService.Encrypt`, as X-Amz-Target does), and drops it: for fuzzing.
///
/// # Errors
/// What the door would answer to such a body; `UnknownOperation` for other targets.
pub fn read_request_body(target: &str, body: &[u8]) -> Result<(), Refusal> {
    match target.split_once('.') {
        Some(("TrentService", name)) => crate::kms::read_request_body(name, body),
        Some(("ClavigerAdmin", name)) => crate::admin::read_request_body(name, body),
        _ => Err(unknown_operation()),
    }
}
