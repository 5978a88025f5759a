//! Tags on the command line: `KEY=VALUE`.

use std::str::FromStr;

use serde_json::{Value, json};

/// One tag.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    key: String,
    value: String,
}

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE")?;
        if key.is_empty() {
            return Err("a tag needs a key: KEY=VALUE");
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// Tags as the server reads them; nothing where there are none.
pub(super) fn as_json(tags: &[Tag]) -> Value {
    let list: Vec<Value> = tags.iter().map(|tag| json!({ "TagKey": tag.key, "TagValue": tag.value })).collect();
    if list.is_empty() { Value::Null } else { Value::Array(list) }
}
