//! In which tokens differ from PKCS#11 as it is written. The only place that knows vendors; `docs/tokens.md` has the same table for people.
//!
//! A row is chosen by what the token says of itself. None of them is for SoftHSM2. Rows for hardware come from the vendors' documents.

use crate::wire::TokenFacts;

/// What a token does differently. How AES-GCM is called with these: `uses.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quirks {
    /// Makes the IV of AES-GCM itself, and writes it into a buffer that has to be all zero before.
    pub(super) makes_own_iv: bool,
    /// Makes the IV of AES-GCM itself, and puts it behind ciphertext and tag.
    pub(super) iv_behind: bool,
}

struct Row {
    name: &'static str,
    manufacturer: &'static str,
    model: &'static str,
    apply: fn(&mut Quirks),
}

/// The table. A row applies when manufacturer and model begin with these words, whatever their case.
const ROWS: &[Row] = &[
    Row {
        // AWS CloudHSM Client SDK 5, "Supported mechanisms for the PKCS #11 library": the HSM makes the IV, and `pIV` has to be zeroized.
        name: "own-iv",
        manufacturer: "Marvell Semiconductors",
        model: "",
        apply: |quirks| quirks.makes_own_iv = true,
    },
    Row {
        // The same clusters under their older name.
        name: "own-iv",
        manufacturer: "Cavium",
        model: "",
        apply: |quirks| quirks.makes_own_iv = true,
    },
    Row { name: "own-iv", manufacturer: "AWS", model: "", apply: |quirks| quirks.makes_own_iv = true },
    Row {
        // Thales Luna 7 SDK, "CKM_AES_GCM": in FIPS mode the HSM makes an IV of 16 bytes, and it is the last 16 bytes of the output.
        name: "iv-behind",
        manufacturer: "SafeNet",
        model: "",
        apply: |quirks| quirks.iv_behind = true,
    },
    Row { name: "iv-behind", manufacturer: "Thales", model: "", apply: |quirks| quirks.iv_behind = true },
];

impl Quirks {
    /// The quirks of a token; notes in its facts which rows were applied.
    pub(super) fn of(facts: &mut TokenFacts) -> Self {
        let begins = |text: &str, with: &str| text.to_lowercase().starts_with(&with.to_lowercase());
        let mut quirks = Self::default();
        for row in ROWS.iter().filter(|row| begins(&facts.manufacturer, row.manufacturer) && begins(&facts.model, row.model)) {
            (row.apply)(&mut quirks);
            if !facts.quirks.iter().any(|name| name == row.name) {
                facts.quirks.push(row.name.to_owned());
            }
        }
        quirks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(manufacturer: &str, model: &str) -> TokenFacts {
        let text = String::new;
        TokenFacts {
            label: text(),
            serial: text(),
            manufacturer: manufacturer.into(),
            model: model.into(),
            firmware: text(),
            library: text(),
            abilities: vec![],
            quirks: vec![],
        }
    }

    #[test]
    fn rows_are_chosen_by_manufacturer_and_model() {
        let mut plain = facts("SoftHSM project", "SoftHSM v2");
        assert_eq!(Quirks::of(&mut plain), Quirks::default());
        assert!(plain.quirks.is_empty());
        let mut cloud = facts("Marvell Semiconductors, Inc.", "NITROX-III");
        assert!(Quirks::of(&mut cloud).makes_own_iv);
        assert_eq!(cloud.quirks, ["own-iv"]);
        assert!(Quirks::of(&mut facts("safenet, inc.", "LunaSA 7.7.0")).iv_behind);
        assert!(!Quirks::of(&mut facts("Yubico", "YubiHSM")).iv_behind);
    }
}
