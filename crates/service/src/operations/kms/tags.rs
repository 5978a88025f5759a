//! The rules for tags. Source: AWS KMS Developer Guide, "Tags in AWS KMS"; texts recorded from AWS KMS.

use std::collections::{BTreeMap, BTreeSet};

use claviger_domain::Refusal;
use claviger_domain::policy::Values;

use crate::conditions::tagged;
use crate::quotas::TAGS_PER_KEY;

/// Checks a key's tags as they will be.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if tags.len() > TAGS_PER_KEY {
        return Err(Refusal::invalid_tag("Too many tags"));
    }
    check_names(tags.keys())?;
    check_distinct(tags)
}

/// Conditions find tags by their keys without regard to case, so two keys must differ in more than that. Source: AWS IAM User Guide, "Tags for
/// AWS Identity and Access Management resources"; AWS KMS itself would let them be.
pub(crate) fn check_distinct(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let distinct: BTreeSet<String> = tags.keys().map(|key| key.to_ascii_lowercase()).collect();
    if distinct.len() < tags.len() {
        return Err(Refusal::invalid_tag("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
    }
    Ok(())
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
    tagged(name, tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::text;

    fn tags(names: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
        names.into_iter().map(|name| (name, "value".to_owned())).collect()
    }

    fn why(names: impl IntoIterator<Item = String>) -> Option<String> {
        check_tags(&tags(names)).err().map(|refusal| refusal.detail)
    }

    #[test]
    fn fifty_tags_and_no_reserved_names() {
        assert_eq!(why((0..50).map(|number| number.to_string())), None);
        assert_eq!(why((0..51).map(|number| number.to_string())).as_deref(), Some("Too many tags"));
        for name in ["aws:x", "AWS:x", "aws:"] {
            assert_eq!(why([name.to_owned()]).as_deref(), Some("Tags beginning with aws: are reserved"), "{name}");
        }
        // A name that is cut inside a character is no reserved name, and no reason to fall over.
        for name in ["aws", "awsx", "aäws:", "ää"] {
            assert_eq!(why([name.to_owned()]), None, "{name}");
        }
    }

    #[test]
    fn keys_that_differ_in_case_alone_are_no_two_tags() {
        let duplicate = Some("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
        assert_eq!(why(["team".to_owned(), "Team".to_owned()]).as_deref(), duplicate);
        assert_eq!(why(["team".to_owned(), "Teams".to_owned()]), None);
        // Of keys that have them from older days no condition can tell which is meant.
        assert_eq!(request_tag(&tags(["team".to_owned(), "Team".to_owned()]), "aws:requesttag/team"), Values::Ambiguous);
    }

    #[test]
    fn the_request_tags_condition_finds_a_tag_whatever_its_case() {
        let tags = tags(["Team".to_owned()]);
        assert_eq!(request_tag(&tags, "aws:requesttag/team"), text("value"));
        for key in ["aws:requesttag/other", "aws:requesttag/", "aws:tagkeys", "team"] {
            assert_eq!(request_tag(&tags, key), Values::Absent, "{key}");
        }
    }
}
