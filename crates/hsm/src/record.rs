//! Stored records: sealed under the account's key and bound to everything that the store shows in clear.

use claviger_domain::{AccountId, Timestamp};
use zeroize::Zeroizing;

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::{AccountKey, Hsm};

/// Which record it is. All of it is authenticated with the content, so that a row that was moved, swapped, edited or replayed under another
/// id does not open. The clear columns of the store are part of it; the rest of the content is not repeated in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordIdentity<'a> {
    /// Whose it is.
    pub account: AccountId,
    /// What kind of record: `key`, `alias`.
    pub kind: &'a str,
    /// Its id among the records of its kind.
    pub id: &'a str,
    /// Counts the changes of this record.
    pub version: u64,
    /// Which version of the account's key seals it.
    pub account_key_version: u32,
    /// What listings are narrowed by: a Region.
    pub scope: &'a str,
    /// What the record belongs to within its account: an alias's key, an access key's user.
    pub owner: &'a str,
    /// When background work has to look at it.
    pub due: Option<Timestamp>,
}

impl RecordIdentity<'_> {
    fn name(&self) -> String {
        format!("record {} {}, version {}, of account {}", self.kind, self.id, self.version, self.account)
    }
}

impl Hsm {
    /// Seals a record's content.
    pub fn seal_record(&self, key: &AccountKey, identity: &RecordIdentity<'_>, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        right_key(key, identity)?;
        key.seal(self.record_identity(identity), plaintext)
    }

    /// Opens a record's content. [`HsmError::Tampered`] names the record if it, or any part of its identity, is not what was sealed.
    pub fn open_record(
        &self,
        key: &AccountKey,
        identity: &RecordIdentity<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state.check()?;
        right_key(key, identity)?;
        key.open(sealed, || identity.name(), |blob, secret| blob.open(secret, self.record_identity(identity)))
    }

    fn record_identity(&self, identity: &RecordIdentity<'_>) -> AssociatedData {
        AssociatedData::new("record", self.deployment)
            .number(identity.account.number())
            .text(identity.kind)
            .text(identity.id)
            .number(identity.version)
            .number(identity.account_key_version.into())
            .text(identity.scope)
            .text(identity.owner)
            .optional(identity.due.map(|due| due.0))
    }
}

fn right_key(key: &AccountKey, identity: &RecordIdentity<'_>) -> Result<(), HsmError> {
    if key.account() == identity.account && key.version() == identity.account_key_version {
        return Ok(());
    }
    Err(HsmError::WrongKey(format!(
        "{} does not go with version {} of account {}'s key",
        identity.name(),
        key.version(),
        key.account()
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{account, account_key, flips, hsm, other_account, refusal, wrong_lengths};

    fn identity() -> RecordIdentity<'static> {
        RecordIdentity {
            account: account(),
            kind: "alias",
            id: "alias/payroll",
            version: 7,
            account_key_version: 1,
            scope: "eu-central-1",
            owner: "1234abcd",
            due: Some(Timestamp(0)),
        }
    }

    #[test]
    fn a_record_opens_as_what_it_is() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let sealed = hsm.seal_record(&key, &identity(), b"content").unwrap();
        assert_eq!(*hsm.open_record(&key, &identity(), &sealed).unwrap(), b"content");
        assert_eq!(crate::account_key_version(&sealed), Some(1));
    }

    #[test]
    fn a_record_that_was_touched_is_named() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let sealed = hsm.seal_record(&key, &identity(), b"content").unwrap();
        let expected = HsmError::Tampered("record alias alias/payroll, version 7, of account 123456789012".to_owned());
        for forged in flips(&sealed).chain(wrong_lengths(&sealed)) {
            assert_eq!(hsm.open_record(&key, &identity(), &forged), Err(expected.clone()), "{}", hex::encode(&forged));
        }
    }

    #[test]
    fn a_record_with_any_other_identity_does_not_open() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let sealed = hsm.seal_record(&key, &identity(), b"content").unwrap();
        let same = identity();
        let changed = [
            RecordIdentity { kind: "aliasa", id: "lias/payroll", ..same },
            RecordIdentity { kind: "key", ..same },
            RecordIdentity { id: "alias/payrol", ..same },
            RecordIdentity { version: 6, ..same },
            RecordIdentity { scope: "eu-central-2", ..same },
            RecordIdentity { scope: "", owner: "eu-central-11234abcd", ..same },
            RecordIdentity { owner: "", ..same },
            RecordIdentity { due: None, ..same },
            RecordIdentity { due: Some(Timestamp(1)), ..same },
        ];
        for other in changed {
            assert!(matches!(hsm.open_record(&key, &other, &sealed), Err(HsmError::Tampered(_))), "{other:?}");
        }
    }

    #[test]
    fn a_key_of_another_account_or_version_is_a_mistake_of_ours() {
        let hsm = hsm();
        let key = account_key(&hsm, account());
        let sealed = hsm.seal_record(&key, &identity(), b"content").unwrap();
        let moved = RecordIdentity { account: other_account(), ..identity() };
        let renewed = RecordIdentity { account_key_version: 2, ..identity() };
        for other in [moved, renewed] {
            assert!(matches!(refusal(hsm.seal_record(&key, &other, b"content")), HsmError::WrongKey(_)));
            assert!(matches!(refusal(hsm.open_record(&key, &other, &sealed)), HsmError::WrongKey(_)));
        }
        // A row copied to another account, and opened there with that account's key, was tampered with.
        let theirs = account_key(&hsm, other_account());
        assert!(matches!(refusal(hsm.open_record(&theirs, &moved, &sealed)), HsmError::Tampered(_)));
    }

    #[test]
    fn a_row_of_another_deployment_does_not_open() {
        let (here, there) = (hsm(), hsm());
        let key = account_key(&here, account());
        let sealed = here.seal_record(&key, &identity(), b"content").unwrap();
        let elsewhere = Hsm::initialize(uuid::Uuid::nil(), &[("disk", crate::testing::file(1))]).unwrap().0;
        assert!(matches!(refusal(elsewhere.open_record(&key, &identity(), &sealed)), HsmError::Tampered(_)));
        let foreign = account_key(&there, account());
        assert!(matches!(refusal(here.open_record(&foreign, &identity(), &sealed)), HsmError::Tampered(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn identities_that_differ_do_not_open_each_other(
            content in proptest::collection::vec(any::<u8>(), 0..200),
            one in (".{0,2}", ".{0,2}", 0..3_u64, ".{0,2}", ".{0,2}", proptest::option::of(0..3_i64)),
            other in (".{0,2}", ".{0,2}", 0..3_u64, ".{0,2}", ".{0,2}", proptest::option::of(0..3_i64)),
        ) {
            let hsm = hsm();
            let key = account_key(&hsm, account());
            let as_identity = |(kind, id, version, scope, owner, due): &'_ (String, String, u64, String, String, Option<i64>)| {
                // Leaked, because a closure cannot name the lifetime; a few bytes for each case.
                let text = |text: &String| -> &'static str { Box::leak(text.clone().into_boxed_str()) };
                RecordIdentity {
                    account: account(), kind: text(kind), id: text(id), version: *version, account_key_version: 1,
                    scope: text(scope), owner: text(owner), due: due.map(Timestamp),
                }
            };
            let (first, second) = (as_identity(&one), as_identity(&other));
            let sealed = hsm.seal_record(&key, &first, &content).unwrap();
            prop_assert_eq!(&*hsm.open_record(&key, &first, &sealed).unwrap(), &content);
            prop_assert_eq!(hsm.open_record(&key, &second, &sealed).is_ok(), one == other);
        }
    }
}
