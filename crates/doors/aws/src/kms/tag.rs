//! Tags on the wire.

use std::collections::BTreeMap;

use claviger_domain::Refusal;
use serde::{Deserialize, Serialize};

use crate::validation::{Validator, present};

/// One tag.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    tag_key: Option<String>,
    tag_value: Option<String>,
}

impl Tag {
    pub(crate) fn new(key: String, value: String) -> Self {
        Self { tag_key: Some(key), tag_value: Some(value) }
    }
}

/// Checks tags against the model, and reads them once the check has been finished.
pub(crate) fn read_tags(check: &mut Validator, tags: Option<&Vec<Tag>>) -> Result<BTreeMap<String, String>, Refusal> {
    for (number, tag) in (1..).zip(tags.into_iter().flatten()) {
        check.required_length(&format!("tags.{number}.member.tagKey"), tag.tag_key.as_ref(), 1, 128);
        check.required_length(&format!("tags.{number}.member.tagValue"), tag.tag_value.as_ref(), 0, 256);
    }
    let mut read = BTreeMap::new();
    for tag in tags.into_iter().flatten().cloned() {
        if read.insert(present(tag.tag_key)?, present(tag.tag_value)?).is_some() {
            return Err(Refusal::invalid_tag("Duplicate tag keys"));
        }
    }
    Ok(read)
}
