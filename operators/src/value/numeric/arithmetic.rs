//! Arithmetic with PostgreSQL's result scales and its rules for NaN and the infinities.

use super::image::Digits;
use super::{Decimal, Numeric, DSCALE_MAX};
use crate::value::error::EvalError;
use crate::value::integer::Int;

/// At least this many significant digits in a quotient.
const MINIMUM_SIGNIFICANT_DIGITS: i64 = 16;
const DISPLAY_SCALE_MAX: i64 = 1000;
/// A scale at which every value rounds to zero.
const SCALE_MIN: i64 = -(32768 * 4) - 1;

fn infinity(sign: i32) -> Numeric {
    if sign < 0 {
        Numeric::NegativeInfinity
    } else {
        Numeric::PositiveInfinity
    }
}

impl Decimal {
    /// Weight and value of the first base-10000 digit; (0, 0) for zero.
    fn leading_digit(&self) -> (i64, u16) {
        let digits = Digits::of(self);
        digits.as_slice().first().map_or((0, 0), |&first| (digits.weight, first))
    }

    /// The scale of `self / divisor` (numeric.c: select_div_scale).
    fn quotient_scale(&self, divisor: &Decimal) -> u32 {
        let (weight, first) = self.leading_digit();
        let (divisor_weight, divisor_first) = divisor.leading_digit();
        let quotient_weight = weight - divisor_weight - i64::from(first <= divisor_first);
        (MINIMUM_SIGNIFICANT_DIGITS - quotient_weight * 4)
            .max(self.dscale.into())
            .max(divisor.dscale.into())
            .clamp(0, DISPLAY_SCALE_MAX) as u32
    }

    /// `self / divisor` as an integer fraction of `10^scale`s.
    fn fraction(&self, divisor: &Decimal, scale: u32) -> (Int, Int) {
        let up = i64::from(scale) + i64::from(divisor.scale) - i64::from(self.scale);
        if up >= 0 {
            (self.value.scale_up(up as u32), divisor.value.clone())
        } else {
            (self.value.clone(), divisor.value.scale_up(up.unsigned_abs() as u32))
        }
    }

    fn rounded(&self, scale: i64, divide: fn(&Int, &Int) -> Int) -> Decimal {
        let dscale = scale.max(0) as u32;
        let drop = i64::from(self.scale) - scale;
        if drop <= 0 {
            return Decimal { value: self.value.clone(), scale: self.scale, dscale };
        }
        let value = divide(&self.value, &Int::power_of_ten(drop as u32));
        if scale < 0 {
            return Decimal { value: value.scale_up(scale.unsigned_abs() as u32), scale: 0, dscale };
        }
        Decimal { value, scale: scale as u32, dscale }
    }

    pub fn round(&self, scale: i64) -> Decimal {
        self.rounded(scale, Int::div_round)
    }

    /// The square root of a value that is not negative, rounded to `scale` digits (numeric.c: sqrt_var).
    pub fn sqrt(&self, scale: u32) -> Decimal {
        // One more digit than is shown decides where to round: whatever follows it, halves go up.
        let digits = scale + 1;
        let up = 2 * i64::from(digits) - i64::from(self.scale);
        let value = match u32::try_from(up) {
            Ok(up) => self.value.scale_up(up),
            Err(_) => self.value.div_rem(&Int::power_of_ten(up.unsigned_abs() as u32)).0,
        };
        let root = Int::from(value.to_big().sqrt());
        Decimal { value: root.div_round(&Int::Small(10)), scale, dscale: scale }
    }

    pub fn trunc(&self, scale: i64) -> Decimal {
        self.rounded(scale, |value, unit| value.div_rem(unit).0)
    }
}

impl Numeric {
    pub fn add(&self, other: &Numeric) -> Numeric {
        match (self, other) {
            (Numeric::Finite(a), Numeric::Finite(b)) => {
                let (x, y, scale) = a.aligned(b);
                Numeric::Finite(Decimal { value: x.add(&y), scale, dscale: a.dscale.max(b.dscale) })
            }
            (Numeric::NaN, _) | (_, Numeric::NaN) => Numeric::NaN,
            (Numeric::PositiveInfinity, Numeric::NegativeInfinity)
            | (Numeric::NegativeInfinity, Numeric::PositiveInfinity) => Numeric::NaN,
            (Numeric::Finite(_), infinity) | (infinity, _) => infinity.clone(),
        }
    }

    pub fn sub(&self, other: &Numeric) -> Numeric {
        self.add(&other.neg())
    }

    pub fn mul(&self, other: &Numeric) -> Numeric {
        if let (Numeric::Finite(a), Numeric::Finite(b)) = (self, other) {
            let product =
                Decimal { value: a.value.mul(&b.value), scale: a.scale + b.scale, dscale: a.dscale + b.dscale };
            return Numeric::Finite(if product.dscale > DSCALE_MAX {
                product.round(DSCALE_MAX.into())
            } else {
                product
            });
        }
        match (self.signum(), other.signum()) {
            (Some(a), Some(b)) if a * b != 0 => infinity(a * b),
            _ => Numeric::NaN,
        }
    }

    /// The result of a division that has a special operand; `None` if both are finite.
    fn special_quotient(&self, divisor: &Numeric) -> Option<Result<Numeric, EvalError>> {
        match (self, divisor) {
            (Numeric::Finite(_), Numeric::Finite(_)) => None,
            (Numeric::NaN, _) | (_, Numeric::NaN) => Some(Ok(Numeric::NaN)),
            (Numeric::Finite(_), _) => Some(Ok(Numeric::integer(0))),
            (dividend, Numeric::Finite(d)) if d.value.is_zero() => {
                debug_assert!(dividend.signum().is_some());
                Some(Err(EvalError::division_by_zero()))
            }
            (dividend, Numeric::Finite(d)) => {
                let sign = dividend.signum().unwrap_or(0);
                Some(Ok(infinity(if d.value.is_negative() { -sign } else { sign })))
            }
            _ => Some(Ok(Numeric::NaN)),
        }
    }

    pub fn div(&self, divisor: &Numeric) -> Result<Numeric, EvalError> {
        let (Numeric::Finite(a), Numeric::Finite(b)) = (self, divisor) else {
            return self.special_quotient(divisor).unwrap_or(Ok(Numeric::NaN));
        };
        if b.value.is_zero() {
            return Err(EvalError::division_by_zero());
        }
        let scale = a.quotient_scale(b);
        let (numerator, denominator) = a.fraction(b, scale);
        Ok(Numeric::Finite(Decimal { value: numerator.div_round(&denominator), scale, dscale: scale }))
    }

    /// `div(a, b)`: the integer quotient toward zero.
    pub fn div_trunc(&self, divisor: &Numeric) -> Result<Numeric, EvalError> {
        let (Numeric::Finite(a), Numeric::Finite(b)) = (self, divisor) else {
            return self.special_quotient(divisor).unwrap_or(Ok(Numeric::NaN));
        };
        if b.value.is_zero() {
            return Err(EvalError::division_by_zero());
        }
        let (numerator, denominator) = a.fraction(b, 0);
        Ok(Numeric::Finite(Decimal::integer(numerator.div_rem(&denominator).0)))
    }

    pub fn rem(&self, divisor: &Numeric) -> Result<Numeric, EvalError> {
        match (self, divisor) {
            (Numeric::Finite(a), Numeric::Finite(b)) => {
                if b.value.is_zero() {
                    return Err(EvalError::division_by_zero());
                }
                let (x, y, scale) = a.aligned(b);
                let value = x.div_rem(&y).1;
                Ok(Numeric::Finite(Decimal { value, scale, dscale: a.dscale.max(b.dscale) }))
            }
            (Numeric::NaN, _) | (_, Numeric::NaN) => Ok(Numeric::NaN),
            (Numeric::Finite(_), _) => Ok(self.clone()),
            (_, Numeric::Finite(b)) if b.value.is_zero() => Err(EvalError::division_by_zero()),
            _ => Ok(Numeric::NaN),
        }
    }

    pub fn neg(&self) -> Numeric {
        match self {
            Numeric::Finite(a) => Numeric::Finite(Decimal { value: a.value.neg(), ..*a }),
            Numeric::NaN => Numeric::NaN,
            Numeric::PositiveInfinity => Numeric::NegativeInfinity,
            Numeric::NegativeInfinity => Numeric::PositiveInfinity,
        }
    }

    pub fn abs(&self) -> Numeric {
        match self.signum() {
            Some(sign) if sign < 0 => self.neg(),
            _ => self.clone(),
        }
    }

    pub fn sign(&self) -> Numeric {
        self.signum().map_or(Numeric::NaN, |sign| Numeric::integer(sign.into()))
    }

    fn with_finite(&self, change: impl FnOnce(&Decimal) -> Decimal) -> Numeric {
        match self {
            Numeric::Finite(decimal) => Numeric::Finite(change(decimal)),
            special => special.clone(),
        }
    }

    pub fn round(&self, scale: i32) -> Numeric {
        self.with_finite(|decimal| decimal.round(i64::from(scale).clamp(SCALE_MIN, DSCALE_MAX.into())))
    }

    pub fn trunc(&self, scale: i32) -> Numeric {
        self.with_finite(|decimal| decimal.trunc(i64::from(scale).clamp(SCALE_MIN, DSCALE_MAX.into())))
    }

    pub fn floor(&self) -> Numeric {
        self.with_finite(|decimal| {
            let whole = decimal.trunc(0);
            let inexact = decimal.value.is_negative() && whole.aligned(decimal).0 != decimal.aligned(&whole).0;
            match inexact {
                true => Decimal { value: whole.value.sub(&Int::power_of_ten(whole.scale)), ..whole },
                false => whole,
            }
        })
    }

    pub fn ceil(&self) -> Numeric {
        self.neg().floor().neg()
    }

    /// The coercion to numeric(precision, scale): rounds, and refuses what has too many digits before the point.
    pub fn with_typmod(&self, typmod: i32) -> Result<Numeric, EvalError> {
        if typmod < 4 {
            return Ok(self.clone());
        }
        let overflow = || EvalError::new(b"22003", "numeric field overflow");
        let precision = ((typmod - 4) >> 16) & 0xFFFF;
        let scale = (((typmod - 4) & 0x7FF) ^ 1024) - 1024;
        match self {
            Numeric::NaN => Ok(Numeric::NaN),
            Numeric::PositiveInfinity | Numeric::NegativeInfinity => Err(overflow()),
            Numeric::Finite(decimal) => {
                let rounded = decimal.round(scale.into());
                let digits = precision - scale;
                let limit = Decimal {
                    value: Int::power_of_ten(digits.max(0) as u32),
                    scale: (-digits).max(0) as u32,
                    dscale: 0,
                };
                let (magnitude, limit, _) = rounded.aligned(&limit);
                if magnitude.abs() >= limit {
                    return Err(overflow());
                }
                Ok(Numeric::Finite(rounded))
            }
        }
    }
}
