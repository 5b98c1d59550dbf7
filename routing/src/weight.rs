//! The share of an instance that a token carries.
//!
//! A start event makes weight one; a fork splits it, a join adds it up, an end gives it back. The
//! instance is complete when the weights of its ended tokens sum to one (Huang 1989, Mattern 1989):
//! no counter, no order, and less than one names what is missing. Shares are exact dyadic numbers.

use std::borrow::Cow;
use std::fmt;

use num_bigint::BigUint;
use num_traits::{One, Zero};

/// `mantissa / 2^exponent`, the mantissa odd or zero.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Weight {
    mantissa: Mantissa,
    exponent: u32,
}

/// Nearly every weight is small, and goes with its token without memory of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Mantissa {
    Small(u64),
    /// One that is not small.
    Large(BigUint),
}

impl Mantissa {
    fn of(number: BigUint) -> Self {
        u64::try_from(&number).map_or(Self::Large(number), Self::Small)
    }

    fn number(&self) -> Cow<'_, BigUint> {
        match self {
            Self::Small(number) => Cow::Owned(BigUint::from(*number)),
            Self::Large(number) => Cow::Borrowed(number),
        }
    }
}

impl Weight {
    /// A whole instance.
    pub fn one() -> Self {
        Self { mantissa: Mantissa::Small(1), exponent: 0 }
    }

    /// Nothing.
    pub fn zero() -> Self {
        Self { mantissa: Mantissa::Small(0), exponent: 0 }
    }

    /// True for a whole instance.
    pub fn is_one(&self) -> bool {
        self.exponent == 0 && self.mantissa == Mantissa::Small(1)
    }

    /// True for nothing.
    pub fn is_zero(&self) -> bool {
        self.mantissa == Mantissa::Small(0)
    }

    /// True when more than one instance's worth came back: a bug alarm, never normal.
    pub fn exceeds_one(&self) -> bool {
        *self.mantissa.number() > (BigUint::one() << self.exponent)
    }

    /// Splits into `parts` shares that sum to this weight; the first ones may be larger.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        if parts <= 1 {
            return vec![self.clone(); parts];
        }
        let bits = usize::BITS - (parts - 1).leading_zeros();
        let (units, extra) = ((1usize << bits) / parts, (1usize << bits) % parts);
        let whole = self.mantissa.number();
        (0..parts)
            .map(|i| {
                let share = units + usize::from(i < extra);
                Self::normal(&*whole * share, self.exponent + bits)
            })
            .collect()
    }

    /// The sum of two weights.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.max(other.exponent);
        let scaled = |it: &Self| &*it.mantissa.number() << (exponent - it.exponent);
        Self::normal(scaled(self) + scaled(other), exponent)
    }

    /// What is missing from one; zero when nothing is.
    #[must_use]
    pub fn missing(&self) -> Self {
        let (whole, part) = (BigUint::one() << self.exponent, self.mantissa.number());
        Self::normal(if whole > *part { whole - &*part } else { BigUint::zero() }, self.exponent)
    }

    /// What [`Self::to_bytes`] gives, without memory for it where the weight is small.
    pub fn with_bytes<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        match &self.mantissa {
            Mantissa::Small(number) => {
                let mut bytes = [0; 12];
                bytes[4..].copy_from_slice(&number.to_be_bytes());
                // without zeros in front, but for zero itself
                let zeros = (number.leading_zeros() as usize / 8).min(7);
                bytes[zeros..zeros + 4].copy_from_slice(&self.exponent.to_be_bytes());
                take(&bytes[zeros..])
            }
            Mantissa::Large(number) => take(&[&self.exponent.to_be_bytes()[..], &number.to_bytes_be()].concat()),
        }
    }

    /// Exponent (four bytes, most significant first), then the mantissa's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when it is too short or absurdly long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (exponent, mantissa) = bytes.split_first_chunk::<4>()?;
        let exponent = u32::from_be_bytes(*exponent);
        if mantissa.len() > 64 * 1024 || exponent > 512 * 1024 {
            return None;
        }
        if (mantissa, exponent) == (&[1], 0) {
            return Some(Self::one());
        }
        Some(Self::normal(BigUint::from_bytes_be(mantissa), exponent))
    }

    fn normal(mut mantissa: BigUint, exponent: u32) -> Self {
        let zeros = mantissa.trailing_zeros().unwrap_or(0).min(u64::from(exponent)) as u32;
        mantissa >>= zeros;
        let exponent = if mantissa.is_zero() { 0 } else { exponent - zeros };
        Self { mantissa: Mantissa::of(mantissa), exponent }
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
            0 => write!(f, "{}", self.mantissa.number()),
            e if e < 64 => write!(f, "{}/{}", self.mantissa.number(), 1u64 << e),
            e => write!(f, "{}/2^{e}", self.mantissa.number()),
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
