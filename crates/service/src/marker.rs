//! Markers of paged lists: opaque to clients, authenticated, and valid only for the list that they continue.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::{Kind, Refusal};
use claviger_hsm::Hsm;

const PURPOSE: &str = "marker";

/// The marker that continues the list `of` after `last`.
pub(crate) fn seal(hsm: &Hsm, of: &str, last: &str) -> Result<String, Refusal> {
    let sealed = hsm.seal_token(PURPOSE, format!("{of}\0{last}").as_bytes())?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// What the list `of` continues after.
pub(crate) fn open(hsm: &Hsm, of: &str, marker: &str) -> Result<String, Refusal> {
    let invalid = || Refusal::new(Kind::InvalidMarker, "Could not deserialize marker");
    let sealed = URL_SAFE_NO_PAD.decode(marker).map_err(|_| invalid())?;
    let plaintext = hsm.open_token(PURPOSE, &sealed).map_err(|_| invalid())?;
    let text = String::from_utf8(plaintext.to_vec()).map_err(|_| invalid())?;
    match text.split_once('\0') {
        Some((list, last)) if list == of => Ok(last.to_owned()),
        _ => Err(invalid()),
    }
}

/// A page of a list, cut to `limit` out of one item more than that.
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The marker of the next page, when there is one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts `items`, which were asked for with one more than `limit`, and makes the marker from the last one that stays.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, hsm: &Hsm, of: &str, id: impl Fn(&T) -> String) -> Result<Self, Refusal> {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = match items.last() {
            Some(last) if more => Some(seal(hsm, of, &id(last))?),
            _ => None,
        };
        Ok(Self { items, next })
    }
}
