//! From a claim about who signed a request to a [`Caller`].

use std::sync::Arc;

use claviger_domain::caller::Request;
use claviger_domain::{Caller, Kind, Refusal};

use crate::service::Service;

/// What a signed request claims. A door computes what was signed; the secret that could have signed it stays in the hsm crate.
/// Source: AWS Signature Version 4.
#[derive(Debug)]
pub struct SignatureClaim<'a> {
    /// The credential that is said to have signed.
    pub access_key: &'a str,
    /// The scope's day: `20261122`.
    pub date: &'a str,
    /// The scope's Region.
    pub region: &'a str,
    /// The scope's service: `kms`.
    pub service: &'a str,
    /// The string to sign.
    pub string_to_sign: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl Service {
    /// Finds out who signed a request.
    ///
    /// # Errors
    /// `UnknownCredential` when the access key does not exist, is switched off, or its user is gone; `WrongSignature` when the signature is
    /// not its. The texts are AWS's. The caller of this function has to put the refusal into the audit log.
    pub async fn authenticate(&self, claim: &SignatureClaim<'_>, request: Request) -> Result<Caller, Refusal> {
        self.confirm_freshness().await?;
        let credential = self.credential(claim.access_key).await?.filter(|credential| credential.access_key.active);
        let Some(credential) = credential else { return Err(unknown_credential()) };
        let signing_key = credential.signing_key(claim.date, claim.region, claim.service)?;
        if !signing_key.verify(claim.string_to_sign, claim.signature) {
            return Err(Refusal::new(Kind::WrongSignature, WRONG_SIGNATURE));
        }
        let access_key = &credential.access_key;
        let identity = self.identity(access_key.account, &access_key.owner).await?.ok_or_else(unknown_credential)?;
        Ok(Caller { identity: Arc::clone(&identity), access_key: access_key.id.clone(), request, grant_tokens: Vec::new() })
    }
}

fn unknown_credential() -> Refusal {
    Refusal::new(Kind::UnknownCredential, "The security token included in the request is invalid.")
}

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
                               Key and signing method. Consult the service documentation for details.";
