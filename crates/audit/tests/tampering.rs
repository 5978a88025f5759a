//! Every way in which a stored log can be tampered with is found, and named.
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

use claviger_audit::bundle::{Bundle, BundleDamage, encode, encode_plain};
use claviger_audit::merkle::empty_root;
use claviger_audit::note::{InvalidNote, TreeHead};
use claviger_audit::verify::{Checks, Finding, Head, OldCheckpoint, Prefix, Problem, Report, verify};
use claviger_audit::{Entry, Log, StoredBundle};
use common::{TestSigner, entry, key, log_of, origin};
use proptest::prelude::*;

const GROUPS: [u64; 4] = [5, 1, 7, 3];

fn check(bundles: &[StoredBundle]) -> Report {
    verify(&mut &*bundles, &key(), &Checks { every_signature: true, ..Checks::default() }).unwrap()
}

fn check_against(bundles: &[StoredBundle], old: &str) -> Report {
    let old_checkpoints = vec![OldCheckpoint { name: "kept.txt".to_owned(), text: old.to_owned() }];
    verify(&mut &*bundles, &key(), &Checks { old_checkpoints, ..Checks::default() }).unwrap()
}

/// Where an entry's bytes lie in its bundle's data.
fn entry_offset(bundle: &StoredBundle, position: usize) -> usize {
    let parsed = Bundle::parse(&bundle.data).unwrap();
    let before: usize = parsed.entries().take(position).map(|entry| 2 + entry.bytes.len()).sum();
    5 + 32 * parsed.entries().len() + before + 2
}

fn finding(first: u64, last: u64, problem: Problem) -> Finding {
    Finding { entries: Some((first, last)), problem }
}

#[test]
fn a_sound_log_is_said_to_be_sound() {
    let (log, bundles) = log_of(&GROUPS);
    let report = check(&bundles);
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.root, report.signatures), (16, Some(log.root()), 4));
    assert!(report.to_string().contains("sound    nothing was altered"), "{report}");
    let quick = verify(&mut &bundles[..], &key(), &Checks::default()).unwrap();
    assert!(quick.is_sound());
    assert_eq!(quick.signatures, 1);
}

#[test]
fn a_store_that_should_hold_a_log_and_holds_none_is_not_sound() {
    let without = Checks { head: Head::Missing, ..Checks::default() };
    let problems = |bundles: &[StoredBundle], checks: &Checks| -> Vec<Problem> {
        verify(&mut &*bundles, &key(), checks).unwrap().findings.into_iter().map(|finding| finding.problem).collect()
    };
    assert_eq!(problems(&[], &without), [Problem::NoHead, Problem::Empty]);
    let (_, bundles) = log_of(&[2]);
    assert_eq!(problems(&bundles, &without), [Problem::NoHead]);
    let head = Checks { head: Head::Stored(bundles[0].checkpoint.clone()), ..Checks::default() };
    assert_eq!(problems(&bundles, &head), []);
    let shorter = Problem::Shorter { name: "the head in the store".to_owned(), size: 2 };
    assert_eq!(problems(&[], &head), [Problem::Empty, shorter], "and the head shows what was cut off");
    // A head over nothing, signed by the node, does not make a log of nothing a sound one.
    let nothing = TreeHead { size: 0, root: empty_root() }.sign(&origin(), &TestSigner::from_seed(7)).unwrap();
    assert_eq!(problems(&[], &Checks { head: Head::Stored(nothing), ..Checks::default() }), [Problem::Empty]);
}

#[test]
fn an_empty_log_is_sound_unless_it_once_was_not_empty() {
    assert!(check(&[]).is_sound());
    let (_, bundles) = log_of(&[2]);
    let report = check_against(&[], &bundles[0].checkpoint);
    assert_eq!(report.findings[0].problem, Problem::Shorter { name: "kept.txt".to_owned(), size: 2 });
}

#[test]
fn an_altered_entry_is_named_and_nothing_else_is_blamed() {
    let (log, mut bundles) = log_of(&GROUPS);
    let offset = entry_offset(&bundles[2], 4) + 30;
    bundles[2].data[offset] ^= 1;
    let report = check(&bundles);
    assert_eq!(report.findings, [finding(10, 10, Problem::Altered)]);
    assert_eq!(report.root, Some(log.root()), "the signed root confirms the leaf hash, so that only this entry was altered");
    assert!(report.to_string().contains("entry 10 of node node-1: altered"), "{report}");
}

#[test]
fn an_entry_altered_together_with_its_leaf_hash_is_narrowed_down_to_its_bundle() {
    let (_, mut bundles) = log_of(&GROUPS);
    let forged: Vec<Entry> = (6..13).map(|number| entry(if number == 9 { 1009 } else { number })).collect();
    bundles[2].data = encode(&forged).unwrap();
    let report = check(&bundles);
    assert_eq!(report.findings.len(), 1, "later bundles are not blamed: {report}");
    assert_eq!(report.findings[0].entries, Some((6, 12)));
    assert!(matches!(report.findings[0].problem, Problem::Root { .. }));
}

#[test]
fn entries_that_changed_places_are_found() {
    let (_, mut bundles) = log_of(&GROUPS);
    let swapped: Vec<Entry> = [0, 2, 1, 3, 4].into_iter().map(entry).collect();
    bundles[0].data = encode(&swapped).unwrap();
    let report = check(&bundles);
    assert!(matches!(report.findings[..], [Finding { entries: Some((0, 4)), problem: Problem::Root { .. } }]), "{report}");
}

#[test]
fn a_missing_bundle_is_named_with_its_entries() {
    let (_, mut bundles) = log_of(&GROUPS);
    bundles.remove(1);
    let report = check(&bundles);
    assert_eq!(report.findings, [finding(5, 5, Problem::Missing)]);
    assert_eq!(report.root, None);
    bundles.remove(0);
    assert_eq!(check(&bundles).findings, [finding(0, 5, Problem::Missing)]);
}

#[test]
fn an_entry_taken_out_is_found() {
    let (_, mut bundles) = log_of(&GROUPS);
    let fewer: Vec<Entry> = [6, 7, 8, 10, 11, 12].into_iter().map(entry).collect();
    bundles[2].data = encode(&fewer).unwrap();
    let report = check(&bundles);
    assert_eq!(report.findings[0], finding(6, 12, Problem::Count { stored: 7, found: 6 }));
    assert_eq!(report.findings[1], finding(6, 11, Problem::CheckpointSize { signed: 13 }));
}

#[test]
fn a_bundle_put_in_is_found() {
    let (_, mut bundles) = log_of(&GROUPS);
    let extra =
        StoredBundle { first: 7, count: 1, data: encode(&[entry(99)]).unwrap(), checkpoint: bundles[2].checkpoint.clone() };
    bundles.push(extra);
    assert_eq!(check(&bundles).findings, [finding(7, 7, Problem::Duplicate)]);
}

#[test]
fn a_wrong_count_column_is_found() {
    let (_, mut bundles) = log_of(&GROUPS);
    bundles[3].count = 4;
    assert_eq!(check(&bundles).findings, [finding(13, 16, Problem::Count { stored: 4, found: 3 })]);
}

#[test]
fn a_truncated_bundle_names_the_entry_it_ends_in() {
    let (_, mut bundles) = log_of(&GROUPS);
    let length = entry_offset(&bundles[2], 5) + 10;
    bundles[2].data.truncate(length);
    let report = check(&bundles);
    assert_eq!(report.findings, [finding(11, 11, Problem::Damaged(BundleDamage::Truncated { position: 5 }))]);
    assert!(report.to_string().contains("entry 11 of node node-1: the stored bundle cannot be read"), "{report}");
}

#[test]
fn damaged_bundles_say_how() {
    let (_, bundles) = log_of(&GROUPS);
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bundles = bundles.clone();
        change(&mut bundles[0].data);
        check(&bundles).findings[0].clone()
    };
    assert_eq!(damaged(&|data| data.clear()), finding(0, 4, Problem::Damaged(BundleDamage::Header)));
    assert_eq!(damaged(&|data| data[0] = 9), finding(0, 4, Problem::Damaged(BundleDamage::Format(9))));
    assert_eq!(damaged(&|data| data[1] = 0xff), finding(0, 4, Problem::Damaged(BundleDamage::Count)));
    assert_eq!(damaged(&|data| data.push(0)), finding(0, 4, Problem::Damaged(BundleDamage::Trailing { bytes: 1 })));
}

#[test]
fn checkpoints_are_checked_one_by_one() {
    let (_, bundles) = log_of(&GROUPS);
    let with = |position: usize, checkpoint: String| {
        let mut bundles = bundles.clone();
        bundles[position].checkpoint = checkpoint;
        bundles
    };
    let forged = bundles[1].checkpoint.replace("node-1 ", "node-1 AAAA");
    let report = check(&with(1, forged));
    assert!(matches!(report.findings[..], [Finding { entries: Some((5, 5)), problem: Problem::Checkpoint(_) }]), "{report}");

    let another_root = check(&with(1, bundles[2].checkpoint.clone()));
    assert_eq!(another_root.findings, [finding(5, 5, Problem::CheckpointSize { signed: 13 })]);

    // The signature of the last one is verified even when the others' are not.
    let mut last = bundles[3].checkpoint.clone().into_bytes();
    let position = last.len() - 10;
    last[position] = if last[position] == b'A' { b'B' } else { b'A' };
    let bundles = with(3, String::from_utf8(last).unwrap());
    let quick = verify(&mut &bundles[..], &key(), &Checks::default()).unwrap();
    assert_eq!(quick.findings, [finding(13, 15, Problem::Checkpoint(InvalidNote::WrongSignature))]);
}

#[test]
fn a_log_rewritten_without_the_key_is_found() {
    let mut log = Log::empty(origin());
    let entries: Vec<Entry> = (0..4).map(entry).collect();
    let forged = common::append(&mut log, &entries, &TestSigner::from_seed(66));
    let report = check(&[forged]);
    assert_eq!(report.findings, [finding(0, 3, Problem::Checkpoint(InvalidNote::NotSigned))]);
}

#[test]
fn a_log_rewritten_with_the_key_is_found_by_who_kept_a_checkpoint() {
    let (_, kept) = log_of(&GROUPS);
    let mut log = Log::empty(origin());
    let signer = TestSigner::from_seed(7);
    let entries: Vec<Entry> = (0..20).map(|number| entry(if number == 3 { 333 } else { number })).collect();
    let rewritten = [common::append(&mut log, &entries, &signer)];
    assert!(check(&rewritten).is_sound(), "by itself it looks right");
    let report = check_against(&rewritten, &kept[2].checkpoint);
    assert_eq!(
        report.findings,
        [Finding { entries: None, problem: Problem::NotAPrefix { name: "kept.txt".to_owned(), size: 13 } }]
    );
}

#[test]
fn a_log_that_grew_is_recognised_wherever_its_groups_ended() {
    let (_, kept) = log_of(&GROUPS);
    // The same entries in other groups: the old sizes lie within bundles.
    let (_, bundles) = log_of(&[8, 40]);
    for old in &kept {
        let report = check_against(&bundles, &old.checkpoint);
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.prefixes, [Prefix { name: "kept.txt".to_owned(), size: old.first + old.count }]);
    }
}

#[test]
fn a_log_that_was_cut_is_found_by_who_kept_a_checkpoint() {
    let (_, bundles) = log_of(&GROUPS);
    let cut = &bundles[..3];
    assert!(check(cut).is_sound(), "by itself it looks right");
    let report = check_against(cut, &bundles[3].checkpoint);
    assert_eq!(report.findings, [Finding { entries: None, problem: Problem::Shorter { name: "kept.txt".to_owned(), size: 16 } }]);
    assert!(report.to_string().contains("cut or rolled back"), "{report}");
}

#[test]
fn an_old_checkpoint_that_is_forged_is_no_evidence() {
    let (_, bundles) = log_of(&GROUPS);
    let forged = bundles[1].checkpoint.replace("\n6\n", "\n5\n");
    let problem = Problem::OldCheckpoint { name: "kept.txt".to_owned(), reason: InvalidNote::WrongSignature };
    assert_eq!(check_against(&bundles, &forged).findings, [Finding { entries: None, problem }]);
    let unreadable = [&bundles[0], &bundles[2], &bundles[3]].map(Clone::clone);
    let report = check_against(&unreadable, &bundles[2].checkpoint);
    assert_eq!(report.findings[1].problem, Problem::NotCompared { name: "kept.txt".to_owned() });
}

#[test]
fn many_findings_are_counted_not_listed() {
    let (_, mut bundles) = log_of(&[150]);
    for position in 0..150 {
        let offset = entry_offset(&bundles[0], position);
        bundles[0].data[offset] ^= 1;
    }
    let report = check(&bundles);
    assert_eq!((report.findings.len(), report.unlisted), (100, 50));
    assert!(report.to_string().contains("and 50 more"));
}

#[test]
fn every_flipped_bit_of_a_bundle_is_found() {
    let (_, bundles) = log_of(&[2, 2]);
    for position in 0..bundles[0].data.len() {
        let mut altered = bundles.clone();
        altered[0].data[position] ^= 1 << (position % 8);
        assert!(!check(&altered).is_sound(), "byte {position}");
    }
}

#[test]
fn a_flipped_bit_of_a_compressed_bundle_is_found_or_changes_nothing() {
    let entries: Vec<Entry> = (0..40).map(entry).collect();
    let blob = encode(&entries).unwrap();
    assert!(blob.len() < encode_plain(&entries).unwrap().len() / 2);
    for position in 0..blob.len() {
        let mut altered = blob.clone();
        altered[position] ^= 1 << (position % 8);
        let Ok(bundle) = Bundle::parse(&altered) else { continue };
        // A copy may be taken from another place that holds the same bytes: then the entries are what they were.
        let same = bundle.entries().len() == entries.len()
            && bundle.entries().zip(&entries).all(|(stored, entry)| stored.bytes == &entry.bytes()[..]);
        let found = bundle.entries().len() != entries.len() || bundle.entries().any(|stored| !stored.is_intact());
        assert!(same || found, "byte {position}");
    }
}

#[test]
fn a_block_that_claims_to_be_huge_reserves_nothing() {
    let mut blob = vec![2, 0, 0, 0, 0];
    blob.extend(u32::MAX.to_be_bytes());
    blob.extend([0; 64]);
    assert_eq!(Bundle::parse(&blob).unwrap_err(), BundleDamage::Compression);
}

proptest! {
    #[test]
    fn bundles_are_read_as_they_were_written(numbers in proptest::collection::vec(any::<u64>(), 0..20)) {
        let entries: Vec<Entry> = numbers.into_iter().map(entry).collect();
        for blob in [encode(&entries).unwrap(), encode_plain(&entries).unwrap()] {
            let bundle = Bundle::parse(&blob).unwrap();
            prop_assert_eq!(bundle.entries().len(), entries.len());
            for (stored, entry) in bundle.entries().zip(&entries) {
                prop_assert_eq!(stored.bytes, &entry.bytes()[..]);
                prop_assert!(stored.is_intact());
            }
        }
    }

    #[test]
    fn reading_never_fails_but_by_saying_so(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400), count in 0_u32..8, format in 0_u8..3,
    ) {
        if format > 0 {
            let mut blob = vec![format];
            blob.extend(count.to_be_bytes());
            blob.append(&mut bytes);
            bytes = blob;
        }
        if let Ok(bundle) = Bundle::parse(&bytes) {
            let length: usize = bundle.entries().map(|entry| 34 + entry.bytes.len()).sum();
            prop_assert!(bytes[0] == 2 || length + 5 == bytes.len());
        }
        let stored = StoredBundle { first: 0, count: u64::from(count), data: bytes, checkpoint: String::new() };
        prop_assert!(!check(&[stored]).is_sound());
    }

    #[test]
    fn verification_takes_any_columns(first in any::<u64>(), count in any::<u64>(), other in any::<u64>()) {
        let (_, bundles) = log_of(&[3]);
        let stored = |first, count| StoredBundle { first, count, ..bundles[0].clone() };
        let report = check(&[stored(first, count), stored(other, u64::MAX)]);
        prop_assert!(!report.is_sound());
    }
}
