//! What one request, or one act of the service itself, leaves in the log.
//!
//! An entry is canonical JSON with the members of a CloudTrail event (AWS CloudTrail user guide, "CloudTrail record contents"; AWS KMS
//! developer guide, "Logging AWS KMS API calls"), the same for all doors, and one member of our own, `claviger`, with what CloudTrail
//! lacks: door, node, decision and its reason, and a digest of every record that was changed. Unlike in CloudTrail, absent members are
//! omitted and never `null`. An entry never holds plaintext, ciphertext or secret values: what goes into the parameters is the
//! service's care.

use std::fmt;
use std::net::IpAddr;

use bytes::{Buf, Bytes};
use claviger_domain::identity::{Session, role_arn};
use claviger_domain::{AccessKeyId, AccountId, Identity, MaterialId, Principal, Timestamp};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::canonical::{AccountDigits, Detail, Object};
pub use crate::canonical::{Json, is_canonical};
use crate::merkle::{Hash, LEAF_PREFIX, sha256};

/// Longest entry in bytes. Source: c2sp.org/tlog-tiles, "Log entries": an entry's length is a 16-bit number.
pub const ENTRY_LENGTH_MAX: usize = 65_535;

/// The CloudTrail record format that entries follow.
const EVENT_VERSION: &str = "1.11";
/// Most entries fit, so that the buffer need not grow.
const ENTRY_LENGTH_USUAL: usize = 1536;

/// An entry of the log: its bytes and its leaf hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    bytes: Bytes,
    leaf: Hash,
}

impl Entry {
    /// An entry that [`Event::encode`] made, put together again after its way through the store's queue.
    pub fn from_parts(bytes: Bytes, leaf: Hash) -> Self {
        Self { bytes, leaf }
    }

    /// The entry: canonical JSON, 1 to [`ENTRY_LENGTH_MAX`] bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its leaf hash in the log's tree.
    pub fn leaf(&self) -> Hash {
        self.leaf
    }

    /// Its length in bytes, as stored formats write it.
    pub(crate) fn length(&self) -> u16 {
        // The buffer was refused where it is longer: see `Event::encode`.
        u16::try_from(self.bytes.len()).unwrap_or(u16::MAX)
    }

    /// Takes a buffer with the leaf prefix in front, so that one pass hashes it and nothing is copied.
    fn from_prefixed(buffer: Vec<u8>) -> Self {
        let leaf = sha256(&buffer);
        let mut bytes = Bytes::from(buffer);
        bytes.advance(1);
        Self { bytes, leaf }
    }
}

/// What happened, borrowed from wherever it is known. [`Event::encode`] makes an [`Entry`] of it.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// The event's own id (`eventID`).
    pub id: Uuid,
    /// The id that the caller got with the answer (`requestID`); absent for what nobody asked for.
    pub request_id: Option<Uuid>,
    /// When it happened: `eventTime` to the second, `claviger.timeMs` to the millisecond.
    pub at: Timestamp,
    /// The service (`eventSource`): `kms.amazonaws.com`, `sts.amazonaws.com`, `claviger`.
    pub source: &'a str,
    /// The operation (`eventName`): `Encrypt`.
    pub name: &'a str,
    /// Whether a caller asked for it or the service did it by itself.
    pub event_type: EventType,
    /// Whether it changes nothing that is stored.
    pub read_only: bool,
    /// The Region it is about.
    pub region: &'a str,
    /// The peer's address; absent for what nobody asked for.
    pub source_ip: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
    /// The TLS connection it came through, where there was one.
    pub tls: Option<TlsDetails<'a>>,
    /// Who asked.
    pub identity: EventIdentity<'a>,
    /// The account whose event this is (`recipientAccountId`).
    pub recipient_account: AccountId,
    /// The keys and aliases that it touched.
    pub resources: &'a [Resource<'a>],
    /// What was asked (`requestParameters`), without plaintext, ciphertext and secrets. Must serialise canonically.
    pub request_parameters: Option<&'a dyn Json>,
    /// What was answered (`responseElements`), likewise.
    pub response_elements: Option<&'a dyn Json>,
    /// What CloudTrail puts beside them (`additionalEventData`): [`KeyMaterial`], [`ReEncryptMaterial`].
    pub additional: Option<&'a dyn Json>,
    /// What the service did by itself (`serviceEventDetails`).
    pub service_event_details: Option<&'a dyn Json>,
    /// Why it was refused or failed, if it was.
    pub error: Option<EventError<'a>>,
    /// The protocol front end it came through: `aws-kms`.
    pub door: &'a str,
    /// The node that did it.
    pub node: &'a str,
    /// What authorisation said.
    pub decision: Decision<'a>,
    /// The records that were changed in the same transaction.
    pub changes: &'a [ChangeDigest<'a>],
    /// How old what was known was, in milliseconds, when a key was used in grace: while the store could not be asked whether it still may be. Absent
    /// otherwise.
    pub grace_age_ms: Option<u64>,
    /// Whether the request was encrypted on its way.
    pub secure_transport: bool,
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id).field("name", &self.name).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Whether somebody asked for an event. Source: CloudTrail's `eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A request.
    ApiCall,
    /// The service did it by itself: automatic rotation, deletion at its time.
    ServiceEvent,
}

/// Who asked. Source: CloudTrail's `userIdentity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventIdentity<'a> {
    /// `Root`, `IAMUser`, `AssumedRole`, `AWSService`, `HoldYourOwnKeyStore` or `Unknown`; absent for what the service did by itself.
    pub kind: Option<&'a str>,
    /// The stable id: the account's for root, `AIDA...` for a user, `AROA...:SESSION` for a session.
    pub principal_id: Option<&'a str>,
    /// The principal's ARN.
    pub arn: Option<&'a str>,
    /// The principal's account.
    pub account: Option<AccountId>,
    /// The credential: also there when it is not known or its signature is wrong.
    pub access_key: Option<&'a str>,
    /// The user's name.
    pub user_name: Option<&'a str>,
    /// Who made the request on the principal's behalf: for the service's own acts, the service.
    pub invoked_by: Option<&'a str>,
    /// The session of a role (`sessionContext`).
    pub session: Option<&'a Session>,
}

impl<'a> EventIdentity<'a> {
    /// An authenticated principal.
    pub fn of(identity: &'a Identity, access_key: &'a AccessKeyId) -> Self {
        let (kind, user_name) = match &identity.principal {
            Principal::Root => ("Root", None),
            Principal::User(name) => ("IAMUser", Some(name.as_str())),
            Principal::AssumedRole { .. } => ("AssumedRole", None),
            Principal::Service(_) => ("AWSService", None),
            Principal::Store(_) => ("HoldYourOwnKeyStore", None),
        };
        let invoked_by = match &identity.principal {
            Principal::Service(name) => Some(name.as_str()),
            _ => None,
        };
        Self {
            kind: Some(kind),
            principal_id: Some(&identity.unique_id),
            arn: Some(&identity.arn),
            account: Some(identity.account),
            access_key: Some(access_key.as_str()),
            user_name,
            invoked_by,
            session: identity.session.as_deref(),
        }
    }

    /// Somebody who could not prove to be anybody, perhaps with an access key id.
    pub fn unknown(access_key: Option<&'a str>) -> Self {
        Self { kind: Some("Unknown"), access_key, ..Self::default() }
    }

    /// The service itself, in an account's name.
    pub fn service(account: AccountId) -> Self {
        Self { account: Some(account), invoked_by: Some("claviger"), ..Self::default() }
    }
}

/// A key or alias that an event touched. Source: CloudTrail's `resources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// The account that owns it.
    pub account: AccountId,
    /// `AWS::KMS::Key`, `AWS::KMS::Alias` or `AWS::IAM::Role`.
    pub kind: &'a str,
}

impl<'a> Resource<'a> {
    /// A key.
    pub fn key(arn: &'a str, account: AccountId) -> Self {
        Self { arn, account, kind: "AWS::KMS::Key" }
    }

    /// A role.
    pub fn role(arn: &'a str, account: AccountId) -> Self {
        Self { arn, account, kind: "AWS::IAM::Role" }
    }

    /// An alias.
    pub fn alias(arn: &'a str, account: AccountId) -> Self {
        Self { arn, account, kind: "AWS::KMS::Alias" }
    }
}

impl Serialize for Resource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members<'a> {
            #[serde(rename = "ARN")]
            arn: &'a str,
            #[serde(rename = "accountId")]
            account: &'a str,
            #[serde(rename = "type")]
            kind: &'a str,
        }
        Members { arn: self.arn, account: AccountDigits::of(self.account).as_str(), kind: self.kind }.serialize(serializer)
    }
}

/// `additionalEventData` of an operation that used one version of a key's material.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KeyMaterial<'a> {
    /// The material's id.
    #[serde(rename = "keyMaterialId", serialize_with = "material_id")]
    pub id: &'a MaterialId,
}

/// `additionalEventData` of ReEncrypt.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReEncryptMaterial<'a> {
    /// The material that encrypted.
    #[serde(rename = "destinationKeyMaterialId", serialize_with = "material_id")]
    pub destination: &'a MaterialId,
    /// The material that decrypted.
    #[serde(rename = "sourceKeyMaterialId", serialize_with = "material_id")]
    pub source: &'a MaterialId,
}

/// The id in hex, without the allocation that `Display` makes.
fn material_id<S: Serializer>(id: &MaterialId, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = [0; 64];
    hex::encode_to_slice(id.as_bytes(), &mut text).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
}

/// The TLS connection of a request. Source: CloudTrail's `tlsDetails`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsDetails<'a> {
    /// `TLSv1.3`.
    pub version: &'a str,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher_suite: &'a str,
    /// The host that the client meant to reach.
    pub host: &'a str,
}

/// Why a request was refused, in the words the caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError<'a> {
    /// `errorCode`: `AccessDeniedException`.
    pub code: &'a str,
    /// `errorMessage`; absent where the caller gets none.
    pub message: Option<&'a str>,
}

/// What authorisation said, and on what ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The outcome.
    pub effect: Effect,
    /// The policy and statement that decided, or what was missing.
    pub basis: Option<&'a str>,
}

/// The outcome of authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// It was not asked: the request failed before, or nobody has to allow it.
    None,
}

/// What a changed record became: enough to find, with the log in hand, that a record was rolled back or put elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeDigest<'a> {
    /// The kind of record: `key`, `alias`.
    pub kind: &'a str,
    /// The account it belongs to.
    pub account: AccountId,
    /// Its id within account and kind.
    pub id: &'a str,
    /// Its new version; of a deletion, the version that was deleted.
    pub version: u64,
    /// The first 16 bytes of SHA-256 of the sealed record; absent for a deletion.
    pub sha256: Option<[u8; 16]>,
}

impl ChangeDigest<'_> {
    /// The first 16 bytes of SHA-256 of a sealed record.
    pub fn of_sealed(sealed: &[u8]) -> [u8; 16] {
        let mut digest = [0; 16];
        digest.copy_from_slice(sha256(sealed).0.split_at(16).0);
        digest
    }
}

impl Serialize for ChangeDigest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members<'a> {
            account: &'a str,
            id: &'a str,
            kind: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            sha256: Option<&'a str>,
            version: u64,
        }
        let mut text = [0; 32];
        let sha256 = match &self.sha256 {
            Some(digest) => {
                hex::encode_to_slice(digest, &mut text).map_err(serde::ser::Error::custom)?;
                Some(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
            }
            None => None,
        };
        let account = AccountDigits::of(self.account);
        Members { account: account.as_str(), id: self.id, kind: self.kind, sha256, version: self.version }.serialize(serializer)
    }
}

impl Event<'_> {
    /// The entry that tells of this event.
    ///
    /// Where it would be longer than [`ENTRY_LENGTH_MAX`], large request parameters and response elements are replaced by
    /// `{"omitted":true,"originalSize":BYTES,"sha256":"HEX"}` over their canonical JSON; where that is not enough, so is every other
    /// large member, and texts are cut (they then end in `…`).
    ///
    /// # Errors
    /// When a parameter has no JSON form. The request must then fail: there is no reply without an entry.
    pub fn encode(&self) -> Result<Entry, EncodingFailed> {
        for detail in [Detail::Whole, Detail::WithoutParameters, Detail::Minimal] {
            let mut buffer = Vec::with_capacity(1 + ENTRY_LENGTH_USUAL);
            buffer.push(LEAF_PREFIX);
            self.write(&mut buffer, detail).map_err(|error| EncodingFailed { reason: error.to_string() })?;
            if buffer.len() - 1 <= ENTRY_LENGTH_MAX {
                debug_assert!(is_canonical(buffer.get(1..).unwrap_or_default()), "members out of order in the entry of {self:?}");
                return Ok(Entry::from_prefixed(buffer));
            }
        }
        Err(EncodingFailed { reason: format!("it is longer than {ENTRY_LENGTH_MAX} bytes") })
    }

    /// Writes the members in the order of their names.
    fn write(&self, out: &mut Vec<u8>, detail: Detail) -> serde_json::Result<()> {
        let mut event = Object::open(out, detail);
        event.bulky("additionalEventData", self.additional, Detail::Minimal)?;
        event.text("awsRegion", self.region)?;
        self.write_claviger(event.object("claviger"))?;
        if let Some(error) = self.error {
            event.text("errorCode", error.code)?;
            event.optional_text("errorMessage", error.message)?;
        }
        event.word("eventCategory", "Management");
        event.uuid("eventID", self.id);
        event.text("eventName", self.name)?;
        event.text("eventSource", self.source)?;
        event.display("eventTime", self.at)?;
        event.word("eventType", self.event_type.as_str());
        event.word("eventVersion", EVENT_VERSION);
        event.flag("managementEvent", true);
        event.flag("readOnly", self.read_only);
        event.account("recipientAccountId", self.recipient_account);
        if let Some(request_id) = self.request_id {
            event.uuid("requestID", request_id);
        }
        event.bulky("requestParameters", self.request_parameters, Detail::WithoutParameters)?;
        event.bulky("resources", (!self.resources.is_empty()).then_some(&self.resources as &dyn Json), Detail::Minimal)?;
        event.bulky("responseElements", self.response_elements, Detail::WithoutParameters)?;
        event.bulky("serviceEventDetails", self.service_event_details, Detail::Minimal)?;
        if let Some(address) = &self.source_ip {
            event.value("sourceIPAddress", address)?;
        }
        if let Some(tls) = self.tls {
            let mut details = event.object("tlsDetails");
            details.text("cipherSuite", tls.cipher_suite)?;
            details.text("clientProvidedHostHeader", tls.host)?;
            details.text("tlsVersion", tls.version)?;
            details.close();
        }
        event.optional_text("userAgent", self.user_agent)?;
        self.identity.write(event.object("userIdentity"))?;
        event.close();
        Ok(())
    }

    fn write_claviger(&self, mut claviger: Object<'_>) -> serde_json::Result<()> {
        claviger.bulky("changes", (!self.changes.is_empty()).then_some(&self.changes as &dyn Json), Detail::Minimal)?;
        let mut decision = claviger.object("decision");
        decision.optional_text("basis", self.decision.basis)?;
        decision.word("effect", self.decision.effect.as_str());
        decision.close();
        claviger.text("door", self.door)?;
        if let Some(age) = self.grace_age_ms {
            let mut grace = claviger.object("grace");
            grace.value("knowledgeAgeMs", &age)?;
            grace.close();
        }
        claviger.text("node", self.node)?;
        claviger.value("timeMs", &self.at)?;
        claviger.word("transport", if self.secure_transport { "tls" } else { "plain" });
        claviger.close();
        Ok(())
    }
}

impl EventIdentity<'_> {
    fn write(&self, mut identity: Object<'_>) -> serde_json::Result<()> {
        identity.optional_text("accessKeyId", self.access_key)?;
        if let Some(account) = self.account {
            identity.account("accountId", account);
        }
        identity.optional_text("arn", self.arn)?;
        identity.optional_text("invokedBy", self.invoked_by)?;
        identity.optional_text("principalId", self.principal_id)?;
        if let Some(session) = self.session {
            write_session(session, identity.object("sessionContext"))?;
        }
        identity.optional_text("type", self.kind)?;
        identity.optional_text("userName", self.user_name)?;
        identity.close();
        Ok(())
    }
}

/// The session and the role that it is of. Source: AWS CloudTrail User Guide, "userIdentity element", `sessionContext`.
fn write_session(session: &Session, mut context: Object<'_>) -> serde_json::Result<()> {
    let mut attributes = context.object("attributes");
    attributes.display("creationDate", session.issued)?;
    attributes.word("mfaAuthenticated", "false");
    attributes.close();
    let mut issuer = context.object("sessionIssuer");
    issuer.account("accountId", session.account);
    issuer.text("arn", &role_arn(session.account, &session.role))?;
    issuer.text("principalId", &session.role_id)?;
    issuer.word("type", "Role");
    issuer.text("userName", session.role.as_str())?;
    issuer.close();
    context.close();
    Ok(())
}

impl EventType {
    /// CloudTrail's word.
    fn as_str(self) -> &'static str {
        match self {
            Self::ApiCall => "AwsApiCall",
            Self::ServiceEvent => "AwsServiceEvent",
        }
    }
}

impl Effect {
    /// The word in an entry.
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::None => "none",
        }
    }
}

/// An event has no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodingFailed {
    /// Why, for the operator.
    pub reason: String,
}

impl fmt::Display for EncodingFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the audit entry could not be written: {}", self.reason)
    }
}

impl std::error::Error for EncodingFailed {}
