//! The birth of a deployment: its id, its sealed root key, its administrator.

use std::sync::Arc;

use claviger_domain::identity::{AccessKey, Account, Owner};
use claviger_domain::{AccessKeyId, AccountId, Refusal, Timestamp};
use claviger_hsm::{AccountKey, Hsm, SealedRoot};
use claviger_store::{Change, Commit, Store};
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::accounts::create_account_key;
use crate::canaries;
use crate::node_log;
use crate::records::{Records, store_refusal};
use crate::seals::{read_root, root_key, write_root};

/// The store's facts about the deployment. They are clear: the id is public. The root key, wrapped by its seals, was one before it became a record.
const DEPLOYMENT: &str = "deployment";
pub(crate) const ROOT: &str = "root";
/// The version of the root key's record in a new deployment.
const FIRST_ROOT_RECORD: u64 = 1;

/// The names of all facts that a store may hold: for who copies one.
///
/// # Errors
/// The store cannot be read.
pub async fn facts(store: &dyn Store) -> Result<Vec<String>, Refusal> {
    let nodes = store.log_nodes().await.map_err(store_refusal)?;
    let of_nodes = nodes.iter().map(|node| crate::last_use::fact_of(node));
    Ok([DEPLOYMENT, ROOT].map(str::to_owned).into_iter().chain(of_nodes).collect())
}

/// A credential at the only moment at which its secret can be seen.
#[derive(Clone)]
pub struct InitialCredential {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The public half.
    pub access_key: AccessKeyId,
    /// The secret half. It is not kept in clear anywhere.
    pub secret: Zeroizing<String>,
}

/// What a new deployment has to tell once.
pub struct Initialized {
    /// The administrator: root of the account `000000000000`.
    pub administrator: InitialCredential,
    /// The root of the first account, when one was asked for.
    pub first_account: Option<InitialCredential>,
    /// The key that verifies the first node's audit log. To be kept outside, with the auditor.
    pub verifier_key: String,
}

/// Makes a deployment in an empty store. The deployment's id is written last: a store without it was not finished and is not opened.
///
/// # Errors
/// `AlreadyExists` when the store holds a deployment.
pub async fn initialize(
    store: Arc<dyn Store>,
    hsm: Arc<Hsm>,
    deployment: Uuid,
    root: &SealedRoot,
    node: &str,
    first_account: Option<(AccountId, &str)>,
    now: Timestamp,
) -> Result<Initialized, Refusal> {
    if read_root(store.as_ref()).await?.is_some() {
        return Err(Refusal::already_exists("This store already holds a deployment. Nothing was changed."));
    }
    let records = Records::new(Arc::clone(&store), Arc::clone(&hsm));
    let (own_key, key_change) = create_account_key(&hsm, AccountId::DEPLOYMENT)?;
    let before_the_log = vec![write_root(root, None)?, key_change];
    store.commit(Commit::new(before_the_log.clone(), Vec::new())).await.map_err(store_refusal)?;
    let verifier_key = node_log::attach(&records, deployment, node, now).await?.to_string();

    let (administrator, credential_change) = create_access_key(&records, &own_key, AccountId::DEPLOYMENT, Owner::Root, now)?;
    let own = Account { id: AccountId::DEPLOYMENT, name: "deployment".to_owned(), created: now, availability: None };
    let canary = canaries::create(&records, AccountId::DEPLOYMENT, &own_key)?;
    let mut changes = vec![credential_change, records.create_under(&own, &own_key)?, canary];
    let first_account = match first_account {
        Some((id, name)) => {
            let (credential, account_changes) = create_account(&records, Some(FIRST_ROOT_RECORD), id, name, now).await?;
            changes.extend(account_changes);
            Some(credential)
        }
        None => None,
    };
    let details = json!({"deployment": deployment.to_string()});
    node_log::write_service_event(&records, node, now, "InitializeDeployment", details, &before_the_log, changes).await?;
    store.set_fact(DEPLOYMENT, &deployment.to_string()).await.map_err(store_refusal)?;
    Ok(Initialized { administrator, first_account, verifier_key })
}

/// The deployment's id.
///
/// # Errors
/// When the store holds none.
pub async fn deployment_id(store: &dyn Store) -> Result<Uuid, Refusal> {
    let text = store.fact(DEPLOYMENT).await.map_err(store_refusal)?;
    let text =
        text.ok_or_else(|| Refusal::not_found("This store holds no finished deployment. Make one with 'claviger init'."))?;
    text.parse()
        .map_err(|_| Refusal::internal("The deployment's id in the store is not a UUID: the store was changed or is damaged."))
}

/// The deployment's root key as its seals keep it.
///
/// # Errors
/// When the store holds none, or it cannot be read.
pub async fn sealed_root(store: &dyn Store) -> Result<SealedRoot, Refusal> {
    let stored = read_root(store).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found("This store holds no deployment. Make one with 'claviger init'."))?;
    Ok(stored.root)
}

/// A new account with its key and its root's access key: the credential, and the changes that store it all. The hsm knows the root key as it is at
/// this version of its record.
pub(crate) async fn create_account(
    records: &Records,
    root_version: Option<u64>,
    id: AccountId,
    name: &str,
    now: Timestamp,
) -> Result<(InitialCredential, Vec<Change>), Refusal> {
    let root_unchanged = root_version.map(|version| Change::Check { key: root_key(), version });
    let (account_key, key_change) = create_account_key(&records.hsm, id)?;
    let (credential, credential_change) = create_access_key(records, &account_key, id, Owner::Root, now)?;
    let account = Account { id, name: name.to_owned(), created: now, availability: None };
    let own_key = records.existing_account(AccountId::DEPLOYMENT).await?;
    let account_change = records.create_under(&account, own_key.current()?)?;
    let canary = canaries::create(records, id, &account_key)?;
    let changes = [key_change, credential_change, account_change, canary].into_iter().chain(root_unchanged);
    Ok((credential, changes.collect()))
}

/// A new access key: the credential, and the change that stores it.
pub(crate) fn create_access_key(
    records: &Records,
    account_key: &AccountKey,
    account: AccountId,
    owner: Owner,
    now: Timestamp,
) -> Result<(InitialCredential, Change), Refusal> {
    let id: AccessKeyId =
        random_id(&records.hsm, "AKIA")?.parse().map_err(|_| Refusal::internal("An access key id could not be made."))?;
    let (secret, sealed_secret) = records.hsm.create_access_secret(account_key, &id)?;
    let access_key = AccessKey {
        id: id.clone(),
        account,
        owner,
        active: true,
        created: now,
        account_key_version: account_key.version(),
        sealed_secret,
    };
    let change = records.create_under(&access_key, account_key)?;
    Ok((InitialCredential { account, access_key: id, secret }, change))
}

/// A prefix and 16 random characters of base32, as IAM writes unique ids.
pub(crate) fn random_id(hsm: &Hsm, prefix: &str) -> Result<String, Refusal> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = [0; 16];
    hsm.fill_public(&mut bytes)?;
    let letters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|letter| char::from(*letter));
    Ok(prefix.chars().chain(letters).collect())
}
