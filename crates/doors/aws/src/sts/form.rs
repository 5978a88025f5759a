//! The parameters of a request in the query protocol: a form in the body, or a query string. Source: Smithy, "AWS Query protocol";
//! WHATWG URL, "application/x-www-form-urlencoded parsing".

use std::collections::BTreeMap;

use claviger_domain::Refusal;
use http::Method;
use http::request::Parts;

/// Parameters by their names.
pub(super) struct Form(BTreeMap<String, String>);

/// Parameters, at most: 50 tags, 50 transitive keys, and what else there is.
const PARAMETERS_MAX: usize = 512;

impl Form {
    /// Reads the form of a POST, or the query string of a GET.
    ///
    /// # Errors
    /// `Invalid` where it is no form, or has a parameter twice, of which nobody could say which counts.
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        let text = match parts.method == Method::GET {
            true => parts.uri.query().unwrap_or_default(),
            false => std::str::from_utf8(body).map_err(|_| unreadable())?,
        };
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let doubled = parameters.insert(decoded(name)?, decoded(value)?).is_some();
            if doubled || parameters.len() > PARAMETERS_MAX {
                return Err(unreadable());
            }
        }
        Ok(Self(parameters))
    }

    /// The parameter of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there is a parameter of this name, or a list or structure of it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.keys().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let number = self.get(name).map(str::parse).transpose();
        number.map_err(|_| Refusal::invalid(format!("{name} is not a whole number.")))
    }

    /// How many members the list of this name has: the number of the last one. Those that were left out are then missed where they are read.
    pub(super) fn members(&self, list: &str) -> usize {
        let prefix = format!("{list}.member.");
        let numbers = self.0.keys().filter_map(|key| key.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok());
        numbers.max().unwrap_or(0).min(PARAMETERS_MAX)
    }
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => rest.next().zip(rest.next()).and_then(|(high, low)| unhex(high, low)).ok_or_else(unreadable)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| unreadable())
}

fn unhex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn unreadable() -> Refusal {
    Refusal::invalid("The parameters cannot be read: they must be a form (application/x-www-form-urlencoded), each of them once.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Result<Form, Refusal> {
        let (parts, ()) = http::Request::post("/").body(()).unwrap().into_parts();
        Form::read(&parts, body.as_bytes())
    }

    #[test]
    fn a_form_is_read_as_it_was_meant() {
        let read =
            form("Action=AssumeRole&Policy=%7B%22a%22%3a+1%7D&Tags.member.1.Key=k&Tags.member.3.Key=%C3%A9&Empty=&Flag").unwrap();
        assert_eq!(read.get("Action"), Some("AssumeRole"));
        assert_eq!(read.get("Policy"), Some("{\"a\": 1}"));
        assert_eq!(read.get("Tags.member.3.Key"), Some("\u{e9}"));
        assert_eq!((read.get("Empty"), read.get("Flag"), read.get("Other")), (Some(""), Some(""), None));
        assert_eq!((read.members("Tags"), read.members("Tag"), read.members("Other")), (3, 0, 0));
        assert!(read.has("Tags") && read.has("Policy") && !read.has("Tag") && !read.has("Pol"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for wrong in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "%ff=a"] {
            assert!(form(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=PARAMETERS_MAX).map(|number| format!("p{number}=")).collect();
        assert!(form(&many.join("&")).is_err());
        assert!(form("N=x").unwrap().number("N").is_err());
        assert_eq!(form("N=12").unwrap().number("N").unwrap(), Some(12));
    }

    #[test]
    fn the_last_member_of_a_list_does_not_make_it_endless() {
        assert_eq!(form("Tags.member.99999999999=x").unwrap().members("Tags"), PARAMETERS_MAX);
    }
}
