//! The growing log against a naive tree, published values and other implementations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic, and each test file uses its part of the common helpers"
)]

mod common;

use claviger_audit::log::CannotResume;
use claviger_audit::merkle::{Frontier, empty_root, leaf_hash, node_hash};
use claviger_audit::note::{InvalidNote, SigningFailed};
use claviger_audit::{CheckpointSigner, Hash, Log, Origin, TreeHead, VerifierKey};
use common::{TestSigner, key, origin};
use proptest::prelude::*;
use signed_note::{Note, StandardVerifier, VerifierList};

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(naive_root(left), naive_root(right))
        }
    }
}

/// The inputs and roots that the test suites of Certificate Transparency logs share.
#[test]
fn roots_are_those_of_rfc_6962() {
    let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = Frontier::empty();
    assert_eq!(hex::encode(tree.root().0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (input, root) in inputs.iter().zip(roots) {
        tree.push(leaf_hash(&hex::decode(input).unwrap()));
        assert_eq!(hex::encode(tree.root().0), root, "size {}", tree.size());
    }
}

#[test]
fn a_checkpoint_is_this_text() {
    let (log, bundles) = common::log_of(&[2, 1]);
    let text = &bundles[1].checkpoint;
    assert_eq!(text, GOLDEN_CHECKPOINT);
    assert_eq!(key().to_string(), GOLDEN_VKEY);
    assert_eq!(TreeHead::open(text, &key()).unwrap(), TreeHead { size: 3, root: log.root() });
}

const GOLDEN_CHECKPOINT: &str = "claviger.12345678-9abc-4def-8123-456789abcdef/node-1
3
Yi60yRhv/X4BrduTRYyieH6ZP2CkWqA4Fg1nDNh5GJQ=

— claviger.12345678-9abc-4def-8123-456789abcdef/node-1 \
    s01RAdicqRXbqsH3M7o99FHr/Qy138SBKQBYOMIRCp7ldP97UwlwKlkkuYRQj3WGkBL5ykE6HTNoDfx+dItK5xh04wU=
";
const GOLDEN_VKEY: &str =
    "claviger.12345678-9abc-4def-8123-456789abcdef/node-1+b34d5101+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

#[test]
fn another_implementation_accepts_the_checkpoint() {
    let (log, bundles) = common::log_of(&[5]);
    let verifier = StandardVerifier::new(&key().to_string()).unwrap();
    let note = Note::from_bytes(bundles[0].checkpoint.as_bytes()).unwrap();
    let (verified, unverified) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), (origin().as_str(), 5));
    assert_eq!(checkpoint.hash().0, log.root().0);
    assert_eq!(checkpoint.extension(), "");
}

/// The verifier key in the documentation of Go's note package.
#[test]
fn verifier_keys_are_read_as_go_writes_them() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let key: VerifierKey = text.parse().unwrap();
    assert_eq!(key.to_string(), text);
    assert_eq!(key.key_id(), 0xc74f_20a3);
    for wrong in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcU",
    ] {
        assert_eq!(wrong.parse::<VerifierKey>(), Err(wrong_key(wrong)), "{wrong}");
    }
}

fn wrong_key(text: &str) -> InvalidNote {
    if text.starts_with("Peter ") { InvalidNote::Origin } else { InvalidNote::VerifierKey }
}

#[test]
fn names_that_notes_forbid_are_refused() {
    for node in ["", "a b", "a+b", "a/b", "é", "a\n", &"n".repeat(65)] {
        assert!(Origin::new(common::DEPLOYMENT, node).is_err(), "{node:?}");
    }
    assert_eq!(origin().to_string(), "claviger.12345678-9abc-4def-8123-456789abcdef/node-1");
    assert_eq!(origin().node(), "node-1");
    for text in ["", "a b", "a+b", "a\u{1}b", "a\u{a0}b"] {
        assert!(text.parse::<Origin>().is_err(), "{text:?}");
    }
}

#[test]
fn a_checkpoint_that_is_not_ours_is_refused_for_what_it_is() {
    let (_, bundles) = common::log_of(&[3]);
    let text = &bundles[0].checkpoint;
    let other_key = VerifierKey::new(origin(), TestSigner::from_seed(8).public_key());
    assert_eq!(TreeHead::open(text, &other_key), Err(InvalidNote::NotSigned));
    let other_log = VerifierKey::new(Origin::new(common::DEPLOYMENT, "node-2").unwrap(), TestSigner::from_seed(7).public_key());
    assert_eq!(TreeHead::open(text, &other_log), Err(InvalidNote::OtherLog { origin: origin().to_string() }));
    assert_eq!(TreeHead::open(&text.replace("\n3\n", "\n4\n"), &key()), Err(InvalidNote::WrongSignature));
    assert_eq!(TreeHead::open("", &key()), Err(InvalidNote::Malformed));
}

/// No byte of a checkpoint can be changed without its being refused, or meaning the same.
#[test]
fn every_flipped_bit_of_a_checkpoint_is_found() {
    let (_, bundles) = common::log_of(&[3]);
    let text = bundles[0].checkpoint.as_bytes();
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut altered = text.to_vec();
            altered[position] ^= 1 << bit;
            if let Ok(altered) = std::str::from_utf8(&altered) {
                assert!(TreeHead::open(altered, &key()).is_err(), "byte {position}, bit {bit}: {altered}");
            }
        }
    }
}

#[test]
fn a_preparation_can_be_dropped_but_not_stored_twice() {
    let signer = TestSigner::from_seed(7);
    let (mut log, _) = common::log_of(&[3]);
    let before = log.root();
    let one = log.prepare(&[leaf_hash(b"one")], &signer).unwrap();
    let other = log.prepare(&[leaf_hash(b"other")], &signer).unwrap();
    assert_eq!((log.size(), log.root()), (3, before), "preparing changes nothing");
    log.advance(&other).unwrap();
    assert_eq!((log.size(), log.root()), (4, other.root));
    assert!(log.advance(&one).is_err());
    assert_eq!((log.size(), log.root()), (4, other.root));
}

struct Broken;

impl CheckpointSigner for Broken {
    fn sign(&self, _message: &[u8]) -> Result<[u8; 64], SigningFailed> {
        Err(SigningFailed { reason: "the HSM is in its error state".to_owned() })
    }

    fn public_key(&self) -> [u8; 32] {
        [0; 32]
    }
}

#[test]
fn a_log_that_cannot_sign_does_not_grow() {
    let (log, _) = common::log_of(&[1]);
    let refused = log.prepare(&[leaf_hash(b"x")], &Broken).unwrap_err();
    assert!(refused.to_string().contains("error state"));
    assert_eq!(log.size(), 1);
}

#[test]
fn resuming_refuses_what_was_not_signed() {
    let signer = TestSigner::from_seed(7);
    let (log, _) = common::log_of(&[6]);
    let prepared = log.prepare(&[leaf_hash(b"x")], &signer).unwrap();
    let resume = |size, frontier: &[u8], checkpoint: &str| Log::resume(&key(), size, frontier, checkpoint);
    let resumed = resume(7, &prepared.frontier, &prepared.checkpoint).unwrap();
    assert_eq!((resumed.size(), resumed.root()), (7, prepared.root));

    let mut altered = prepared.frontier.clone();
    altered[40] ^= 1;
    assert_eq!(resume(7, &altered, &prepared.checkpoint).unwrap_err(), CannotResume::Frontier { size: 7 });
    assert_eq!(resume(7, &prepared.frontier[32..], &prepared.checkpoint).unwrap_err(), CannotResume::Frontier { size: 7 });
    assert_eq!(resume(7, &prepared.frontier[1..], &prepared.checkpoint).unwrap_err(), CannotResume::Frontier { size: 7 });
    assert_eq!(resume(6, &prepared.frontier, &prepared.checkpoint).unwrap_err(), CannotResume::Size { stored: 6, signed: 7 });
    let forged = prepared.checkpoint.replace("\n7\n", "\n6\n");
    assert_eq!(resume(6, &prepared.frontier, &forged).unwrap_err(), CannotResume::Checkpoint(InvalidNote::WrongSignature));
    assert!(resume(6, &prepared.frontier, &forged).unwrap_err().to_string().contains("claviger audit verify"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_log_grown_in_groups_and_resumed_is_the_naive_tree(
        groups in proptest::collection::vec((0_usize..40, any::<bool>()), 0..20),
    ) {
        let signer = TestSigner::from_seed(7);
        let mut log = Log::empty(origin());
        let mut leaves: Vec<Hash> = Vec::new();
        for (count, restart) in groups {
            let group: Vec<Hash> = (0..count).map(|n| leaf_hash(&(leaves.len() + n).to_be_bytes())).collect();
            let prepared = log.prepare(&group, &signer).unwrap();
            prop_assert_eq!((prepared.first, prepared.count), (leaves.len() as u64, count as u64));
            leaves.extend(&group);
            log.advance(&prepared).unwrap();
            if restart {
                log = Log::resume(&key(), prepared.size(), &prepared.frontier, &prepared.checkpoint).unwrap();
            }
            prop_assert_eq!(log.size(), leaves.len() as u64);
            prop_assert_eq!(log.root(), naive_root(&leaves));
            let head = TreeHead::open(&prepared.checkpoint, &key()).unwrap();
            prop_assert_eq!(head, TreeHead { size: log.size(), root: log.root() });
        }
    }
}
