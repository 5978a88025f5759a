//! The one error of the project: what happened, whose turn it is, whether a retry may help, and a text that is safe to show.
//!
//! Every door maps a [`Refusal`] to its protocol in one file. The detail never holds a secret, nor tells of another account.

use std::fmt;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened.
    pub kind: Kind,
    /// What to tell the caller. Empty where AWS sends no message. Safe to show.
    pub detail: String,
    /// The decision's reason where access was denied, for the audit entry only.
    pub reason: Option<String>,
}

/// Who has to act before the request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The caller: the request is wrong, too early, too often, or not allowed.
    Caller,
    /// The operator of this deployment.
    Us,
    /// Something this deployment depends on: an HSM, another key store.
    Upstream,
}

/// Whether the same request may succeed later without anybody acting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will be refused again.
    Never,
    /// It may succeed: wait and try again.
    Later,
}

/// What happened. The list grows with the operations; each door says in one table what a kind is called there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the meaning; the doors' tables say what each becomes")]
pub enum Kind {
    // Who are you?
    MissingCredentials,
    IncompleteSignature,
    UnknownCredential,
    WrongSignature,
    /// A session that has ended.
    ExpiredToken,
    // May you?
    AccessDenied,
    /// AWS's NotAuthorizedException: reserved names.
    Reserved,
    // Is the request well formed?
    Unparsable,
    Invalid,
    UnknownOperation,
    Unsupported,
    InvalidArn,
    InvalidAliasName,
    InvalidMarker,
    InvalidGrantToken,
    InvalidGrantId,
    InvalidImportToken,
    ExpiredImportToken,
    InvalidTag,
    MalformedPolicy,
    /// Session policy and session tags are too large together.
    PackedPolicyTooLarge,
    // Does it fit what there is?
    NotFound,
    AlreadyExists,
    Disabled,
    InvalidState,
    InvalidKeyUsage,
    IncorrectKey,
    IncorrectKeyMaterial,
    InvalidCiphertext,
    InvalidSignature,
    InvalidMac,
    Conflict,
    LimitExceeded,
    // Custom key stores.
    KeyStoreNotFound,
    KeyStoreNameInUse,
    KeyStoreState,
    KeyStoreHasKeys,
    ClusterInUse,
    ClusterInvalidConfiguration,
    ClusterNotActive,
    ClusterNotFound,
    ClusterNotRelated,
    IncorrectTrustAnchor,
    ProxyUriInUse,
    ProxyUriEndpointInUse,
    ProxyVpcServiceInUse,
    ProxyIncorrectCredential,
    ProxyInvalidConfiguration,
    ProxyInvalidResponse,
    ProxyUriUnreachable,
    XksKeyAlreadyInUse,
    XksKeyInvalidConfiguration,
    XksKeyNotFound,
    /// No hold-your-own-key store is found at the path of the request.
    InvalidUriPath,
    Throttled,
    /// Everything was in order, and the caller asked to stop there.
    DryRun,
    // What went wrong on our side?
    KeyUnavailable,
    DependencyTimeout,
    Internal,
}

impl Kind {
    /// The name that the audit log, the metrics and the AWS doors use: the exception's name in the AWS KMS API.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingCredentials => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::UnknownCredential => "UnrecognizedClientException",
            Self::WrongSignature => "InvalidSignatureException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::AccessDenied => "AccessDeniedException",
            Self::Reserved => "NotAuthorizedException",
            Self::Unparsable => "SerializationException",
            Self::Invalid => "ValidationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Unsupported => "UnsupportedOperationException",
            Self::InvalidArn => "InvalidArnException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::InvalidGrantId => "InvalidGrantIdException",
            Self::InvalidImportToken => "InvalidImportTokenException",
            Self::ExpiredImportToken => "ExpiredImportTokenException",
            Self::InvalidTag => "TagException",
            Self::MalformedPolicy => "MalformedPolicyDocumentException",
            Self::PackedPolicyTooLarge => "PackedPolicyTooLargeException",
            Self::NotFound => "NotFoundException",
            Self::AlreadyExists => "AlreadyExistsException",
            Self::Disabled => "DisabledException",
            Self::InvalidState => "KMSInvalidStateException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::IncorrectKeyMaterial => "IncorrectKeyMaterialException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidSignature => "KMSInvalidSignatureException",
            Self::InvalidMac => "KMSInvalidMacException",
            Self::Conflict => "ConflictException",
            Self::LimitExceeded => "LimitExceededException",
            Self::KeyStoreNotFound => "CustomKeyStoreNotFoundException",
            Self::KeyStoreNameInUse => "CustomKeyStoreNameInUseException",
            Self::KeyStoreState => "CustomKeyStoreInvalidStateException",
            Self::KeyStoreHasKeys => "CustomKeyStoreHasCMKsException",
            Self::ClusterInUse => "CloudHsmClusterInUseException",
            Self::ClusterInvalidConfiguration => "CloudHsmClusterInvalidConfigurationException",
            Self::ClusterNotActive => "CloudHsmClusterNotActiveException",
            Self::ClusterNotFound => "CloudHsmClusterNotFoundException",
            Self::ClusterNotRelated => "CloudHsmClusterNotRelatedException",
            Self::IncorrectTrustAnchor => "IncorrectTrustAnchorException",
            Self::ProxyUriInUse => "XksProxyUriInUseException",
            Self::ProxyUriEndpointInUse => "XksProxyUriEndpointInUseException",
            Self::ProxyVpcServiceInUse => "XksProxyVpcEndpointServiceInUseException",
            Self::ProxyIncorrectCredential => "XksProxyIncorrectAuthenticationCredentialException",
            Self::ProxyInvalidConfiguration => "XksProxyInvalidConfigurationException",
            Self::ProxyInvalidResponse => "XksProxyInvalidResponseException",
            Self::ProxyUriUnreachable => "XksProxyUriUnreachableException",
            Self::XksKeyAlreadyInUse => "XksKeyAlreadyInUseException",
            Self::XksKeyInvalidConfiguration => "XksKeyInvalidConfigurationException",
            Self::XksKeyNotFound => "XksKeyNotFoundException",
            Self::InvalidUriPath => "InvalidUriPathException",
            Self::Throttled => "ThrottlingException",
            Self::DryRun => "DryRunOperationException",
            Self::KeyUnavailable => "KeyUnavailableException",
            Self::DependencyTimeout => "DependencyTimeoutException",
            Self::Internal => "KMSInternalException",
        }
    }

    /// Whose turn it is.
    pub fn who(self) -> Who {
        match self {
            Self::KeyUnavailable | Self::Internal => Who::Us,
            Self::DependencyTimeout => Who::Upstream,
            _ => Who::Caller,
        }
    }

    /// Whether a retry may help.
    pub fn retry(self) -> Retry {
        match self {
            Self::KeyUnavailable | Self::Internal | Self::DependencyTimeout | Self::Throttled => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// A constructor per kind that carries a text.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Refusal {
            $($(#[$doc])* pub fn $name(detail: impl Into<String>) -> Self {
                Self::new(Kind::$kind, detail)
            })*
        }
    };
}

constructors! {
    /// The thing is not there, or the caller may not know that it is.
    not_found => NotFound;
    /// The name is taken.
    already_exists => AlreadyExists;
    /// The ARN cannot be read, or is of another service or partition.
    invalid_arn => InvalidArn;
    /// A value breaks the rules for its field.
    invalid => Invalid;
    /// The request cannot be read at all.
    unparsable => Unparsable;
    /// The key's state does not allow it.
    invalid_state => InvalidState;
    /// The key is disabled.
    disabled => Disabled;
    /// The key's usage or spec does not allow it.
    invalid_key_usage => InvalidKeyUsage;
    /// The key is not the one that made the ciphertext.
    incorrect_key => IncorrectKey;
    /// A policy document is wrong.
    malformed_policy => MalformedPolicy;
    /// A tag breaks a rule.
    invalid_tag => InvalidTag;
    /// A quota is used up.
    limit_exceeded => LimitExceeded;
    /// Not offered, for this key or at all.
    unsupported => Unsupported;
    /// A name that only the service itself may use.
    reserved => Reserved;
    /// Something on our side. The detail says what the operator should look at, not what broke inside.
    internal => Internal;
    /// The key cannot be used for now.
    key_unavailable => KeyUnavailable;
    /// Two changes met; the caller lost.
    conflict => Conflict;
}

impl Refusal {
    /// A refusal of this kind with this text.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), reason: None }
    }

    /// A ciphertext that does not open: one error without a message, whatever the cause.
    pub fn invalid_ciphertext() -> Self {
        Self::new(Kind::InvalidCiphertext, "")
    }

    /// The answer to a dry run of a request that would have succeeded.
    pub fn dry_run() -> Self {
        Self::new(Kind::DryRun, "The request would have succeeded, but the DryRun option is set.")
    }

    /// The same refusal with the reason that the audit entry shall carry.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { write!(f, "{:?}", self.kind) } else { write!(f, "{:?}: {}", self.kind, self.detail) }
    }
}

impl std::error::Error for Refusal {}
