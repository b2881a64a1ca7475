//! A calendar day. Only what daily data needs: ISO text both ways, order, and midnight UTC.

use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar, 0001-01-01 to 9999-12-31, written `YYYY-MM-DD`.
///
/// ```
/// use tensor_datasets::Date;
/// let day: Date = "2015-01-15".parse()?;
/// assert_eq!(day.unix_ms(), 1_421_280_000_000);
/// assert_eq!(day.to_string(), "2015-01-15");
/// # Ok::<(), tensor_datasets::BadDate>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// Text that is not a day of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not a date of the form YYYY-MM-DD")]
pub struct BadDate {
    /// The text as given.
    pub got: String,
}

impl Date {
    /// Milliseconds from 1970-01-01 to midnight UTC at the start of this day; negative before.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        // Years begin in March, so that the leap day is the last of its year.
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days_since_march_of_year_0 = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
        (days_since_march_of_year_0 - 719_468) * 86_400_000
    }
}

impl FromStr for Date {
    type Err = BadDate;

    fn from_str(text: &str) -> Result<Self, BadDate> {
        parse(text).ok_or_else(|| BadDate { got: text.to_owned() })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:04}-{:02}-{:02}", self.year, self.month, self.day))
    }
}

fn parse(text: &str) -> Option<Date> {
    let number = |part: &str, width: usize| {
        let digits = part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u16>().ok() } else { None }
    };
    let mut parts = text.splitn(3, '-');
    let year = number(parts.next()?, 4)?;
    let month = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let day = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let exists = year >= 1 && day >= 1 && day <= days_in(year, month)?;
    exists.then_some(Date { year, month, day })
}

/// Days of a month, `None` where there is no such month.
const fn days_in(year: u16, month: u8) -> Option<u8> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if leap => Some(29),
        2 => Some(28),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn midnight_utc_of_known_days() {
        for (text, days) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("2000-03-01", 11_017)]
        {
            assert_eq!(date(text).unix_ms(), days * 86_400_000, "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = date("1600-01-01").unix_ms();
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month).unwrap() {
                    let date = Date { year, month, day };
                    assert_eq!(date.unix_ms(), expected, "{date}");
                    assert_eq!(date.to_string().parse(), Ok(date));
                    expected += 86_400_000;
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_day_is_refused() {
        let bad =
            ["", "2015", "2015-1-15", "2015-01-32", "2015-13-01", "2015-00-10", "2015-01-00", "1900-02-29"];
        for text in bad.into_iter().chain(["0000-01-01", "2015-01-15 ", "+015-01-15", "2015-01-15-1"]) {
            assert!(text.parse::<Date>().is_err(), "{text:?}");
        }
    }
}
