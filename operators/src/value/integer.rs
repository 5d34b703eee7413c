//! [`Int`]: an exact integer of any size, in a machine word as long as it fits.
//!
//! Invariant: `Big` only holds what does not fit into an i128, so equal integers have equal representations.

use num_bigint::BigInt;
use num_integer::Integer as _;
use num_traits::{Signed as _, ToPrimitive as _, Zero as _};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Int {
    Small(i128),
    Big(Box<BigInt>),
}

/// 10^38 is the largest power of ten in an i128.
const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

impl Default for Int {
    fn default() -> Self {
        Int::ZERO
    }
}

impl From<i128> for Int {
    fn from(value: i128) -> Self {
        Int::Small(value)
    }
}

impl From<i64> for Int {
    fn from(value: i64) -> Self {
        Int::Small(value.into())
    }
}

impl From<BigInt> for Int {
    fn from(value: BigInt) -> Self {
        match value.to_i128() {
            Some(small) => Int::Small(small),
            None => Int::Big(Box::new(value)),
        }
    }
}

impl Int {
    pub const ZERO: Int = Int::Small(0);

    pub fn power_of_ten(exponent: u32) -> Int {
        match POWERS.get(exponent as usize) {
            Some(&power) => Int::Small(power),
            None => Int::from(BigInt::from(10).pow(exponent)),
        }
    }

    pub fn to_big(&self) -> BigInt {
        match self {
            Int::Small(small) => BigInt::from(*small),
            Int::Big(big) => (**big).clone(),
        }
    }

    pub fn to_i64(&self) -> Option<i64> {
        match self {
            Int::Small(small) => i64::try_from(*small).ok(),
            Int::Big(_) => None,
        }
    }

    pub fn is_zero(&self) -> bool {
        matches!(self, Int::Small(0))
    }

    pub fn is_negative(&self) -> bool {
        match self {
            Int::Small(small) => *small < 0,
            Int::Big(big) => big.is_negative(),
        }
    }

    pub fn add(&self, other: &Int) -> Int {
        if let (Int::Small(a), Int::Small(b)) = (self, other) {
            if let Some(sum) = a.checked_add(*b) {
                return Int::Small(sum);
            }
        }
        Int::from(self.to_big() + other.to_big())
    }

    pub fn sub(&self, other: &Int) -> Int {
        if let (Int::Small(a), Int::Small(b)) = (self, other) {
            if let Some(difference) = a.checked_sub(*b) {
                return Int::Small(difference);
            }
        }
        Int::from(self.to_big() - other.to_big())
    }

    pub fn mul(&self, other: &Int) -> Int {
        if let (Int::Small(a), Int::Small(b)) = (self, other) {
            if let Some(product) = a.checked_mul(*b) {
                return Int::Small(product);
            }
        }
        Int::from(self.to_big() * other.to_big())
    }

    pub fn neg(&self) -> Int {
        Int::ZERO.sub(self)
    }

    pub fn abs(&self) -> Int {
        if self.is_negative() {
            self.neg()
        } else {
            self.clone()
        }
    }

    /// Quotient toward zero and remainder of the dividend's sign. The divisor is not zero.
    pub fn div_rem(&self, divisor: &Int) -> (Int, Int) {
        if let (Int::Small(a), Int::Small(b)) = (self, divisor) {
            if let (Some(quotient), Some(remainder)) = (a.checked_div(*b), a.checked_rem(*b)) {
                return (Int::Small(quotient), Int::Small(remainder));
            }
        }
        let (quotient, remainder) = self.to_big().div_rem(&divisor.to_big());
        (Int::from(quotient), Int::from(remainder))
    }

    /// Quotient rounded to nearest, halves away from zero. The divisor is not zero.
    pub fn div_round(&self, divisor: &Int) -> Int {
        let (quotient, remainder) = self.div_rem(divisor);
        if remainder.is_zero() {
            return quotient;
        }
        let rest = divisor.abs().sub(&remainder.abs());
        if remainder.abs().cmp(&rest) == Ordering::Less {
            quotient
        } else if self.is_negative() == divisor.is_negative() {
            quotient.add(&Int::Small(1))
        } else {
            quotient.sub(&Int::Small(1))
        }
    }

    pub fn scale_up(&self, digits: u32) -> Int {
        if digits == 0 || self.is_zero() {
            self.clone()
        } else {
            self.mul(&Int::power_of_ten(digits))
        }
    }

    pub fn shift_left(&self, bits: u32) -> Int {
        if let Int::Small(small) = self {
            if *small == 0 {
                return Int::ZERO;
            }
            let room = small.unsigned_abs().leading_zeros();
            if bits < room.saturating_sub(1) {
                return Int::Small(small << bits);
            }
        }
        Int::from(self.to_big() << bits)
    }

    pub fn is_multiple_of(&self, divisor: i128) -> bool {
        match self {
            Int::Small(small) => small % divisor == 0,
            Int::Big(big) => (&**big % BigInt::from(divisor)).is_zero(),
        }
    }

    /// Bytes on the heap, to be counted against limits.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Int::Small(_) => 0,
            Int::Big(big) => std::mem::size_of::<BigInt>() + (big.bits() as usize).div_ceil(8),
        }
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Int::Small(a), Int::Small(b)) => a.cmp(b),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }
}
