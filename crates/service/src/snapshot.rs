//! What the request path needs of a record, parsed and opened once and shared by all requests until it changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use claviger_domain::identity::{AccessKey, Role};
use claviger_domain::key::{Key, MaterialVersion};
use claviger_domain::policy::{NamedPolicy, Policy};
use claviger_domain::{KeyId, Refusal};
use claviger_hsm::{AccessSecret, Hsm, Material, SigningKey};
use claviger_store::{RecordKey, RecordKind};
use parking_lot::{Mutex, RwLock};

use crate::accounts::Versions;
use crate::records::key_record_id;

/// The version of a record that is not there yet.
pub(crate) const UNBORN: u64 = 0;

/// A key as it was at one version of its record.
pub(crate) struct KeySnapshot {
    pub(crate) key: Key,
    /// The version of its record, which a change has to name.
    pub(crate) version: u64,
    pub(crate) arn: String,
    pub(crate) policy: Arc<Policy>,
    account_key: Arc<Versions>,
    /// Opened material, in the order of `key.materials`, each at its first use.
    materials: Box<[OnceLock<Material>]>,
}

impl KeySnapshot {
    pub(crate) fn new(key: Key, version: u64, policy: Arc<Policy>, account_key: Arc<Versions>) -> Self {
        let arn = key.arn().to_string();
        let materials = key.materials.iter().map(|_| OnceLock::new()).collect();
        Self { key, version, arn, policy, account_key, materials }
    }

    /// Whether there is no record of it yet: it will be made for the request that names it.
    pub(crate) fn is_unborn(&self) -> bool {
        self.version == UNBORN
    }

    /// The material that encrypts.
    pub(crate) fn current_material(&self, hsm: &Hsm) -> Result<&Material, Refusal> {
        let current = self.key.current_index();
        current.and_then(|index| self.material_at(index, hsm)).unwrap_or_else(|| Err(self.no_material()))
    }

    /// The material that a ciphertext names by the first 16 bytes of its id; none when this key never had it.
    pub(crate) fn material(&self, short_id: &[u8], hsm: &Hsm) -> Result<Option<&Material>, Refusal> {
        let index = self.key.materials.iter().position(|material| material.id.short() == short_id);
        index.and_then(|index| self.material_at(index, hsm)).transpose()
    }

    fn material_at(&self, index: usize, hsm: &Hsm) -> Option<Result<&Material, Refusal>> {
        let (slot, version) = (self.materials.get(index)?, self.key.materials.get(index)?);
        if let Some(material) = slot.get() {
            return Some(Ok(material));
        }
        Some(self.open(version, hsm).map(|material| slot.get_or_init(|| material)))
    }

    fn open(&self, version: &MaterialVersion, hsm: &Hsm) -> Result<Material, Refusal> {
        let account_key = self.account_key.version(version.account_key_version).ok_or_else(|| self.no_material())?;
        let (id, spec) = (self.key.id, self.key.spec);
        if version.sealed.is_empty() && self.key.home.is_some() {
            return Ok(hsm.load_public_half(id, spec, version.id, &version.public_key)?);
        }
        Ok(match &version.imported {
            Some(_) => hsm.load_imported_material(account_key, id, spec, version.id, &version.sealed)?,
            None => hsm.load_material(account_key, id, spec, version.id, &version.sealed)?,
        })
    }

    /// The refusal for a key whose material is not there, or is not readable.
    pub(crate) fn no_material(&self) -> Refusal {
        Refusal::internal(format!(
            "The material of key {} cannot be opened. Ask the operator to run 'claviger store verify'.",
            self.arn
        ))
    }

    /// What identifies its record.
    pub(crate) fn record_key(&self) -> RecordKey {
        RecordKey { account: self.key.account, kind: RecordKind::Key, id: key_record_id(&self.key.region, self.key.id) }
    }

    /// About how many bytes of memory it takes. A policy that keys share is counted with each.
    pub(crate) fn weight(&self) -> usize {
        1024 + self.policy.weight() + self.key.policy.len() + 512 * self.key.materials.len()
    }

    /// The key's id.
    pub(crate) fn id(&self) -> KeyId {
        self.key.id
    }
}

/// An access key, ready to check signatures.
pub(crate) struct Credential {
    pub(crate) access_key: AccessKey,
    signing_keys: SigningKeys,
}

impl Credential {
    pub(crate) fn open(access_key: AccessKey, account_keys: &Versions, hsm: &Hsm) -> Result<Self, Refusal> {
        let account_key = account_keys.version(access_key.account_key_version).ok_or_else(|| {
            Refusal::internal("The secret of an access key cannot be opened. Ask the operator to run 'claviger store verify'.")
        })?;
        let secret = hsm.open_access_secret(account_key, &access_key.id, &access_key.sealed_secret)?;
        Ok(Self { access_key, signing_keys: SigningKeys::new(secret) })
    }

    /// The signing key for a day, Region and service, derived at first use.
    pub(crate) fn signing_key(&self, date: &str, region: &str, service: &str) -> Result<Arc<SigningKey>, Refusal> {
        self.signing_keys.of_scope(date, region, service)
    }
}

/// A credential's secret, and the signing keys that were derived from it.
pub(crate) struct SigningKeys {
    secret: AccessSecret,
    /// By scope (date/Region/service), newest last. Few: a client signs for few Regions in a day.
    by_scope: Mutex<Vec<(Box<str>, Arc<SigningKey>)>>,
}

impl SigningKeys {
    const COUNT_MAX: usize = 32;

    pub(crate) fn new(secret: AccessSecret) -> Self {
        Self { secret, by_scope: Mutex::new(Vec::new()) }
    }

    /// The signing key for a day, Region and service, derived at first use.
    pub(crate) fn of_scope(&self, date: &str, region: &str, service: &str) -> Result<Arc<SigningKey>, Refusal> {
        let is_scope = |scope: &str| {
            let mut parts = scope.split('/');
            parts.next() == Some(date) && parts.next() == Some(region) && parts.next() == Some(service)
        };
        let mut keys = self.by_scope.lock();
        if let Some((_, key)) = keys.iter().find(|(scope, _)| is_scope(scope)) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(self.secret.signing_key(date, region, service)?);
        if keys.len() >= Self::COUNT_MAX {
            keys.remove(0);
        }
        keys.push((format!("{date}/{region}/{service}").into(), Arc::clone(&key)));
        Ok(key)
    }
}

/// A role with its policies parsed.
pub(crate) struct RoleSnapshot {
    pub(crate) role: Role,
    pub(crate) trust: Arc<Policy>,
    pub(crate) policies: Vec<NamedPolicy>,
}

/// Parsed policies by their text: most keys of an account share the default one.
pub(crate) struct Policies {
    parsed: RwLock<Parsed>,
}

#[derive(Default)]
struct Parsed {
    by_text: HashMap<Arc<str>, Arc<Policy>>,
    /// About how many bytes all of them take.
    weight: usize,
}

impl Policies {
    const COUNT_MAX: usize = 4096;
    const WEIGHT_MAX: usize = 32 << 20;

    pub(crate) fn new() -> Self {
        Self { parsed: RwLock::default() }
    }

    /// The policy with this text, which was checked when it was stored.
    pub(crate) fn key_policy(&self, text: &str) -> Result<Arc<Policy>, Refusal> {
        self.parse(text, Policy::parse_key_policy)
    }

    /// The same, and the text as all those have it who have asked in this way.
    pub(crate) fn shared_key_policy(&self, text: &str) -> Result<(Arc<str>, Arc<Policy>), Refusal> {
        self.shared(text, Policy::parse_key_policy)
    }

    /// The identity policy with this text, which was checked when it was stored.
    pub(crate) fn identity_policy(&self, text: &str) -> Result<Arc<Policy>, Refusal> {
        self.parse(text, Policy::parse_identity_policy)
    }

    /// The identity policies that somebody holds, by their names.
    pub(crate) fn identity_policies(&self, texts: &BTreeMap<String, String>) -> Result<Vec<NamedPolicy>, Refusal> {
        let named = |(name, text): (&String, &String)| {
            Ok(NamedPolicy { name: name.as_str().into(), policy: self.identity_policy(text)? })
        };
        texts.iter().map(named).collect()
    }

    /// The trust policy with this text, which was checked when it was stored.
    pub(crate) fn trust_policy(&self, text: &str) -> Result<Arc<Policy>, Refusal> {
        self.parse(text, Policy::parse_trust_policy)
    }

    /// The policy of a hold-your-own-key store with this text, which was checked when it was stored.
    pub(crate) fn store_policy(&self, text: &str) -> Result<Arc<Policy>, Refusal> {
        self.parse(text, Policy::parse_store_policy)
    }

    // No text is a policy of two kinds, but for those of identities and of stores, which are read in the same way: key policies have principals and resources, trust policies only those, identity policies only these.
    fn parse(
        &self,
        text: &str,
        parse: fn(&str) -> Result<Policy, claviger_domain::policy::MalformedPolicy>,
    ) -> Result<Arc<Policy>, Refusal> {
        self.shared(text, parse).map(|(_, policy)| policy)
    }

    fn shared(
        &self,
        text: &str,
        parse: fn(&str) -> Result<Policy, claviger_domain::policy::MalformedPolicy>,
    ) -> Result<(Arc<str>, Arc<Policy>), Refusal> {
        if let Some((text, policy)) = self.parsed.read().by_text.get_key_value(text) {
            return Ok((Arc::clone(text), Arc::clone(policy)));
        }
        let policy = Arc::new(parse(text).map_err(|malformed| Refusal::malformed_policy(malformed.detail))?);
        let weight = policy.weight() + 2 * text.len();
        let mut parsed = self.parsed.write();
        if parsed.by_text.len() >= Self::COUNT_MAX || parsed.weight + weight > Self::WEIGHT_MAX {
            // Keys hold their own reference; this table only shares. Starting over is cheaper than keeping an order of use.
            *parsed = Parsed::default();
        }
        parsed.weight += weight;
        let text: Arc<str> = text.into();
        parsed.by_text.insert(Arc::clone(&text), Arc::clone(&policy));
        Ok((text, policy))
    }
}
