//! Everything that a principal can ask for: one operation, one type, one file.

pub mod admin;
pub mod kms;
pub mod sts;
pub mod xks;

/// Declares that an operation is about the one key that its field `key` names, and needs one action on it.
macro_rules! about_one_key {
    ($action:literal) => {
        type Target = $crate::resolve::KeyTarget;

        async fn resolve(
            &self,
            service: &$crate::Service,
            caller: &claviger_domain::Caller,
        ) -> Result<Self::Target, claviger_domain::Refusal> {
            service.resolve_key(caller, &self.key, $action).await
        }

        fn demands<'a>(
            &'a self,
            _caller: &'a claviger_domain::Caller,
            target: &'a Self::Target,
        ) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::key($action, target)]
        }
    };
}

/// Declares that an operation is about the one key that its field `key` names, which must be of the caller's own account, and needs one
/// action on it. Source: AWS KMS API Reference, "Cross-account use: No" of each operation.
macro_rules! about_one_own_key {
    ($action:literal) => {
        type Target = $crate::resolve::KeyTarget;

        async fn resolve(
            &self,
            service: &$crate::Service,
            caller: &claviger_domain::Caller,
        ) -> Result<Self::Target, claviger_domain::Refusal> {
            $crate::resolve::must_be_own(&self.key, caller, $action)?;
            service.resolve_key(caller, &self.key, $action).await
        }

        fn demands<'a>(
            &'a self,
            _caller: &'a claviger_domain::Caller,
            target: &'a Self::Target,
        ) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::key($action, target)]
        }
    };
}

/// Declares that an operation is about the one key that its field `key` names, needs one action on it, and answers a plaintext, perhaps for the
/// attested recipient that its field `recipient` names.
macro_rules! about_one_key_for_a_recipient {
    ($action:literal) => {
        type Target = $crate::recipient::Attested<$crate::resolve::KeyTarget>;

        async fn resolve(
            &self,
            service: &$crate::Service,
            caller: &claviger_domain::Caller,
        ) -> Result<Self::Target, claviger_domain::Refusal> {
            let subject = service.resolve_key(caller, &self.key, $action).await?;
            Ok(Self::Target { subject, recipient: service.attest(self.recipient.as_ref(), caller)? })
        }

        fn demands<'a>(
            &'a self,
            _caller: &'a claviger_domain::Caller,
            target: &'a Self::Target,
        ) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::key($action, &target.subject)]
        }

        fn recipient<'a>(&self, target: &'a Self::Target) -> Option<&'a claviger_hsm::Attestation> {
            target.recipient.as_deref()
        }
    };
}

/// Declares that an operation is about nothing in particular, and needs one action in the caller's account.
macro_rules! about_the_account {
    ($action:literal) => {
        type Target = ();

        async fn resolve(
            &self,
            _service: &$crate::Service,
            _caller: &claviger_domain::Caller,
        ) -> Result<(), claviger_domain::Refusal> {
            Ok(())
        }

        fn demands<'a>(&'a self, caller: &'a claviger_domain::Caller, _target: &'a ()) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::anything($action, caller)]
        }
    };
}

pub(crate) use {about_one_key, about_one_key_for_a_recipient, about_one_own_key, about_the_account};
