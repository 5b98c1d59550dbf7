//! Dates, times and durations of FEEL (DMN 1.5, clauses 10.3.2.3.4 to 10.3.2.3.9).
//!
//! The calendar is the proleptic Gregorian one for the years -999,999,999 to 999,999,999. A time may have an offset or a named zone, or neither
//! (then it is local). Rules of named zones come from the time zone database that is compiled in; nothing here reads a clock.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::tz::TimeZone;

mod arithmetic;
mod format;
mod parse;

pub(crate) use parse::at_literal;

pub(crate) const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_DAY: i128 = 86_400 * NANOS_PER_SECOND;
const MAX_YEAR: i64 = 999_999_999;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// A date that exists; `None` otherwise.
    pub fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        let ok = (-MAX_YEAR..=MAX_YEAR).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_in_month(year, month);
        ok.then_some(Self { year: year as i32, month: month as u8, day: day as u8 })
    }

    /// The year; negative before year 0.
    pub fn year(self) -> i64 {
        self.year.into()
    }

    /// The month, 1 to 12.
    pub fn month(self) -> i64 {
        self.month.into()
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> i64 {
        self.day.into()
    }

    /// Days since 1970-01-01.
    pub fn epoch_day(self) -> i64 {
        let year = self.year() - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = (self.month() + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + self.day() - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The date that many days after 1970-01-01; `None` beyond the calendar.
    pub fn from_epoch_day(days: i64) -> Option<Self> {
        let shifted = days.checked_add(719_468)?;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        Self::new(year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Day of the week, 1 for Monday to 7 for Sunday.
    pub fn weekday(self) -> i64 {
        (self.epoch_day() + 3).rem_euclid(7) + 1
    }

    /// Day of the year, from 1.
    pub fn day_of_year(self) -> i64 {
        self.epoch_day() - Self { year: self.year, month: 1, day: 1 }.epoch_day() + 1
    }

    /// Week of the year after ISO 8601.
    pub fn week_of_year(self) -> i64 {
        let thursday = self.epoch_day() - self.weekday() + 4;
        Self::from_epoch_day(thursday).map_or(1, |day| (day.day_of_year() - 1) / 7 + 1)
    }

    /// The last day of this month.
    pub fn last_of_month(self) -> Self {
        Self { day: days_in_month(self.year(), self.month()) as u8, ..self }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Where a clock stands: an offset from UTC, or a zone of the time zone database.
#[derive(Clone, Debug)]
pub enum Zone {
    /// Seconds east of UTC.
    Offset(i32),
    /// A zone by its name, such as `Europe/Berlin`.
    Named(Arc<str>, TimeZone),
}

impl Zone {
    /// The zone of that name; `None` when the database does not have it.
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok()?;
        Some(Self::Named(name.into(), zone))
    }

    /// A fixed offset, up to 18 hours either way.
    pub fn offset(seconds: i64) -> Option<Self> {
        (-64_800..=64_800).contains(&seconds).then_some(Self::Offset(seconds as i32))
    }

    /// The offset that holds at a local date and time, in seconds.
    fn offset_at(&self, date: Date, clock: Clock) -> i32 {
        let Self::Named(_, zone) = self else {
            let Self::Offset(seconds) = self else { return 0 };
            return *seconds;
        };
        // Years beyond the database's use the rules of the nearest year it has.
        let year = date.year.clamp(-9998, 9998) as i16;
        let day = date.day.min(days_in_month(year.into(), date.month()) as u8);
        jiff::civil::DateTime::new(
            year,
            date.month as i8,
            day as i8,
            clock.hour as i8,
            clock.minute as i8,
            clock.second as i8,
            0,
        )
        .and_then(|local| zone.to_timestamp(local))
        .map_or(0, |at| zone.to_offset(at).seconds())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Offset(a), Self::Offset(b)) => a == b,
            (Self::Named(a, _), Self::Named(b, _)) => a == b,
            _ => false,
        }
    }
}

/// A time of day without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Clock {
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) nano: u32,
}

impl Clock {
    pub(crate) const MIDNIGHT: Self = Self { hour: 0, minute: 0, second: 0, nano: 0 };

    pub(crate) fn new(hour: i64, minute: i64, second: i64, nano: u32) -> Option<Self> {
        let ok = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && i128::from(nano) < NANOS_PER_SECOND;
        ok.then_some(Self { hour: hour as u8, minute: minute as u8, second: second as u8, nano })
    }

    fn nanos(self) -> i128 {
        let seconds = i128::from(self.hour) * 3600 + i128::from(self.minute) * 60 + i128::from(self.second);
        seconds * NANOS_PER_SECOND + i128::from(self.nano)
    }

    /// The time of day at that many nanoseconds past midnight, day after day.
    fn from_nanos(nanos: i128) -> Self {
        let nanos = nanos.rem_euclid(NANOS_PER_DAY);
        let seconds = nanos / NANOS_PER_SECOND;
        Self {
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            nano: (nanos % NANOS_PER_SECOND) as u32,
        }
    }
}

/// A time of day, local or with a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    pub(crate) clock: Clock,
    pub(crate) zone: Option<Zone>,
}

impl Time {
    /// The offset in seconds; a named zone counts with its rules on 1970-01-01, for a time alone has no date.
    pub(crate) fn offset(&self) -> Option<i64> {
        let day = Date { year: 1970, month: 1, day: 1 };
        self.zone.as_ref().map(|zone| zone.offset_at(day, self.clock).into())
    }

    /// Nanoseconds since midnight UTC (since local midnight without a zone); may be negative.
    fn instant(&self) -> i128 {
        self.clock.nanos() - i128::from(self.offset().unwrap_or(0)) * NANOS_PER_SECOND
    }

    /// Order by instant; `None` when one is local and the other is not.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        (self.zone.is_some() == other.zone.is_some()).then(|| self.instant().cmp(&other.instant()))
    }
}

/// A date with a time of day, local or with a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct DateTime {
    pub(crate) date: Date,
    pub(crate) clock: Clock,
    pub(crate) zone: Option<Zone>,
}

impl DateTime {
    /// Midnight of a date, in a zone or local.
    pub(crate) fn midnight(date: Date, zone: Option<Zone>) -> Self {
        Self { date, clock: Clock::MIDNIGHT, zone }
    }

    /// The date and time in a zone at an instant.
    pub(crate) fn at(now: jiff::Timestamp, zone: &TimeZone) -> Self {
        let local = now.to_zoned(zone.clone()).datetime();
        let date = Date { year: local.year().into(), month: local.month() as u8, day: local.day() as u8 };
        let clock = Clock {
            hour: local.hour() as u8,
            minute: local.minute() as u8,
            second: local.second() as u8,
            nano: local.subsec_nanosecond() as u32,
        };
        let zone = match zone.iana_name() {
            Some(name) if name != "UTC" => Zone::Named(name.into(), zone.clone()),
            _ => Zone::Offset(zone.to_offset(now).seconds()),
        };
        Self { date, clock, zone: Some(zone) }
    }

    /// The instant, a local time being read in `default_zone`; `None` outside the years -9999 to 9999.
    pub fn to_timestamp(&self, default_zone: &TimeZone) -> Option<jiff::Timestamp> {
        let offset = match &self.zone {
            Some(zone) => zone.offset_at(self.date, self.clock),
            None => Zone::Named("".into(), default_zone.clone()).offset_at(self.date, self.clock),
        };
        jiff::Timestamp::from_nanosecond(self.local_nanos() - i128::from(offset) * NANOS_PER_SECOND).ok()
    }

    /// The offset in seconds; `None` for a local time.
    pub(crate) fn offset(&self) -> Option<i64> {
        self.zone.as_ref().map(|zone| zone.offset_at(self.date, self.clock).into())
    }

    fn local_nanos(&self) -> i128 {
        i128::from(self.date.epoch_day()) * NANOS_PER_DAY + self.clock.nanos()
    }

    fn instant(&self) -> i128 {
        self.local_nanos() - i128::from(self.offset().unwrap_or(0)) * NANOS_PER_SECOND
    }

    /// Order by instant; `None` when one is local and the other is not.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        (self.zone.is_some() == other.zone.is_some()).then(|| self.instant().cmp(&other.instant()))
    }
}

/// A duration of one of FEEL's two kinds; they do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duration {
    /// Months.
    YearsMonths(i64),
    /// Nanoseconds.
    DaysTime(i128),
}

impl Duration {
    /// Order within one kind; `None` between the kinds.
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::YearsMonths(a), Self::YearsMonths(b)) => Some(a.cmp(&b)),
            (Self::DaysTime(a), Self::DaysTime(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
