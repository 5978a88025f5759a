//! What a file of this door says about one operation: how its request is read and how its answer is written.

use std::time::Instant;

use bytes::Bytes;
use claviger_domain::{Caller, ExternalKeyId, Refusal};
use claviger_service::Operation;
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::body::{read, response};
use crate::door::Door;
use crate::errors::error;

/// One operation.
pub(crate) trait Mapping {
    /// The request's body. Members that it does not have are ignored: AWS KMS may add some.
    type Request: DeserializeOwned + Send;
    /// The operation.
    type Operation: Operation;

    /// Checks the request and makes the operation of it. `key` is the one in the path, where there is one.
    fn decode(key: Option<ExternalKeyId>, request: Self::Request) -> Result<Self::Operation, Refusal>;

    /// Makes the answer's body of what the operation answered.
    fn encode(output: <Self::Operation as Operation>::Output) -> Result<Bytes, Refusal>;
}

/// The key in a path. An id that no key can have is one that no key has.
pub(crate) fn external_key(text: &str) -> Result<Option<ExternalKeyId>, Refusal> {
    text.parse().map(Some).map_err(|_| Refusal::not_found("The external key id in the path is none that a key can have."))
}

/// Runs one request through its mapping.
pub(crate) async fn run<M: Mapping>(
    door: &Door,
    key: Result<Option<ExternalKeyId>, Refusal>,
    caller: &Caller,
    body: &Bytes,
    began: Instant,
) -> http::Response<Bytes> {
    let event = M::Operation::EVENT;
    let decoded = key.and_then(|key| M::decode(key, read(body)?));
    let result = match decoded {
        Ok(operation) => match door.service.perform(caller, &operation).await {
            Ok(output) => M::encode(output),
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => {
            // It counts against the store's rate like any other.
            let refusal = door.service.admit_unread(caller, event).err().unwrap_or(refusal);
            match door.service.record_refusal(&caller.request, Some(caller), None, event, &refusal).await {
                Ok(()) => Err(refusal),
                Err(unwritten) => Err(unwritten),
            }
        }
    };
    door.meters.count(event.name, began.elapsed(), result.as_ref().err());
    match result {
        Ok(body) => response(StatusCode::OK, caller.request.id, body),
        Err(refusal) => error(&refusal, caller.request.id),
    }
}

/// Reads a body as the request of the operation with this name in paths (`encrypt`), and drops it: for fuzzing.
///
/// # Errors
/// What the door would answer to such a body; `InvalidUriPath` for other names.
pub fn read_request_body(operation: &str, body: &[u8]) -> Result<(), Refusal> {
    fn check<M: Mapping>(body: &[u8]) -> Result<(), Refusal> {
        M::decode(external_key("key")?, read(body)?).map(drop)
    }
    match operation {
        "metadata" => check::<crate::get_key_metadata::GetKeyMetadata>(body),
        "encrypt" => check::<crate::encrypt::Encrypt>(body),
        "decrypt" => check::<crate::decrypt::Decrypt>(body),
        "health" => check::<crate::get_health_status::GetHealthStatus>(body),
        _ => Err(Refusal::new(claviger_domain::Kind::InvalidUriPath, "There is no such operation.")),
    }
}
