//! Rounding to a number of digits behind the point, in every mode FEEL names (DMN 1.5, table 77).

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::{Number, power_of_ten};

/// Which neighbour a number between two is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards negative infinity.
    Floor,
    /// Towards positive infinity.
    Ceiling,
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// To the nearest; a tie away from zero.
    HalfUp,
    /// To the nearest; a tie towards zero.
    HalfDown,
    /// To the nearest; a tie to the even neighbour.
    HalfEven,
}

impl Number {
    /// Rounds to `scale` digits behind the point (negative: before it); `None` when the result is out of range.
    pub fn round(&self, scale: i32, mode: Rounding) -> Option<Self> {
        let target = scale.checked_neg()?;
        if self.exponent >= target || self.is_zero() {
            return Some(self.plain());
        }
        let drop = i64::from(target) - i64::from(self.exponent);
        // More digits to drop than there are: the quotient is 0 and the rest below a half.
        let (quotient, half) = if drop > 37 {
            (0, std::cmp::Ordering::Less)
        } else {
            let divisor = 10_i128.pow(drop as u32);
            let rest = (self.coefficient % divisor).unsigned_abs();
            if rest == 0 {
                return Self::new(self.coefficient / divisor, target);
            }
            (self.coefficient / divisor, rest.cmp(&(divisor.unsigned_abs() - rest)))
        };
        let negative = self.is_negative();
        let away = match mode {
            Rounding::Floor => negative,
            Rounding::Ceiling => !negative,
            Rounding::Up => true,
            Rounding::Down => false,
            Rounding::HalfUp => half.is_ge(),
            Rounding::HalfDown => half.is_gt(),
            Rounding::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
        };
        let step = if !away {
            0
        } else if negative {
            -1
        } else {
            1
        };
        Self::new(quotient + step, target)
    }
}

/// Divides by `10^drop`, half to even; says too whether nothing was cut off.
pub(super) fn divide_half_even(value: &BigInt, drop: u32) -> (BigInt, bool) {
    let divisor = power_of_ten(drop);
    let quotient = value / &divisor;
    let rest = (value - &quotient * &divisor).abs();
    if rest.is_zero() {
        return (quotient, true);
    }
    let half = (&rest * 2_u8).cmp(&divisor);
    let odd = !(&quotient % 2_u8).is_zero();
    if half.is_gt() || (half.is_eq() && odd) {
        let step = if value.is_negative() { -1 } else { 1 };
        return (quotient + step, false);
    }
    (quotient, false)
}
