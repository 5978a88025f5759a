//! Hold your own key: keys of this deployment that somebody else's cloud uses and never holds. A *hold-your-own-key store* is what the cloud
//! knows of it: a path with a credential, behind which some of an account's keys stand under names of their own.
//!
//! Here is what a store is, what it may be called, and what cutting it off means. Source: AWS KMS External Keystore (XKS) Proxy API
//! Specification.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::ids::{AccessKeyId, AccountId, ExternalKeyId, HyokStoreName, KeyId, Region, StorePath};
use crate::key::base64_bytes;
use crate::names::names;
use crate::refusal::Refusal;
use crate::timestamp::Timestamp;

names! {
    /// Whose cloud uses the keys.
    Cloud, "a cloud" {
        /// AWS KMS, with an external key store.
        Aws = "aws",
    }
}

names! {
    /// What a key may be used for through a store.
    ExternalKeyUsage, "a usage of an external key" {
        /// To encrypt.
        Encrypt = "ENCRYPT",
        /// To decrypt.
        Decrypt = "DECRYPT",
    }
}

/// A store. What is kept of it is this, sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyokStore {
    /// The account whose keys stand behind it.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: HyokStoreName,
    /// Who uses it.
    pub cloud: Cloud,
    /// Where it is found: unique in the deployment.
    pub path: StorePath,
    /// When it was made.
    pub created: Timestamp,
    /// Since when nothing of it can be used; none while it can.
    pub cut_off: Option<CutOff>,
    /// What its requests are signed with, the oldest first: one, or two while they are being exchanged.
    pub credentials: Vec<StoreCredential>,
    /// How many requests it may make in a second; none for any number.
    pub requests_per_second: Option<u32>,
    /// Patterns of subject names, one of which the client's certificate must have; none where no certificate is needed.
    pub client_subjects: Option<Vec<String>>,
    /// Certificates in PEM of authorities, one of which the client's certificate must go back to; none where the listener's are enough.
    #[serde(default)]
    pub client_authorities: Option<String>,
    /// What its requests may do, as written.
    pub policy: String,
    /// The keys behind it, by the names that the cloud has for them.
    pub keys: BTreeMap<ExternalKeyId, ExternalKey>,
}

/// What requests to a store are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCredential {
    /// The public half: 20 to 30 of `A-Z` and `2-7`.
    pub access_key: AccessKeyId,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the account key that the secret is sealed under.
    pub account_key_version: u32,
    /// The secret half, sealed.
    #[serde(with = "base64_bytes")]
    pub sealed_secret: Vec<u8>,
}

/// A key behind a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalKey {
    /// The key.
    pub key: KeyId,
    /// Its Region.
    pub region: Region,
    /// What it may be used for through this store.
    pub usage: BTreeSet<ExternalKeyUsage>,
    /// When it was put behind the store.
    pub added: Timestamp,
    /// Since when it cannot be used through this store; none while it can.
    pub cut_off: Option<CutOff>,
}

/// That something was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOff {
    /// When.
    pub at: Timestamp,
    /// By whom: the principal's ARN.
    pub by: String,
    /// Why, as people wrote it.
    pub reason: String,
}

/// Which store is found at a path. A record of the deployment, so that a path belongs to one store whichever account it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HyokPath {
    /// The path.
    pub path: StorePath,
    /// The account of the store.
    pub account: AccountId,
    /// The store.
    pub store: HyokStoreName,
}

impl HyokStore {
    /// The most credentials at a time.
    pub const CREDENTIALS_MAX: usize = 2;
    /// The most keys behind one store.
    pub const KEYS_MAX: usize = 1000;
    /// The most patterns of client certificates' subjects.
    pub const CLIENT_SUBJECTS_MAX: usize = 20;
    /// The most authorities that client certificates may go back to.
    pub const CLIENT_AUTHORITIES_MAX: usize = 10;
    /// The most bytes that their certificates take in PEM.
    pub const CLIENT_AUTHORITIES_BYTES_MAX: usize = 32_768;

    /// `arn:claviger:hyok::ACCOUNT:store/NAME`: how policies and the audit log name it.
    pub fn arn(&self) -> String {
        format!("arn:claviger:hyok::{}:store/{}", self.account, self.name)
    }

    /// `arn:claviger:hyok::ACCOUNT:store/NAME/key/ID`: how policies name a key behind it.
    pub fn key_arn(&self, key: &ExternalKeyId) -> String {
        format!("{}/key/{key}", self.arn())
    }

    /// Who its requests come from. A store of the same name that is made later is somebody else.
    pub fn identity(&self) -> Identity {
        Identity::store(self)
    }

    /// The key that the cloud calls by this name.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self, id: &ExternalKeyId) -> Result<&ExternalKey, Refusal> {
        self.keys.get(id).ok_or_else(|| Refusal::not_found(format!("The key store {} has no key {id}.", self.name)))
    }

    /// The store can be used.
    ///
    /// # Errors
    /// It is cut off.
    pub fn must_not_be_cut_off(&self) -> Result<(), Refusal> {
        match &self.cut_off {
            None => Ok(()),
            Some(_) => Err(Refusal::invalid_state(format!("The key store {} is cut off.", self.name))),
        }
    }

    /// The key can be used through this store.
    ///
    /// # Errors
    /// The store is cut off, or this key of it.
    pub fn must_offer(&self, id: &ExternalKeyId) -> Result<(), Refusal> {
        self.must_not_be_cut_off()?;
        match &self.key(id)?.cut_off {
            None => Ok(()),
            Some(_) => Err(Refusal::invalid_state(format!("The key {id} of the key store {} is cut off.", self.name))),
        }
    }

    /// Cuts off the store, or one key of it; and says whether anything changed.
    ///
    /// # Errors
    /// There is no such key.
    pub fn cut_off(&mut self, key: Option<&ExternalKeyId>, cut_off: CutOff) -> Result<bool, Refusal> {
        let place = self.place(key)?;
        let changes = place.is_none();
        place.get_or_insert(cut_off);
        Ok(changes)
    }

    /// Restores the store, or one key of it; and says whether anything changed.
    ///
    /// # Errors
    /// There is no such key.
    pub fn restore(&mut self, key: Option<&ExternalKeyId>) -> Result<bool, Refusal> {
        Ok(self.place(key)?.take().is_some())
    }

    fn place(&mut self, key: Option<&ExternalKeyId>) -> Result<&mut Option<CutOff>, Refusal> {
        let Some(id) = key else { return Ok(&mut self.cut_off) };
        match self.keys.get_mut(id) {
            Some(key) => Ok(&mut key.cut_off),
            None => Err(Refusal::not_found(format!("The key store {} has no key {id}.", self.name))),
        }
    }

    /// Whether it is for clients with certain certificates only.
    pub fn wants_certificate(&self) -> bool {
        self.client_subjects.is_some() || self.client_authorities.is_some()
    }

    /// Whether a connection with these subject names of client certificates may be used for this store.
    pub fn accepts_subjects(&self, subjects: &[Box<str>]) -> bool {
        let Some(patterns) = &self.client_subjects else { return true };
        subjects.iter().any(|subject| patterns.iter().any(|pattern| subject_matches(pattern, subject)))
    }
}

/// Whether a subject's common name fits a pattern, in which a `*` stands for one or more characters that are no dot:
/// `cks.kms.*.amazonaws.com`.
pub fn subject_matches(pattern: &str, subject: &str) -> bool {
    let (mut labels, mut names) = (pattern.split('.'), subject.split('.'));
    loop {
        match (labels.next(), names.next()) {
            (None, None) => return true,
            (Some(label), Some(name)) if label_matches(label, name) => {}
            _ => return false,
        }
    }
}

fn label_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(name),
        Some((before, after)) => {
            let fits = |part: Option<&str>, of: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(of));
            let end = name.len().checked_sub(after.len());
            name.len() > before.len() + after.len()
                && fits(name.get(..before.len()), before)
                && fits(end.and_then(|end| name.get(end..)), after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> HyokStore {
        let key = ExternalKey {
            key: "1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            usage: [ExternalKeyUsage::Encrypt].into(),
            added: Timestamp(1),
            cut_off: None,
        };
        HyokStore {
            account: "123456789012".parse().unwrap(),
            name: "payroll".parse().unwrap(),
            cloud: Cloud::Aws,
            path: "/payroll/kms/xks/v1".parse().unwrap(),
            created: Timestamp(1),
            cut_off: None,
            credentials: Vec::new(),
            requests_per_second: None,
            client_subjects: None,
            client_authorities: None,
            policy: String::new(),
            keys: [("one".parse().unwrap(), key.clone()), ("two".parse().unwrap(), key)].into(),
        }
    }

    fn alarm(at: i64) -> CutOff {
        CutOff { at: Timestamp(at), by: "arn:aws:iam::123456789012:root".to_owned(), reason: "an alarm".to_owned() }
    }

    #[test]
    fn what_is_cut_off_stays_so_until_it_is_restored_itself() {
        let (mut store, one, two) = (store(), "one".parse().unwrap(), "two".parse().unwrap());
        assert!(store.cut_off(Some(&one), alarm(1)).unwrap());
        assert!(store.must_offer(&one).is_err() && store.must_offer(&two).is_ok());
        assert!(store.cut_off(None, alarm(2)).unwrap());
        assert!(!store.cut_off(None, alarm(3)).unwrap(), "it is already");
        assert_eq!(store.cut_off, Some(alarm(2)), "and keeps when, by whom and why");
        assert!(store.must_offer(&two).is_err());
        assert!(store.restore(None).unwrap() && !store.restore(None).unwrap());
        assert!(store.must_offer(&one).is_err(), "the key was cut off for itself");
        assert!(store.restore(Some(&one)).unwrap());
        assert!(store.must_offer(&one).is_ok());
        let none = "three".parse().unwrap();
        assert!(store.cut_off(Some(&none), alarm(4)).is_err() && store.restore(Some(&none)).is_err());
        assert!(store.must_offer(&none).is_err());
    }

    #[test]
    fn subjects_are_matched_label_by_label() {
        let kms = "cks.kms.*.amazonaws.com";
        for (pattern, subject, expected) in [
            (kms, "cks.kms.eu-west-1.amazonaws.com", true),
            (kms, "CKS.kms.eu-west-1.amazonaws.com", true),
            (kms, "cks.kms..amazonaws.com", false),
            (kms, "cks.kms.a.b.amazonaws.com", false),
            (kms, "cks.kms.eu-west-1.amazonaws.com.example", false),
            (kms, "evil.cks.kms.eu-west-1.amazonaws.com", false),
            ("cks.kms.eu-*-1.amazonaws.com", "cks.kms.eu-west-1.amazonaws.com", true),
            ("cks.kms.eu-*-1.amazonaws.com", "cks.kms.eu-1.amazonaws.com", false),
            ("cks.kms.eu-*-1.amazonaws.com", "cks.kms.us-west-1.amazonaws.com", false),
            ("client", "client", true),
            ("client", "clients", false),
            ("*", "", false),
            ("", "", true),
            ("a*é", "aé", false),
        ] {
            assert_eq!(subject_matches(pattern, subject), expected, "{pattern} {subject}");
        }
        let mut store = store();
        assert!(store.accepts_subjects(&[]));
        store.client_subjects = Some(vec![kms.to_owned()]);
        assert!(!store.accepts_subjects(&[]) && !store.accepts_subjects(&["client".into()]));
        assert!(store.accepts_subjects(&["client".into(), "cks.kms.eu-west-1.amazonaws.com".into()]));
    }
}
