//! Tokens: what goes out to a client and comes back, opaque and authenticated. Pagination markers; later grant and import tokens.

use crate::encoding::AssociatedData;
use crate::error::HsmError;
use crate::hierarchy::Hsm;
use crate::sealed::{self, Blob};

impl Hsm {
    /// Seals a token. Only [`Self::open_token`] with the same purpose, in the same deployment, opens it.
    pub fn seal_token(&self, purpose: &'static str, plaintext: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        let root = self.token_root()?;
        sealed::seal(&root.token, root.version, self.token_identity(purpose), plaintext)
    }

    /// Opens a token. Whatever is not one of ours is [`HsmError::InvalidToken`].
    pub fn open_token(&self, purpose: &'static str, sealed: &[u8]) -> Result<Vec<u8>, HsmError> {
        self.state.check()?;
        let opened = Blob::parse(sealed).and_then(|blob| {
            let root = self.token_root_of(blob.key_version)?;
            blob.open(&root.token, self.token_identity(purpose)).ok()
        });
        // A token's content is opaque, not secret: it leaves the wiping buffer here.
        opened.map(|mut plaintext| std::mem::take(&mut *plaintext)).ok_or(HsmError::InvalidToken)
    }

    fn token_identity(&self, purpose: &'static str) -> AssociatedData {
        AssociatedData::new("token", self.deployment).text(purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{flips, hsm, wrong_lengths};

    #[test]
    fn a_token_comes_back_for_its_purpose_only() {
        let hsm = hsm();
        let token = hsm.seal_token("ListKeys marker", b"after key 7").unwrap();
        assert_eq!(hsm.open_token("ListKeys marker", &token).unwrap(), b"after key 7");
        assert_eq!(hsm.open_token("ListAliases marker", &token), Err(HsmError::InvalidToken));
        let elsewhere = crate::testing::hsm();
        assert_eq!(elsewhere.open_token("ListKeys marker", &token), Err(HsmError::InvalidToken));
        for forged in flips(&token).chain(wrong_lengths(&token)) {
            assert_eq!(hsm.open_token("ListKeys marker", &forged), Err(HsmError::InvalidToken), "{}", hex::encode(&forged));
        }
    }
}
