//! The constraints of the service model, checked field by field and reported together in AWS's words.
//!
//! Source: the constraint traits of the AWS KMS service model; texts recorded from AWS KMS ("1 validation error detected: ...").

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use claviger_domain::key::{
    DataKeyPairSpec, EncapsulationAlgorithm, EncryptionAlgorithm, KeyAgreementAlgorithm, MacAlgorithm, MessageType,
    SigningAlgorithm,
};
use claviger_domain::{EncryptionContext, Refusal};

use crate::json::Blob;

/// A list of names of the service model that is the domain's too.
pub(crate) trait Named {
    /// All of them.
    fn names() -> Vec<&'static str>;
}

macro_rules! named {
    ($($list:ty),*) => {
        $(impl Named for $list {
            fn names() -> Vec<&'static str> {
                Self::ALL.iter().map(|name| name.as_str()).collect()
            }
        })*
    };
}

named!(
    DataKeyPairSpec,
    EncapsulationAlgorithm,
    EncryptionAlgorithm,
    KeyAgreementAlgorithm,
    MacAlgorithm,
    MessageType,
    SigningAlgorithm
);

/// Collects what is wrong with a request.
#[derive(Default)]
pub(crate) struct Validator {
    problems: Vec<String>,
}

/// The longest value that an error repeats.
const SHOWN_BYTES_MAX: usize = 256;

impl Validator {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Ends the check.
    ///
    /// # Errors
    /// `Invalid` with every problem that was found.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.problems.len() {
            0 => Ok(()),
            1 => Err(Refusal::invalid(format!("1 validation error detected: {}", self.problems.concat()))),
            count => Err(Refusal::invalid(format!("{count} validation errors detected: {}", self.problems.join("; ")))),
        }
    }

    /// A member that has to be there.
    pub(crate) fn required<T>(&mut self, field: &str, value: Option<&T>) {
        if value.is_none() {
            self.problems.push(format!("Value null at '{field}' failed to satisfy constraint: Member must not be null"));
        }
    }

    /// A text's length in characters.
    pub(crate) fn length(&mut self, field: &str, value: Option<&String>, min: usize, max: usize) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        if length < min {
            self.constraint(field, value, format_args!("Member must have length greater than or equal to {min}"));
        }
        if length > max {
            self.constraint(field, value, format_args!("Member must have length less than or equal to {max}"));
        }
    }

    /// A required text's length in characters.
    pub(crate) fn required_length(&mut self, field: &str, value: Option<&String>, min: usize, max: usize) {
        self.required(field, value);
        self.length(field, value, min, max);
    }

    /// A required key reference.
    pub(crate) fn key_id(&mut self, field: &str, value: Option<&String>) {
        self.required_length(field, value, 1, KEY_ID_MAX);
    }

    /// A blob's length in bytes. Its value is never shown.
    pub(crate) fn blob(&mut self, field: &str, value: Option<&[u8]>, max: usize) {
        let Some(value) = value else { return };
        if value.is_empty() {
            self.problem(field, "Member must have length greater than or equal to 1");
        }
        if value.len() > max {
            self.problem(field, &format!("Member must have length less than or equal to {max}"));
        }
    }

    /// A required blob's length, never shown.
    pub(crate) fn required_blob(&mut self, field: &str, value: Option<&Blob>, max: usize) {
        self.required(field, value);
        self.blob(field, value.map(|blob| blob.0.as_slice()), max);
    }

    /// A number's range.
    pub(crate) fn range(&mut self, field: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value < min {
            self.constraint(field, &value, format_args!("Member must have value greater than or equal to {min}"));
        }
        if value > max {
            self.constraint(field, &value, format_args!("Member must have value less than or equal to {max}"));
        }
    }

    /// A member that must be one of these names.
    pub(crate) fn one_of(&mut self, field: &str, value: Option<&String>, names: &[&str]) {
        if let Some(value) = value
            && !names.contains(&value.as_str())
        {
            self.constraint(field, value, format_args!("Member must satisfy enum value set: [{}]", names.join(", ")));
        }
    }

    /// A member that must be one of the names of a list of the model.
    pub(crate) fn name<T: Named>(&mut self, field: &str, value: Option<&String>) {
        if value.is_some() {
            self.one_of(field, value, &T::names());
        }
    }

    /// The same, which has to be there.
    pub(crate) fn required_name<T: Named>(&mut self, field: &str, value: Option<&String>) {
        self.required(field, value);
        self.name::<T>(field, value);
    }

    /// A member that must match a pattern.
    pub(crate) fn pattern(&mut self, field: &str, value: Option<&String>, pattern: &str, matches: impl Fn(&str) -> bool) {
        if let Some(value) = value
            && !matches(value)
        {
            self.constraint(field, value, format_args!("Member must satisfy regular expression pattern: {pattern}"));
        }
    }

    /// The id of a key's material.
    pub(crate) fn material_id(&mut self, field: &str, value: Option<&String>) {
        self.length(field, value, 64, 64);
        self.pattern(field, value, "^[a-f0-9]+$", |id| id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }

    /// How many items a list has.
    pub(crate) fn count<T>(&mut self, field: &str, list: Option<&Vec<T>>, min: usize, max: usize) {
        let Some(list) = list else { return };
        if list.len() < min {
            self.problem(field, &format!("Member must have length greater than or equal to {min}"));
        }
        if list.len() > max {
            self.problem(field, &format!("Member must have length less than or equal to {max}"));
        }
    }

    /// The lengths of a list's texts, in characters.
    pub(crate) fn each_length(&mut self, field: &str, list: Option<&Vec<String>>, min: usize, max: usize) {
        let wrong = |text: &String| !(min..=max).contains(&text.chars().count());
        if let Some(list) = list.filter(|list| list.iter().any(wrong)) {
            self.constraint(field, &Shown(list), format_args!(
                "Member must satisfy constraint: [Member must have length less than or equal to {max}, Member must have length greater than or \
                 equal to {min}]"
            ));
        }
    }

    /// Texts of a list that must each be one of these names.
    pub(crate) fn each_one_of(&mut self, field: &str, list: Option<&Vec<String>>, names: &[&str]) {
        if let Some(list) = list.filter(|list| list.iter().any(|text| !names.contains(&text.as_str()))) {
            let names = names.join(", ");
            self.constraint(
                field,
                &Shown(list),
                format_args!("Member must satisfy constraint: [Member must satisfy enum value set: [{names}]]"),
            );
        }
    }

    /// The page size of a list.
    pub(crate) fn limit(&mut self, value: Option<i64>) {
        self.range("limit", value, 1, LIMIT_MAX);
    }

    /// The marker of a list.
    pub(crate) fn marker(&mut self, value: Option<&String>) {
        self.length("marker", value, 1, 1024);
        self.pattern("marker", value, "[\\u0020-\\u00FF]*", |text| {
            text.chars().all(|letter| ('\u{20}'..='\u{ff}').contains(&letter))
        });
    }

    /// The form of grant tokens. The service looks into them: see `Mapping::grant_tokens`.
    pub(crate) fn grant_tokens(&mut self, tokens: Option<&Vec<String>>) {
        let Some(tokens) = tokens else { return };
        if tokens.len() > GRANT_TOKENS_MAX {
            self.problem("grantTokens", &format!("Member must have length less than or equal to {GRANT_TOKENS_MAX}"));
        }
        if tokens.iter().any(|token| token.is_empty() || token.len() > GRANT_TOKEN_BYTES_MAX) {
            self.problem("grantTokens", &format!(
                "Member must satisfy constraint: [Member must have length less than or equal to {GRANT_TOKEN_BYTES_MAX}, Member must have \
                 length greater than or equal to 1]"
            ));
        }
    }

    /// An encryption algorithm.
    pub(crate) fn encryption_algorithm(&mut self, field: &str, value: Option<&String>) {
        self.name::<EncryptionAlgorithm>(field, value);
    }

    /// The modifiers of a dry run.
    pub(crate) fn dry_run_modifiers(&mut self, modifiers: Option<&Vec<String>>) {
        self.each_one_of("dryRunModifiers", modifiers, &[IGNORE_CIPHERTEXT]);
    }

    /// Names a problem that is no constraint of a single member.
    pub(crate) fn problem(&mut self, field: &str, constraint: &str) {
        self.problems.push(format!("Value at '{field}' failed to satisfy constraint: {constraint}"));
    }

    fn constraint(&mut self, field: &str, value: &dyn fmt::Display, constraint: fmt::Arguments<'_>) {
        let value = value.to_string();
        let shown = value.get(..value.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or_default();
        self.problems.push(format!("Value '{shown}' at '{field}' failed to satisfy constraint: {constraint}"));
    }
}

/// A list as errors repeat it.
struct Shown<'a>(&'a [String]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0.join(", "))
    }
}

const KEY_ID_MAX: usize = 2048;
const LIMIT_MAX: i64 = 1000;
const GRANT_TOKENS_MAX: usize = 10;
const GRANT_TOKEN_BYTES_MAX: usize = 8192;

/// The one modifier of a dry run.
pub(crate) const IGNORE_CIPHERTEXT: &str = "IGNORE_CIPHERTEXT";

/// A required member, after [`Validator::finish`] has said that it is there.
pub(crate) fn present<T>(value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid("1 validation error detected: a required member is missing"))
}

/// A value that may be left out, after it has been checked.
///
/// # Errors
/// `Invalid` when it is none after all.
pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(value: Option<&String>) -> Result<Option<T>, Refusal> {
    value
        .map(|value| value.parse().map_err(|error| Refusal::invalid(format!("1 validation error detected: {error}"))))
        .transpose()
}

/// A name that has to be there, after it has been checked.
pub(crate) fn name<T: FromStr>(value: Option<&String>) -> Result<T, Refusal> {
    present(value.and_then(|value| value.parse().ok()))
}

/// The bytes of a required blob that is no secret.
pub(crate) fn bytes(blob: Option<Blob>) -> Result<Vec<u8>, Refusal> {
    present(blob).map(|mut blob| std::mem::take(&mut *blob.0))
}

/// A page size, after it has been checked, at most `cap`.
pub(crate) fn page_size(limit: Option<i64>, default: usize, cap: usize) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(default).min(cap)
}

/// A name that has been checked, or the default.
pub(crate) fn name_or<T: FromStr>(value: Option<&String>, default: T) -> T {
    value.and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// An encryption context as the request has it.
///
/// # Errors
/// `Invalid` when it is larger than a context may be.
pub(crate) fn encryption_context(pairs: Option<impl Into<BTreeMap<String, String>>>) -> Result<EncryptionContext, Refusal> {
    let context = EncryptionContext::new(pairs.map(Into::into).unwrap_or_default());
    let bytes: usize = context.pairs().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > EncryptionContext::CANONICAL_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "1 validation error detected: Value at 'encryptionContext' failed to satisfy constraint: keys and values together must not be \
             longer than {} bytes",
            EncryptionContext::CANONICAL_BYTES_MAX
        )));
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_reported_together_in_awss_words() {
        let mut validator = Validator::new();
        validator.key_id("keyId", None);
        validator.range("limit", Some(0), 1, 1000);
        assert_eq!(
            validator.finish().unwrap_err().detail,
            "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value '0' at 'limit' \
             failed to satisfy constraint: Member must have value greater than or equal to 1"
        );
    }

    #[test]
    fn lists_are_checked_as_a_whole() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut validator = Validator::new();
        validator.each_length("tagKeys", Some(&texts(&["a", ""])), 1, 128);
        validator.each_length("tagKeys", Some(&texts(&["a", "ä"])), 1, 1);
        validator.each_one_of("resourceOwners", Some(&texts(&["SELF", "ME"])), &["SELF", "OTHERS"]);
        validator.count("resourceOwners", Some(&texts(&[])), 1, 2);
        assert_eq!(
            validator.finish().unwrap_err().detail,
            "3 validation errors detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must \
             have length less than or equal to 128, Member must have length greater than or equal to 1]; Value '[SELF, ME]' at \
             'resourceOwners' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [SELF, \
             OTHERS]]; Value at 'resourceOwners' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
    }

    #[test]
    fn a_plaintext_is_never_shown() {
        let mut validator = Validator::new();
        validator.blob("plaintext", Some(&[b's'; 4097]), 4096);
        assert_eq!(
            validator.finish().unwrap_err().detail,
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"
        );
    }
}
