//! Shards and epochs: how a node learns what it may still believe.

use crate::RecordKey;

/// The epoch of every shard: how often a commit has changed something in it.
pub type Epochs = [u64; Shard::COUNT];

/// One of 64 parts of the store, each with an epoch that moves with every change in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

impl Shard {
    /// How many shards there are.
    pub const COUNT: usize = 64;

    /// The shard of a record. Depends on account and id only, so that a key and what is stored beside it under the same id
    /// (when it was last used) share a shard; of what belongs to a key, on the key's part of the id. The same on every node and in every version: it decides what caches throw away.
    pub fn of(key: &RecordKey) -> Self {
        // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), then a multiply and shift so that the top bits depend on all input.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let account = key.account.number().to_be_bytes();
        let id = match key.id.rsplit_once('/') {
            Some((of_key, _)) if key.kind.belongs_to_key() => of_key,
            _ => &key.id,
        };
        let hash = account.iter().chain(id.as_bytes()).fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
        let top = (hash ^ (hash >> 32)).wrapping_mul(SPREAD) >> 58;
        Self(u8::try_from(top).unwrap_or_default())
    }

    /// The shard with this number, 0 to 63.
    pub fn from_number(number: usize) -> Option<Self> {
        if number < Self::COUNT { u8::try_from(number).ok().map(Self) } else { None }
    }

    /// Its number, 0 to 63: the index into [`Epochs`].
    pub fn number(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordKind;

    fn key(account: u64, kind: RecordKind, id: &str) -> RecordKey {
        RecordKey { account: claviger_domain::AccountId::from_number(account).unwrap(), kind, id: id.into() }
    }

    #[test]
    fn the_shard_of_a_record_never_changes() {
        let golden = [
            (0, "", 36),
            (123_456_789_012, "us-east-1/1234abcd-12ab-34cd-56ef-1234567890ab", 59),
            (123_456_789_012, "us-east-1/alias/payroll", 27),
            (999_999_999_999, "AKIAIOSFODNN7EXAMPLE", 53),
        ];
        let found: Vec<_> = golden
            .iter()
            .map(|(account, id, _)| (*account, *id, Shard::of(&key(*account, RecordKind::Key, id)).number()))
            .collect();
        assert_eq!(found, golden);
    }

    #[test]
    fn records_of_one_id_share_a_shard() {
        let own = |kind: &RecordKind| !kind.belongs_to_key();
        let shards: Vec<_> =
            RecordKind::ALL.into_iter().filter(own).map(|kind| Shard::of(&key(7, kind, "us-east-1/x"))).collect();
        assert!(shards.len() > 5 && shards.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn what_belongs_to_a_key_shares_its_shard() {
        for number in 0..100 {
            let id = format!("us-east-1/{number}");
            let of_key = Shard::of(&key(7, RecordKind::Key, &id));
            for kind in RecordKind::ALL.into_iter().filter(|kind| kind.belongs_to_key()) {
                for own in ["", "a", "b"] {
                    assert_eq!(Shard::of(&key(7, kind, &format!("{id}/{own}"))), of_key, "{kind} {id} {own}");
                }
            }
        }
    }

    #[test]
    fn shards_are_filled_evenly() {
        let mut filled = [0_u32; Shard::COUNT];
        for number in 0..64_000_u32 {
            filled[Shard::of(&key(123_456_789_012, RecordKind::Key, &format!("us-east-1/{number:08x}"))).number()] += 1;
        }
        assert!(filled.iter().all(|count| (800..1200).contains(count)), "{filled:?}");
    }
}
