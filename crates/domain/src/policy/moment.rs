//! Points in time as policies and condition keys write them: ISO 8601 in the forms of the W3C note "Date and Time Formats", or seconds
//! since 1970. Source: AWS IAM User Guide, "Date condition operators".

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i128);

const NANOSECONDS: i128 = 1_000_000_000;

impl Moment {
    /// Reads `2026`, `2026-11`, `2026-11-22`, `2026-11-22T10:53Z`, `2026-11-22T10:53:33.5+01:00`, or `1795344813`. Four digits are a
    /// year. A time without an offset is in UTC.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 4 || text.as_bytes().get(4) == Some(&b'.') {
            return parse_epoch(text);
        }
        let (date, time) = match text.split_once('T') {
            Some((date, time)) if date.len() == 10 => (date, Some(time)),
            Some(_) => return None,
            None => (text, None),
        };
        let days = parse_date(date)?;
        let within_day = match time {
            Some(time) => parse_time(time)?,
            None => 0,
        };
        Some(Self(i128::from(days) * 86_400 * NANOSECONDS + within_day))
    }
}

fn parse_epoch(text: &str) -> Option<Moment> {
    let (seconds, fraction) = match text.split_once('.') {
        Some((seconds, fraction)) => (seconds, parse_fraction(fraction)?),
        None => (text, 0),
    };
    Some(Moment(i128::from(number(seconds, 1, 15)?) * NANOSECONDS + fraction))
}

/// Days since 1970-01-01 of a year, a month's first, or a day.
fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4, 4)?;
    let month = parts.next().map_or(Some(1), |part| number(part, 2, 2))?;
    let day = parts.next().map_or(Some(1), |part| number(part, 2, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let epoch = jiff::civil::Date::new(1970, 1, 1).ok()?;
    date.since(epoch).ok().map(|span| i64::from(span.get_days()))
}

/// Nanoseconds from midnight UTC of the date beside it; may lie on the day before or after.
fn parse_time(text: &str) -> Option<i128> {
    let (clock, offset_minutes) = split_offset(text)?;
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 => (clock, parse_fraction(fraction)?),
        Some(_) => return None,
        None => (clock, 0),
    };
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 2, 2)?, number(parts.next()?, 2, 2)?);
    let second = parts.next().map_or(Some(0), |part| number(part, 2, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i128::from((hour * 60 + minute - offset_minutes) * 60 + second) * NANOSECONDS + fraction)
}

fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (clock, offset) = text.split_at_checked(at)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2, 2)?, number(minutes, 2, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let minutes = hours * 60 + minutes;
    Some((clock, if offset.starts_with('-') { -minutes } else { minutes }))
}

/// Nanoseconds of a fraction of a second of 1 to 9 digits.
fn parse_fraction(text: &str) -> Option<i128> {
    let nanoseconds = number(text, 1, 9)? * 10_i64.pow(9_u32.checked_sub(u32::try_from(text.len()).ok()?)?);
    Some(i128::from(nanoseconds))
}

/// A number of at least `min` and at most `max` digits, and nothing else.
fn number(text: &str, min: usize, max: usize) -> Option<i64> {
    let fits = (min..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_its_moment() {
        for (text, same) in [
            ("2026", "2026-01-01T00:00:00Z"),
            ("2026-11", "2026-11-01T00:00:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2026-11-22T10:53Z", "2026-11-22T10:53:00Z"),
            ("2026-11-22T10:53:33", "2026-11-22T10:53:33Z"),
            ("2026-11-22T11:53:33.25+01:00", "2026-11-22T10:53:33.250Z"),
            ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z"),
            ("1795344813", "2026-11-22T10:53:33Z"),
            ("1795344813.0", "2026-11-22T10:53:33Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1960-02-29", "1960-02-29T00:00:00Z"),
        ] {
            let expected: jiff::Timestamp = same.parse().unwrap();
            assert_eq!(Moment::parse(text), Some(Moment(expected.as_nanosecond())), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in [
            "",
            "x",
            "-1",
            "2026-13",
            "2026-02-30",
            "2026-11-22T",
            "2026-11-22T24:00Z",
            "2026-11-22T10Z",
            "2026-11-22 10:53Z",
            "2026T10:53Z",
            "2026-11-22T10:53:60Z",
            "2026-11-22T10:53+0100",
            "2026-11-22T10:53:33.Z",
            "2026-11-22T10:53.5Z",
            "1795344813123456",
            "2026-11-22T10:53:33.0123456789Z",
            "1.2.3",
            "é026",
            "2026é",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
