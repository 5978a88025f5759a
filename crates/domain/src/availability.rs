//! What becomes of the uses of a key while nobody can ask the store whether they are still allowed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whether a key may be used by a node that cannot confirm what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not beyond the lease. A revocation takes effect everywhere, and an outage of the store stops every use.
    Strict,
    /// For this long after the last time that the store was heard. A revocation may take this long to reach a node that is cut off.
    Grace(Grace),
}

/// How long a grace is: 1 second to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(u32);

impl Grace {
    /// The longest.
    pub const SECONDS_MAX: u32 = 24 * 60 * 60;

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Availability {
    /// The grace; none where it is strict.
    pub fn grace(self) -> Option<Grace> {
        match self {
            Self::Strict => None,
            Self::Grace(grace) => Some(grace),
        }
    }
}

/// Why a text says nothing about availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAvailability;

impl fmt::Display for InvalidAvailability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is \"strict\", or \"grace\" and a time of 1 second to 24 hours, such as \"grace 10m\" (s, m or h)")
    }
}

impl std::error::Error for InvalidAvailability {}

impl FromStr for Availability {
    type Err = InvalidAvailability;

    fn from_str(text: &str) -> Result<Self, InvalidAvailability> {
        if text == "strict" {
            return Ok(Self::Strict);
        }
        let time = text.strip_prefix("grace ").ok_or(InvalidAvailability)?;
        let (number, unit) = [('s', 1), ('m', 60), ('h', 3600)]
            .into_iter()
            .find_map(|(letter, seconds)| Some((time.strip_suffix(letter)?, seconds)))
            .ok_or(InvalidAvailability)?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 =
            if digits { number.parse().map_err(|_| InvalidAvailability)? } else { return Err(InvalidAvailability) };
        match number.checked_mul(unit) {
            Some(seconds @ 1..=Grace::SECONDS_MAX) => Ok(Self::Grace(Grace(seconds))),
            _ => Err(InvalidAvailability),
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict => f.write_str("strict"),
            Self::Grace(Grace(seconds)) if seconds % 3600 == 0 => write!(f, "grace {}h", seconds / 3600),
            Self::Grace(Grace(seconds)) if seconds % 60 == 0 => write!(f, "grace {}m", seconds / 60),
            Self::Grace(Grace(seconds)) => write!(f, "grace {seconds}s"),
        }
    }
}

impl Serialize for Availability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Availability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for text in ["strict", "grace 1s", "grace 90s", "grace 10m", "grace 24h"] {
            assert_eq!(text.parse::<Availability>().unwrap().to_string(), text);
        }
        assert_eq!("grace 600s".parse::<Availability>().unwrap().to_string(), "grace 10m");
        for text in [
            "",
            "Strict",
            "grace",
            "grace ",
            "grace 10",
            "grace 0s",
            "grace m",
            "grace -1m",
            "grace +1m",
            "grace 25h",
            "grace 99999999h",
        ] {
            assert!(text.parse::<Availability>().is_err(), "{text}");
        }
    }
}
