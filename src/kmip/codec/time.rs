//! Dates as JSON and XML write them: ISO 8601 with a time zone (the `dateTime` of XML Schema).

const SECONDS_A_DAY: i64 = 86_400;
/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats itself.
const DAYS_OF_400_YEARS: i64 = 146_097;
/// The first second of the year 1, and the first of the year 10,000: dates between them are written with four digits.
const WRITTEN: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

/// Appends a moment as a date in UTC. False, and nothing is written, when its year has not four digits.
pub(super) fn write(seconds: i64, out: &mut String) -> bool {
    use std::fmt::Write as _;
    if !WRITTEN.contains(&seconds) {
        return false;
    }
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_A_DAY));
    let of_day = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00"
    )
    .is_ok()
}

/// Reads a date with a time zone: seconds since 1970 began in UTC, and the microseconds of its fraction.
pub(super) fn read(text: &str) -> Option<(i64, u32)> {
    let bytes = text.as_bytes();
    let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if signs.iter().any(|(at, sign)| bytes.get(*at) != Some(sign)) {
        return None;
    }
    let field = |range: std::ops::Range<usize>| number(bytes.get(range)?);
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    let possible = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second < 60;
    let day_number = days(year, month, day);
    // A day that its month has not is the day of another month.
    if !possible || civil(day_number) != (year, month, day) {
        return None;
    }
    let (fraction, zone) = fraction(bytes.get(19..)?)?;
    let seconds = day_number * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    Some((seconds - offset(zone)?, fraction))
}

/// The microseconds of a fraction, if there is one, and what follows it.
fn fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = digits.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let digit = |at| digits.get(at).map_or(0, |byte| u32::from(byte - b'0'));
    Some(((0..6).fold(0, |sum, at| sum * 10 + digit(at)), rest))
}

/// The seconds by which a zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let sign = match zone.first()? {
        b'Z' if zone.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if zone.len() != 6 || zone[3] != b':' {
        return None;
    }
    let (hours, minutes) = (number(&zone[1..3])?, number(&zone[4..6])?);
    let possible = hours <= 14 && minutes < 60;
    possible.then_some(sign * (hours * 3600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut sum = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + i64::from(digit - b'0');
    }
    Some(sum)
}

/// The day of a date, counted from 1970. Years begin in March here, so that a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era_days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    year.div_euclid(400) * DAYS_OF_400_YEARS + era_days - DAYS_TO_1970
}

/// The year, month and day of a day that is counted from 1970.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + DAYS_TO_1970;
    let of_era = day.rem_euclid(DAYS_OF_400_YEARS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let year = year + day.div_euclid(DAYS_OF_400_YEARS) * 400;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + next, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: i64) -> Option<String> {
        let mut out = String::new();
        write(seconds, &mut out).then_some(out)
    }

    #[test]
    fn dates_are_written_in_utc() {
        let pairs = [
            (0, "1970-01-01T00:00:00+00:00"),
            (-1, "1969-12-31T23:59:59+00:00"),
            (951_782_400, "2000-02-29T00:00:00+00:00"),
            (1_709_251_199, "2024-02-29T23:59:59+00:00"),
            (WRITTEN.start, "0001-01-01T00:00:00+00:00"),
            (WRITTEN.end - 1, "9999-12-31T23:59:59+00:00"),
        ];
        for (seconds, text) in pairs {
            assert_eq!(written(seconds).as_deref(), Some(text));
            assert_eq!(read(text), Some((seconds, 0)));
        }
        assert_eq!(written(WRITTEN.start - 1), None);
        assert_eq!(written(WRITTEN.end), None);
    }

    #[test]
    fn every_day_of_many_years_is_read_as_it_was_written() {
        for day in (-719_162..2_932_896).step_by(37) {
            let (year, month, day_of_month) = civil(day);
            assert_eq!(days(year, month, day_of_month), day);
        }
    }

    #[test]
    fn zones_and_fractions_are_read() {
        let pairs = [
            ("1970-01-01T10:00:00+10:00", Some((0, 0))),
            ("1969-12-31T22:30:00-01:30", Some((0, 0))),
            ("1970-01-01T00:00:00Z", Some((0, 0))),
            ("1970-01-01T00:00:00.5Z", Some((0, 500_000))),
            ("1970-01-01T00:00:00.123456789+00:00", Some((0, 123_456))),
        ];
        for (text, moment) in pairs {
            assert_eq!(read(text), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let texts = [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-02-29T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00+15:00",
            "1970-01-01T00:00:00+1000",
            "1970-01-01T00:00:00Zulu",
            "197O-01-01T00:00:00Z",
            "$NOW",
        ];
        for text in texts {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
