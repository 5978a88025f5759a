//! From a claim about who signed a request to a [`Caller`].

use std::sync::Arc;

use claviger_domain::caller::{Forwarding, Request};
use claviger_domain::identity::Owner;
use claviger_domain::{AccessKeyId, AccountId, Caller, Identity, Kind, Principal, Refusal, ServiceName};

use crate::service::Service;
use crate::sessions::OpenSession;

/// What a signed request claims. A door computes what was signed; the secret that could have signed it stays in the hsm crate.
/// Source: AWS Signature Version 4.
#[derive(Debug)]
pub struct SignatureClaim<'a> {
    /// The credential that is said to have signed.
    pub access_key: &'a str,
    /// The token of a session's credential. It must have been signed.
    pub session_token: Option<&'a str>,
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
    /// What a service says of its request. It must have been signed.
    pub assertions: Assertions<'a>,
}

/// What a service may say of its request; nobody else is believed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assertions<'a> {
    /// In whose name it asks: the ARN of a user or an account's root, or the access key with which that one asked the service.
    pub on_behalf_of: Option<&'a str>,
    /// The session token that came with that access key.
    pub on_behalf_of_token: Option<&'a str>,
    /// What it works for: `aws:SourceArn`.
    pub source_arn: Option<&'a str>,
    /// The account of that: `aws:SourceAccount`.
    pub source_account: Option<&'a str>,
}

impl Service {
    /// Finds out who signed a request.
    ///
    /// # Errors
    /// `UnknownCredential` when the access key does not exist, is switched off, its user is gone, or its session token is none of ours;
    /// `ExpiredToken` when the session has ended; `WrongSignature` when the signature is not its. The texts are AWS's. `AccessDenied` when
    /// somebody asks on another one's behalf who may not. The caller of this function has to put the refusal into the audit log.
    pub async fn authenticate(&self, claim: &SignatureClaim<'_>, request: Request) -> Result<Caller, Refusal> {
        let known = self.confirm_freshness_or_grace().await?;
        let (identity, access_key) = match claim.session_token {
            None => self.soon_enough(self.authenticate_access_key(claim)).await?,
            Some(token) => self.soon_enough(Box::pin(self.authenticate_session(claim, token, &request))).await?,
        };
        let (forwarding, grant_tokens, known_at_ms) = (None, Vec::new(), Some(known.ms()));
        let caller = Caller { identity, access_key, forwarding, request, grant_tokens, known_at_ms };
        match &caller.identity.principal {
            Principal::Service(name) => Box::pin(self.believe(&caller, name, claim)).await,
            _ if claim.assertions.on_behalf_of.is_some() => {
                Err(not_on_behalf("only users that are marked as services may ask on somebody's behalf"))
            }
            // Sources that somebody else asserts are not believed, and policies do not see them.
            _ => Ok(caller),
        }
    }

    async fn authenticate_access_key(&self, claim: &SignatureClaim<'_>) -> Result<(Arc<Identity>, AccessKeyId), Refusal> {
        let credential = self.credential(claim.access_key).await?.filter(|credential| credential.access_key.active);
        let Some(credential) = credential else { return Err(unknown_credential()) };
        let signing_key = credential.signing_key(claim.date, claim.region, claim.service)?;
        if !signing_key.verify(claim.string_to_sign, claim.signature) {
            return Err(Refusal::new(Kind::WrongSignature, WRONG_SIGNATURE));
        }
        let access_key = &credential.access_key;
        let identity = self.identity(access_key.account, &access_key.owner).await?.ok_or_else(unknown_credential)?;
        Ok((identity, access_key.id.clone()))
    }

    async fn authenticate_session(
        &self,
        claim: &SignatureClaim<'_>,
        token: &str,
        request: &Request,
    ) -> Result<(Arc<Identity>, AccessKeyId), Refusal> {
        let open = self.open_session(claim.access_key, token).ok_or_else(unknown_credential)?;
        if open.is_over(request.at) {
            return Err(expired());
        }
        let signing_key = open.signing_keys.of_scope(claim.date, claim.region, claim.service)?;
        if !signing_key.verify(claim.string_to_sign, claim.signature) {
            return Err(Refusal::new(Kind::WrongSignature, WRONG_SIGNATURE));
        }
        Ok((self.identity_of_session(&open).await?, open.access_key.clone()))
    }

    /// Who a session is, as long as the role is there that it was begun with.
    async fn identity_of_session(&self, open: &OpenSession) -> Result<Arc<Identity>, Refusal> {
        let session = &open.session;
        let role = self.role(session.account, &session.role).await?;
        let role = role.filter(|role| role.role.unique_id == session.role_id).ok_or_else(unknown_credential)?;
        Ok(open.identity(&role))
    }

    /// The caller of a service's request, as the service says.
    async fn believe(&self, service: &Caller, name: &ServiceName, claim: &SignatureClaim<'_>) -> Result<Caller, Refusal> {
        let said = &claim.assertions;
        let service_account = service.identity.account;
        let identity = match said.on_behalf_of {
            None => Arc::clone(&service.identity),
            Some(_) if claim.service != "kms" => {
                return Err(not_on_behalf("services ask on somebody's behalf of AWS KMS only"));
            }
            Some(whom) => {
                let identity = self.principal_behind(whom, said.on_behalf_of_token, &service.request).await?;
                // The deployment's own services work for every account, a tenant's services for its own.
                identity
                    .filter(|identity| !identity.is_service())
                    .filter(|identity| service_account == AccountId::DEPLOYMENT || identity.account == service_account)
                    .ok_or_else(|| not_on_behalf("there is no such principal for which this service may ask"))?
            }
        };
        let forwarding = Forwarding {
            service: name.clone(),
            service_account,
            on_behalf: said.on_behalf_of.is_some(),
            source_arn: said.source_arn.map(str::to_owned),
            source_account: said.source_account.map(str::to_owned),
        };
        Ok(Caller { identity, forwarding: Some(Arc::new(forwarding)), ..service.clone() })
    }

    /// The principal that a service names: by the ARN of a user or a root, or by an access key, with its token where it is a session's.
    async fn principal_behind(
        &self,
        named: &str,
        token: Option<&str>,
        request: &Request,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        if let Some(token) = token {
            let Some(open) = self.open_session(named, token) else { return Ok(None) };
            return if open.is_over(request.at) { Err(expired()) } else { self.identity_of_session(&open).await.map(Some) };
        }
        if let Some(rest) = named.strip_prefix("arn:aws:iam::") {
            let Some((account, owner)) = parse_owner(rest) else { return Ok(None) };
            return match owner {
                Owner::Root if self.records.account(account).await?.is_none() => Ok(None),
                owner => self.identity(account, &owner).await,
            };
        }
        match self.credential(named).await?.filter(|credential| credential.access_key.active) {
            Some(credential) => self.identity(credential.access_key.account, &credential.access_key.owner).await,
            None => Ok(None),
        }
    }
}

/// `ACCOUNT:root` or `ACCOUNT:user/NAME`.
fn parse_owner(text: &str) -> Option<(AccountId, Owner)> {
    let (account, name) = text.split_once(':')?;
    let owner = match name.strip_prefix("user/") {
        Some(user) => Owner::User(user.parse().ok()?),
        None if name == "root" => Owner::Root,
        None => return None,
    };
    Some((account.parse().ok()?, owner))
}

pub(crate) fn unknown_credential() -> Refusal {
    Refusal::new(Kind::UnknownCredential, "The security token included in the request is invalid.")
}

fn expired() -> Refusal {
    Refusal::new(Kind::ExpiredToken, "The security token included in the request is expired")
}

fn not_on_behalf(why: &str) -> Refusal {
    Refusal::new(Kind::AccessDenied, format!("The request cannot be made on somebody else's behalf: {why}."))
}

const WRONG_SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
                               Key and signing method. Consult the service documentation for details.";
