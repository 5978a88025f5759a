//! How much an account may have, and how often it may ask: every number that AWS has a quota for, in one place.
//!
//! What an account may have is checked where it is made; how often it may ask, by `throttle.rs`. Numbers that a deployment may want to
//! change are fields here, with AWS's as their defaults; those that AWS itself never changes are constants.
//!
//! Sources: AWS KMS Developer Guide, "Resource quotas" and "Request quotas" (2025); AWS IAM User Guide, "IAM and AWS STS quotas"; texts
//! recorded from AWS KMS and AWS IAM.

use std::collections::HashMap;
use std::sync::Arc;

use claviger_domain::key::{DataKeyPairSpec, EncryptionAlgorithm, SigningAlgorithm};
use claviger_domain::{AccountId, Refusal};

/// How many custom key stores an account may have in each Region.
pub const CUSTOM_KEY_STORES: u64 = 10;
/// How many tags a key may have.
pub const TAGS_PER_KEY: usize = 50;
/// How many access keys one principal may have.
pub const ACCESS_KEYS_PER_PRINCIPAL: usize = 2;
/// How many inline policies one user or role may have, so that a request need not weigh more. AWS counts their characters instead.
pub const POLICIES_PER_USER: usize = 20;

/// The quotas of a deployment: for every account, and for those that have their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quotas {
    /// For every account that has none of its own.
    pub every: AccountQuotas,
    /// For these accounts.
    pub accounts: HashMap<AccountId, AccountQuotas>,
}

/// The quotas of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountQuotas {
    /// What it may have.
    pub resources: ResourceQuotas,
    /// How often it may ask, in each Region.
    pub rates: Arc<Rates>,
}

/// What an account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceQuotas {
    /// Keys in each Region, whatever their state.
    pub keys: u64,
    /// Aliases of one key.
    pub aliases_per_key: u64,
    /// Grants on one key.
    pub grants_per_key: u64,
    /// Rotations on demand of one key, in its whole life.
    pub on_demand_rotations_per_key: u64,
    /// Users.
    pub users: u64,
    /// Roles.
    pub roles: u64,
    /// Characters of all identity policies of a user together, without white space. Source: AWS IAM and STS quotas, "IAM entity character
    /// limits".
    pub user_policy_characters: u64,
    /// The same of a role.
    pub role_policy_characters: u64,
}

impl Default for ResourceQuotas {
    fn default() -> Self {
        Self {
            keys: 100_000,
            aliases_per_key: 50,
            grants_per_key: 50_000,
            on_demand_rotations_per_key: 25,
            users: 5000,
            roles: 1000,
            user_policy_characters: 2048,
            role_policy_characters: 10_240,
        }
    }
}

impl Quotas {
    /// The quotas of this account.
    pub fn of(&self, account: AccountId) -> &AccountQuotas {
        self.accounts.get(&account).unwrap_or(&self.every)
    }
}

/// Refuses what would be one too many of what AWS KMS counts: "Key", "Aliases per key".
pub(crate) fn check_room(what: &str, quota: u64, usage: u64) -> Result<(), Refusal> {
    if usage < quota {
        return Ok(());
    }
    Err(Refusal::limit_exceeded(format!("{what} quota for this account in this region is {quota}, current usage is {usage}.")))
}

/// Refuses what would be one too many of what AWS IAM counts: "UsersPerAccount".
pub(crate) fn check_room_in_account(what: &str, quota: u64, usage: u64) -> Result<(), Refusal> {
    if usage < quota { Ok(()) } else { Err(Refusal::limit_exceeded(format!("Cannot exceed quota for {what}: {quota}"))) }
}

/// Refuses identity policies that are too long together, counted as AWS IAM does: without white space. `whose` is `user NAME` or `role NAME`.
pub(crate) fn check_policy_size<'a>(whose: &str, policies: impl Iterator<Item = &'a String>, quota: u64) -> Result<(), Refusal> {
    let characters: usize = policies.map(|policy| policy.chars().filter(|letter| !letter.is_whitespace()).count()).sum();
    if characters as u64 <= quota {
        return Ok(());
    }
    Err(Refusal::limit_exceeded(format!("Maximum policy size of {quota} bytes exceeded for {whose}")))
}

/// So many requests in a second, as many of them at once; where it is less than one, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds between two requests.
    pub(crate) interval_ns: u64,
}

impl Rate {
    /// The least and the greatest rate that make sense: one request in a quarter of an hour, and a million in a second.
    pub const PER_SECOND: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

    /// A rate in requests per second; none outside of [`Rate::PER_SECOND`].
    pub fn per_second(requests: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range keeps it between 1,000 and 10^12")]
        Self::PER_SECOND.contains(&requests).then(|| Self { interval_ns: (SECOND_NS / requests).round() as u64 })
    }
}

const SECOND_NS: f64 = 1e9;

/// The rates of an account, by class. A class without one is not limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    by_class: Vec<Option<Rate>>,
}

impl Default for Rates {
    fn default() -> Self {
        Self::unlimited()
    }
}

impl Rates {
    /// No limit on anything.
    pub fn unlimited() -> Self {
        Self { by_class: vec![None; CLASSES.len()] }
    }

    /// AWS's numbers, of the Regions that have no higher ones.
    pub fn aws() -> Self {
        Self { by_class: CLASSES.iter().map(|(_, rate)| Rate::per_second((*rate).into())).collect() }
    }

    /// The same, with another rate for one class; none for no limit.
    pub fn set(&mut self, class: RateClass, rate: Option<Rate>) {
        if let Some(slot) = self.by_class.get_mut(class.index()) {
            *slot = rate;
        }
    }

    /// The rate of this class.
    pub fn of(&self, class: RateClass) -> Option<Rate> {
        self.by_class.get(class.index()).copied().flatten()
    }

    /// Whether nothing is limited.
    pub fn are_unlimited(&self) -> bool {
        self.by_class.iter().all(Option::is_none)
    }
}

/// What is counted together: the cryptographic operations on one kind of keys, or one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateClass(u8);

/// The classes that one request counts against; the second is for what it does besides, as in ReEncrypt.
pub type RateClasses = [Option<RateClass>; 2];

/// The classes, with AWS's requests per second. The names of the shared ones are those of the quotas, as settings are spelled; the others are
/// the names of the operations. ML-KEM is not in AWS's table: it has the numbers of ML-DSA and of elliptic curves here.
const CLASSES: &[(&str, u32)] = &[
    ("cryptographic_symmetric", 10_000),
    ("cryptographic_rsa", 1000),
    ("cryptographic_ecc", 1000),
    ("cryptographic_ml_dsa", 1000),
    ("cryptographic_ml_kem", 1000),
    ("data_key_pair_ecc_nist_edwards25519", 100),
    ("data_key_pair_ecc_nist_p256", 100),
    ("data_key_pair_ecc_nist_p384", 100),
    ("data_key_pair_ecc_nist_p521", 100),
    ("data_key_pair_ecc_secg_p256k1", 100),
    ("data_key_pair_ml_kem", 100),
    ("data_key_pair_rsa_2048", 20),
    ("data_key_pair_rsa_3072", 4),
    ("data_key_pair_rsa_4096", 1),
    ("data_key_pair_sm2", 25),
    ("CancelKeyDeletion", 5),
    ("ConnectCustomKeyStore", 5),
    ("CreateAlias", 5),
    ("CreateCustomKeyStore", 5),
    ("CreateGrant", 50),
    ("CreateKey", 5),
    ("DeleteAlias", 15),
    ("DeleteCustomKeyStore", 5),
    ("DeleteImportedKeyMaterial", 15),
    ("DescribeCustomKeyStores", 5),
    ("DescribeKey", 2000),
    ("DisableKey", 5),
    ("DisableKeyRotation", 5),
    ("DisconnectCustomKeyStore", 5),
    ("EnableKey", 5),
    ("EnableKeyRotation", 15),
    ("GetKeyLastUsage", 5),
    ("GetKeyPolicy", 1000),
    ("GetKeyRotationStatus", 1000),
    ("GetParametersForImport", 1),
    ("GetPublicKey", 2000),
    ("ImportKeyMaterial", 15),
    ("ListAliases", 500),
    ("ListGrants", 100),
    ("ListKeyPolicies", 100),
    ("ListKeyRotations", 100),
    ("ListKeys", 500),
    ("ListResourceTags", 2000),
    ("ListRetirableGrants", 100),
    ("PutKeyPolicy", 15),
    ("ReplicateKey", 5),
    ("RetireGrant", 50),
    ("RevokeGrant", 50),
    ("RotateKeyOnDemand", 5),
    ("ScheduleKeyDeletion", 15),
    ("TagResource", 10),
    ("UntagResource", 5),
    ("UpdateAlias", 5),
    ("UpdateCustomKeyStore", 5),
    ("UpdateKeyDescription", 5),
    ("UpdatePrimaryRegion", 5),
];

/// The operations that share a class, with the class of a request that does not say more.
const SHARED: &[(&str, RateClass)] = &[
    ("Decapsulate", RateClass::ML_KEM),
    ("Decrypt", RateClass::SYMMETRIC),
    ("DeriveSharedSecret", RateClass::ECC),
    ("Encapsulate", RateClass::ML_KEM),
    ("Encrypt", RateClass::SYMMETRIC),
    ("GenerateDataKey", RateClass::SYMMETRIC),
    ("GenerateDataKeyPair", RateClass::named("data_key_pair_ecc_nist_p256")),
    ("GenerateDataKeyPairWithoutPlaintext", RateClass::named("data_key_pair_ecc_nist_p256")),
    ("GenerateDataKeyWithoutPlaintext", RateClass::SYMMETRIC),
    ("GenerateMac", RateClass::SYMMETRIC),
    ("GenerateRandom", RateClass::SYMMETRIC),
    ("ReEncrypt", RateClass::SYMMETRIC),
    ("Sign", RateClass::ECC),
    ("Verify", RateClass::ECC),
    ("VerifyMac", RateClass::SYMMETRIC),
];

impl RateClass {
    /// Cryptographic operations on symmetric keys, HMAC keys among them.
    pub const SYMMETRIC: Self = Self::named("cryptographic_symmetric");
    /// Cryptographic operations on RSA keys.
    pub const RSA: Self = Self::named("cryptographic_rsa");
    /// Cryptographic operations on keys on elliptic curves, SM2 among them.
    pub const ECC: Self = Self::named("cryptographic_ecc");
    /// Cryptographic operations on ML-DSA keys.
    pub const ML_DSA: Self = Self::named("cryptographic_ml_dsa");
    /// Cryptographic operations on ML-KEM keys.
    pub const ML_KEM: Self = Self::named("cryptographic_ml_kem");

    /// How many there are.
    pub(crate) const COUNT: usize = CLASSES.len();

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        CLASSES.iter().filter_map(|(name, _)| find(name, CLASSES, 0))
    }

    /// The class of this name.
    pub fn parse(name: &str) -> Option<Self> {
        find(name, CLASSES, 0)
    }

    /// Its name, as the configuration spells it.
    pub fn name(self) -> &'static str {
        CLASSES.get(self.index()).map_or("", |(name, _)| name)
    }

    /// The class of an operation's requests that do not say more; none for operations that are not limited.
    pub(crate) const fn of_operation(name: &str) -> Option<Self> {
        match find_shared(name, SHARED) {
            Some(class) => Some(class),
            // The shared classes are not named like any operation.
            None => find(name, CLASSES, 0),
        }
    }

    /// The class of an operation that encrypts or decrypts so.
    pub fn of_encryption(algorithm: EncryptionAlgorithm) -> Self {
        match algorithm {
            EncryptionAlgorithm::SymmetricDefault => Self::SYMMETRIC,
            EncryptionAlgorithm::RsaesOaepSha1 | EncryptionAlgorithm::RsaesOaepSha256 => Self::RSA,
            EncryptionAlgorithm::Sm2pke => Self::ECC,
        }
    }

    /// The class of Sign and Verify with this algorithm.
    pub fn of_signing(algorithm: SigningAlgorithm) -> Self {
        use SigningAlgorithm as S;
        match algorithm {
            S::RsassaPssSha256
            | S::RsassaPssSha384
            | S::RsassaPssSha512
            | S::RsassaPkcs1V15Sha256
            | S::RsassaPkcs1V15Sha384
            | S::RsassaPkcs1V15Sha512 => Self::RSA,
            S::EcdsaSha256 | S::EcdsaSha384 | S::EcdsaSha512 | S::Sm2dsa | S::Ed25519Sha512 | S::Ed25519PhSha512 => Self::ECC,
            S::MlDsaShake256 => Self::ML_DSA,
        }
    }

    /// The class of making a data key pair.
    pub fn of_key_pair(spec: DataKeyPairSpec) -> Self {
        match spec {
            DataKeyPairSpec::Rsa2048 => const { Self::named("data_key_pair_rsa_2048") },
            DataKeyPairSpec::Rsa3072 => const { Self::named("data_key_pair_rsa_3072") },
            DataKeyPairSpec::Rsa4096 => const { Self::named("data_key_pair_rsa_4096") },
            DataKeyPairSpec::EccNistP256 => const { Self::named("data_key_pair_ecc_nist_p256") },
            DataKeyPairSpec::EccNistP384 => const { Self::named("data_key_pair_ecc_nist_p384") },
            DataKeyPairSpec::EccNistP521 => const { Self::named("data_key_pair_ecc_nist_p521") },
            DataKeyPairSpec::EccSecgP256k1 => const { Self::named("data_key_pair_ecc_secg_p256k1") },
            DataKeyPairSpec::Sm2 => const { Self::named("data_key_pair_sm2") },
            DataKeyPairSpec::EccNistEdwards25519 => const { Self::named("data_key_pair_ecc_nist_edwards25519") },
            DataKeyPairSpec::MlKem512 | DataKeyPairSpec::MlKem768 | DataKeyPairSpec::MlKem1024 => {
                const { Self::named("data_key_pair_ml_kem") }
            }
        }
    }

    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// A class of the table, known when the program is built.
    const fn named(name: &str) -> Self {
        match find(name, CLASSES, 0) {
            Some(class) => class,
            // No class of the table; a test says that no name comes to this.
            None => Self(u8::MAX),
        }
    }
}

const fn find(name: &str, classes: &[(&str, u32)], at: u8) -> Option<RateClass> {
    match classes {
        [] => None,
        [(first, _), ..] if equal(first.as_bytes(), name.as_bytes()) => Some(RateClass(at)),
        [_, rest @ ..] => find(name, rest, at + 1),
    }
}

const fn find_shared(name: &str, shared: &[(&str, RateClass)]) -> Option<RateClass> {
    match shared {
        [] => None,
        [(first, class), ..] if equal(first.as_bytes(), name.as_bytes()) => Some(*class),
        [_, rest @ ..] => find_shared(name, rest),
    }
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([first, one @ ..], [second, other @ ..]) if *first == *second => equal(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = RateClass::all().map(RateClass::name).collect();
        assert_eq!(names.len(), RateClass::COUNT);
        for class in RateClass::all() {
            assert_eq!(RateClass::parse(class.name()), Some(class));
        }
        for (operation, class) in SHARED {
            assert!(class.index() < RateClass::COUNT, "{operation}");
            assert_eq!(RateClass::parse(operation), None, "{operation} is in both tables");
        }
        let pairs = DataKeyPairSpec::ALL.iter().map(|spec| RateClass::of_key_pair(*spec));
        let signing = SigningAlgorithm::ALL.iter().map(|algorithm| RateClass::of_signing(*algorithm));
        let encryption = EncryptionAlgorithm::ALL.iter().map(|algorithm| RateClass::of_encryption(*algorithm));
        for class in pairs.chain(signing).chain(encryption).chain([RateClass::ML_KEM, RateClass::SYMMETRIC]) {
            assert!(class.index() < RateClass::COUNT);
        }
    }

    #[test]
    fn requests_that_say_which_keys_they_use_are_counted_with_their_like() {
        let class = RateClass::of_key_pair(DataKeyPairSpec::EccSecgP256k1);
        assert_eq!(class.name(), "data_key_pair_ecc_secg_p256k1");
        assert_eq!(RateClass::of_key_pair(DataKeyPairSpec::Rsa4096).name(), "data_key_pair_rsa_4096");
        assert_eq!(RateClass::of_signing(SigningAlgorithm::RsassaPssSha256), RateClass::RSA);
        assert_eq!(RateClass::of_signing(SigningAlgorithm::MlDsaShake256), RateClass::ML_DSA);
        assert_eq!(RateClass::of_signing(SigningAlgorithm::Ed25519Sha512), RateClass::ECC);
        assert_eq!(RateClass::of_encryption(EncryptionAlgorithm::SymmetricDefault), RateClass::SYMMETRIC);
        assert_eq!(RateClass::of_operation("CreateKey").map(RateClass::name), Some("CreateKey"));
        assert_eq!(RateClass::of_operation("VerifyMac"), Some(RateClass::SYMMETRIC));
        assert_eq!(RateClass::of_operation("GetCallerIdentity"), None);
        assert_eq!(RateClass::of_operation("CreateUser"), None);
    }

    #[test]
    fn rates_have_bounds() {
        assert_eq!(Rate::per_second(4.0).unwrap().interval_ns, 250_000_000);
        assert_eq!(Rate::per_second(0.1).unwrap().interval_ns, 10_000_000_000);
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY, 0.0001, 1e7] {
            assert_eq!(Rate::per_second(none), None, "{none}");
        }
        let mut rates = Rates::aws();
        let class = RateClass::parse("CreateKey").unwrap();
        assert_eq!(rates.of(class), Rate::per_second(5.0));
        rates.set(class, None);
        assert_eq!(rates.of(class), None);
        assert!(Rates::unlimited().are_unlimited() && !rates.are_unlimited());
    }

    #[test]
    fn what_is_one_too_many_is_refused_in_awss_words() {
        assert!(check_room("Key", 2, 1).is_ok());
        let refusal = check_room("Aliases per key", 50, 50).unwrap_err();
        assert_eq!(refusal.detail, "Aliases per key quota for this account in this region is 50, current usage is 50.");
        let refusal = check_room_in_account("UsersPerAccount", 5000, 5000).unwrap_err();
        assert_eq!(refusal.detail, "Cannot exceed quota for UsersPerAccount: 5000");
    }
}
