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

#[cfg(test)]
mod tests {
    use claviger_hsm::{PassphraseCost, SealSecret};
    use uuid::Uuid;
    use zeroize::Zeroizing;

    use super::*;

    fn hsm() -> Hsm {
        let cost = PassphraseCost { memory_kib: 8, passes: 1, lanes: 1 };
        let seal = SealSecret::Passphrase(Zeroizing::new("correct horse".to_owned()));
        Hsm::initialize_with_cost(Uuid::new_v4(), &[("people", seal)], cost).unwrap().0
    }

    #[test]
    fn a_marker_continues_its_own_list_only() {
        let (hsm, other) = (hsm(), hsm());
        let marker = seal(&hsm, "keys/1", "last").unwrap();
        assert_eq!(open(&hsm, "keys/1", &marker).unwrap(), "last");
        assert!(!marker.contains("last") && marker.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let refused = |result: Result<String, Refusal>| assert_eq!(result.unwrap_err().kind, Kind::InvalidMarker);
        refused(open(&hsm, "keys/2", &marker));
        refused(open(&hsm, "keys/1\0last", &marker));
        refused(open(&other, "keys/1", &marker));
        refused(open(&hsm, "keys/1", ""));
        refused(open(&hsm, "keys/1", "no marker at all"));
        for place in 0..marker.len() {
            let mut changed = marker.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            refused(open(&hsm, "keys/1", std::str::from_utf8(&changed).unwrap()));
        }
    }

    #[test]
    fn a_page_has_a_marker_exactly_when_there_is_more() {
        let hsm = hsm();
        let cut = |count: usize| Page::cut((0..count).collect(), 3, &hsm, "numbers", ToString::to_string).unwrap();
        for count in 0..=3 {
            let page = cut(count);
            assert_eq!((page.items.len(), page.next), (count, None));
        }
        let page = cut(4);
        assert_eq!(page.items, [0, 1, 2]);
        assert_eq!(open(&hsm, "numbers", &page.next.unwrap()).unwrap(), "2");
    }
}
