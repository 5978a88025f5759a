//! What a key's record keeps of a key in a cluster.

use claviger_domain::Refusal;

use super::pool::unreadable;

/// Records keep these bytes: an old version is read for ever.
const VERSION: u8 = 1;
const ADOPTED: u8 = 1;

/// A key in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolReference {
    /// Whether it was there before us, and so stays when we are done with it.
    pub(super) adopted: bool,
    /// The tokens that it was put on. Others may have it by now.
    pub(super) tokens: Vec<String>,
    /// What finds it in each of them.
    pub(super) key: Vec<u8>,
}

impl PoolReference {
    /// Version, flags, the number of tokens, each name with its length before it, and the reference that all tokens understand.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, if self.adopted { ADOPTED } else { 0 }];
        let named: Vec<&String> =
            self.tokens.iter().filter(|name| name.len() <= usize::from(u8::MAX)).take(usize::from(u8::MAX)).collect();
        bytes.push(u8::try_from(named.len()).unwrap_or(0));
        for name in named {
            bytes.push(u8::try_from(name.len()).unwrap_or(0));
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&self.key);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or_else(unreadable)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let ([version, flags, count], mut rest) = bytes.split_first_chunk::<3>()?;
        if *version != VERSION || *flags > ADOPTED {
            return None;
        }
        let mut tokens = Vec::new();
        for _ in 0..*count {
            let (length, behind) = rest.split_first()?;
            let (name, behind) = behind.split_at_checked(usize::from(*length))?;
            tokens.push(String::from_utf8(name.to_vec()).ok()?);
            rest = behind;
        }
        Some(Self { adopted: *flags == ADOPTED, tokens, key: rest.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_read_for_ever() {
        let reference = PoolReference { adopted: true, tokens: vec!["one".into(), "t".into()], key: vec![7, 8] };
        let kept = [1, 1, 2, 3, b'o', b'n', b'e', 1, b't', 7, 8];
        assert_eq!(reference.to_bytes(), kept);
        assert_eq!(PoolReference::parse(&kept).unwrap(), reference);
        for length in 0..9 {
            assert!(PoolReference::parse(&kept[..length]).is_err(), "{length}");
        }
        assert!(PoolReference::parse(&[2, 0, 0]).is_err(), "newer");
    }
}
