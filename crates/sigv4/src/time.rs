//! The two spellings of time in signed requests: ISO 8601's basic format (X-Amz-Date) and that of HTTP (Date).

use claviger_domain::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::Offset;

/// `20261122T105333Z`, to the second.
pub(super) fn basic(time: Timestamp) -> String {
    time.to_rfc3339().replace(['-', ':'], "")
}

/// Reads `20261122T105333Z`, and nothing else.
pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let [y1, y2, y3, y4, mo1, mo2, d1, d2, b'T', h1, h2, mi1, mi2, s1, s2, b'Z'] = *bytes else { return None };
    let year = i16::from(two_digits(y1, y2)?) * 100 + i16::from(two_digits(y3, y4)?);
    let (month, day) = (two_digits(mo1, mo2)?, two_digits(d1, d2)?);
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(mi1, mi2)?, two_digits(s1, s2)?);
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let instant = Offset::UTC.to_timestamp(civil).ok()?;
    Some(Timestamp(instant.as_millisecond()))
}

/// Reads `Sun, 22 Nov 2026 10:53:33 GMT`: RFC 9110 section 5.6.7 (IMF-fixdate) and, as some clients write it, RFC 2822.
pub(super) fn parse_http(text: &str) -> Option<Timestamp> {
    let instant = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(instant.as_millisecond()))
}

fn two_digits(tens: u8, ones: u8) -> Option<i8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    i8::try_from(digit(tens)? * 10 + digit(ones)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let time = parse_basic("20261122T105333Z").unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-22T10:53:33Z");
        assert_eq!(basic(time), "20261122T105333Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for wrong in [
            "",
            "20261122",
            "20261122T105333",
            "2026-11-22T10:53:33Z",
            "20261322T105333Z",
            "20260230T105333Z",
            "20261122T246060Z",
            "20261122t105333z",
            "+0261122T105333Z",
            "２0261122T1053Z",
        ] {
            assert_eq!(parse_basic(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_the_dates_of_http() {
        for text in ["Sun, 22 Nov 2026 10:53:33 GMT", "Sun, 22 Nov 2026 10:53:33 -0000", "Sun, 22 Nov 2026 10:53:33 +0000"] {
            assert_eq!(parse_http(text).map(basic).as_deref(), Some("20261122T105333Z"), "{text}");
        }
        assert_eq!(parse_http("yesterday"), None);
    }
}
