//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`, and `${*}`, `${?}`, `${$}` for the characters themselves.
//! Source: AWS IAM User Guide, "IAM policy elements: Variables and tags".

use super::pattern::Piece;
use super::{ConditionContext, MalformedPolicy, Values};

/// A variable of a policy, replaced in each request by the value of the condition key of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    name: Box<str>,
    default: Option<Box<str>>,
}

impl Variable {
    /// Reads the variable that the text starts with, and returns it with the rest of the text.
    ///
    /// # Errors
    /// A variable that does not end, has no proper name, or whose default is not in single quotes.
    pub(super) fn parse(text: &str) -> Result<(Option<Piece>, &str), MalformedPolicy> {
        let invalid = || {
            let start: String = text.chars().take(40).collect();
            MalformedPolicy::new(format!("Invalid policy variable at {start:?}: write ${{key}} or ${{key, 'default'}}."))
        };
        let inside = text.strip_prefix("${").ok_or_else(invalid)?;
        for special in ["*", "?", "$"] {
            if let Some(rest) = inside.strip_prefix(special).and_then(|rest| rest.strip_prefix('}')) {
                return Ok((Some(Piece::Text(special.into())), rest));
            }
        }
        let end = inside.find([',', '}']).ok_or_else(invalid)?;
        let (name, rest) = inside.split_at_checked(end).ok_or_else(invalid)?;
        let name = name.trim();
        if !is_condition_key(name) || name.contains(['$', '{', '\'', '*', '?']) {
            return Err(invalid());
        }
        let (default, rest) = match rest.strip_prefix(',') {
            None => (None, rest),
            Some(rest) => {
                let quoted = rest.trim_start().strip_prefix('\'').ok_or_else(invalid)?;
                let (default, rest) = quoted.split_once('\'').ok_or_else(invalid)?;
                (Some(default.into()), rest.trim_start())
            }
        };
        let rest = rest.strip_prefix('}').ok_or_else(invalid)?;
        Ok((Some(Piece::Variable(Self { name: name.into(), default })), rest))
    }

    /// What it stands for in this request, or its default. Only a single value that is not empty counts: AWS takes an empty value for
    /// none, and does not let multivalued keys be variables.
    pub(super) fn value(&self, context: &dyn ConditionContext) -> Option<Box<str>> {
        match context.values(&self.name) {
            Values::One(value) if !value.is_empty() => Some(value.into()),
            _ => self.default.clone(),
        }
    }
}

/// Whether a text can be a condition key: `aws:SourceIp`, `kms:EncryptionContext:AppName`.
pub(super) fn is_condition_key(text: &str) -> bool {
    text.split_once(':').is_some_and(|(vendor, name)| {
        !name.is_empty() && !vendor.is_empty() && vendor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}
