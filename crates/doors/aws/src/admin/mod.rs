//! Claviger's own administration in the AWS JSON form (`X-Amz-Target: ClavigerAdmin.CreateUser`, signed for the service `claviger`), so that
//! the command line needs no second protocol. Source: docs/decisions/002-administration-in-the-aws-json-form.md.

mod create_access_key;
mod create_account;
mod create_user;
mod delete_access_key;
mod delete_user;
mod delete_user_policy;
mod fields;
mod get_status;
mod get_user_policy;
mod list_access_keys;
mod list_accounts;
mod list_user_policies;
mod list_users;
mod put_user_policy;
mod update_access_key;

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
    "CreateAccessKey" => create_access_key::CreateAccessKey,
    "CreateAccount" => create_account::CreateAccount,
    "CreateUser" => create_user::CreateUser,
    "DeleteAccessKey" => delete_access_key::DeleteAccessKey,
    "DeleteUser" => delete_user::DeleteUser,
    "DeleteUserPolicy" => delete_user_policy::DeleteUserPolicy,
    "GetStatus" => get_status::GetStatus,
    "GetUserPolicy" => get_user_policy::GetUserPolicy,
    "ListAccessKeys" => list_access_keys::ListAccessKeys,
    "ListAccounts" => list_accounts::ListAccounts,
    "ListUserPolicies" => list_user_policies::ListUserPolicies,
    "ListUsers" => list_users::ListUsers,
    "PutUserPolicy" => put_user_policy::PutUserPolicy,
    "UpdateAccessKey" => update_access_key::UpdateAccessKey,
}

const UNKNOWN: Event = Event::admin("Unknown", true);

async fn refuse(door: &Door, caller: &Caller) -> http::Response<Bytes> {
    let refusal = door.record(&caller.request, Some(caller), None, UNKNOWN, unknown_operation()).await;
    door.meters.refused_before_operation(&refusal);
    json_error(&refusal, caller.request.id)
}
