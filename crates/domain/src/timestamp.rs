//! Points in time, in milliseconds, as records and audit entries carry them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds in a day.
    pub const DAY_MS: i64 = 86_400_000;

    /// The moment `days` whole days later.
    pub fn plus_days(self, days: u32) -> Self {
        Self(self.0.saturating_add(i64::from(days) * Self::DAY_MS))
    }

    /// The moment `ms` milliseconds later.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Seconds since the epoch with milliseconds as the fraction, as AWS's JSON protocols write times.
    pub fn epoch_seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
        let ms = self.0 as f64;
        ms / 1000.0
    }

    /// The time in UTC, to the second, in RFC 3339 form: `2026-11-22T10:53:33Z`.
    pub fn to_rfc3339(self) -> String {
        let mut text = String::with_capacity(20);
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{self}"));
        text
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian calendar).
    fn civil(self) -> (i64, u32, u32, u32, u32, u32) {
        let seconds = self.0.div_euclid(1000);
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days to civil date by shifting the year to begin in March, so that the leap day is the last day of the year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let small = |n: i64| u32::try_from(n).unwrap_or(0);
        (year, small(month), small(day), small(rest / 3600), small(rest / 60 % 60), small(rest % 60))
    }

    /// The UTC date as `20261122`, the day of a SigV4 credential scope.
    pub fn basic_date(self) -> String {
        let (year, month, day, ..) = self.civil();
        format!("{year:04}{month:02}{day:02}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_jiff_on_every_day_for_two_centuries() {
        for day in -36_500..36_500_i64 {
            let seconds = day * 86_400 + 12_345;
            let expected = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            assert_eq!(Timestamp(seconds * 1000 + 999).to_rfc3339(), expected);
        }
    }

    #[test]
    fn basic_date_is_the_scope_date() {
        assert_eq!(Timestamp(1_795_344_813_000).basic_date(), "20261122");
    }
}
