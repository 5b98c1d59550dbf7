//! The ISO 8601 text of temporal values, as `string()` and JSON show them.

use std::fmt;

use super::{Clock, Date, DateTime, Duration, NANOS_PER_SECOND, Time, Zone};

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.year() < 0 { "-" } else { "" };
        write!(f, "{sign}{:04}-{:02}-{:02}", self.year().abs(), self.month(), self.day())
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}{}", self.hour, self.minute, self.second, Fraction(self.nano))
    }
}

/// Nanoseconds as a decimal fraction without trailing zeros; nothing for zero.
struct Fraction(u32);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return Ok(());
        }
        let digits = format!("{:09}", self.0);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(0) => f.write_str("Z"),
            Self::Offset(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let total = seconds.abs();
                write!(f, "{sign}{:02}:{:02}", total / 3600, total / 60 % 60)?;
                if total % 60 != 0 { write!(f, ":{:02}", total % 60) } else { Ok(()) }
            }
            Self::Named(name, _) => write!(f, "@{name}"),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.clock)?;
        self.zone.as_ref().map_or(Ok(()), |zone| write!(f, "{zone}"))
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.clock)?;
        self.zone.as_ref().map_or(Ok(()), |zone| write!(f, "{zone}"))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::YearsMonths(months) => years_months(f, months),
            Self::DaysTime(nanos) => days_time(f, nanos),
        }
    }
}

fn years_months(f: &mut fmt::Formatter<'_>, months: i64) -> fmt::Result {
    let (sign, total) = (if months < 0 { "-" } else { "" }, months.unsigned_abs());
    match (total / 12, total % 12) {
        (0, months) => write!(f, "{sign}P{months}M"),
        (years, 0) => write!(f, "{sign}P{years}Y"),
        (years, months) => write!(f, "{sign}P{years}Y{months}M"),
    }
}

fn days_time(f: &mut fmt::Formatter<'_>, nanos: i128) -> fmt::Result {
    let total = nanos.unsigned_abs();
    if total == 0 {
        return f.write_str("PT0S");
    }
    let per_second = NANOS_PER_SECOND.unsigned_abs();
    let (seconds, nano) = (total / per_second, (total % per_second) as u32);
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    f.write_str(if nanos < 0 { "-P" } else { "P" })?;
    if days > 0 {
        write!(f, "{days}D")?;
    }
    if hours + minutes + seconds > 0 || nano > 0 {
        f.write_str("T")?;
    }
    if hours > 0 {
        write!(f, "{hours}H")?;
    }
    if minutes > 0 {
        write!(f, "{minutes}M")?;
    }
    if seconds > 0 || nano > 0 {
        write!(f, "{seconds}{}S", Fraction(nano))?;
    }
    Ok(())
}
