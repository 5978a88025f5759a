//! Claviger's own administration: accounts, users, roles, access keys, identity policies, seals, and hold-your-own-key stores.
//!
//! The administrator (root of the account `000000000000`) administers every account; an account's root administers its own users, and so do
//! users whose identity policies allow the action.

mod add_hyok_key;
mod add_seal;
mod adopt_key;
mod break_glass;
mod create_access_key;
mod create_account;
mod create_hyok_store;
mod create_role;
mod create_user;
mod delete_access_key;
mod delete_hyok_credential;
mod delete_hyok_store;
mod delete_role;
mod delete_role_policy;
mod delete_user;
mod delete_user_policy;
mod get_cluster_status;
mod get_hyok_credential;
mod get_hyok_store;
mod get_role;
mod get_role_policy;
mod get_root_status;
mod get_status;
mod get_user;
mod get_user_policy;
mod hyok_stores;
mod list_access_keys;
mod list_accounts;
mod list_hyok_keys;
mod list_hyok_stores;
mod list_role_policies;
mod list_roles;
mod list_seals;
mod list_user_policies;
mod list_users;
mod put_hyok_store_policy;
mod put_role_policy;
mod put_user_policy;
mod remove_hyok_key;
mod remove_seal;
mod roles;
mod rotate_hyok_credential;
mod rotate_root;
mod set_account_availability;
mod set_key_availability;
mod simulate_policy;
mod tag_role;
mod tag_user;
mod untag_role;
mod untag_user;
mod update_access_key;
mod update_assume_role_policy;
mod update_hyok_store;
mod verify_seals;

pub use add_hyok_key::AddHyokKey;
pub use add_seal::AddSeal;
pub use adopt_key::AdoptKey;
pub use break_glass::{AffectedKey, AffectedStore, BreakGlass, GlassReport, Scope};
pub use create_access_key::{CreateAccessKey, CreatedAccessKey};
pub use create_account::CreateAccount;
pub use create_hyok_store::{CreateHyokStore, CreatedHyokStore};
pub use create_role::CreateRole;
pub use create_user::CreateUser;
pub use delete_access_key::DeleteAccessKey;
pub use delete_hyok_credential::DeleteHyokCredential;
pub use delete_hyok_store::DeleteHyokStore;
pub use delete_role::DeleteRole;
pub use delete_role_policy::DeleteRolePolicy;
pub use delete_user::DeleteUser;
pub use delete_user_policy::DeleteUserPolicy;
pub use get_cluster_status::{ClusterStatus, GetClusterStatus, LastHeard, Leader, NodeState, NodeStatus};
pub use get_hyok_credential::GetHyokCredential;
pub use get_hyok_store::GetHyokStore;
pub use get_role::GetRole;
pub use get_role_policy::GetRolePolicy;
pub use get_root_status::{GetRootStatus, RootStatus};
pub use get_status::{GetStatus, Status};
pub use get_user::GetUser;
pub use get_user_policy::GetUserPolicy;
pub use list_access_keys::{ListAccessKeys, ListedAccessKey};
pub use list_accounts::ListAccounts;
pub use list_hyok_keys::{ListHyokKeys, ListedExternalKey};
pub use list_hyok_stores::ListHyokStores;
pub use list_role_policies::ListRolePolicies;
pub use list_roles::ListRoles;
pub use list_seals::{ListSeals, ListedSeal};
pub use list_user_policies::ListUserPolicies;
pub use list_users::ListUsers;
pub use put_hyok_store_policy::PutHyokStorePolicy;
pub use put_role_policy::PutRolePolicy;
pub use put_user_policy::PutUserPolicy;
pub use remove_hyok_key::RemoveHyokKey;
pub use remove_seal::RemoveSeal;
pub use rotate_hyok_credential::RotateHyokCredential;
pub use rotate_root::RotateRoot;
pub use set_account_availability::SetAccountAvailability;
pub use set_key_availability::SetKeyAvailability;
pub use simulate_policy::{SimulatePolicy, Simulated, SimulatedPrincipal, Verdict};
pub use tag_role::TagRole;
pub use tag_user::TagUser;
pub use untag_role::UntagRole;
pub use untag_user::UntagUser;
pub use update_access_key::UpdateAccessKey;
pub use update_assume_role_policy::UpdateAssumeRolePolicy;
pub use update_hyok_store::UpdateHyokStore;
pub use verify_seals::{SealOutcome, VerifiedSeal, VerifySeals};

use claviger_domain::identity::{AccessKey, Owner, Role, User};
use claviger_domain::{AccessKeyId, AccountId, Caller, Kind, Refusal, RoleName, UserName};

use crate::operation::Ask;
use crate::records::Versioned;
use crate::service::Service;

/// Declares that an operation administers the account that its field `account` names, by default the caller's.
///
/// With `|it| RESOURCE`, it is about something in that account: `user/NAME`, `role/NAME` or `root`, which policies name as
/// `arn:aws:iam::ACCOUNT:RESOURCE`. Without, about the account as such: `arn:aws:iam::ACCOUNT:*`.
macro_rules! about_an_account {
    ($action:literal) => {
        $crate::operations::admin::about_an_account!($action, |_it| String::from("*"));
    };
    ($action:literal, |$it:ident| $resource:expr) => {
        type Target = claviger_domain::AccountId;

        async fn resolve(
            &self,
            service: &$crate::Service,
            caller: &claviger_domain::Caller,
        ) -> Result<Self::Target, claviger_domain::Refusal> {
            $crate::operations::admin::administered_account(service, caller, self.account).await
        }

        fn demands<'a>(
            &'a self,
            caller: &'a claviger_domain::Caller,
            target: &'a Self::Target,
        ) -> Vec<$crate::operation::Ask<'a>> {
            let $it = self;
            let resource: String = $resource;
            vec![$crate::operations::admin::ask_to_administer_one($action, caller, *target, &resource)]
        }
    };
}

/// Declares that an operation administers the deployment as a whole.
macro_rules! about_the_deployment {
    ($action:literal) => {
        type Target = ();

        async fn resolve(
            &self,
            _service: &$crate::Service,
            _caller: &claviger_domain::Caller,
        ) -> Result<(), claviger_domain::Refusal> {
            Ok(())
        }

        fn demands<'a>(&'a self, _caller: &'a claviger_domain::Caller, (): &'a ()) -> Vec<$crate::operation::Ask<'a>> {
            vec![$crate::operation::Ask::resource($action, "*".to_owned(), claviger_domain::AccountId::DEPLOYMENT)]
        }
    };
}

pub(crate) use {about_an_account, about_the_deployment};

/// The account that a request administers. To callers of other accounts one that does not exist looks like one that does.
pub(crate) async fn administered_account(
    service: &Service,
    caller: &Caller,
    named: Option<AccountId>,
) -> Result<AccountId, Refusal> {
    let account = named.unwrap_or(caller.identity.account);
    if caller.identity.account == AccountId::DEPLOYMENT {
        service.records.existing_account(account).await?;
    }
    Ok(account)
}

/// The demand for an action on an account as such.
pub(crate) fn ask_to_administer<'a>(action: &'static str, caller: &Caller, account: AccountId) -> Ask<'a> {
    ask_to_administer_one(action, caller, account, "*")
}

/// The demand for an action on something in an account: `user/NAME`, `role/NAME`, `root`; `*` is the account as such. The administrator's own
/// account decides what the administrator may do elsewhere.
pub(crate) fn ask_to_administer_one<'a>(action: &'static str, caller: &Caller, account: AccountId, resource: &str) -> Ask<'a> {
    let owner = if caller.identity.account == AccountId::DEPLOYMENT { AccountId::DEPLOYMENT } else { account };
    Ask::resource(action, format!("arn:aws:iam::{account}:{resource}"), owner)
}

/// The resource that a user is, or an account's root where none is named.
pub(crate) fn user_or_root(user: Option<&UserName>) -> String {
    user.map_or_else(|| "root".to_owned(), |name| format!("user/{name}"))
}

/// Whose credentials an access key's are.
pub(crate) fn resource_of_owner(owner: &Owner) -> String {
    match owner {
        Owner::Root => "root".to_owned(),
        Owner::User(name) => format!("user/{name}"),
    }
}

/// The credentials of an account's root are for that root itself, and for the deployment's administrator, who is a root too: with them
/// anybody would become the root, whatever policies say of anybody.
pub(crate) fn must_be_a_root(caller: &Caller, action: &str, account: AccountId) -> Result<(), Refusal> {
    if caller.identity.is_root() {
        return Ok(());
    }
    let detail = format!(
        "User: {} is not authorized to perform: {action} on resource: arn:aws:iam::{account}:root because only the account's root and the \
         deployment's administrator may administer the access keys of an account's root",
        caller.identity.arn
    );
    Err(Refusal::new(Kind::AccessDenied, detail).with_reason("access keys of a root are for roots"))
}

/// An access key that a request is about: whose account, and whose credential.
pub struct OwnedAccessKey {
    pub(crate) account: AccountId,
    /// `user/NAME` or `root`; of one that does not exist `access-key/ID`, which only who may do it to all access keys hears of.
    pub(crate) resource: String,
}

impl Service {
    /// Whose access key this is, for an action on it.
    pub(crate) async fn owned_access_key(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        id: &AccessKeyId,
        action: &str,
    ) -> Result<OwnedAccessKey, Refusal> {
        let account = administered_account(self, caller, account).await?;
        // Of another account not even what there is: it is refused whatever it is.
        let known = caller.identity.account == account || caller.identity.account == AccountId::DEPLOYMENT;
        let found = if known { self.records.get::<AccessKey>(account, id.as_str()).await? } else { None };
        let resource = match found {
            Some(found) => {
                if found.value.owner == Owner::Root {
                    must_be_a_root(caller, action, account)?;
                }
                resource_of_owner(&found.value.owner)
            }
            None => format!("access-key/{id}"),
        };
        Ok(OwnedAccessKey { account, resource })
    }

    pub(crate) async fn existing_user(&self, account: AccountId, name: &UserName) -> Result<Versioned<User>, Refusal> {
        let user = self.records.get::<User>(account, name.as_str()).await?;
        user.ok_or_else(|| Refusal::not_found(format!("Account {account} has no user named {name}.")))
    }

    pub(crate) async fn existing_role(&self, account: AccountId, name: &RoleName) -> Result<Versioned<Role>, Refusal> {
        let role = self.records.get::<Role>(account, name.as_str()).await?;
        role.ok_or_else(|| Refusal::not_found(format!("Account {account} has no role named {name}.")))
    }

    pub(crate) async fn existing_access_key(
        &self,
        account: AccountId,
        id: &AccessKeyId,
    ) -> Result<Versioned<AccessKey>, Refusal> {
        let key = self.records.get::<AccessKey>(account, id.as_str()).await?;
        key.ok_or_else(|| Refusal::not_found(format!("Account {account} has no access key {id}.")))
    }
}
