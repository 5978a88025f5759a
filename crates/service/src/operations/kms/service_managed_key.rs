//! The keys that the service makes and manages for an account: `alias/aws/s3` and its like, made when somebody first asks for one. Source:
//! AWS KMS Developer Guide, "AWS managed keys".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_domain::key::{Alias, Key, KeySpec, KeyState, KeyUsage, Manager, Origin, RotationSchedule};
use claviger_domain::policy::service_managed_key_policy;
use claviger_domain::{AccountId, AliasName, Caller, KeyId, Refusal};
use claviger_store::{Commit, StoreError};
use serde_json::json;

use crate::audit_trail::{ServiceAct, service_event};
use crate::records::store_refusal;
use crate::service::Service;

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

impl Service {
    /// Makes the key behind a reserved alias of the caller's account, unless somebody else just did. None when no service has this alias.
    pub(crate) async fn create_service_managed_key(
        &self,
        caller: &Caller,
        name: &AliasName,
    ) -> Result<Option<Arc<Alias>>, Refusal> {
        let service = name.as_str().rsplit('/').next().unwrap_or_default();
        let account = caller.identity.account;
        if !SERVICES.contains(&service) || account == AccountId::DEPLOYMENT {
            return Ok(None);
        }
        let (region, now) = (caller.request.region.clone(), caller.request.at);
        let mut key = Key {
            id: KeyId::single_region(uuid::Uuid::new_v4()),
            region: region.clone(),
            account,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin: Origin::Internal,
            manager: Manager::Service,
            state: KeyState::Enabled,
            description: format!("Default key that protects my {service} data when no other key is defined"),
            created: now,
            policy: service_managed_key_policy(account, service),
            tags: BTreeMap::new(),
            aliases: BTreeSet::from([name.clone()]),
            rotation: Some(RotationSchedule { period_days: ROTATION_DAYS, next: now.plus_days(ROTATION_DAYS) }),
            multi_region: None,
            import_secret: Vec::new(),
            home: None,
            materials: Vec::new(),
        };
        self.add_material(&mut key, None, now).await?;
        let alias = Alias { name: name.clone(), region, account, target: key.id, created: now, updated: now };
        let changes = vec![self.records.create(&key).await?, self.records.create(&alias).await?];
        let arn = key.arn().to_string();
        let act = ServiceAct {
            name: "CreateKey",
            account,
            region: &key.region,
            resource: &arn,
            related: &[],
            at: now,
            details: json!({"aliasName": name.as_str(), "keyManager": Manager::Service.as_str()}),
            changes: &changes,
            request_id: Some(caller.request.id),
        };
        let entry = service_event(&self.node, &act)?;
        match self.commit(Commit { changes, entries: vec![entry] }).await {
            Ok(()) | Err(StoreError::Conflict(_)) => self.alias(account, &key.region, name).await,
            Err(error) => Err(store_refusal(error)),
        }
    }
}
