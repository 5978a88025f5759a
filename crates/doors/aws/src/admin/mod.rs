//! Claviger's own administration in the AWS JSON form (`X-Amz-Target: ClavigerAdmin.CreateUser`, signed for the service `claviger`), so that
//! the command line needs no second protocol. Source: docs/decisions/002-administration-in-the-aws-json-form.md.

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
mod fields;
mod get_cluster_status;
mod get_hyok_credential;
mod get_hyok_store;
mod get_role;
mod get_role_policy;
mod get_root_status;
mod get_status;
mod get_user;
mod get_user_policy;
mod hyok;
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

use bytes::Bytes;
use claviger_domain::{Caller, Refusal};
use claviger_service::Operation;
use claviger_service::operation::Event;

use crate::door::{Door, unknown_operation};
use crate::errors::json_error;
use crate::json;
use crate::mapping::{Mapping, run};

/// The table: each name with its mapping.
macro_rules! operations {
    ($($name:literal => $mapping:ty,)*) => {
        /// Answers a request for the operation of this name.
        pub(crate) async fn dispatch(door: &Door, name: &str, caller: Caller, body: &Bytes) -> http::Response<Bytes> {
            match name {
                $($name => Box::pin(run::<$mapping>(door, caller, body)).await,)*
                _ => refuse(door, &caller).await,
            }
        }

        /// How the operation of this name appears in the audit log.
        pub(crate) fn event_named(name: &str) -> Event {
            match name {
                $($name => <$mapping as Mapping>::Operation::EVENT,)*
                _ => UNKNOWN,
            }
        }

        /// The names in the table.
        pub(crate) const OFFERED: &[&str] = &[$($name,)*];

        /// Reads a body as the request of the operation of this name, and drops it: for fuzzing.
        pub(crate) fn read_request_body(name: &str, body: &[u8]) -> Result<(), Refusal> {
            match name {
                $($name => json::read(body).and_then(<$mapping>::decode).map(drop),)*
                _ => Err(unknown_operation()),
            }
        }
    };
}

operations! {
    "AddHyokKey" => add_hyok_key::AddHyokKey,
    "AddSeal" => add_seal::AddSeal,
    "AdoptKey" => adopt_key::AdoptKey,
    "BreakGlass" => break_glass::BreakGlass,
    "CreateAccessKey" => create_access_key::CreateAccessKey,
    "CreateAccount" => create_account::CreateAccount,
    "CreateHyokStore" => create_hyok_store::CreateHyokStore,
    "CreateRole" => create_role::CreateRole,
    "CreateUser" => create_user::CreateUser,
    "DeleteAccessKey" => delete_access_key::DeleteAccessKey,
    "DeleteHyokCredential" => delete_hyok_credential::DeleteHyokCredential,
    "DeleteHyokStore" => delete_hyok_store::DeleteHyokStore,
    "DeleteRole" => delete_role::DeleteRole,
    "DeleteRolePolicy" => delete_role_policy::DeleteRolePolicy,
    "DeleteUser" => delete_user::DeleteUser,
    "DeleteUserPolicy" => delete_user_policy::DeleteUserPolicy,
    "GetClusterStatus" => get_cluster_status::GetClusterStatus,
    "GetHyokCredential" => get_hyok_credential::GetHyokCredential,
    "GetHyokStore" => get_hyok_store::GetHyokStore,
    "GetRole" => get_role::GetRole,
    "GetRolePolicy" => get_role_policy::GetRolePolicy,
    "GetRootStatus" => get_root_status::GetRootStatus,
    "GetStatus" => get_status::GetStatus,
    "GetUser" => get_user::GetUser,
    "GetUserPolicy" => get_user_policy::GetUserPolicy,
    "ListAccessKeys" => list_access_keys::ListAccessKeys,
    "ListAccounts" => list_accounts::ListAccounts,
    "ListHyokKeys" => list_hyok_keys::ListHyokKeys,
    "ListHyokStores" => list_hyok_stores::ListHyokStores,
    "ListRolePolicies" => list_role_policies::ListRolePolicies,
    "ListRoles" => list_roles::ListRoles,
    "ListSeals" => list_seals::ListSeals,
    "ListUserPolicies" => list_user_policies::ListUserPolicies,
    "ListUsers" => list_users::ListUsers,
    "PutHyokStorePolicy" => put_hyok_store_policy::PutHyokStorePolicy,
    "PutRolePolicy" => put_role_policy::PutRolePolicy,
    "PutUserPolicy" => put_user_policy::PutUserPolicy,
    "RemoveHyokKey" => remove_hyok_key::RemoveHyokKey,
    "RemoveSeal" => remove_seal::RemoveSeal,
    "RotateHyokCredential" => rotate_hyok_credential::RotateHyokCredential,
    "RotateRoot" => rotate_root::RotateRoot,
    "SetAccountAvailability" => set_account_availability::SetAccountAvailability,
    "SetKeyAvailability" => set_key_availability::SetKeyAvailability,
    "SimulatePolicy" => simulate_policy::SimulatePolicy,
    "TagRole" => tag_role::TagRole,
    "TagUser" => tag_user::TagUser,
    "UntagRole" => untag_role::UntagRole,
    "UntagUser" => untag_user::UntagUser,
    "UpdateAccessKey" => update_access_key::UpdateAccessKey,
    "UpdateAssumeRolePolicy" => update_assume_role_policy::UpdateAssumeRolePolicy,
    "UpdateHyokStore" => update_hyok_store::UpdateHyokStore,
    "VerifySeals" => verify_seals::VerifySeals,
}

const UNKNOWN: Event = Event::admin("Unknown", true);

async fn refuse(door: &Door, caller: &Caller) -> http::Response<Bytes> {
    let refusal = door.record(&caller.request, Some(caller), None, UNKNOWN, unknown_operation()).await;
    door.meters.refused_before_operation(&refusal);
    json_error(&refusal, caller.request.id)
}
