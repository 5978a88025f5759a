use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::hierarchy::Hsm;
use crate::testing::{CHEAP, DEPLOYMENT, file, flips, passphrase, refusal};

fn why<T>(result: Result<T, HsmError>) -> (String, String) {
    match refusal(result) {
        HsmError::SealRefused { seal, why } => (seal, why),
        other => panic!("{other}"),
    }
}

/// A deployment with a seal of three of five shares, and their texts.
fn shared() -> (Hsm, SealedRoot, PrintedShares) {
    let seals = [("people".to_owned(), NewSeal::Shares { threshold: 3, count: 5 })];
    let (hsm, root, mut printed) = Hsm::initialize_with(DEPLOYMENT, &seals).unwrap();
    (hsm, root, printed.pop().unwrap())
}

fn shares(printed: &PrintedShares, numbers: &[usize]) -> SealSecret {
    SealSecret::Shares(numbers.iter().map(|number| Share::parse(&printed[number - 1]).unwrap()).collect())
}

/// Whether these shares open the seal, without the self-tests that a whole opening begins with.
fn opens(root: &SealedRoot, secret: &SealSecret) -> Result<(), HsmError> {
    root.choose(Some("people"), secret).and_then(|seal| seal.open(DEPLOYMENT, secret)).map(drop)
}

#[test]
fn any_three_of_five_shares_open_and_two_do_not() {
    let (hsm, root, printed) = shared();
    assert_eq!(printed.len(), 5);
    let root: SealedRoot = serde_json::from_str(&serde_json::to_string(&root).unwrap()).unwrap();
    for numbers in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
        hsm.verify_seal(&root, "people", &shares(&printed, &numbers)).unwrap();
    }
    hsm.verify_seal(&root, "people", &shares(&printed, &[1, 2, 3, 4, 5])).unwrap();
    hsm.verify_seal(&root, "people", &shares(&printed, &[2, 2, 4, 2, 5])).unwrap();
    for numbers in [&[][..], &[1, 2], &[4, 4, 4, 4]] {
        let (seal, reason) = why(opens(&root, &shares(&printed, numbers)));
        assert!(seal == "people" && reason.contains("of 3 shares are here"), "{reason}");
    }
    assert!(Hsm::open(DEPLOYMENT, &root, None, &shares(&printed, &[1, 4, 5])).is_ok());
}

#[test]
fn a_share_is_verified_without_the_others_and_a_wrong_one_is_named() {
    let (hsm, root, printed) = shared();
    for (number, text) in (1..).zip(&printed) {
        let share = Share::parse(text).unwrap();
        let seal = root.verify_share(DEPLOYMENT, &share).unwrap();
        assert_eq!((seal.name.as_str(), seal.threshold, seal.count, share.index()), ("people", 3, 5, number));
    }
    let (_, other_root, other) = shared();
    let foreign = Share::parse(&other[1]).unwrap();
    let (_, reason) = why(root.verify_share(DEPLOYMENT, &foreign));
    assert!(reason.contains(&foreign.set()) && reason.contains("(people)"), "{reason}");
    assert!(root.verify_share(Uuid::nil(), &Share::parse(&printed[0]).unwrap()).is_err(), "another deployment");
    // Two of the right ones and one of another splitting.
    let mixed = SealSecret::Shares(vec![Share::parse(&printed[0]).unwrap(), foreign, Share::parse(&printed[2]).unwrap()]);
    assert!(why(opens(&root, &mixed)).1.contains("share 2 is of set"));
    // A share of the right set whose value was made up: the record of its check says so.
    let mut changed = serde_json::to_value(&root).unwrap();
    changed["seals"][0]["kind"]["checks"][1] =
        serde_json::to_value(&other_root).unwrap()["seals"][0]["kind"]["checks"][1].clone();
    let changed: SealedRoot = serde_json::from_value(changed).unwrap();
    let (_, reason) = why(changed.verify_share(DEPLOYMENT, &Share::parse(&printed[1]).unwrap()));
    assert!(reason.contains("share 2 is not the one that was made"), "{reason}");
    assert!(why(hsm.verify_seal(&root, "people", &file(1))).1.contains("of kind shares"));
    // A new seal is not made of old shares.
    assert!(hsm.add_seal(&root, "again", &shares(&printed, &[1, 2, 3])).is_err());
}

#[test]
fn thresholds_that_make_no_sense_are_refused() {
    for (threshold, count) in [(0, 5), (1, 5), (1, 1), (3, 2), (2, 65), (255, 255)] {
        let seals = [("people".to_owned(), NewSeal::Shares { threshold, count })];
        assert!(Hsm::initialize_with(DEPLOYMENT, &seals).is_err(), "{threshold} of {count}");
    }
}

#[test]
fn a_seal_of_shares_stands_beside_others() {
    let (hsm, root) = Hsm::initialize_with_cost(DEPLOYMENT, &[("disk", file(1))], CHEAP).unwrap();
    let (root, printed) = hsm.add_new_seal(&root, "people", &NewSeal::Shares { threshold: 2, count: 3 }, CHEAP).unwrap();
    let new = NewSeal::Secret(passphrase("correct horse"));
    let (root, none) = hsm.add_new_seal(&root, "office", &new, CHEAP).unwrap();
    assert!(none.is_empty());
    hsm.verify_seal(&root, "people", &shares(&printed, &[3, 1])).unwrap();
    hsm.verify_seal(&root, "disk", &file(1)).unwrap();
    hsm.verify_seal(&root, "office", &passphrase("correct horse")).unwrap();
    assert_eq!(root.seals().collect::<Vec<_>>(), [("disk", "file"), ("people", "shares"), ("office", "passphrase")]);
    assert!(hsm.add_new_seal(&root, "people", &NewSeal::Shares { threshold: 2, count: 3 }, CHEAP).is_err(), "the name is taken");
}

#[test]
fn every_flipped_bit_of_a_seal_of_shares_is_noticed() {
    let (_, root, printed) = shared();
    let secret = shares(&printed, &[1, 2, 3]);
    let stored = serde_json::to_value(&root).unwrap();
    let mut tried = 0;
    let fields = ["/check", "/kind/set", "/kind/checks/0", "/kind/checks/2", "/kind/checks/4", "/roots/0/sealed"];
    for field in fields.map(|field| format!("/seals/0{field}")) {
        let bytes = STANDARD.decode(stored.pointer(&field).unwrap().as_str().unwrap()).unwrap();
        for forged in flips(&bytes) {
            let mut changed = stored.clone();
            *changed.pointer_mut(&field).unwrap() = STANDARD.encode(&forged).into();
            let changed: SealedRoot = serde_json::from_value(changed).unwrap();
            assert!(opens(&changed, &secret).is_err(), "{field}");
            tried += 1;
        }
    }
    assert!(tried > 8 * (32 + 6 + 3 * 32), "{tried}");
    let last_check = stored["seals"][0]["kind"]["checks"].as_array().unwrap().len() - 1;
    type Edit = fn(&mut serde_json::Value, usize);
    let edits: [Edit; 5] = [
        |seal, _| seal["kind"]["threshold"] = 2.into(),
        |seal, _| seal["kind"]["threshold"] = 1.into(),
        |seal, _| seal["name"] = "peoplf".into(),
        // The check of a share that was not brought.
        |seal, last| drop(seal["kind"]["checks"].as_array_mut().unwrap().remove(last)),
        |seal, _| seal["roots"][0]["version"] = 2.into(),
    ];
    for (number, edit) in edits.iter().enumerate() {
        let mut changed = stored.clone();
        edit(&mut changed["seals"][0], last_check);
        let changed: SealedRoot = serde_json::from_value(changed).unwrap();
        let opened = changed.seals[0].open(DEPLOYMENT, &secret);
        assert!(opened.is_err(), "edit {number}");
    }
    assert_eq!(opens(&root, &secret), Ok(()));
}

#[test]
fn a_seal_of_a_token_opens_with_what_the_token_decrypts_and_is_bound_to_what_it_is_asked() {
    let secret = || Zeroizing::new(vec![9; 32]);
    let wrapped = TokenWrapped { token: "hsm".to_owned(), key: vec![1, 2], secret: vec![3, 4, 5] };
    let seals = [("people".to_owned(), NewSeal::Token { wrapped: wrapped.clone(), secret: secret() })];
    let (hsm, root, _) = Hsm::initialize_with(DEPLOYMENT, &seals).unwrap();
    let root: SealedRoot = serde_json::from_str(&serde_json::to_string(&root).unwrap()).unwrap();
    assert_eq!(root.token_wrapped("people"), Some(&wrapped));
    hsm.verify_seal(&root, "people", &SealSecret::Token(secret())).unwrap();
    let other = SealSecret::Token(Zeroizing::new(vec![8; 32]));
    assert!(why(opens(&root, &other)).1.contains("another secret"));
    assert!(why(opens(&root, &SealSecret::Token(Zeroizing::new(vec![9; 31])))).1.contains("exactly 32 bytes"));
    assert!(why(opens(&root, &file(9))).1.contains("of kind pkcs11"));
    assert!(hsm.add_seal(&root, "again", &SealSecret::Token(secret())).is_err());
    let stored = serde_json::to_value(&root).unwrap();
    for (pointer, value) in
        [("/seals/0/kind/wrapped/token", "hsn"), ("/seals/0/kind/wrapped/key", "AQM="), ("/seals/0/kind/wrapped/secret", "AwQG")]
    {
        let mut changed = stored.clone();
        *changed.pointer_mut(pointer).unwrap() = value.into();
        let changed: SealedRoot = serde_json::from_value(changed).unwrap();
        assert!(matches!(opens(&changed, &SealSecret::Token(secret())), Err(HsmError::Tampered(_))), "{pointer}");
    }
}
