//! Dates and times as PostgreSQL writes them in DateStyle ISO (manual, "Date/Time Output"). Other styles are not read, so that what
//! cannot be told apart is never taken for something else.

/// Microseconds.
pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;

/// Of civil dates, years from 1700 to 2261: what common libraries can hold in nanoseconds.
pub const FIRST_DAY: i64 = -109_572;
pub const LAST_DAY: i64 = 95_693;

/// Days from 2000-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.
pub fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730_425
}

/// Year, month and day of a number of days from 2000-01-01.
pub fn civil(day: i64) -> (i64, i64, i64) {
    let (era, of_era) = (
        (day + 730_425).div_euclid(146_097),
        (day + 730_425).rem_euclid(146_097),
    );
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// A whole number of digits only.
fn number(text: &str) -> Option<i64> {
    let fits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| fits)
}

/// `2024-01-31`, or `0044-03-15 BC`.
pub fn read_day(text: &str) -> Option<i64> {
    let (text, is_bc) = text
        .strip_suffix(" BC")
        .map_or((text, false), |text| (text, true));
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_iso = year.len() >= 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none();
    let year = number(year).filter(|year| is_iso && *year > 0)?;
    let year = if is_bc { 1 - year } else { year };
    let found = day_of(year, number(month)?, number(day)?);
    (civil(found) == (year, number(month)?, number(day)?)).then_some(found)
}

pub fn write_day(day: i64) -> String {
    let (year, month, day) = civil(day);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    format!("{year:04}-{month:02}-{day:02}{era}")
}

/// Microseconds of `13:05:59.25`.
pub fn read_time(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let fits = [hour, minute, second].iter().all(|part| part.len() == 2) && parts.next().is_none();
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let power = u32::try_from(fraction.len())
        .ok()
        .filter(|length| (1..=6).contains(length))?;
    let fraction = number(fraction)? * 10i64.pow(6 - power);
    (fits && hour <= 24 && minute < 60 && second < 60)
        .then_some(((hour * 60 + minute) * 60 + second) * SECOND + fraction)
}

pub fn write_time(us: i64) -> String {
    let (seconds, fraction) = (us / SECOND, us % SECOND);
    let text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction == 0 {
        return text;
    }
    format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0'))
}

/// Microseconds from 2000-01-01 00:00 UTC of `2024-01-31 13:05:59.25+02`, and its offset in seconds if it has one.
pub fn read_instant(text: &str) -> Option<(i64, Option<i64>)> {
    let (text, era) = text.strip_suffix(" BC").map_or((text, ""), |text| (text, " BC"));
    let (day, behind) = text.split_once(' ')?;
    let day = read_day(&format!("{day}{era}"))?;
    let (time, offset_s) = match behind.find(['+', '-']) {
        None => (behind, None),
        Some(at) => {
            let (time, offset) = behind.split_at(at);
            (time, Some(read_offset(offset)?))
        }
    };
    let us = day.checked_mul(DAY)?.checked_add(read_time(time)?)?;
    Some((us.checked_sub(offset_s.unwrap_or(0) * SECOND)?, offset_s))
}

/// Seconds of `+02`, `-03:30` or `+00:53:28`.
fn read_offset(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+')?),
    };
    let mut parts = text.split(':');
    let mut seconds = 0;
    for unit in [3600, 60, 1] {
        seconds += unit
            * parts
                .next()
                .map_or(Some(0), |part| number(part).filter(|_| part.len() == 2))?;
    }
    parts.next().is_none().then_some(sign * seconds)
}

/// As `read_instant` reads it; with an offset if it is given one.
pub fn write_instant(us: i64, offset_s: Option<i64>) -> String {
    let local = us + offset_s.unwrap_or(0) * SECOND;
    let day = write_day(local.div_euclid(DAY));
    let (day, era) = day.strip_suffix(" BC").map_or((&day[..], ""), |day| (day, " BC"));
    let time = write_time(local.rem_euclid(DAY));
    format!(
        "{day} {time}{}{era}",
        offset_s.map_or(String::new(), write_offset)
    )
}

fn write_offset(seconds: i64) -> String {
    let (sign, seconds) = if seconds < 0 {
        ('-', -seconds)
    } else {
        ('+', seconds)
    };
    let mut text = format!("{sign}{:02}", seconds / 3600);
    if seconds % 3600 != 0 {
        text.push_str(&format!(":{:02}", seconds / 60 % 60));
    }
    if seconds % 60 != 0 {
        text.push_str(&format!(":{:02}", seconds % 60));
    }
    text
}

/// What a date or time is rounded down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
}

pub const UNITS: &[(&str, Unit)] = &[
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("quarter", Unit::Quarter),
    ("year", Unit::Year),
    ("decade", Unit::Decade),
];

impl Unit {
    /// The beginning of the unit that a day lies in. Weeks begin on Monday.
    pub fn of_day(self, day: i64) -> i64 {
        let (year, month, _) = civil(day);
        match self {
            Self::Minute | Self::Hour | Self::Day => day,
            Self::Week => day - (day + 5).rem_euclid(7), // 2000-01-01 was a Saturday
            Self::Month => day_of(year, month, 1),
            Self::Quarter => day_of(year, month - (month - 1) % 3, 1),
            Self::Year => day_of(year, 1, 1),
            Self::Decade => day_of(year - year.rem_euclid(10), 1, 1),
        }
    }

    /// The same of microseconds; `None` where they are round to this unit or a longer one, so that nothing would change of any of
    /// their kind.
    pub fn of_instant(self, us: i64) -> Option<i64> {
        let length = match self {
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
            _ => DAY,
        };
        let is_round = self <= Self::Day && us.rem_euclid(length) == 0;
        let start = us.div_euclid(length) * length;
        (!is_round).then(|| match self {
            Self::Minute | Self::Hour | Self::Day => start,
            _ => self.of_day(us.div_euclid(DAY)) * DAY,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, day) in [
            ("2000-01-01", 0),
            ("1999-12-31", -1),
            ("2000-03-01", 60),
            ("2024-02-29", 8825),
            ("1700-01-01", FIRST_DAY),
            ("2261-12-31", LAST_DAY),
            ("0001-12-31 BC", -730_120),
            ("5874897-12-31", 2_145_031_948),
        ] {
            assert_eq!(read_day(text), Some(day), "{text}");
            assert_eq!(write_day(day), text);
        }
    }

    #[test]
    fn other_styles_and_no_dates_are_not_read() {
        for text in [
            "01/31/2024",
            "31.01.2024",
            "12-17-1997",
            "2024-02-30",
            "2024-1-1",
            "infinity",
            "",
            "0000-01-01",
        ] {
            assert_eq!(read_day(text), None, "{text}");
        }
        for text in [
            "Wed Dec 17 07:37:16 1997 PST",
            "2024-01-01",
            "2024-01-01 1:2:3",
            "2024-01-01 10:00:00 PST",
        ] {
            assert_eq!(read_instant(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_of_every_form() {
        for (text, offset) in [
            ("2024-01-31 13:05:59.25+02", Some(7200)),
            ("2024-01-31 13:05:59-03:30", Some(-12_600)),
            ("1850-01-31 13:05:59+00:53:28", Some(3208)),
            ("0044-03-15 13:05:59 BC", None),
        ] {
            let (us, found) = read_instant(text).unwrap();
            assert_eq!((found, write_instant(us, found)), (offset, text.to_owned()));
        }
    }

    #[test]
    fn units_begin_where_people_think() {
        let begin = |unit: Unit, text: &str| write_day(unit.of_day(read_day(text).unwrap()));
        assert_eq!(begin(Unit::Week, "2024-01-31"), "2024-01-29");
        assert_eq!(begin(Unit::Month, "2024-01-31"), "2024-01-01");
        assert_eq!(begin(Unit::Quarter, "2024-06-30"), "2024-04-01");
        assert_eq!(begin(Unit::Year, "2024-06-30"), "2024-01-01");
        assert_eq!(begin(Unit::Decade, "1999-06-30"), "1990-01-01");
        assert_eq!(Unit::Hour.of_instant(3601 * SECOND), Some(3600 * SECOND));
        assert_eq!(Unit::Hour.of_instant(3600 * SECOND), None);
        assert_eq!(Unit::Day.of_instant(-DAY), None);
        assert_eq!(Unit::Month.of_instant(DAY), Some(0));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(day in -2_000_000i64..2_000_000, us in 0..DAY, offset in prop::option::of(-86_399i64..86_400)) {
            prop_assert_eq!(read_day(&write_day(day)), Some(day));
            prop_assert_eq!(read_time(&write_time(us)), Some(us));
            let instant = day * DAY + us;
            prop_assert_eq!(read_instant(&write_instant(instant, offset)), Some((instant, offset)));
        }
    }
}
