//! FEEL numbers: decimal floating point of 34 significant digits, as DMN 1.5 clause 10.3.2.3.1 asks for (IEEE 754 decimal128).
//!
//! A number is `coefficient * 10^exponent`. Ordinary values stay within one `i128`; results that pass it for a moment are computed with big
//! integers and rounded half to even. A number that came from JSON and was not computed with keeps its text, so it leaves exactly as it came in.
//! There are no infinities and no NaN: what has no decimal result is `None`, which FEEL calls null.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

mod functions;
mod rounding;

pub use rounding::Rounding;

/// Significant digits kept by arithmetic.
pub(crate) const PRECISION: u32 = 34;
/// The largest decimal exponent of the most significant digit.
const MAX_MAGNITUDE: i64 = 6144;
/// The smallest one; below it a result is zero.
const MIN_MAGNITUDE: i64 = -6176;
/// 10^34, the first coefficient that is too long.
const LIMIT: i128 = 10_i128.pow(PRECISION);

/// A decimal number of up to 34 significant digits.
#[derive(Clone)]
pub struct Number {
    coefficient: i128,
    exponent: i32,
    text: Option<Arc<String>>,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { coefficient: 0, exponent: 0, text: None };
    /// One.
    pub const ONE: Self = Self { coefficient: 1, exponent: 0, text: None };

    /// `coefficient * 10^exponent`, rounded to 34 digits; `None` when it is out of range.
    pub fn new(coefficient: i128, exponent: i32) -> Option<Self> {
        if coefficient.unsigned_abs() >= LIMIT.unsigned_abs() {
            return Self::from_big(&BigInt::from(coefficient), exponent.into());
        }
        Self { coefficient, exponent, text: None }.canonical()
    }

    /// Reads a decimal literal (`12`, `-1.5`, `.5`, `1e3`). Digits past the 34th are rounded.
    pub fn parse(source: &str) -> Option<Self> {
        let (mantissa, exponent) = match source.find(['e', 'E']) {
            Some(at) => (&source[..at], source[at + 1..].parse::<i64>().ok()?),
            None => (source, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        if whole.len() + fraction.len() == 0 || !all().all(|b| b.is_ascii_digit()) || (digits.ends_with('.')) {
            return None;
        }
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if !(-100_000..=100_000).contains(&exponent) {
            return all().all(|b| b == b'0').then_some(Self::ZERO);
        }
        let sign = if negative { -1 } else { 1 };
        if whole.len() + fraction.len() <= PRECISION as usize {
            let value = all().fold(0_i128, |sum, b| sum * 10 + i128::from(b - b'0'));
            return Self::new(value * sign, i32::try_from(exponent).ok()?);
        }
        let joined: String = whole.chars().chain(fraction.chars()).collect();
        Self::from_big(&(joined.parse::<BigInt>().ok()? * sign), exponent)
    }

    /// Reads a JSON number and keeps its text when the canonical form differs from it (`1.0`, `1e400`, more than 34 digits).
    pub(crate) fn from_json_text(source: &str) -> Self {
        if let Ok(small) = source.parse::<i64>()
            && source != "-0"
            && !source.starts_with('+')
        {
            return Self::from(small);
        }
        // A number out of range keeps its text to pass through; computing with it sees the largest number there is.
        let mut number = Self::parse(source).unwrap_or_else(|| {
            let sign = if source.starts_with('-') { -1 } else { 1 };
            Self { coefficient: sign * (LIMIT - 1), exponent: MAX_MAGNITUDE as i32 - PRECISION as i32 + 1, text: None }
        });
        if number.to_string() != source {
            number.text = Some(Arc::new(source.to_owned()));
        }
        number
    }

    /// True when the number keeps the text it came with.
    pub(crate) fn has_text(&self) -> bool {
        self.text.is_some()
    }

    /// The text this number came with, or its canonical form; always a JSON number.
    pub(crate) fn json_text(&self) -> String {
        match &self.text {
            Some(text) => text.as_str().to_owned(),
            None => self.to_string(),
        }
    }

    /// Rounds a big coefficient into a number; `None` when it is out of range.
    pub(crate) fn from_big(coefficient: &BigInt, exponent: i64) -> Option<Self> {
        if let Some(small) = coefficient.to_i128()
            && small.unsigned_abs() < LIMIT.unsigned_abs()
        {
            return Self { coefficient: small, exponent: i32::try_from(exponent).ok()?, text: None }.canonical();
        }
        let digits = i64::try_from(coefficient.abs().to_string().len()).ok()?;
        let drop = digits - i64::from(PRECISION);
        let (quotient, exact) = rounding::divide_half_even(coefficient, u32::try_from(drop).ok()?);
        debug_assert!(exact || drop > 0);
        // Rounding 99..9 up makes one digit more; the canonical form takes its trailing zero off.
        Self::new(quotient.to_i128()?, i32::try_from(exponent + drop).ok()?)
    }

    /// No trailing zeros behind the point, integers of up to 34 digits with exponent 0, and within the range.
    fn canonical(mut self) -> Option<Self> {
        if self.coefficient == 0 {
            return Some(Self::ZERO);
        }
        while self.exponent < 0 {
            if let Ok(small) = i64::try_from(self.coefficient) {
                if small % 10 != 0 {
                    break;
                }
            } else if self.coefficient % 10 != 0 {
                break;
            }
            self.coefficient /= 10;
            self.exponent += 1;
        }
        while self.exponent > 0 && self.coefficient.unsigned_abs() < LIMIT.unsigned_abs() / 10 {
            self.coefficient *= 10;
            self.exponent -= 1;
        }
        let magnitude = self.magnitude();
        if magnitude > MAX_MAGNITUDE {
            return None;
        }
        Some(if magnitude < MIN_MAGNITUDE { Self::ZERO } else { self })
    }

    /// The decimal exponent of the most significant digit.
    fn magnitude(&self) -> i64 {
        i64::from(self.exponent) + i64::from(digits_of(self.coefficient)) - 1
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.coefficient == 0
    }

    /// True for a number below zero.
    pub fn is_negative(&self) -> bool {
        self.coefficient < 0
    }

    /// True when there is nothing behind the decimal point.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// The value as an `i64` when it is an integer of that range.
    pub fn to_i64(&self) -> Option<i64> {
        if self.exponent != 0 {
            return None;
        }
        i64::try_from(self.coefficient).ok()
    }

    /// The value cut to its integer part, when that is within `i64`.
    pub fn truncated(&self) -> Option<i64> {
        self.round(0, Rounding::Down)?.to_i64()
    }

    /// The nearest binary floating point number.
    pub fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The decimal number with the shortest text that reads back as `value`; `None` for infinities and NaN.
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_finite() { Self::parse(&format!("{value}")) } else { None }
    }

    /// Sum, rounded to 34 digits.
    pub fn add(&self, other: &Self) -> Option<Self> {
        if self.exponent == other.exponent {
            return Self::new(self.coefficient.checked_add(other.coefficient)?, self.exponent);
        }
        let (high, low) = if self.exponent > other.exponent { (self, other) } else { (other, self) };
        let shift = i64::from(high.exponent) - i64::from(low.exponent);
        if shift > 120 {
            if high.is_zero() {
                return Some(low.plain());
            }
            // The low operand is beyond every digit kept.
            return Some(if low.is_zero() || high.magnitude() - low.magnitude() > 40 {
                high.plain()
            } else {
                return self.add_big(other, shift);
            });
        }
        if shift <= 38
            && let Some(scaled) = high.coefficient.checked_mul(10_i128.pow(shift as u32))
            && let Some(sum) = scaled.checked_add(low.coefficient)
        {
            return Self::new(sum, low.exponent);
        }
        self.add_big(other, shift)
    }

    fn add_big(&self, other: &Self, shift: i64) -> Option<Self> {
        let (high, low) = if self.exponent > other.exponent { (self, other) } else { (other, self) };
        let scaled = BigInt::from(high.coefficient) * power_of_ten(u32::try_from(shift).ok()?);
        Self::from_big(&(scaled + low.coefficient), low.exponent.into())
    }

    /// Difference, rounded to 34 digits.
    pub fn sub(&self, other: &Self) -> Option<Self> {
        self.add(&other.neg())
    }

    /// The number with its sign turned.
    pub fn neg(&self) -> Self {
        Self { coefficient: -self.coefficient, exponent: self.exponent, text: None }
    }

    /// The number without its sign.
    pub fn abs(&self) -> Self {
        Self { coefficient: self.coefficient.abs(), exponent: self.exponent, text: None }
    }

    fn plain(&self) -> Self {
        Self { coefficient: self.coefficient, exponent: self.exponent, text: None }
    }

    /// Product, rounded to 34 digits.
    pub fn mul(&self, other: &Self) -> Option<Self> {
        let exponent = self.exponent.checked_add(other.exponent)?;
        match self.coefficient.checked_mul(other.coefficient) {
            Some(product) => Self::new(product, exponent),
            None => Self::from_big(&(BigInt::from(self.coefficient) * other.coefficient), exponent.into()),
        }
    }

    /// Quotient, rounded to 34 digits; `None` for a divisor of zero.
    pub fn div(&self, other: &Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let exponent = i64::from(self.exponent) - i64::from(other.exponent);
        if self.coefficient % other.coefficient == 0 {
            return Self::new(self.coefficient / other.coefficient, i32::try_from(exponent).ok()?);
        }
        let wanted =
            i64::from(PRECISION) + 2 + i64::from(digits_of(other.coefficient)) - i64::from(digits_of(self.coefficient));
        let shift = u32::try_from(wanted.max(0)).ok()?;
        let dividend = BigInt::from(self.coefficient) * power_of_ten(shift);
        let divisor = BigInt::from(other.coefficient);
        let quotient = &dividend / &divisor;
        // One sticky digit makes the rounding see that something was cut off.
        let sticky = if &quotient * &divisor == dividend {
            0
        } else {
            if self.is_negative() == other.is_negative() { 1 } else { -1 }
        };
        Self::from_big(&(quotient * 10 + sticky), exponent - i64::from(shift) - 1)
    }

    /// The remainder that has the sign of the divisor (`modulo` of DMN 1.5, table 77); `None` for a divisor of zero.
    pub fn modulo(&self, divisor: &Self) -> Option<Self> {
        let quotient = self.div(divisor)?.round(0, Rounding::Floor)?;
        self.sub(&divisor.mul(&quotient)?)
    }
}

/// Decimal digits of a coefficient; 1 for zero.
fn digits_of(coefficient: i128) -> u32 {
    coefficient.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
}

pub(crate) fn power_of_ten(exponent: u32) -> BigInt {
    match 10_i128.checked_pow(exponent) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(10).pow(exponent),
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent {
            return self.coefficient.cmp(&other.coefficient);
        }
        let sign = self.coefficient.signum().cmp(&other.coefficient.signum());
        if sign != Ordering::Equal || self.coefficient == 0 {
            return sign;
        }
        let by_magnitude = self.magnitude().cmp(&other.magnitude());
        if by_magnitude != Ordering::Equal {
            return if self.coefficient > 0 { by_magnitude } else { by_magnitude.reverse() };
        }
        // Equal magnitudes: the exponents differ by less than 34, so both sides are short.
        let low = self.exponent.min(other.exponent);
        let scaled = |n: &Self| BigInt::from(n.coefficient) * power_of_ten((n.exponent - low) as u32);
        scaled(self).cmp(&scaled(other))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self { coefficient: value.into(), exponent: 0, text: None }
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Number {
    /// Plain decimal notation; scientific (`1.5E+300`) when that needs more than 40 zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent == 0 {
            return write!(f, "{}", self.coefficient);
        }
        let digits = self.coefficient.unsigned_abs().to_string();
        if self.coefficient < 0 {
            f.write_str("-")?;
        }
        let point = digits.len() as i64 + i64::from(self.exponent);
        if !(-40..=80).contains(&point) {
            let digits = digits.trim_end_matches('0');
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            return write!(f, "{first}{dot}{rest}E{:+}", point - 1);
        }
        if self.exponent > 0 {
            return write!(f, "{digits}{}", "0".repeat(self.exponent as usize));
        }
        if point <= 0 {
            return write!(f, "0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
        }
        let (whole, fraction) = digits.split_at(point as usize);
        write!(f, "{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests;
