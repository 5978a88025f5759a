//! What PKCS#11's return values mean for us: is it the key, the request, the session, or the token?

use cryptoki::error::{Error, RvError};

use crate::wire::{Fault, FaultKind};

/// Why an operation inside the host ended: the token's word, or ours.
#[derive(Debug)]
pub(super) enum Failure {
    /// The library returned an error.
    Library(Error),
    /// We know what is wrong.
    Fault(Fault),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    pub(super) fn fault(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self::Fault(Fault::new(kind, detail))
    }
}

/// What may help against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Nothing: the request itself is refused.
    Answer,
    /// Looking the key up again: its handle is stale.
    NewHandle,
    /// A new session, with a login: the session or the device is not what it was.
    NewSession,
}

/// Source: PKCS #11 Specification 3.1 (OASIS), section 5.1 "Function return values".
pub(super) fn course(error: &Error) -> Course {
    let Error::Pkcs11(value, _) = error else { return Course::Answer };
    match value {
        RvError::ObjectHandleInvalid
        | RvError::KeyHandleInvalid
        | RvError::UnwrappingKeyHandleInvalid
        | RvError::WrappingKeyHandleInvalid
        | RvError::KeyChanged => Course::NewHandle,
        RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::UserNotLoggedIn
        | RvError::OperationActive
        | RvError::OperationNotInitialized
        | RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SlotIdInvalid
        | RvError::CryptokiNotInitialized
        | RvError::GeneralError
        | RvError::FunctionFailed
        | RvError::FunctionCanceled
        | RvError::HostMemory
        | RvError::SessionCount
        | RvError::VendorDefined(_)
        | RvError::UnknownErrorCode(_) => Course::NewSession,
        _ => Course::Answer,
    }
}

/// Whether a failed decryption may be the fault of the ciphertext: libraries do not agree on what they say of a wrong tag.
pub(super) fn may_blame_input(error: &Error) -> bool {
    let Error::Pkcs11(value, _) = error else { return false };
    matches!(
        value,
        RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::GeneralError
            | RvError::FunctionFailed
            | RvError::ArgumentsBad
            | RvError::DeviceError
            | RvError::VendorDefined(_)
            | RvError::UnknownErrorCode(_)
    )
}

/// An error by the name that the vendor's handbook has for it, where it is the library's.
pub(super) fn name_of(error: &Error) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("C_{function:?}: {value:?}"),
        other => other.to_string(),
    }
}

/// What is said of an error that nothing helped against. Return values have no secret in them.
pub(super) fn explain(error: &Error) -> Fault {
    let Error::Pkcs11(value, _) = error else {
        return Fault::new(FaultKind::Unsupported, format!("the token's library cannot be used for this: {error}"));
    };
    let said = |text: &str| format!("{text} ({})", name_of(error));
    match value {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
            Fault::new(FaultKind::PinRefused, said("the token refused the PIN"))
        }
        RvError::PinLocked | RvError::PinExpired | RvError::UserPinNotInitialized => {
            Fault::new(FaultKind::PinLocked, said("the token does not let its user in"))
        }
        RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::FunctionNotSupported
        | RvError::CurveNotSupported
        | RvError::KeySizeRange
        | RvError::ArgumentsBad
        | RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid
        | RvError::DomainParamsInvalid
        | RvError::TemplateInconsistent
        | RvError::TemplateIncomplete => Fault::new(FaultKind::Unsupported, said("the token cannot do this")),
        RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange => {
            Fault::new(FaultKind::InvalidCiphertext, said("the token could not decrypt this ciphertext"))
        }
        _ if course(error) == Course::NewSession => {
            Fault::new(FaultKind::Unavailable, said("the token does not work at the moment"))
        }
        _ => Fault::new(FaultKind::Refused, said("the token refused")),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn a_dead_session_a_stale_handle_and_a_refusal_are_told_apart() {
        let of = |value| Error::Pkcs11(value, Function::Encrypt);
        assert_eq!(course(&of(RvError::SessionHandleInvalid)), Course::NewSession);
        assert_eq!(course(&of(RvError::DeviceRemoved)), Course::NewSession);
        assert_eq!(course(&of(RvError::UserNotLoggedIn)), Course::NewSession);
        assert_eq!(course(&of(RvError::ObjectHandleInvalid)), Course::NewHandle);
        assert_eq!(course(&of(RvError::KeyFunctionNotPermitted)), Course::Answer);
        assert_eq!(explain(&of(RvError::PinIncorrect)).kind, FaultKind::PinRefused);
        assert_eq!(explain(&of(RvError::DeviceError)).kind, FaultKind::Unavailable);
        assert_eq!(explain(&of(RvError::MechanismInvalid)).kind, FaultKind::Unsupported);
        assert_eq!(explain(&of(RvError::KeyFunctionNotPermitted)).kind, FaultKind::Refused);
        assert!(explain(&of(RvError::MechanismInvalid)).detail.ends_with("(C_Encrypt: MechanismInvalid)"));
        assert_eq!(name_of(&of(RvError::GeneralError)), "C_Encrypt: GeneralError", "not the library's novel about it");
    }
}
