//! The canonical request and the string to sign: one text for all the ways in which one request can be written.
//!
//! Source: AWS IAM User Guide, "Create a signed AWS API request", steps 1 to 3, with the rules for all services but S3: the
//! path is normalised and encoded a second time, and the payload is always hashed.

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, Method, Uri};

use super::Failure;

/// The algorithm's name as it stands in headers and in the string to sign.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last element of every credential scope.
pub(super) const TERMINATOR: &str = "aws4_request";

/// Names in a list of signed headers, at most.
const SIGNED_HEADERS_MAX: usize = 64;

/// Bytes of the canonical request, at most. The canonical path and query count encoded: up to five times what was sent.
const CANONICAL_BYTES_MAX: usize = 128 * 1024;

/// Pairs in the query string, at most.
const QUERY_PAIRS_MAX: usize = 256;

/// The SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HexHash([u8; 64]);

impl HexHash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = digest(&SHA256, bytes);
        let mut hex = [b'0'; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(hash.as_ref()) {
            if let [high, low] = pair {
                *high = hex_digit(DIGITS, byte >> 4);
                *low = hex_digit(DIGITS, byte & 0x0f);
            }
        }
        Self(hex)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// What is signed of a request.
pub(super) struct Signable<'r> {
    pub(super) method: &'r Method,
    pub(super) uri: &'r Uri,
    pub(super) headers: &'r HeaderMap,
    pub(super) signed_headers: &'r SignedHeaders<'r>,
    pub(super) payload: &'r HexHash,
}

impl Signable<'_> {
    /// Method, path, query string, headers, their names and the payload's hash, each in canonical form.
    pub(super) fn canonical_request(&self) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b'\n');
        push_path(&mut out, self.uri.path())?;
        out.push(b'\n');
        push_query(&mut out, self.uri.query().unwrap_or_default())?;
        out.push(b'\n');
        for name in self.signed_headers.names() {
            self.push_header(&mut out, name)?;
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.list.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload.as_bytes());
        if out.len() > CANONICAL_BYTES_MAX { Err(TOO_LONG) } else { Ok(out) }
    }

    /// What the signing key signs: the algorithm, the time, the scope, and the canonical request's hash.
    ///
    /// `signed_at` is in ISO 8601's basic format; `scope` is `date/region/service/aws4_request`.
    pub(super) fn string_to_sign(&self, signed_at: &str, scope: &str) -> Result<String, Failure> {
        let hash = HexHash::of(&self.canonical_request()?);
        let mut text = String::with_capacity(ALGORITHM.len() + signed_at.len() + scope.len() + 64 + 3);
        for line in [ALGORITHM, signed_at, scope] {
            text.push_str(line);
            text.push('\n');
        }
        text.extend(hash.as_bytes().iter().copied().map(char::from));
        Ok(text)
    }

    /// `name:value\n`, several values of one name separated by commas in the order in which they came.
    fn push_header(&self, out: &mut Vec<u8>, name: &str) -> Result<(), Failure> {
        let missing = || Failure::SignedHeaderMissing(super::excerpt(name));
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let mut values = self.headers.get_all(name).iter();
        match values.next() {
            Some(value) => push_trimmed(out, value.as_bytes())?,
            // HTTP/2 has no Host header: what the client signed as `host` came as `:authority`.
            None if name == "host" => out.extend_from_slice(self.uri.authority().ok_or_else(missing)?.as_str().as_bytes()),
            None => return Err(missing()),
        }
        for value in values {
            out.push(b',');
            push_trimmed(out, value.as_bytes())?;
        }
        out.push(b'\n');
        if out.len() > CANONICAL_BYTES_MAX { Err(TOO_LONG) } else { Ok(()) }
    }
}

/// The names of the headers that are signed, in their one form: in lower case, sorted, each once.
pub(super) struct SignedHeaders<'r> {
    list: &'r str,
    names: [&'r str; SIGNED_HEADERS_MAX],
    count: usize,
}

impl<'r> SignedHeaders<'r> {
    /// Reads names that are separated by semicolons. Whether the request has such headers is seen later.
    pub(super) fn parse(list: &'r str) -> Result<Self, Failure> {
        let mut names = [""; SIGNED_HEADERS_MAX];
        let mut count = 0;
        let mut previous = "";
        for name in list.split(';') {
            let place = names.get_mut(count).ok_or(Failure::MalformedSignedHeaders)?;
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) || name <= previous {
                return Err(Failure::MalformedSignedHeaders);
            }
            *place = name;
            previous = name;
            count += 1;
        }
        Ok(Self { list, names, count })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'r str> {
        self.names.iter().take(self.count).copied()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names().any(|signed| signed == name)
    }
}

const TOO_LONG: Failure = Failure::Unreadable("The signed parts of the request are too long: at most 128 KiB are accepted.");

/// The path without `.`, `..` and empty segments (RFC 3986 section 5.2.4, and AWS's rule on slashes), each byte encoded again.
fn push_path(out: &mut Vec<u8>, path: &str) -> Result<(), Failure> {
    if path.len() > CANONICAL_BYTES_MAX {
        return Err(TOO_LONG);
    }
    if path == "/" {
        out.push(b'/');
        return Ok(());
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        push_encoded(out, segment.as_bytes());
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
    Ok(())
}

/// The pairs of the query string, decoded and encoded in the one canonical way, sorted by name and then by value.
fn push_query(out: &mut Vec<u8>, query: &str) -> Result<(), Failure> {
    if query.is_empty() {
        return Ok(());
    }
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == QUERY_PAIRS_MAX {
            return Err(Failure::Unreadable("The query string has too many parameters: at most 256 are accepted."));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((recoded(name)?, recoded(value)?));
    }
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
    Ok(())
}

/// A name or value of the query string: escapes and plus signs decoded, then everything but unreserved characters encoded.
fn recoded(text: &str) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'+' => b' ',
            b'%' => bytes.next().zip(bytes.next()).and_then(|(high, low)| unhex(high, low)).ok_or(Failure::Unreadable(
                "The query string has a '%' that two hexadecimal digits do not follow. Write a percent sign as %25.",
            ))?,
            other => other,
        };
        push_encoded(&mut out, &[decoded]);
    }
    Ok(out)
}

/// RFC 3986's unreserved characters stay; every other byte becomes `%XX` with upper-case digits.
fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', hex_digit(DIGITS, byte >> 4), hex_digit(DIGITS, byte & 0x0f)]);
        }
    }
}

/// A header's value without white space at its ends, and with one space for each run of spaces.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Failure> {
    let text = std::str::from_utf8(value)
        .map_err(|_| Failure::Unreadable("A signed header has a value that is not UTF-8. Sign and send text only."))?;
    let value = text.as_bytes().trim_ascii();
    if !value.contains(&b' ') {
        out.extend_from_slice(value);
        return Ok(());
    }
    let mut after_space = false;
    for &byte in value {
        if byte != b' ' || !after_space {
            out.push(byte);
        }
        after_space = byte == b' ';
    }
    Ok(())
}

fn hex_digit(digits: &[u8; 16], nibble: u8) -> u8 {
    digits.get(usize::from(nibble)).copied().unwrap_or(b'0')
}

fn unhex(high: u8, low: u8) -> Option<u8> {
    let mut byte = [0];
    hex::decode_to_slice([high, low], &mut byte).ok()?;
    let [byte] = byte;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let mut out = Vec::new();
        push_path(&mut out, text).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        push_query(&mut out, text).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn value(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_trimmed(&mut out, bytes).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_are_normalised_and_encoded_twice() {
        for (sent, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/example/..", "/"),
            ("/example1/example2/../..", "/"),
            ("/../../x", "/x"),
            ("/./example", "/example"),
            ("//example//", "/example/"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/example space/", "/example%20space/"),
            ("/ሴ", "/%E1%88%B4"),
            ("/%E1%88%B4", "/%25E1%2588%25B4"),
            ("/a:b@c$d", "/a%3Ab%40c%24d"),
            ("/...", "/..."),
        ] {
            assert_eq!(path(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn queries_are_sorted_and_encoded_once() {
        for (sent, canonical) in [
            ("", ""),
            ("a", "a="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=b&a=B", "a=B&a=b"),
            ("a-=1&a=2", "a=2&a-=1"),
            ("a=b=c", "a=b%3Dc"),
            ("x=%7e%2f", "x=~%2F"),
            ("x=a+b%20c%2B", "x=a%20b%20c%2B"),
            ("&&a=1&", "a=1"),
            ("ሴ=bar", "%E1%88%B4=bar"),
        ] {
            assert_eq!(query(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn queries_with_broken_escapes_or_too_many_pairs_are_refused() {
        for sent in ["%", "a=%4", "%zz=1", "a=%é9", &"a&".repeat(QUERY_PAIRS_MAX + 1)] {
            assert!(matches!(push_query(&mut Vec::new(), sent), Err(Failure::Unreadable(_))), "{sent}");
        }
    }

    #[test]
    fn values_are_trimmed_and_their_runs_of_spaces_collapsed() {
        assert_eq!(value(b" \t a   b  c \t "), "a b c");
        assert_eq!(value(b"\"a   b\""), "\"a b\"");
        assert_eq!(value(b"a\tb"), "a\tb");
        assert_eq!(value(b"   "), "");
        assert!(push_trimmed(&mut Vec::new(), b"\xff").is_err());
    }

    #[test]
    fn signed_headers_have_one_form() {
        let parsed = SignedHeaders::parse("content-type;host;x-amz-date").unwrap();
        assert_eq!(parsed.names().collect::<Vec<_>>(), ["content-type", "host", "x-amz-date"]);
        assert!(parsed.contains("host") && !parsed.contains("content"));
        let many: Vec<String> = (0..=SIGNED_HEADERS_MAX).map(|number| format!("h{number:03}")).collect();
        for wrong in ["", "host;", ";host", "host;content-type", "host;host", "Host", &many.join(";")] {
            assert_eq!(SignedHeaders::parse(wrong).err(), Some(Failure::MalformedSignedHeaders), "{wrong}");
        }
    }
}
