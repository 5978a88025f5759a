//! AWS STS in the query protocol. Source: AWS STS API Reference; Smithy, "AWS Query protocol".

mod assume_role;
mod form;
mod get_caller_identity;

use std::time::Instant;

use bytes::Bytes;
use claviger_domain::{Caller, Refusal};
use claviger_service::Operation;
use claviger_service::operation::Event;
use http::StatusCode;
use http::request::Parts;
use zeroize::Zeroizing;

use self::form::Form;
use crate::door::{Door, unknown_operation};
use crate::errors::{XML, escape_xml_into, xml_error};
use crate::json::{response, wiped};

/// The names of the operations that are offered.
pub(crate) const OFFERED: &[&str] = &["AssumeRole", "GetCallerIdentity"];

/// How requests for anything else appear in the audit log and in the metrics.
const UNKNOWN: Event = Event::sts("Unknown");

/// One operation in the query protocol.
trait QueryMapping {
    /// The operation.
    type Operation: Operation;

    /// Reads the request's parameters.
    fn decode(form: &Form) -> Result<Self::Operation, Refusal>;

    /// Writes what the operation answered as the members of its result.
    fn encode(output: <Self::Operation as Operation>::Output, xml: &mut Xml);
}

/// Answers a request of the query protocol.
pub(crate) async fn dispatch(door: &Door, caller: Caller, parts: &Parts, body: &Bytes) -> http::Response<Bytes> {
    let form = Form::read(parts, body);
    match form.as_ref().ok().and_then(|form| form.get("Action")) {
        Some("AssumeRole") => Box::pin(run::<assume_role::AssumeRole>(door, &caller, form)).await,
        Some("GetCallerIdentity") => Box::pin(run::<get_caller_identity::GetCallerIdentity>(door, &caller, form)).await,
        _ => refuse(door, &caller, form.err()).await,
    }
}

/// How a request appears in the audit log before it has become an operation.
pub(crate) fn event_of(parts: &Parts, body: &[u8]) -> Event {
    let form = Form::read(parts, body);
    match form.as_ref().ok().and_then(|form| form.get("Action")) {
        Some("AssumeRole") => <assume_role::AssumeRole as QueryMapping>::Operation::EVENT,
        Some("GetCallerIdentity") => <get_caller_identity::GetCallerIdentity as QueryMapping>::Operation::EVENT,
        _ => UNKNOWN,
    }
}

async fn run<M: QueryMapping>(door: &Door, caller: &Caller, form: Result<Form, Refusal>) -> http::Response<Bytes> {
    let began = Instant::now();
    let event = M::Operation::EVENT;
    let result = match form.and_then(|form| M::decode(&form)) {
        Ok(operation) => door.service.perform(caller, &operation).await,
        Err(refusal) => Err(door.record(&caller.request, Some(caller), None, event, refusal).await),
    };
    door.meters.count(event.name, began.elapsed(), result.as_ref().err());
    match result {
        Ok(output) => {
            let (name, request) = (event.name, caller.request.id);
            let mut xml = Xml(Zeroizing::new(String::with_capacity(BODY_BYTES_MAX)));
            xml.open(&format!("{name}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\""));
            xml.element(&format!("{name}Result"), |xml| M::encode(output, xml));
            xml.element("ResponseMetadata", |xml| xml.text("RequestId", &request.to_string()));
            xml.close(&format!("{name}Response"));
            response(StatusCode::OK, XML, request, wiped(xml.0))
        }
        Err(refusal) => xml_error(&refusal, caller.request.id),
    }
}

async fn refuse(door: &Door, caller: &Caller, unreadable: Option<Refusal>) -> http::Response<Bytes> {
    let refusal = unreadable.unwrap_or_else(|| {
        let detail = format!("Could not find operation: {} are offered here.", OFFERED.join(" and "));
        Refusal { detail, ..unknown_operation() }
    });
    let refusal = door.record(&caller.request, Some(caller), None, UNKNOWN, refusal).await;
    door.meters.refused_before_operation(&refusal);
    xml_error(&refusal, caller.request.id)
}

/// Enough for every answer: a session token takes most of it. A buffer that grew would leave parts of the secret behind.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// An XML document in the making. It may hold a secret, and is wiped when dropped.
struct Xml(Zeroizing<String>);

impl Xml {
    /// An element that holds others.
    fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name);
        content(self);
        self.close(name);
    }

    /// An element that holds text.
    fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        escape_xml_into(&mut self.0, text);
        self.close(name);
    }

    fn open(&mut self, tag: &str) {
        self.0.extend(["<", tag, ">"]);
    }

    fn close(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }
}
