//! What can go wrong with a proxy, and what the caller is told. The texts are those of the XKS Proxy API Specification, "Error codes", "KMS
//! Considerations"; programs match on them, so that they stay as they are.

use claviger_domain::key_store::{ConnectionError, KeyStoreId};
use claviger_domain::{Kind, Refusal};
use claviger_service::key_stores::Asked;

/// Why a proxy did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The configuration does not let this host be a proxy.
    NotAllowed,
    /// There is no connection to it.
    Unreachable,
    /// There is a connection, and no TLS on it.
    Tls,
    /// It did not answer in time.
    TimedOut,
    /// What it answered is not what the specification says.
    Malformed,
    /// It is well, and all key managers behind it are not.
    Unhealthy,
    /// It refused.
    Refused(Name),
}

/// The names of errors; the specification says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Validation,
    InvalidState,
    InvalidCiphertext,
    InvalidKeyUsage,
    AuthenticationFailed,
    AccessDenied,
    KeyNotFound,
    InvalidUriPath,
    Throttling,
    Internal,
    UnsupportedOperation,
    DependencyTimeout,
}

impl Name {
    /// The name with this spelling.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ValidationException" => Self::Validation,
            "InvalidStateException" => Self::InvalidState,
            "InvalidCiphertextException" => Self::InvalidCiphertext,
            "InvalidKeyUsageException" => Self::InvalidKeyUsage,
            "AuthenticationFailedException" => Self::AuthenticationFailed,
            "AccessDeniedException" => Self::AccessDenied,
            "KeyNotFoundException" => Self::KeyNotFound,
            "InvalidUriPathException" => Self::InvalidUriPath,
            "ThrottlingException" => Self::Throttling,
            "InternalException" => Self::Internal,
            "UnsupportedOperationException" => Self::UnsupportedOperation,
            "DependencyTimeoutException" => Self::DependencyTimeout,
            _ => return None,
        })
    }
}

impl Failure {
    /// Whether the same may succeed at once: the connection broke, or the answer was late.
    pub(crate) fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::TimedOut)
    }

    /// To somebody who uses a key: one error for everything, with the text that says what happened.
    pub(crate) fn of_use(self, store: &KeyStoreId, asked: &Asked) -> Refusal {
        self.log(store, asked.operation);
        Refusal::invalid_state(self.text())
    }

    /// To somebody who makes a key.
    pub(crate) fn of_creation(self, store: &KeyStoreId, asked: &Asked) -> Refusal {
        self.log(store, asked.operation);
        let kind = match self {
            Self::Refused(Name::InvalidState | Name::InvalidKeyUsage) => Kind::XksKeyInvalidConfiguration,
            Self::Refused(Name::KeyNotFound) => Kind::XksKeyNotFound,
            Self::Refused(Name::AccessDenied) => Kind::InvalidState,
            _ => Kind::KeyStoreState,
        };
        Refusal::new(kind, self.text())
    }

    /// To somebody who makes or changes a store.
    pub(crate) fn of_management(self, store: &KeyStoreId, asked: &Asked) -> Refusal {
        self.log(store, asked.operation);
        let kind = match self {
            Self::Refused(Name::AuthenticationFailed) => Kind::ProxyIncorrectCredential,
            Self::NotAllowed | Self::Refused(Name::InvalidUriPath) => Kind::ProxyInvalidConfiguration,
            Self::Unreachable
            | Self::Tls
            | Self::TimedOut
            | Self::Unhealthy
            | Self::Refused(Name::DependencyTimeout | Name::Throttling) => Kind::ProxyUriUnreachable,
            Self::Malformed | Self::Refused(_) => Kind::ProxyInvalidResponse,
        };
        Refusal::new(kind, self.text())
    }

    /// To the store that could not be connected.
    pub(crate) fn of_connection(self, store: &KeyStoreId) -> ConnectionError {
        self.log(store, "ConnectCustomKeyStore");
        match self {
            Self::Unreachable | Self::Unhealthy => ConnectionError::ProxyNotReachable,
            Self::Tls => ConnectionError::ProxyInvalidTlsConfiguration,
            Self::TimedOut | Self::Refused(Name::DependencyTimeout | Name::Throttling) => ConnectionError::ProxyTimedOut,
            Self::Refused(Name::AuthenticationFailed) => ConnectionError::InvalidCredentials,
            Self::Refused(Name::AccessDenied) => ConnectionError::ProxyAccessDenied,
            Self::NotAllowed | Self::Refused(Name::InvalidUriPath) => ConnectionError::ProxyInvalidConfiguration,
            Self::Malformed | Self::Refused(_) => ConnectionError::ProxyInvalidResponse,
        }
    }

    /// The caller is told in AWS's words; the operator here.
    fn log(self, store: &KeyStoreId, operation: &str) {
        tracing::debug!(store = store.as_str(), operation, failure = ?self, "an external key store proxy did not do what it was asked");
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotAllowed => {
                "This deployment does not let external key store proxies be at this host. Ask its operator to allow it \
                 ([external_key_stores] hosts)."
            }
            Self::Unreachable => {
                "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error \
                 repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is \
                 correct in your external keystore."
            }
            Self::Tls => {
                "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its \
                 certificate."
            }
            Self::TimedOut => {
                "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this \
                 error repeatedly, report it to your external key store proxy administrator."
            }
            Self::Malformed | Self::Refused(Name::Validation) => {
                "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your \
                 external key store proxy administrator."
            }
            Self::Unhealthy => {
                "The external key store proxy is in an unhealthy state. If you see this message repeatedly, notify your external key store proxy \
                 administrator."
            }
            Self::Refused(name) => name.text(),
        }
    }
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Validation => Failure::Malformed.text(),
            Self::InvalidState => {
                "The external key associated with this KMS key in an external key store is not enabled in the external key manager. Enable the \
                 external key in the external key manager and retry the request."
            }
            Self::InvalidCiphertext => {
                "The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, \
                 or otherwise invalid."
            }
            Self::InvalidKeyUsage => {
                "The external key associated with this KMS key in an external key store does not support the requested operation. Enable the \
                 operation on the key in your external key manager, and try the request again."
            }
            Self::AuthenticationFailed => {
                "The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS proxy authentication \
                 credentials for your external key store and update if necessary."
            }
            Self::AccessDenied => {
                "The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for \
                 this operation, and try the request again."
            }
            Self::KeyNotFound => {
                "The external key associated with this KMS key in an external key store was not found in its external key manager. If the external \
                 key ID associated with this KMS key is incorrect, create a new KMS key with the correct external key ID."
            }
            Self::InvalidUriPath => {
                "The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for your external key store \
                 and update if necessary."
            }
            Self::UnsupportedOperation => {
                "The external key store proxy rejected the request because it does not support the requested operation. If you see this error \
                 repeatedly, report it to your external key store proxy administrator."
            }
            Self::DependencyTimeout => {
                "The external key store proxy did not respond to the request in the time allotted. Retry the request. If you see this error \
                 repeatedly, report it to your external key store proxy administrator."
            }
            Self::Throttling => {
                "The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS \
                 keys in this external key store."
            }
            Self::Internal => {
                "The external key store proxy rejected the request because it cannot communicate with the external key manager. Verify that the \
                 external key store proxy configuration is correct and that the external key manager is available."
            }
        }
    }
}
