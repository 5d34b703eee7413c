//! Exact sums of binary floats: a sum that values can be taken out of again is only right if nothing was rounded.
//!
//! A sum is `value * 2^exponent` with an exact integer `value`; it is rounded once, to nearest and ties to even, when it is
//! asked for. PostgreSQL rounds after each addition, so its last bits depend on the order of its input: ours are marked as
//! not determined (HAZARDS E20).

use super::error::EvalError;
use super::integer::Int;
use num_bigint::BigUint;
use num_traits::{ToPrimitive as _, Zero as _};

/// The exponent of a double's least bit.
const LEAST_EXPONENT: i32 = -1074;

/// More than a divisor, a count of values, and a double have together.
const QUOTIENT_BITS: u32 = 192;

/// A finite double as an odd integer (or zero) times a power of two.
fn parts(float: f64) -> (i128, i32) {
    let bits = float.to_bits();
    let fraction = (bits & ((1 << 52) - 1)) as i128;
    let (mantissa, exponent) = match (bits >> 52 & 0x7ff) as i32 {
        0 => (fraction, LEAST_EXPONENT),
        biased => (fraction | 1 << 52, biased - 1075),
    };
    if mantissa == 0 {
        return (0, 0);
    }
    let zeros = mantissa.trailing_zeros();
    let mantissa = mantissa >> zeros;
    (if bits >> 63 == 1 { -mantissa } else { mantissa }, exponent + zeros as i32)
}

/// An exact sum of finite doubles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatSum {
    value: Int,
    exponent: i32,
}

impl FloatSum {
    /// Adds `count` times a finite double.
    pub fn add(&mut self, float: f64, count: i64) {
        let (mantissa, exponent) = parts(float);
        self.merge(&FloatSum::new(Int::Small(mantissa).mul(&Int::from(count)), exponent));
    }

    /// Adds `count` times the product of two finite doubles.
    pub fn add_product(&mut self, left: f64, right: f64, count: i64) {
        let ((left, left_exponent), (right, right_exponent)) = (parts(left), parts(right));
        let product = Int::Small(left * right).mul(&Int::from(count));
        self.merge(&FloatSum::new(product, left_exponent + right_exponent));
    }

    fn new(value: Int, exponent: i32) -> Self {
        let exponent = if value.is_zero() { 0 } else { exponent };
        FloatSum { value, exponent }
    }

    pub fn mul(&self, other: &FloatSum) -> FloatSum {
        FloatSum::new(self.value.mul(&other.value), self.exponent + other.exponent)
    }

    pub fn times(&self, factor: &Int) -> FloatSum {
        FloatSum::new(self.value.mul(factor), self.exponent)
    }

    pub fn negated(&self) -> FloatSum {
        FloatSum { value: self.value.neg(), exponent: self.exponent }
    }

    /// The quotient by an integer other than zero, to many more bits than a double has; zero only of zero.
    pub fn divided(&self, divisor: &Int) -> FloatSum {
        let (quotient, _) = self.value.shift_left(QUOTIENT_BITS).div_rem(divisor);
        FloatSum::new(quotient, self.exponent - QUOTIENT_BITS as i32)
    }

    pub fn merge(&mut self, other: &FloatSum) {
        if other.value.is_zero() {
            return;
        }
        if self.value.is_zero() {
            *self = other.clone();
            return;
        }
        let exponent = self.exponent.min(other.exponent);
        let left = self.value.shift_left((self.exponent - exponent) as u32);
        let right = other.value.shift_left((other.exponent - exponent) as u32);
        let value = left.add(&right);
        let exponent = if value.is_zero() { 0 } else { exponent };
        *self = FloatSum { value, exponent };
    }

    pub fn is_zero(&self) -> bool {
        self.value.is_zero()
    }

    /// The nearest double; an error beyond the largest.
    pub fn to_f64(&self) -> Result<f64, EvalError> {
        self.rounded(53, LEAST_EXPONENT, 1024)
    }

    /// The nearest single, as a double.
    pub fn to_f32(&self) -> Result<f32, EvalError> {
        self.rounded(24, -149, 128).map(|float| float as f32)
    }

    /// Rounded to `digits` significant bits, none of them below 2^`least`; below 2^`limit`.
    fn rounded(&self, digits: i64, least: i32, limit: i64) -> Result<f64, EvalError> {
        let magnitude: BigUint = self.value.abs().to_big().magnitude().clone();
        if magnitude.is_zero() {
            return Ok(0.0);
        }
        let drop = (magnitude.bits() as i64 - digits).max(i64::from(least) - i64::from(self.exponent));
        let (mut kept, exponent) = if drop <= 0 {
            (magnitude, self.exponent)
        } else {
            let kept: BigUint = &magnitude >> drop as u64;
            let rest = &magnitude - (&kept << drop as u64);
            let half = BigUint::from(1u8) << (drop as u64 - 1);
            let up = rest > half || (rest == half && kept.bit(0));
            (if up { kept + 1u8 } else { kept }, self.exponent + drop as i32)
        };
        if kept.is_zero() {
            return Ok(0.0);
        }
        if kept.bits() as i64 + i64::from(exponent) > limit {
            return Err(EvalError::float_overflow());
        }
        // At most 53 bits now, but with any number of zeros below.
        let zeros = kept.trailing_zeros().unwrap_or(0);
        kept >>= zeros;
        let mut float = kept.to_u64().unwrap_or(0) as f64;
        let mut power = exponent + zeros as i32;
        // Each step is exact: the result has no bit below the least.
        while power > 0 {
            let step = power.min(1000);
            float *= 2f64.powi(step);
            power -= step;
        }
        while power < 0 {
            let step = (-power).min(1000);
            float /= 2f64.powi(step);
            power += step;
        }
        Ok(if self.value.is_negative() { -float } else { float })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[(f64, i64)]) -> f64 {
        let mut sum = FloatSum::default();
        values.iter().for_each(|(value, count)| sum.add(*value, *count));
        sum.to_f64().unwrap()
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        assert_eq!(sum(&[(1e300, 1), (1.0, 1), (1e300, -1)]), 1.0);
        assert_eq!(sum(&[(0.1, 3), (0.1, -2)]), 0.1);
        let mut all = FloatSum::default();
        for (value, count) in [(0.1, 1), (1e-300, 5), (-7.25, 2), (0.1, -1), (1e-300, -5), (-7.25, -2)] {
            all.add(value, count);
        }
        assert!(all.is_zero());
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        let next = f64::from_bits(1f64.to_bits() + 1);
        assert_eq!(sum(&[(1.0, 1), (2f64.powi(-53), 1)]), 1.0);
        assert_eq!(sum(&[(1.0, 1), (2f64.powi(-53), 1), (2f64.powi(-80), 1)]), next);
        assert_eq!(sum(&[(next, 1), (2f64.powi(-53), 1)]), f64::from_bits(1f64.to_bits() + 2));
        assert_eq!(sum(&[(f64::from_bits(1), 3)]), f64::from_bits(3));
        assert_eq!(
            sum(&[(f64::MIN_POSITIVE, 1), (f64::from_bits(1), -1)]),
            f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1)
        );
        assert_eq!(sum(&[(f64::MAX, 1)]), f64::MAX);
        assert_eq!(sum(&[(-2.5, 4)]), -10.0);
    }

    #[test]
    fn overflow_is_judged_at_the_result() {
        let mut sum = FloatSum::default();
        sum.add(f64::MAX, 2);
        assert_eq!(sum.to_f64().unwrap_err().sqlstate, *b"22003");
        sum.add(f64::MAX, -1);
        assert_eq!(sum.to_f64().unwrap(), f64::MAX);
        let mut single = FloatSum::default();
        single.add(f32::MAX.into(), 1);
        assert_eq!(single.to_f32().unwrap(), f32::MAX);
        single.add(f32::MAX.into(), 1);
        assert!(single.to_f32().is_err());
    }
}
