//! MessagePack timestamps as RFC 3339 text.

use std::fmt;

/// The extension type of a timestamp.
pub(super) const TIMESTAMP: i8 = -1;

const DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z in seconds since 1970.
const FIRST: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z in seconds since 1970.
const LAST: i64 = 253_402_300_799;

/// A point in time in the years 0000 to 9999, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// Seconds since 1970, from [`FIRST`] to [`LAST`].
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// Parses the extension's data in any of its three forms. Fails for a second or more of nanoseconds, and for years that do
    /// not have four digits.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (seconds, nanoseconds) = match *data {
            [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
            [a, b, c, d, e, f, g, h] => {
                let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
            }
            [a, b, c, d, ref seconds @ ..] => {
                (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes([a, b, c, d]))
            }
            _ => return None,
        };
        let in_range = (FIRST..=LAST).contains(&seconds) && nanoseconds < 1_000_000_000;
        in_range.then_some(Self { seconds, nanoseconds })
    }
}

/// Formats as `2026-01-31T12:00:00Z`, with 3, 6 or 9 fractional digits if needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds.div_euclid(DAY), self.seconds.rem_euclid(DAY));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.nanoseconds {
            0 => {}
            n if n % 1_000_000 == 0 => write!(f, ".{:03}", n / 1_000_000)?,
            n if n % 1000 == 0 => write!(f, ".{:06}", n / 1000)?,
            n => write!(f, ".{n:09}")?,
        }
        f.write_str("Z")
    }
}

/// Year, month and day in the Gregorian calendar, from the number of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    // Count from 0000-03-01: the leap day is then the last day of a year, and affects no month before it.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(DAYS_IN_400_YEARS), days.rem_euclid(DAYS_IN_400_YEARS));
    let leap_days = day_of_era / 1460 - day_of_era / 36_524;
    // The last day of an era is the leap day of its last year.
    let year_of_era = ((day_of_era - leap_days) / 365).min(399);
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March have 153 days, and so do the five from August.
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = if months_from_march < 10 { months_from_march + 3 } else { months_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64, nanoseconds: u32) -> Option<String> {
        let data = [&nanoseconds.to_be_bytes()[..], &seconds.to_be_bytes()].concat();
        Some(Timestamp::read(&data)?.to_string())
    }

    #[test]
    fn known_timestamps_are_formatted_correctly() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (FIRST, "0000-01-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(text(seconds, 0).as_deref(), Some(expected));
        }
        for seconds in [FIRST - 1, LAST + 1, i64::MIN, i64::MAX] {
            assert_eq!(text(seconds, 0), None);
        }
    }

    #[test]
    fn consecutive_days_are_consecutive_dates() {
        let (mut year, mut month, mut day) = (0, 1, 1);
        // Dates repeat after 400 years.
        for days in (FIRST / DAY..).take(2 * 146_097) {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn fractions_have_only_needed_digits() {
        for (nanoseconds, expected) in [
            (0, Some("1970-01-01T00:00:00Z")),
            (120_000_000, Some("1970-01-01T00:00:00.120Z")),
            (1_000, Some("1970-01-01T00:00:00.000001Z")),
            (999_999_999, Some("1970-01-01T00:00:00.999999999Z")),
            (1_000_000_000, None),
        ] {
            assert_eq!(text(0, nanoseconds).as_deref(), expected);
        }
    }

    #[test]
    fn three_timestamp_forms_are_equivalent() {
        let both = (500_000_000_u64 << 34) | 1;
        assert_eq!(Timestamp::read(&both.to_be_bytes()).unwrap().to_string(), "1970-01-01T00:00:01.500Z");
        assert_eq!(Timestamp::read(&[0, 0, 0, 1]), Timestamp::read(&1_u64.to_be_bytes()));
        assert_eq!(Timestamp::read(&u32::MAX.to_be_bytes()).unwrap().to_string(), "2106-02-07T06:28:15Z");
        // All 34 bits of seconds are set.
        let long = Timestamp::read(&0x3_ffff_ffff_u64.to_be_bytes()).unwrap();
        assert_eq!(long.to_string(), "2514-05-30T01:53:03Z");
        assert_eq!(Timestamp::read(&u64::MAX.to_be_bytes()), None);
        for len in (0..20).filter(|len| ![4, 8, 12].contains(len)) {
            assert_eq!(Timestamp::read(&vec![0; len]), None);
        }
    }
}
