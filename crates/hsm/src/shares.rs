//! Shares of a secret, k of n (Shamir's scheme over GF(256), byte by byte), and the text in which people keep them.
//!
//! A share has 47 bytes: version ‖ set (6) ‖ index ‖ threshold ‖ value (32) ‖ check (6). The set is random and tells the shares of one splitting
//! from those of another; the check is the beginning of a SHA-256 over all before it, so that a share proves by itself that it was copied rightly.
//! Whether it is the one that was made is told by the seal's record, which holds a SHA-256 of each share: 32 random bytes cannot be guessed from it.
//!
//! As text it is base32 (RFC 4648, lower case) in four lines of four groups of five characters. The last character of each line is a
//! check of its own (Luhn's algorithm modulo 32, begun at the number of the line): whoever types a share is told at once which line is wrong.
//! 0, 1 and 8, which the alphabet does not have, are read as o, l and b.

use std::convert::Infallible;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use rand_core::{TryCryptoRng, TryRng};
use uuid::Uuid;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use crate::error::HsmError;
use crate::memory::{SECRET_BYTES, Secret};

/// The most shares that a secret is split into.
pub const SHARES_MAX: u8 = 64;
/// The fewest shares that open a seal: with one it would be no sharing.
pub const THRESHOLD_MIN: u8 = 2;
/// The lines of a share's text.
pub const SHARE_LINES: u8 = 4;

const VERSION: u8 = 1;
const SET_BYTES: usize = 6;
const CHECK_BYTES: usize = 6;
const BYTES: usize = 1 + SET_BYTES + 2 + SECRET_BYTES + CHECK_BYTES;
const LINE_CHARACTERS: usize = 20;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// One share. Neither `Debug` nor `Clone`; wiped when dropped.
pub struct Share {
    set: [u8; SET_BYTES],
    index: u8,
    threshold: u8,
    value: Secret,
}

/// Why a text is no share. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareError {
    /// This line is mistyped, counted from 1.
    Line(u8),
    /// It has another length than a share.
    Length,
    /// Each line fits, but not to the others: lines of two shares, or in another order.
    Check,
    /// It is a share of a kind that this program does not know.
    Version,
    /// The system gave no memory for it.
    Memory,
}

impl fmt::Display for ShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line} of the share is mistyped"),
            Self::Length => write!(f, "this is not a share: it has {SHARE_LINES} lines of four groups of five characters"),
            Self::Check => f.write_str("the lines do not belong together: they are of two shares, or not in their order"),
            Self::Version => f.write_str("this share is of a kind that this version of Claviger does not know"),
            Self::Memory => f.write_str("the system gave no memory for the share"),
        }
    }
}

impl std::error::Error for ShareError {}

impl Share {
    /// Reads a share's text. White space, empty lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// It is no share, or was mistyped.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let mut values = Zeroizing::new(Vec::with_capacity(LINE_CHARACTERS * usize::from(SHARE_LINES)));
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for character in lines.flat_map(str::chars).filter(|character| !character.is_whitespace()) {
            // Reserved above: what is longer is no share, and would leave copies behind by growing.
            if values.len() == values.capacity() {
                return Err(ShareError::Length);
            }
            // What the alphabet does not have fits no line.
            values.push(value_of(character).unwrap_or(u8::MAX));
        }
        if values.len() != LINE_CHARACTERS * usize::from(SHARE_LINES) {
            return Err(ShareError::Length);
        }
        let mut bits = Zeroizing::new(Vec::with_capacity(values.len()));
        for (number, line) in (1..).zip(values.chunks(LINE_CHARACTERS)) {
            let (check, data) = line.split_last().ok_or(ShareError::Length)?;
            if data.iter().any(|value| *value > 31) || line_check(number, data) != *check {
                return Err(ShareError::Line(number));
            }
            bits.extend_from_slice(data);
        }
        let bytes = unpack(&bits).ok_or(ShareError::Check)?;
        Self::from_bytes(&bytes)
    }

    /// Whether one line is typed as it was printed: for those who type line by line.
    ///
    /// # Errors
    /// [`ShareError::Line`] with its number.
    pub fn check_line(number: u8, text: &str) -> Result<(), ShareError> {
        let mut values = Zeroizing::new(Vec::with_capacity(LINE_CHARACTERS));
        for character in text.chars().filter(|character| !character.is_whitespace()) {
            if values.len() == values.capacity() {
                return Err(ShareError::Line(number));
            }
            values.push(value_of(character).ok_or(ShareError::Line(number))?);
        }
        let complete = values.len() == LINE_CHARACTERS;
        match values.split_last() {
            Some((check, data)) if complete && line_check(number, data) == *check => Ok(()),
            _ => Err(ShareError::Line(number)),
        }
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Result<Self, ShareError> {
        let (payload, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(ShareError::Length)?;
        if own_check(payload) != *check {
            return Err(ShareError::Check);
        }
        let mut rest = payload.iter().copied();
        let mut next = || rest.next().unwrap_or_default();
        if next() != VERSION {
            return Err(ShareError::Version);
        }
        let set = std::array::from_fn(|_| next());
        let (index, threshold) = (next(), next());
        let value = Secret::from_fill(|out| {
            out.fill_with(&mut next);
            Ok(())
        });
        Ok(Self { set, index, threshold, value: value.map_err(|_| ShareError::Memory)? })
    }

    /// The text, in lines.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        let head = [VERSION].into_iter().chain(self.set).chain([self.index, self.threshold]);
        let payload = head.chain(self.value.expose().iter().copied());
        bytes.iter_mut().zip(payload).for_each(|(to, from)| *to = from);
        if let Some((payload, check)) = bytes.split_last_chunk_mut::<CHECK_BYTES>() {
            *check = own_check(payload);
        }
        let bits = pack(&bytes);
        let mut text = Zeroizing::new(String::with_capacity((LINE_CHARACTERS + 4) * usize::from(SHARE_LINES)));
        for (number, data) in (1..).zip(bits.chunks(LINE_CHARACTERS - 1)) {
            let check = line_check(number, data);
            for (place, value) in data.iter().chain([&check]).enumerate() {
                if place > 0 && place % 5 == 0 {
                    text.push(' ');
                }
                text.extend(ALPHABET.get(usize::from(*value)).map(|letter| char::from(*letter)));
            }
            text.push('\n');
        }
        text
    }

    /// Which splitting it is of, in hexadecimal.
    pub fn set(&self) -> String {
        hex::encode(self.set)
    }

    /// Its number, from 1.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// How many shares open the seal.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// What the seal's record keeps of it.
    pub(crate) fn record_check(&self, deployment: Uuid) -> [u8; 32] {
        let head = [self.index, self.threshold];
        sha256(&[b"claviger share check 1", deployment.as_bytes(), &self.set, &head, self.value.expose()])
    }
}

/// Splits a secret: the shares, any `threshold` of which give it back.
pub(crate) fn split(secret: &Secret, threshold: u8, count: u8) -> Result<Vec<Share>, HsmError> {
    let mut set = [0; SET_BYTES];
    aws_lc_rs::rand::fill(&mut set).map_err(|_| HsmError::Primitive("the random generator"))?;
    let mut random = Drawn::new(SECRET_BYTES * usize::from(threshold))?;
    let split = Gf256::split_array(usize::from(threshold), usize::from(count), secret.expose(), &mut random);
    let values: Vec<Zeroizing<Vec<u8>>> =
        split.map_err(|_| HsmError::Primitive("secret sharing"))?.into_iter().map(Zeroizing::new).collect();
    if random.exhausted {
        return Err(HsmError::Primitive("randomness for secret sharing"));
    }
    let share = |value: &Zeroizing<Vec<u8>>| {
        let (index, bytes) = value.split_first().ok_or(HsmError::Primitive("secret sharing"))?;
        let value = Secret::from_fill(|out| copy_into(bytes, out))?;
        Ok(Share { set, index: *index, threshold, value })
    };
    values.iter().map(share).collect()
}

/// The secret that these shares were split from, if they are enough and of one set, which the caller has seen to.
pub(crate) fn combine(shares: &[&Share]) -> Result<Secret, HsmError> {
    let values: Vec<Vec<u8>> = shares
        .iter()
        .map(|share| {
            let mut value = Vec::with_capacity(1 + SECRET_BYTES);
            value.push(share.index);
            value.extend_from_slice(share.value.expose());
            value
        })
        .collect();
    let values = Zeroizing::new(values);
    let combined = Gf256::combine_array(&*values).map(Zeroizing::new).map_err(|_| HsmError::Primitive("secret sharing"))?;
    Secret::from_fill(|out| copy_into(&combined, out))
}

fn copy_into(bytes: &[u8], out: &mut [u8; SECRET_BYTES]) -> Result<(), HsmError> {
    let bytes: &[u8; SECRET_BYTES] = bytes.try_into().map_err(|_| HsmError::Primitive("secret sharing"))?;
    out.copy_from_slice(bytes);
    Ok(())
}

/// Random numbers that were drawn beforehand from the one generator, because the interface of the sharing cannot tell of a failure.
struct Drawn {
    words: Zeroizing<Vec<u8>>,
    at: usize,
    exhausted: bool,
}

impl Drawn {
    fn new(words: usize) -> Result<Self, HsmError> {
        let mut bytes = Zeroizing::new(vec![0; words * size_of::<u32>()]);
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| HsmError::Primitive("the random generator"))?;
        Ok(Self { words: bytes, at: 0, exhausted: false })
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        match self.words.get(self.at..self.at + out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                self.at += out.len();
            }
            None => self.exhausted = true,
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

fn own_check(payload: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = sha256(&[b"claviger share 1", payload]);
    std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default())
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Whether a share is the one that its check was made of.
pub(crate) fn is_genuine(share: &Share, deployment: Uuid, check: &[u8]) -> bool {
    verify_slices_are_equal(&share.record_check(deployment), check).is_ok()
}

fn value_of(character: char) -> Option<u8> {
    let letter = match character.to_ascii_lowercase() {
        '0' => 'o',
        '1' => 'l',
        '8' => 'b',
        other => other,
    };
    // Without a table that is indexed by what is secret: all letters are looked at.
    let mut found = None;
    for (value, known) in (0..).zip(ALPHABET) {
        if letter == char::from(*known) {
            found = Some(value);
        }
    }
    found
}

/// Luhn's algorithm modulo 32: finds every single wrong character, and nearly all that changed places.
fn line_check(number: u8, data: &[u8]) -> u8 {
    let mut sum = u32::from(number);
    for (place, value) in data.iter().rev().enumerate() {
        let addend = u32::from(*value) * if place % 2 == 0 { 2 } else { 1 };
        sum += addend / 32 + addend % 32;
    }
    u8::try_from((32 - sum % 32) % 32).unwrap_or_default()
}

/// Bytes as groups of five bits, the last filled up with zeroes.
fn pack(bytes: &[u8; BYTES]) -> Zeroizing<Vec<u8>> {
    let mut bits = Zeroizing::new(Vec::with_capacity((BYTES * 8).div_ceil(5)));
    let (mut held, mut count) = (0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            bits.push(u8::try_from((held >> count) & 31).unwrap_or_default());
        }
        held &= (1 << count) - 1;
    }
    if count > 0 {
        bits.push(u8::try_from((held << (5 - count)) & 31).unwrap_or_default());
    }
    bits
}

/// The bytes again; none if what filled up the last group is not zero.
fn unpack(bits: &[u8]) -> Option<Zeroizing<[u8; BYTES]>> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    let mut places = bytes.iter_mut();
    let (mut held, mut count) = (0_u32, 0);
    for value in bits {
        held = (held << 5) | u32::from(*value);
        count += 5;
        if count >= 8 {
            count -= 8;
            *places.next()? = u8::try_from((held >> count) & 255).ok()?;
            held &= (1 << count) - 1;
        }
    }
    (held == 0 && places.next().is_none()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::from_fill(|out| {
            (byte..).zip(out.iter_mut()).for_each(|(value, place)| *place = value);
            Ok(())
        })
        .unwrap()
    }

    fn error(text: &str) -> ShareError {
        Share::parse(text).err().unwrap()
    }

    #[test]
    fn any_threshold_of_the_shares_gives_the_secret_back_and_fewer_do_not() {
        let secret = secret(7);
        for (threshold, count) in [(2_u8, 2_u8), (2, 3), (3, 5), (5, 5), (4, 9)] {
            let shares = split(&secret, threshold, count).unwrap();
            assert_eq!(shares.iter().map(Share::index).collect::<Vec<_>>(), (1..=count).collect::<Vec<_>>());
            for mask in 1_u32..1 << count {
                let chosen: Vec<&Share> =
                    shares.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, share)| share).collect();
                let right = combine(&chosen).is_ok_and(|combined| combined.expose() == secret.expose());
                assert_eq!(right, chosen.len() >= usize::from(threshold), "{threshold} of {count}: {mask:b}");
            }
        }
    }

    #[test]
    fn two_splittings_of_a_secret_have_nothing_in_common() {
        let secret = secret(7);
        let (one, other) = (split(&secret, 2, 3).unwrap(), split(&secret, 2, 3).unwrap());
        assert_ne!(one[0].set(), other[0].set());
        assert_ne!(one[0].value.expose(), other[0].value.expose());
        assert!(combine(&[&one[0], &other[1]]).unwrap().expose() != secret.expose());
    }

    #[test]
    fn a_share_is_read_as_it_was_printed() {
        for share in split(&secret(200), 3, 5).unwrap() {
            let text = share.text();
            assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [23; 4], "{}", *text);
            for written in [
                text.to_string(),
                text.to_uppercase(),
                text.replace([' ', '\n'], ""),
                text.replace('o', "0").replace('l', "1").replace('b', "8"),
                format!("# a comment, 1 2 3\n\n  {}\n # another", text.replace('\n', "\r\n\t")),
            ] {
                let read = Share::parse(&written).unwrap();
                assert_eq!((read.set(), read.index(), read.threshold()), (share.set(), share.index(), 3));
                assert_eq!(read.value.expose(), share.value.expose());
            }
            for (number, line) in (1..).zip(text.lines()) {
                assert_eq!(Share::check_line(number, line), Ok(()));
                assert_eq!(Share::check_line(number + 1, line), Err(ShareError::Line(number + 1)), "a line has its place");
                assert_eq!(Share::check_line(number, &line[1..]), Err(ShareError::Line(number)));
                assert_eq!(Share::check_line(number, &format!("{line}a")), Err(ShareError::Line(number)));
            }
        }
    }

    #[test]
    fn a_mistyped_character_is_found_in_its_line() {
        let text = split(&secret(3), 2, 2).unwrap()[1].text().replace([' ', '\n'], "");
        for at in 0..text.len() {
            let line = u8::try_from(at / LINE_CHARACTERS + 1).unwrap();
            for letter in ALPHABET.iter().chain(b"9-?").map(|letter| char::from(*letter)) {
                let mut changed = text.clone();
                changed.replace_range(at..=at, &letter.to_string());
                if changed != text {
                    assert_eq!(error(&changed), ShareError::Line(line), "{letter} at {at}");
                }
            }
        }
        for wrong in [&text[1..], &format!("{text}a"), "", "correct horse battery staple"] {
            assert_eq!(error(wrong), ShareError::Length, "{wrong}");
        }
    }

    #[test]
    fn lines_of_two_shares_do_not_make_one() {
        let shares = split(&secret(3), 2, 2).unwrap();
        let (one, other) = (shares[0].text(), shares[1].text());
        for line in 0..4 {
            let mut mixed: Vec<&str> = one.lines().collect();
            let replaced = other.lines().nth(line).unwrap();
            if mixed[line] != replaced {
                mixed[line] = replaced;
                assert_eq!(error(&mixed.join("\n")), ShareError::Check, "line {line}");
            }
        }
    }
}
