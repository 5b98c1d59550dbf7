//! The share of an instance that a token carries.
//!
//! A start event makes weight one; a fork splits it, a join adds it up, an end gives it back. The
//! instance is complete when the weights of its ended tokens sum to one (Huang 1989, Mattern 1989):
//! no counter, no order, and less than one names what is missing. Shares are exact dyadic numbers.

use std::fmt;

use num_bigint::BigUint;
use num_traits::{One, Zero};

/// `mantissa / 2^exponent`, the mantissa odd or zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Weight {
    mantissa: BigUint,
    exponent: u32,
}

impl Weight {
    /// A whole instance.
    pub fn one() -> Self {
        Self { mantissa: BigUint::one(), exponent: 0 }
    }

    /// Nothing.
    pub fn zero() -> Self {
        Self { mantissa: BigUint::zero(), exponent: 0 }
    }

    /// True for a whole instance.
    pub fn is_one(&self) -> bool {
        self.exponent == 0 && self.mantissa.is_one()
    }

    /// True for nothing.
    pub fn is_zero(&self) -> bool {
        self.mantissa.is_zero()
    }

    /// True when more than one instance's worth came back: a bug alarm, never normal.
    pub fn exceeds_one(&self) -> bool {
        self.mantissa > (BigUint::one() << self.exponent)
    }

    /// Splits into `parts` shares that sum to this weight; the first ones may be larger.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        if parts <= 1 {
            return vec![self.clone(); parts];
        }
        let bits = usize::BITS - (parts - 1).leading_zeros();
        let (units, extra) = ((1usize << bits) / parts, (1usize << bits) % parts);
        (0..parts)
            .map(|i| {
                let share = units + usize::from(i < extra);
                Self { mantissa: &self.mantissa * share, exponent: self.exponent + bits }.normal()
            })
            .collect()
    }

    /// The sum of two weights.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.max(other.exponent);
        let mantissa =
            (&self.mantissa << (exponent - self.exponent)) + (&other.mantissa << (exponent - other.exponent));
        Self { mantissa, exponent }.normal()
    }

    /// What is missing from one; zero when nothing is.
    #[must_use]
    pub fn missing(&self) -> Self {
        let whole = BigUint::one() << self.exponent;
        let mantissa = if whole > self.mantissa { whole - &self.mantissa } else { BigUint::zero() };
        Self { mantissa, exponent: self.exponent }.normal()
    }

    /// Exponent (four bytes, most significant first), then the mantissa's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.exponent.to_be_bytes().to_vec();
        bytes.extend(self.mantissa.to_bytes_be());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when it is too short or absurdly long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (exponent, mantissa) = bytes.split_first_chunk::<4>()?;
        let exponent = u32::from_be_bytes(*exponent);
        if mantissa.len() > 64 * 1024 || exponent > 512 * 1024 {
            return None;
        }
        Some(Self { mantissa: BigUint::from_bytes_be(mantissa), exponent }.normal())
    }

    fn normal(mut self) -> Self {
        let zeros = self.mantissa.trailing_zeros().unwrap_or(0).min(u64::from(self.exponent)) as u32;
        self.mantissa >>= zeros;
        self.exponent = if self.mantissa.is_zero() { 0 } else { self.exponent - zeros };
        self
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exponent {
            0 => write!(f, "{}", self.mantissa),
            e if e < 64 => write!(f, "{}/{}", self.mantissa, 1u64 << e),
            e => write!(f, "{}/2^{e}", self.mantissa),
        }
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum<'a>(shares: impl IntoIterator<Item = &'a Weight>) -> Weight {
        shares.into_iter().fold(Weight::zero(), |a, b| a.plus(b))
    }

    #[test]
    fn shares_always_sum_to_the_whole() {
        for parts in 1..70 {
            let shares = Weight::one().split(parts);
            assert_eq!(shares.len(), parts);
            assert!(sum(&shares).is_one(), "{parts} parts");
            let again: Vec<_> = shares.iter().flat_map(|s| s.split(3)).collect();
            assert!(sum(&again).is_one(), "{parts} parts, each in three");
        }
    }

    #[test]
    fn ten_thousand_forks_do_not_underflow() {
        let (mut token, mut ended) = (Weight::one(), Weight::zero());
        for _ in 0..10_000 {
            let shares = token.split(2);
            ended = ended.plus(&shares[0]);
            token = shares[1].clone();
        }
        assert!(!ended.is_one());
        assert_eq!(ended.missing(), token);
        assert!(ended.plus(&token).is_one());
        assert!(token.to_bytes().len() < 1500);
    }

    #[test]
    fn bytes_round_trip() {
        for w in Weight::one().split(7) {
            assert_eq!(Weight::from_bytes(&w.to_bytes()), Some(w));
        }
        assert_eq!(Weight::from_bytes(&[1, 2]), None);
    }

    #[test]
    fn more_than_one_is_seen() {
        let w = Weight::one().plus(&Weight::one().split(2)[0]);
        assert!(w.exceeds_one() && !w.is_one());
    }
}
