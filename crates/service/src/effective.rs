//! When whoever changes something is told: at once, or when no node accepts any more what was before.

use serde::Deserialize;

use claviger_store::{Change, Expect};

/// When a change is told to whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effective {
    /// As soon as it is durable. Other nodes may accept what was before for one lease more.
    #[default]
    Immediately,
    /// One lease after it is durable. By then no node accepts what was before.
    Acknowledged,
}

impl Effective {
    /// The rule: what replaces or removes anything that another node may have cached is waited for. That is every change of a record that was there
    /// before, derived ones aside: what nobody knew before, nobody can go on believing. (Nodes do not remember that something is missing, grants
    /// aside, and a grant that is not known yet allows less and not more.)
    pub(crate) fn waits_for(self, changes: &[Change]) -> bool {
        self == Self::Acknowledged && changes.iter().any(replaces)
    }
}

fn replaces(change: &Change) -> bool {
    let there_before = match change {
        Change::Put { expect, .. } => matches!(expect, Expect::Version(_)),
        Change::Delete { .. } => true,
        Change::Check { .. } => false,
    };
    there_before && !change.key().kind.derived()
}

#[cfg(test)]
mod tests {
    use claviger_domain::AccountId;
    use claviger_store::{Record, RecordKey, RecordKind};

    use super::*;

    fn put(kind: RecordKind, expect: Expect) -> Change {
        let key = RecordKey { account: AccountId::DEPLOYMENT, kind, id: "x".to_owned() };
        let (scope, owner, due, sealed) = (String::new(), String::new(), None, Default::default());
        Change::Put { record: Record { key, version: 9, account_key_version: 1, scope, owner, due, sealed }, expect }
    }

    #[test]
    fn what_was_there_before_is_waited_for() {
        let key = |kind| RecordKey { account: AccountId::DEPLOYMENT, kind, id: "x".to_owned() };
        let waits = |change: Change| Effective::Acknowledged.waits_for(&[put(RecordKind::Grant, Expect::Absent), change]);
        assert!(waits(put(RecordKind::Key, Expect::Version(8))));
        assert!(waits(Change::Delete { key: key(RecordKind::Grant), version: 8 }));
        assert!(!waits(put(RecordKind::Key, Expect::Absent)));
        assert!(!waits(put(RecordKind::LastUse, Expect::Version(8))));
        assert!(!waits(Change::Check { key: key(RecordKind::Key), version: 8 }));
        assert!(!Effective::Immediately.waits_for(&[put(RecordKind::Key, Expect::Version(8))]));
    }
}
