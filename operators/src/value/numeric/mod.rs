//! PostgreSQL's numeric: the on-disk payload, and arithmetic with PostgreSQL's exact results and display scales.
//!
//! A finite value is `value * 10^-scale` with an exact integer `value`; `dscale` is the number of fractional digits that
//! are shown, at least those that are significant. Results are rounded as PostgreSQL rounds: halves away from zero.

mod arithmetic;
mod convert;
mod image;

use super::integer::Int;
use std::cmp::Ordering;

/// Largest display scale a payload can hold.
pub const DSCALE_MAX: u32 = 0x3FFF;

#[derive(Clone, Debug, PartialEq)]
pub enum Numeric {
    Finite(Decimal),
    NaN,
    PositiveInfinity,
    NegativeInfinity,
}

/// `value * 10^-scale`, displayed with `dscale` fractional digits. Not normalised: compare by [`Numeric::compare`].
#[derive(Clone, Debug, PartialEq)]
pub struct Decimal {
    pub value: Int,
    pub scale: u32,
    pub dscale: u32,
}

impl Decimal {
    pub fn integer(value: Int) -> Self {
        Decimal { value, scale: 0, dscale: 0 }
    }

    /// Both values over the larger of the two scales.
    fn aligned(&self, other: &Decimal) -> (Int, Int, u32) {
        let scale = self.scale.max(other.scale);
        (self.value.scale_up(scale - self.scale), other.value.scale_up(scale - other.scale), scale)
    }

    /// The same value without trailing fractional zeros: equal values become equal structures.
    pub fn trimmed(&self) -> Decimal {
        let (mut value, mut scale) = (self.value.clone(), self.scale);
        if value.is_zero() {
            return Decimal::integer(Int::ZERO);
        }
        while scale >= 8 && value.is_multiple_of(100_000_000) {
            value = value.div_rem(&Int::Small(100_000_000)).0;
            scale -= 8;
        }
        while scale > 0 && value.is_multiple_of(10) {
            value = value.div_rem(&Int::Small(10)).0;
            scale -= 1;
        }
        Decimal { value, scale, dscale: scale }
    }
}

impl Numeric {
    pub fn integer(value: i64) -> Self {
        Numeric::Finite(Decimal::integer(Int::from(value)))
    }

    /// PostgreSQL's order: -Infinity, finite values, Infinity, NaN; NaN equals itself, scale does not matter.
    pub fn compare(&self, other: &Numeric) -> Ordering {
        match (self, other) {
            (Numeric::Finite(a), Numeric::Finite(b)) => {
                if a.scale == b.scale {
                    return a.value.cmp(&b.value);
                }
                let (a, b, _) = a.aligned(b);
                a.cmp(&b)
            }
            _ => self.class().cmp(&other.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Numeric::NegativeInfinity => 0,
            Numeric::Finite(_) => 1,
            Numeric::PositiveInfinity => 2,
            Numeric::NaN => 3,
        }
    }

    /// -1, 0 or 1; `None` for NaN.
    fn signum(&self) -> Option<i32> {
        match self {
            Numeric::Finite(a) if a.value.is_zero() => Some(0),
            Numeric::Finite(a) => Some(if a.value.is_negative() { -1 } else { 1 }),
            Numeric::PositiveInfinity => Some(1),
            Numeric::NegativeInfinity => Some(-1),
            Numeric::NaN => None,
        }
    }
}
