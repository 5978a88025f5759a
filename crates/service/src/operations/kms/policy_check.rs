//! What a new key policy has to pass before it is stored: syntax, size, principals that exist, and the lockout safety check. Source: AWS
//! KMS API Reference, "PutKeyPolicy".

use claviger_domain::identity::{Account, User};
use claviger_domain::policy::{ConditionContext, MalformedPolicy, Policy, PrincipalName, Values};
use claviger_domain::{AccountId, Caller, KeyArn, Refusal};

use crate::service::Service;

/// A key policy that somebody wants to put.
pub(crate) struct PolicyCheck<'a> {
    pub(crate) policy: &'a str,
    pub(crate) arn: &'a KeyArn,
    pub(crate) bypass_lockout_check: bool,
}

impl PolicyCheck<'_> {
    /// Checks it.
    ///
    /// # Errors
    /// `LimitExceeded` where it is too long, `MalformedPolicy` for everything else, with AWS's texts.
    pub(crate) async fn run(&self, service: &Service, caller: &Caller) -> Result<(), Refusal> {
        if self.policy.len() > Policy::TEXT_BYTES_MAX {
            return Err(Refusal::limit_exceeded(format!("The key policy is longer than {} bytes.", Policy::TEXT_BYTES_MAX)));
        }
        let policy = Policy::parse_key_policy(self.policy).map_err(malformed)?;
        policy.must_be_light().map_err(malformed)?;
        for name in policy.named_principals() {
            if !exists(service, name).await? {
                return Err(malformed(MalformedPolicy::unknown_principal(name)));
            }
        }
        let conditions = AtPut { caller };
        if !self.bypass_lockout_check && !policy.allows_policy_update_by(&caller.identity, self.arn, &conditions) {
            return Err(malformed(MalformedPolicy::locks_out()));
        }
        Ok(())
    }
}

fn malformed(policy: MalformedPolicy) -> Refusal {
    Refusal::malformed_policy(policy.detail)
}

/// Whether there is somebody of this name. Accounts, users and roles of this deployment can be looked up, of a session the role; nobody is
/// federated here, and services are names of their own that need nobody behind them.
pub(crate) async fn exists(service: &Service, name: &PrincipalName) -> Result<bool, Refusal> {
    match name {
        PrincipalName::Everyone | PrincipalName::Service(_) => Ok(true),
        PrincipalName::Account(account) => {
            Ok(service.records.get::<Account>(AccountId::DEPLOYMENT, &account.to_string()).await?.is_some())
        }
        PrincipalName::User(account, user) => match service.records.account(*account).await? {
            Some(_) => Ok(service.records.get::<User>(*account, user.as_str()).await?.is_some()),
            None => Ok(false),
        },
        PrincipalName::Role(account, name) => role_exists(service, *account, name).await,
        PrincipalName::AssumedRole(account, session) => {
            role_exists(service, *account, session.split('/').next().unwrap_or_default()).await
        }
        PrincipalName::UserWithPath(..)
        | PrincipalName::FederatedUser(..)
        | PrincipalName::UniqueId(_)
        | PrincipalName::Federated(_)
        | PrincipalName::CanonicalUser(_) => Ok(false),
    }
}

/// Roles of this deployment have no paths.
async fn role_exists(service: &Service, account: AccountId, name: &str) -> Result<bool, Refusal> {
    match name.parse() {
        Ok(name) => Ok(service.role(account, &name).await?.is_some()),
        Err(_) => Ok(false),
    }
}

/// The circumstances under which the caller would put the next policy: those of this request.
struct AtPut<'a> {
    caller: &'a Caller,
}

impl ConditionContext for AtPut<'_> {
    fn values(&self, key: &str) -> Values<'_> {
        crate::conditions::of_caller(self.caller, &key.to_ascii_lowercase())
    }
}
