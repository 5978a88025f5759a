//! The keys that the service makes and manages for an account: `alias/aws/s3` and its like, made when somebody first asks for one who may
//! have it. Source: AWS KMS Developer Guide, "AWS managed keys".
//!
//! A request that names such a key before it is there is decided as if it were: [`Service::unborn_key`] is the key as it will be. The
//! pipeline makes it once everything is allowed that was asked, and nobody only wants to know (`DryRun`, `SimulatePolicy`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_audit::Hash;
use claviger_audit::merkle::leaf_hash;
use claviger_domain::key::{Alias, Key, KeySpec, KeyState, KeyUsage, Manager, Origin, RotationSchedule};
use claviger_domain::policy::service_managed_key_policy;
use claviger_domain::{AccountId, AliasName, Caller, KeyId, Refusal, Region};
use claviger_store::{Commit, StoreError};
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::store_refusal;
use crate::service::Service;
use crate::snapshot::{KeySnapshot, UNBORN};

/// The services whose keys there may be, by the last part of the alias.
const SERVICES: &[&str] = &[
    "acm",
    "backup",
    "cloud9",
    "codeartifact",
    "codecommit",
    "connect",
    "dms",
    "dynamodb",
    "ebs",
    "ec2",
    "elasticfilesystem",
    "es",
    "fsx",
    "glue",
    "kinesis",
    "kinesisvideo",
    "lambda",
    "lex",
    "lightsail",
    "managedblockchain",
    "mgh",
    "neptune",
    "rds",
    "redshift",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "workspaces",
    "xray",
];

/// Days between two rotations, which nobody can switch off.
const ROTATION_DAYS: u32 = 365;

/// The service that a key of the account is made for, by its reserved alias. The deployment's own account has no keys.
fn service_of(account: AccountId, alias: &AliasName) -> Option<&'static str> {
    let name = alias.as_str().strip_prefix("alias/aws/")?;
    SERVICES.iter().copied().find(|service| *service == name && account != AccountId::DEPLOYMENT)
}

/// What a key's policy is. That of a key which the service manages nobody can have written or changed, so it is what this version says, and
/// not what the version said that made the key.
pub(crate) fn policy_in_force(key: &Key) -> Option<String> {
    if key.manager != Manager::Service {
        return None;
    }
    let service = key.aliases.iter().find_map(|alias| service_of(key.account, alias)).unwrap_or_default();
    Some(service_managed_key_policy(key.account, service))
}

impl Service {
    /// The key behind a reserved alias of the caller's account, as it will be once it is made. None when no service has this alias, or the
    /// Region is not served.
    pub(crate) async fn unborn_key(&self, caller: &Caller, name: &AliasName) -> Result<Option<Arc<KeySnapshot>>, Refusal> {
        let (account, region, now) = (caller.identity.account, caller.request.region.clone(), caller.request.at);
        let Some(service) = service_of(account, name).filter(|_| self.serves(&region)) else { return Ok(None) };
        let mut key = Key {
            id: self.id_for(account, &region, service),
            region,
            account,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin: Origin::Internal,
            manager: Manager::Service,
            state: KeyState::Enabled,
            description: format!("Default key that protects my {service} data when no other key is defined"),
            created: now,
            policy: service_managed_key_policy(account, service).into(),
            tags: BTreeMap::new(),
            aliases: BTreeSet::from([name.clone()]),
            rotation: Some(RotationSchedule { period_days: ROTATION_DAYS, next: now.plus_days(ROTATION_DAYS) }),
            multi_region: None,
            import_secret: Vec::new(),
            home: None,
            availability: None,
            materials: Vec::new(),
        };
        self.add_material(&mut key, None, now).await?;
        let policy = self.policies.key_policy(&key.policy)?;
        let account_key = self.records.existing_account(account).await?;
        Ok(Some(Arc::new(KeySnapshot::new(key, UNBORN, policy, account_key))))
    }

    /// The id that the key has got, or will get: it follows from what the key is for, so that a refusal that names it, and is in the audit log
    /// before there is a key, names the right one. Ids are no secrets.
    fn id_for(&self, account: AccountId, region: &Region, service: &str) -> KeyId {
        let seed = format!("claviger service-managed key {} {account} {region} {service}", self.deployment);
        let Hash(hash) = leaf_hash(seed.as_bytes());
        let [id, _] = *hash.as_chunks::<16>().0 else { return KeyId::single_region(uuid::Uuid::new_v4()) };
        KeyId::single_region(uuid::Builder::from_random_bytes(id).into_uuid())
    }

    /// Makes the key, unless somebody else just did.
    pub(crate) async fn give_birth(&self, caller: &Caller, snapshot: &KeySnapshot) -> Result<(), Refusal> {
        let (key, now) = (&snapshot.key, caller.request.at);
        self.must_have_room_for_a_key(key.account, &key.region).await?;
        let mut changes = vec![self.records.create(key).await?];
        for name in &key.aliases {
            let (region, account) = (key.region.clone(), key.account);
            let alias = Alias { name: name.clone(), region, account, target: key.id, created: now, updated: now };
            changes.push(self.records.create(&alias).await?);
        }
        let names: Vec<&str> = key.aliases.iter().map(AliasName::as_str).collect();
        let act = ServiceAct {
            name: "CreateKey",
            account: key.account,
            region: &key.region,
            resource: &snapshot.arn,
            related: &[],
            at: now,
            details: json!({"aliasName": names.join(" "), "keyManager": Manager::Service.as_str()}),
            changes: &changes,
            request_id: Some(caller.request.id),
        };
        let entry = service_event(&self.node, &act)?;
        match self.commit(Commit::new(changes, vec![entry])).await {
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(store_refusal(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody can write these policies, so what an older version stored is no reason to go by it.
    #[test]
    fn the_policy_is_that_of_this_version() {
        let account = AccountId::from_number(123_456_789_012).unwrap();
        let mut key = Key {
            id: KeyId::single_region(uuid::Uuid::from_u128(1)),
            region: "us-east-1".parse().unwrap(),
            account,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin: Origin::Internal,
            manager: Manager::Service,
            state: KeyState::Enabled,
            description: String::new(),
            created: claviger_domain::Timestamp(0),
            policy: service_managed_key_policy(account, "s3").replace("kms:DescribeKey", "kms:*").into(),
            tags: BTreeMap::new(),
            aliases: BTreeSet::from(["alias/aws/s3".parse().unwrap()]),
            rotation: None,
            multi_region: None,
            import_secret: Vec::new(),
            home: None,
            availability: None,
            materials: Vec::new(),
        };
        assert_eq!(policy_in_force(&key), Some(service_managed_key_policy(account, "s3")));
        key.manager = Manager::Customer;
        assert_eq!(policy_in_force(&key), None, "this one somebody wrote");
    }

    #[test]
    fn reserved_aliases_have_their_services() {
        let account = AccountId::from_number(123_456_789_012).unwrap();
        let of = |account, name: &str| service_of(account, &name.parse().unwrap());
        assert_eq!(of(account, "alias/aws/s3"), Some("s3"));
        for name in ["alias/s3", "alias/aws/nothing", "alias/aws/x/s3", "alias/aws/s3/x", "alias/mine/aws/s3"] {
            assert_eq!(of(account, name), None, "{name}");
        }
        assert_eq!(of(AccountId::DEPLOYMENT, "alias/aws/s3"), None);
    }
}
