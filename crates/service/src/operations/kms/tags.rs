//! The rules for tags. Source: AWS KMS Developer Guide, "Tags in AWS KMS"; texts recorded from AWS KMS.

use std::collections::BTreeMap;

use claviger_domain::Refusal;
use claviger_domain::policy::Values;

use crate::conditions::text;

/// How many tags a key may have.
const COUNT_MAX: usize = 50;

/// Checks a key's tags as they will be.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if tags.len() > COUNT_MAX {
        return Err(Refusal::invalid_tag("Too many tags"));
    }
    check_names(tags.keys())
}

/// Checks names of tags that a request gives or takes away.
pub(crate) fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    if names.any(|name| name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))) {
        return Err(Refusal::invalid_tag("Tags beginning with aws: are reserved"));
    }
    Ok(())
}

/// The value of `aws:RequestTag/KEY` (the condition key in lower case).
pub(crate) fn request_tag<'a>(tags: &'a BTreeMap<String, String>, key: &str) -> Values<'a> {
    let Some(name) = key.strip_prefix("aws:requesttag/") else { return Values::Absent };
    tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(name)).map_or(Values::Absent, |(_, value)| text(value))
}
