#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

use aws_lc_rs::digest::{SHA256, digest};

use super::*;

const SALT: [u8; 32] = [0x5a; 32];
const HEADER: usize = 8 + 1 + 32 + 2 + 18;
const SEALED: usize = CHUNK_BYTES + TAG_BYTES;

fn key() -> DataKey {
    DataKey { plaintext: Zeroizing::new(std::array::from_fn(|i| i as u8)), encrypted: b"encrypted data key".to_vec() }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

fn encrypted(plaintext: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    encrypt_with_salt(&key(), SALT, plaintext, &mut file, &mut |_| true).unwrap();
    file
}

fn decrypted(mut file: &[u8]) -> Result<Vec<u8>, FileError> {
    let header = Header::read(&mut file)?;
    let mut plaintext = Vec::new();
    decrypt(&header, &key().plaintext, file, &mut plaintext, &mut |_| true)?;
    Ok(plaintext)
}

/// Made by another implementation (Python's `cryptography`), from the text of docs/formats/encrypted-file.md.
#[test]
fn golden_vectors_of_version_1() {
    let header = "636c617669676572015a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a0012656e637279707465642064617461206b6579";
    let commitment = "29d7fc4ae313fcf8dab4572bae4c9b976cb431523153724ed03b8e4521da8b77";
    assert_eq!(hex::encode(encrypted(b"")), format!("{header}{commitment}a1ca444af26bf2117cc1d09c00b34ebf"));
    let hello = format!("{header}{commitment}79df24fbc8536bee6cb9328a8b8c576770d15b1311e71acf1cfb72");
    assert_eq!(hex::encode(encrypted(b"hello, file")), hello);
    assert_eq!(decrypted(&hex::decode(hello).unwrap()).unwrap(), b"hello, file");
    for (bytes, hash) in [
        (150_000, "f4521a399211af51672cc5e4051d65a1d78e73857ca0d855a9f24861229429f1"),
        (131_072, "769258d6e5743c6fd2cef91db344c8fc71c81cef03a5276d6268b97f8c043fe5"),
    ] {
        assert_eq!(hex::encode(digest(&SHA256, &encrypted(&content(bytes)))), hash, "{bytes}");
    }
}

#[test]
fn every_length_around_a_chunk_comes_back() {
    for bytes in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7] {
        let file = encrypted(&content(bytes));
        let chunks = bytes.div_ceil(CHUNK_BYTES).max(1);
        assert_eq!(file.len(), HEADER + 32 + bytes + chunks * TAG_BYTES);
        assert_eq!(decrypted(&file).unwrap(), content(bytes), "{bytes}");
    }
}

#[test]
fn every_encryption_has_its_own_salt() {
    let make = || {
        let mut file = Vec::new();
        encrypt(&key(), &b"same"[..], &mut file, &mut |_| true).unwrap();
        file
    };
    let (one, two) = (make(), make());
    assert_ne!(one[HEADER..], two[HEADER..]);
    assert_eq!(decrypted(&one).unwrap(), decrypted(&two).unwrap());
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let file = encrypted(&content(300));
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1;
        let error = decrypted(&changed).unwrap_err();
        let as_expected = match place {
            0..8 => matches!(error, FileError::NotEncrypted),
            8 => matches!(error, FileError::UnknownVersion(0)),
            41..43 => matches!(error, FileError::WrongDataKey | FileError::DamagedHeader),
            _ if place < HEADER + 32 => matches!(error, FileError::WrongDataKey),
            _ => matches!(error, FileError::DamagedChunk(0)),
        };
        assert!(as_expected, "byte {place}: {error}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_found() {
    let file = encrypted(&content(300));
    for length in 0..file.len() {
        assert!(decrypted(&file[..length]).is_err(), "{length}");
    }
    let long = encrypted(&content(3 * CHUNK_BYTES));
    let chunk = |n: usize| HEADER + 32 + n * SEALED;
    assert!(matches!(decrypted(&long[..chunk(2)]), Err(FileError::CutOff)), "between two chunks");
    assert!(matches!(decrypted(&long[..chunk(0)]), Err(FileError::CutOff)), "before the first chunk");
    assert!(matches!(decrypted(&long[..chunk(2) + 5]), Err(FileError::DamagedChunk(1 | 2))), "within a tag's length");
    assert!(matches!(decrypted(&long[..chunk(2) + 500]), Err(FileError::DamagedChunk(2))), "within a chunk");
}

#[test]
fn chunks_that_are_swapped_repeated_dropped_or_appended_are_found() {
    let file = encrypted(&content(4 * CHUNK_BYTES));
    let (head, body) = file.split_at(HEADER + 32);
    let chunks: Vec<&[u8]> = body.chunks(SEALED).collect();
    for (order, first_wrong) in [
        (vec![1, 0, 2, 3], 0),
        (vec![0, 2, 1, 3], 1),
        (vec![0, 1, 3, 2], 2),
        (vec![0, 1, 1, 2, 3], 2),
        (vec![0, 1, 3], 2),
        (vec![0, 1, 2, 3, 3], 3),
        (vec![0, 1, 2, 3, 0], 3),
    ] {
        let mut forged = head.to_vec();
        order.iter().for_each(|n| forged.extend_from_slice(chunks[*n]));
        match decrypted(&forged).unwrap_err() {
            FileError::DamagedChunk(n) => assert_eq!(n, first_wrong, "{order:?}"),
            other => panic!("{order:?}: {other}"),
        }
    }
    let mut extended = file.clone();
    extended.push(0);
    assert!(matches!(decrypted(&extended), Err(FileError::DamagedChunk(3))));
}

#[test]
fn chunks_of_another_file_under_the_same_data_key_are_found() {
    let (one, mut two) = (encrypted(&content(CHUNK_BYTES * 2)), Vec::new());
    encrypt(&key(), &content(CHUNK_BYTES * 2)[..], &mut two, &mut |_| true).unwrap();
    let mut mixed = one[..HEADER + 32].to_vec();
    mixed.extend_from_slice(&two[HEADER + 32..]);
    assert!(matches!(decrypted(&mixed), Err(FileError::DamagedChunk(0))));
}

#[test]
fn an_empty_last_chunk_after_others_is_not_a_second_way_to_write_a_file() {
    let plaintext = content(CHUNK_BYTES);
    let header = Header::new(SALT, key().encrypted).unwrap();
    let (mut chunks, commitment) = Chunks::derive(&header, &key().plaintext).unwrap();
    let mut forged = header.to_bytes();
    forged.extend_from_slice(&commitment);
    for (mut chunk, last) in [(plaintext, false), (vec![], true)] {
        chunks.seal(&mut chunk, last).unwrap();
        forged.extend_from_slice(&chunk);
    }
    assert!(matches!(decrypted(&forged), Err(FileError::DamagedChunk(1))));
}

#[test]
fn the_wrong_data_key_is_told_from_damage() {
    let file = encrypted(b"x");
    let mut rest = &file[..];
    let header = Header::read(&mut rest).unwrap();
    assert_eq!(header.encrypted_key(), b"encrypted data key");
    let error = decrypt(&header, &[9; 32], rest, Vec::new(), &mut |_| true).unwrap_err();
    assert!(matches!(error, FileError::WrongDataKey));
}

#[test]
fn what_is_no_encrypted_file_says_so() {
    for other in [&b""[..], b"claviger", b"-----BEGIN PGP MESSAGE-----"] {
        assert!(matches!(decrypted(other), Err(FileError::NotEncrypted)));
    }
    assert!(matches!(decrypted(b"claviger\x02and so on"), Err(FileError::UnknownVersion(2))));
    assert!(matches!(Header::new(SALT, vec![]), Err(FileError::DataKeyTooLong)));
    assert!(matches!(Header::new(SALT, vec![0; 6145]), Err(FileError::DataKeyTooLong)));
}

#[test]
fn a_stop_is_heeded_and_failures_are_passed_on() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut told = Vec::new();
    let stopped = encrypt(&key(), &content(3 * CHUNK_BYTES)[..], Vec::new(), &mut |done| {
        told.push(done);
        told.len() < 2
    });
    assert!(matches!(stopped, Err(FileError::Stopped)));
    assert_eq!(told, [CHUNK_BYTES as u64, 2 * CHUNK_BYTES as u64]);
    assert!(matches!(encrypt(&key(), &b"x"[..], Full, &mut |_| true), Err(FileError::Write(_))));
}
