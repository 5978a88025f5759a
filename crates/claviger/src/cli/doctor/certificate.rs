//! Just enough of X.509 to read when a certificate ends. Source: RFC 5280 section 4.1, ITU-T X.690 for the encoding.

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// When the certificate's validity ends; none when it is not a certificate that RFC 5280 describes.
pub(super) fn not_after(certificate: &[u8]) -> Option<jiff::Timestamp> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    // serialNumber, signature, issuer
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, end) = time(validity)?;
    time(end).map(|(time, _)| time)
}

/// A time, and what follows it.
fn time(bytes: &[u8]) -> Option<(jiff::Timestamp, &[u8])> {
    let (digits, rest) = match bytes.first()? {
        &UTC_TIME => {
            let (content, rest) = element(bytes, UTC_TIME)?;
            let text = std::str::from_utf8(content).ok()?;
            // Two digits of the year: up to 49 is this century (RFC 5280 section 4.1.2.5.1).
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            (format!("{century}{text}"), rest)
        }
        _ => {
            let (content, rest) = element(bytes, GENERALIZED_TIME)?;
            (std::str::from_utf8(content).ok()?.to_owned(), rest)
        }
    };
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i8>().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let time =
        jiff::civil::DateTime::new(year, number(4, 6)?, number(6, 8)?, number(8, 10)?, number(10, 12)?, number(12, 14)?, 0);
    let time = time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    (digits.len() == 15 && digits.ends_with('Z')).then_some((time, rest))
}

/// The content of the element that the bytes begin with, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn reads_both_forms_of_time() {
        assert_eq!(not_after(&certificate(2031)).unwrap().to_string(), "2031-03-04T00:00:00Z");
        assert_eq!(not_after(&certificate(2080)).unwrap().to_string(), "2080-03-04T00:00:00Z");
    }

    #[test]
    fn nonsense_is_none_and_never_a_panic() {
        let good = certificate(2031);
        for length in 0..good.len() {
            let _ = not_after(&good[..length]);
        }
        for place in 0..good.len().min(200) {
            let mut changed = good.clone();
            changed[place] ^= 0xff;
            let _ = not_after(&changed);
        }
        assert!(not_after(b"").is_none() && not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
