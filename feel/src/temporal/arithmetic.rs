//! Sums and differences of temporal values (DMN 1.5, tables 55 and 56). `None` is a result beyond the calendar, or a pair that has none.

use super::{Clock, Date, DateTime, Duration, NANOS_PER_DAY, NANOS_PER_SECOND, Time, Zone};
use crate::number::{Number, Rounding};

/// The longest duration kept, in nanoseconds: some 30 billion years either way.
const MAX_NANOS: i128 = 10_i128.pow(27);
/// The same in months.
const MAX_MONTHS: i64 = 400_000_000_000;

impl Date {
    /// The date `months` later; a day that the month lacks becomes its last.
    pub(crate) fn plus_months(self, months: i64) -> Option<Self> {
        let total = self.year().checked_mul(12)?.checked_add(self.month() - 1)?.checked_add(months)?;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
        let first = Self::new(year, month, 1)?;
        Self::new(year, month, self.day().min(first.last_of_month().day()))
    }

    /// The date after a duration; a part of a day counts from midnight.
    pub(crate) fn plus(self, duration: Duration) -> Option<Self> {
        match duration {
            Duration::YearsMonths(months) => self.plus_months(months),
            Duration::DaysTime(nanos) => {
                let days = i64::try_from(nanos.div_euclid(NANOS_PER_DAY)).ok()?;
                Self::from_epoch_day(self.epoch_day().checked_add(days)?)
            }
        }
    }

    /// The time from `other` to this date.
    pub(crate) fn since(self, other: Self) -> Option<Duration> {
        Duration::nanos(i128::from(self.epoch_day() - other.epoch_day()) * NANOS_PER_DAY)
    }

    /// Whole months from `self` to `other` (`years and months duration` of table 73).
    pub(crate) fn months_until(self, other: Self) -> i64 {
        let months = (other.year() - self.year()) * 12 + other.month() - self.month();
        if months > 0 && other.day() < self.day() {
            months - 1
        } else if months < 0 && other.day() > self.day() {
            months + 1
        } else {
            months
        }
    }
}

impl Time {
    /// The time of day after a duration, round the clock.
    pub(crate) fn plus(&self, nanos: i128) -> Self {
        Self { clock: Clock::from_nanos(self.clock.nanos() + nanos % NANOS_PER_DAY), zone: self.zone.clone() }
    }

    /// The time from `other` to this; `None` when one is local and the other is not.
    pub(crate) fn since(&self, other: &Self) -> Option<Duration> {
        if self.zone.is_some() != other.zone.is_some() {
            return None;
        }
        Duration::nanos(self.instant() - other.instant())
    }
}

impl DateTime {
    /// The date and time after a duration: months by the calendar, days and time along the time line.
    pub(crate) fn plus(&self, duration: Duration) -> Option<Self> {
        match duration {
            Duration::YearsMonths(months) => Some(Self { date: self.date.plus_months(months)?, ..self.clone() }),
            Duration::DaysTime(nanos) => {
                if let Some(Zone::Named(..)) = &self.zone {
                    return Self::from_instant(self.instant().checked_add(nanos)?, self.zone.clone());
                }
                let local = self.local_nanos().checked_add(nanos)?;
                Self::from_local(local, self.zone.clone())
            }
        }
    }

    fn from_local(nanos: i128, zone: Option<Zone>) -> Option<Self> {
        let date = Date::from_epoch_day(i64::try_from(nanos.div_euclid(NANOS_PER_DAY)).ok()?)?;
        Some(Self { date, clock: Clock::from_nanos(nanos), zone })
    }

    fn from_instant(nanos: i128, zone: Option<Zone>) -> Option<Self> {
        let offset = match &zone {
            Some(Zone::Named(_, rules)) => match jiff::Timestamp::from_nanosecond(nanos) {
                Ok(at) => rules.to_offset(at).seconds(),
                Err(_) => return Self::from_local(nanos, zone),
            },
            Some(Zone::Offset(seconds)) => *seconds,
            None => 0,
        };
        Self::from_local(nanos + i128::from(offset) * NANOS_PER_SECOND, zone)
    }

    /// The same instant on the clocks of another zone; a local time only gets the zone.
    pub(crate) fn in_zone(&self, zone: Zone) -> Option<Self> {
        match self.zone {
            Some(_) => Self::from_instant(self.instant(), Some(zone)),
            None => Some(Self { zone: Some(zone), ..self.clone() }),
        }
    }

    /// The time from `other` to this; `None` when one is local and the other is not.
    pub(crate) fn since(&self, other: &Self) -> Option<Duration> {
        if self.zone.is_some() != other.zone.is_some() {
            return None;
        }
        Duration::nanos(self.instant() - other.instant())
    }
}

impl Duration {
    /// A days and time duration within the limit.
    pub(crate) fn nanos(nanos: i128) -> Option<Self> {
        (nanos.unsigned_abs() <= MAX_NANOS.unsigned_abs()).then_some(Self::DaysTime(nanos))
    }

    /// A years and months duration within the limit.
    pub(crate) fn months(months: i64) -> Option<Self> {
        (months.unsigned_abs() <= MAX_MONTHS.unsigned_abs()).then_some(Self::YearsMonths(months))
    }

    pub(crate) fn negate(self) -> Self {
        match self {
            Self::YearsMonths(months) => Self::YearsMonths(-months),
            Self::DaysTime(nanos) => Self::DaysTime(-nanos),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::YearsMonths(a), Self::YearsMonths(b)) => Self::months(a.checked_add(b)?),
            (Self::DaysTime(a), Self::DaysTime(b)) => Self::nanos(a.checked_add(b)?),
            _ => None,
        }
    }

    /// This duration as a number of its own unit: months, or seconds.
    pub(crate) fn value(self) -> Option<Number> {
        match self {
            Self::YearsMonths(months) => Some(Number::from(months)),
            Self::DaysTime(nanos) => Number::new(nanos, -9),
        }
    }

    /// The duration of the kind of `self` with that many months or seconds; months are cut to whole ones.
    pub(crate) fn with_value(self, value: &Number) -> Option<Self> {
        match self {
            Self::YearsMonths(_) => Self::months(value.truncated()?),
            Self::DaysTime(_) => {
                let nanos = value.mul(&Number::new(1, 9)?)?.round(0, Rounding::HalfEven)?;
                Self::nanos(nanos.to_i128()?)
            }
        }
    }
}

impl Number {
    fn to_i128(&self) -> Option<i128> {
        self.to_string().parse().ok()
    }
}
