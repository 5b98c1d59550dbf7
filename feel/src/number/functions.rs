//! Powers, roots, exponential and logarithm, computed in fixed point of 60 digits and rounded once at the end.

use num_bigint::BigInt;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{Number, power_of_ten};

/// Digits behind the point of the fixed-point numbers used here.
const SCALE: u32 = 60;
/// ln 2 and ln 10 in that fixed point.
const LN_2: &str = "693147180559945309417232121458176568075500134360255254120680";
const LN_10: &str = "2302585092994045684017991454684364207601101488628772976033328";

fn constant(digits: &str) -> BigInt {
    digits.parse().unwrap_or_default()
}

impl Number {
    /// `self` to the power of `exponent`; `None` when there is no real result or it is out of range.
    pub fn pow(&self, exponent: &Self) -> Option<Self> {
        if let Some(whole) = exponent.to_i64() {
            return self.pow_integer(whole);
        }
        if self.is_zero() {
            return (!exponent.is_negative()).then_some(Self::ZERO);
        }
        if self.is_negative() {
            return None;
        }
        if *exponent == Self::new(5, -1)? {
            return self.sqrt();
        }
        self.ln()?.mul(exponent)?.exp()
    }

    fn pow_integer(&self, exponent: i64) -> Option<Self> {
        let mut result = Self::ONE;
        let mut base = if exponent < 0 { Self::ONE.div(self)? } else { self.plain() };
        let mut left = exponent.unsigned_abs();
        while left > 0 {
            if left & 1 == 1 {
                result = result.mul(&base)?;
            }
            left >>= 1;
            if left > 0 {
                base = base.mul(&base)?;
            }
        }
        Some(result)
    }

    /// Square root; `None` below zero.
    pub fn sqrt(&self) -> Option<Self> {
        if self.is_negative() {
            return None;
        }
        if self.is_zero() {
            return Some(Self::ZERO);
        }
        let shift = 80 + self.exponent.rem_euclid(2);
        let scaled = BigInt::from(self.coefficient) * power_of_ten(shift.unsigned_abs());
        let exponent = (i64::from(self.exponent) - i64::from(shift)) / 2;
        let root = scaled.sqrt();
        let sticky = u8::from(&root * &root != scaled);
        Self::from_big(&(root * 10 + sticky), exponent - 1)
    }

    /// e to the power of `self`; `None` when that is out of range.
    pub fn exp(&self) -> Option<Self> {
        if self.is_zero() {
            return Some(Self::ONE);
        }
        if self.magnitude() > 5 {
            return self.is_negative().then_some(Self::ZERO);
        }
        let (mantissa, twos) = exp_fixed(&self.to_fixed());
        let twos = twos.to_i64()?;
        if twos >= 0 {
            let power = BigInt::one() << u64::try_from(twos).ok()?;
            return Self::from_big(&(mantissa * power), -i64::from(SCALE));
        }
        // m / 2^k = m * 5^k / 10^k
        let power = BigInt::from(5).pow(u32::try_from(-twos).ok()?);
        Self::from_big(&(mantissa * power), -i64::from(SCALE) + twos)
    }

    /// Natural logarithm; `None` for zero and below.
    pub fn ln(&self) -> Option<Self> {
        if self.coefficient <= 0 {
            return None;
        }
        let magnitude = self.magnitude();
        let mantissa = Self {
            coefficient: self.coefficient,
            exponent: i32::try_from(i64::from(self.exponent) - magnitude).ok()?,
            text: None,
        };
        let target = mantissa.to_fixed();
        let mut guess = Self::from_f64(mantissa.to_f64().ln())?.to_fixed();
        // Halley's step triples the exact digits: 16, 48, more than enough.
        for _ in 0..2 {
            let (e, twos) = exp_fixed(&guess);
            let twos = twos.to_i64()?;
            let e = if twos >= 0 { e << twos.unsigned_abs() } else { e >> twos.unsigned_abs() };
            guess += (&target - &e) * 2 * power_of_ten(SCALE) / (&target + &e);
        }
        Self::from_big(&(guess + constant(LN_10) * magnitude), -i64::from(SCALE))
    }

    /// The fixed-point form, cut off behind 60 digits.
    fn to_fixed(&self) -> BigInt {
        let shift = i64::from(self.exponent) + i64::from(SCALE);
        if shift >= 0 {
            BigInt::from(self.coefficient) * power_of_ten(shift as u32)
        } else if shift < -60 {
            BigInt::zero()
        } else {
            BigInt::from(self.coefficient) / power_of_ten(shift.unsigned_abs() as u32)
        }
    }
}

/// `e^x = m * 2^k` for a fixed-point `x`: gives `m` (fixed point, in about 0.7..1.5) and `k`.
fn exp_fixed(x: &BigInt) -> (BigInt, BigInt) {
    let one = power_of_ten(SCALE);
    let ln2 = constant(LN_2);
    let twos = (x + &ln2 / 2) / &ln2;
    let rest = x - &twos * &ln2;
    let mut sum = one.clone();
    let mut term = one.clone();
    for n in 1..200_u32 {
        term = term * &rest / &one / n;
        if term.abs().is_zero() {
            break;
        }
        sum += &term;
    }
    (sum, twos)
}
