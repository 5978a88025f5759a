//! Canonical JSON: compact, the members of every object sorted by name, absent members omitted.
//!
//! One value has one text, so that an entry can be read, changed into another system's form and back, and still be compared byte for
//! byte. [`Object`] writes it straight into a buffer; [`is_canonical`] is the check.

use std::io::Write as _;

use claviger_domain::AccountId;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::merkle::sha256;

/// Something that can be written as JSON: every `Serialize` type. Object-safe, so that an event need not be generic over it.
pub trait Json {
    /// Appends the value as compact JSON.
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are not text.
    fn write_json(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

impl<T: Serialize + ?Sized> Json for T {
    fn write_json(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }
}

/// Whether these bytes are JSON in canonical form.
pub fn is_canonical(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let mut canonical = Vec::with_capacity(bytes.len());
    write_canonical(&value, &mut canonical).is_ok() && canonical == bytes
}

/// Sorts by itself, because whether `Value` does is decided by a feature that any crate of the build may switch.
fn write_canonical(value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_bytes());
            out.push(b'{');
            for (position, (name, member)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                name.write_json(out)?;
                out.push(b':');
                write_canonical(member, out)?;
            }
            out.push(b'}');
        }
        Value::Array(elements) => {
            out.push(b'[');
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(element, out)?;
            }
            out.push(b']');
        }
        scalar => scalar.write_json(out)?,
    }
    Ok(())
}

/// How much of an object is written as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Everything.
    Whole,
    /// Large parameters of request and response are replaced by their digest.
    WithoutParameters,
    /// Every large member is replaced by its digest, and every text is cut: bounded whatever the input.
    Minimal,
}

impl Detail {
    /// A member larger than this, in bytes of JSON, is replaced where the detail asks for it.
    const MEMBER_LENGTH_MAX: usize = 2048;
    /// A text longer than this, in bytes, is cut where the detail asks for it.
    const TEXT_LENGTH_MAX: usize = 256;
}

/// Writes one object, member after member. The caller names them in sorted order.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    detail: Detail,
    empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of the buffer.
    pub(crate) fn open(out: &'o mut Vec<u8>, detail: Detail) -> Self {
        out.push(b'{');
        Self { out, detail, empty: true }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    /// A text from outside, escaped where it must be.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> serde_json::Result<()> {
        self.name(name);
        if self.detail == Detail::Minimal && value.len() > Detail::TEXT_LENGTH_MAX {
            let end = value.floor_char_boundary(Detail::TEXT_LENGTH_MAX);
            return format!("{}\u{2026}", value.get(..end).unwrap_or_default()).write_json(self.out);
        }
        self.quote(value)
    }

    /// A text from outside that may be absent.
    pub(crate) fn optional_text(&mut self, name: &str, value: Option<&str>) -> serde_json::Result<()> {
        value.map_or(Ok(()), |value| self.text(name, value))
    }

    /// A text of our own that needs no escaping.
    pub(crate) fn word(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A UUID in its usual form.
    pub(crate) fn uuid(&mut self, name: &str, value: Uuid) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.word(name, value.hyphenated().encode_lower(&mut text));
    }

    /// An account's twelve digits.
    pub(crate) fn account(&mut self, name: &str, account: AccountId) {
        self.word(name, AccountDigits::of(account).as_str());
    }

    /// A value whose `Display` needs no escaping.
    pub(crate) fn display(&mut self, name: &str, value: impl std::fmt::Display) -> serde_json::Result<()> {
        self.name(name);
        write!(self.out, "\"{value}\"").map_err(serde_json::Error::io)
    }

    /// A value of any kind, always as it is.
    pub(crate) fn value(&mut self, name: &str, value: &dyn Json) -> serde_json::Result<()> {
        self.name(name);
        value.write_json(self.out)
    }

    /// A value of any size: written as it is, or as its digest where it is large and the detail is at least `replaced_from`.
    pub(crate) fn bulky(&mut self, name: &str, value: Option<&dyn Json>, replaced_from: Detail) -> serde_json::Result<()> {
        let Some(value) = value else { return Ok(()) };
        self.name(name);
        let start = self.out.len();
        value.write_json(self.out)?;
        let length = self.out.len() - start;
        let replaced = self.detail as u8 >= replaced_from as u8 && length > Detail::MEMBER_LENGTH_MAX;
        if replaced {
            let digest = sha256(self.out.get(start..).unwrap_or_default());
            self.out.truncate(start);
            write!(self.out, "{{\"omitted\":true,\"originalSize\":{length},\"sha256\":\"{}\"}}", hex::encode(digest.0))
                .map_err(serde_json::Error::io)?;
        }
        Ok(())
    }

    /// Opens an object as a member of this one; `close` it before the next member.
    pub(crate) fn object(&mut self, name: &str) -> Object<'_> {
        self.name(name);
        Object::open(self.out, self.detail)
    }

    /// Most texts need no escaping, and one pass without branches over their bytes shows it: several times faster than looking for
    /// the place to escape at each byte.
    fn quote(&mut self, text: &str) -> serde_json::Result<()> {
        let needs_escape = text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\'));
        if needs_escape {
            return text.write_json(self.out);
        }
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// An account id as text without the formatting machinery, which would cost more than the rest of its member.
pub(crate) struct AccountDigits([u8; 12]);

impl AccountDigits {
    pub(crate) fn of(account: AccountId) -> Self {
        let mut rest = account.number();
        let mut digits = [b'0'; 12];
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789".get(usize::try_from(rest % 10).unwrap_or(0)).copied().unwrap_or(b'0');
            rest /= 10;
        }
        Self(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_digits_are_the_account_id() {
        for number in [0, 7, 111_122_223_333, 999_999_999_999] {
            let account = AccountId::from_number(number).unwrap();
            assert_eq!(AccountDigits::of(account).as_str(), account.to_string());
        }
    }

    #[test]
    fn knows_the_canonical_form() {
        for canonical in [r#"{}"#, r#"{"ARN":1,"a":[{"b":null,"c":"\u0001é\n"}],"ab":true}"#, "[1,-2]", "\"x\""] {
            assert!(is_canonical(canonical.as_bytes()), "{canonical}");
        }
        for other in
            [r#"{"b":1,"a":2}"#, r#"{"a":1,"a":1}"#, r#"{ "a":1}"#, r#"{"a":"\u00e9"}"#, r#"[{"b":1,"a":1}]"#, "", "{", "1 "]
        {
            assert!(!is_canonical(other.as_bytes()), "{other}");
        }
    }
}
