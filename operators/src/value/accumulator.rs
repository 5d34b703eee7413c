//! [`Accumulator`]: a sum that can be taken back exactly, with what PostgreSQL's `sum` and `avg` need for their result.
//!
//! NaN, the infinities and the display scales of numerics are counted, so that the result is right again when they have
//! gone. Overflow is judged at the result only, where it is an error of the row.

use super::error::EvalError;
use super::float::FloatSum;
use super::integer::Int;
use super::numeric::{Decimal, Numeric};
use super::{read, Kind};
use std::collections::BTreeMap;

/// Counts of values that no finite sum holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Special {
    nan: i64,
    positive: i64,
    negative: i64,
}

#[derive(Clone, Debug, PartialEq)]
enum Sum {
    /// Of int2, int4 and int8.
    Integer(Int),
    /// Of numerics: `value * 10^-scale`, and how many values have each display scale.
    Numeric {
        value: Int,
        scale: u32,
        scales: BTreeMap<u32, i64>,
    },
    Float(FloatSum),
}

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    kind: Kind,
    count: i64,
    special: Special,
    sum: Sum,
}

impl Accumulator {
    /// An empty sum of values of `kind`: an integer, a float or numeric.
    pub fn new(kind: Kind) -> Self {
        let sum = match kind {
            Kind::Numeric => Sum::Numeric { value: Int::ZERO, scale: 0, scales: BTreeMap::new() },
            Kind::Float4 | Kind::Float8 => Sum::Float(FloatSum::default()),
            _ => Sum::Integer(Int::ZERO),
        };
        Accumulator { kind, count: 0, special: Special::default(), sum }
    }

    /// Adds `diff` times a value.
    pub fn add(&mut self, image: &[u8], diff: i64) -> Result<(), EvalError> {
        match &mut self.sum {
            Sum::Integer(sum) => {
                let value = match self.kind {
                    Kind::Int2 => i64::from(read::int2(self.kind, image)?),
                    Kind::Int4 => i64::from(read::int4(self.kind, image)?),
                    _ => read::int8(self.kind, image)?,
                };
                *sum = sum.add(&Int::Small(i128::from(value) * i128::from(diff)));
            }
            Sum::Float(sum) => {
                let value = match self.kind {
                    Kind::Float4 => f64::from(read::float4(self.kind, image)?),
                    _ => read::float8(self.kind, image)?,
                };
                if value.is_nan() {
                    self.special.nan += diff;
                } else if value.is_infinite() {
                    *(if value > 0.0 { &mut self.special.positive } else { &mut self.special.negative }) += diff;
                } else {
                    sum.add(value, diff);
                }
            }
            Sum::Numeric { value, scale, scales } => match Numeric::read(image)? {
                Numeric::NaN => self.special.nan += diff,
                Numeric::PositiveInfinity => self.special.positive += diff,
                Numeric::NegativeInfinity => self.special.negative += diff,
                Numeric::Finite(decimal) => {
                    count(scales, decimal.dscale, diff);
                    let product = decimal.value.mul(&Int::from(diff));
                    add_scaled(value, scale, &product, decimal.scale);
                }
            },
        }
        self.count += diff;
        Ok(())
    }

    /// Adds what another accumulator of the same kind holds.
    pub fn merge(&mut self, other: &Accumulator) {
        self.count += other.count;
        self.special.nan += other.special.nan;
        self.special.positive += other.special.positive;
        self.special.negative += other.special.negative;
        match (&mut self.sum, &other.sum) {
            (Sum::Integer(sum), Sum::Integer(more)) => *sum = sum.add(more),
            (Sum::Float(sum), Sum::Float(more)) => sum.merge(more),
            (Sum::Numeric { value, scale, scales }, Sum::Numeric { value: more, scale: at, scales: others }) => {
                others.iter().for_each(|(dscale, diff)| count(scales, *dscale, *diff));
                add_scaled(value, scale, more, *at);
            }
            // Both were made for the same aggregate.
            _ => {}
        }
    }

    /// Whether nothing is left: no value, and no rest of any.
    pub fn is_zero(&self) -> bool {
        self.count == 0
            && self.special == Special::default()
            && match &self.sum {
                Sum::Integer(sum) => sum.is_zero(),
                Sum::Float(sum) => sum.is_zero(),
                Sum::Numeric { value, scales, .. } => value.is_zero() && scales.is_empty(),
            }
    }

    /// Whether it is the sum of some bag of values: nothing is there less than zero times, and no values leave no rest.
    pub fn is_sound(&self) -> bool {
        let Special { nan, positive, negative } = self.special;
        let scales = match &self.sum {
            Sum::Numeric { scales, .. } => scales.values().all(|count| *count > 0),
            Sum::Integer(_) | Sum::Float(_) => true,
        };
        [self.count, nan, positive, negative].iter().all(|count| *count >= 0)
            && scales
            && (self.count > 0 || self.is_zero())
    }

    /// `sum`: bigint for int2 and int4, numeric for int8 and numeric, the same type for floats. NULL over no values.
    pub fn sum(&self) -> Result<Option<Vec<u8>>, EvalError> {
        if self.count <= 0 {
            return Ok(None);
        }
        match self.kind {
            Kind::Int2 | Kind::Int4 => {
                let Sum::Integer(sum) = &self.sum else { return Ok(None) };
                let sum = sum.to_i64().ok_or_else(|| EvalError::out_of_range("bigint"))?;
                Ok(Some(sum.to_ne_bytes().to_vec()))
            }
            Kind::Float4 => {
                let float = match self.float()? {
                    Ok(sum) => sum.to_f32()?,
                    Err(special) => special as f32,
                };
                Ok(Some(float.to_ne_bytes().to_vec()))
            }
            Kind::Float8 => {
                let float = match self.float()? {
                    Ok(sum) => sum.to_f64()?,
                    Err(special) => special,
                };
                Ok(Some(float.to_ne_bytes().to_vec()))
            }
            _ => Ok(Some(self.numeric().to_image()?)),
        }
    }

    /// `avg`: double precision for floats, numeric for everything else. NULL over no values.
    pub fn average(&self) -> Result<Option<Vec<u8>>, EvalError> {
        if self.count <= 0 {
            return Ok(None);
        }
        match self.kind {
            Kind::Float4 | Kind::Float8 => {
                let average = match self.float()? {
                    Ok(sum) => sum.to_f64()? / self.count as f64,
                    Err(special) => special,
                };
                Ok(Some(average.to_ne_bytes().to_vec()))
            }
            _ => Ok(Some(self.numeric().div(&Numeric::integer(self.count))?.to_image()?)),
        }
    }

    /// How many values there are.
    pub(super) fn count(&self) -> i64 {
        self.count
    }

    /// The sum of floats, if all are finite.
    pub(super) fn finite_float(&self) -> Option<&FloatSum> {
        match &self.sum {
            Sum::Float(sum) if self.special == Special::default() => Some(sum),
            _ => None,
        }
    }

    /// The finite sum, or what the special values make of it.
    fn float(&self) -> Result<Result<&FloatSum, f64>, EvalError> {
        let Sum::Float(sum) = &self.sum else { return Err(EvalError::malformed(self.kind)) };
        Ok(match self.special {
            Special { nan: 0, positive: 0, negative: 0 } => Ok(sum),
            Special { nan: 0, positive: 0, .. } => Err(f64::NEG_INFINITY),
            Special { nan: 0, negative: 0, .. } => Err(f64::INFINITY),
            _ => Err(f64::NAN),
        })
    }

    /// The sum of anything but floats.
    pub(super) fn numeric(&self) -> Numeric {
        match self.special {
            Special { nan: 0, positive: 0, negative: 0 } => {}
            Special { nan: 0, positive: 0, .. } => return Numeric::NegativeInfinity,
            Special { nan: 0, negative: 0, .. } => return Numeric::PositiveInfinity,
            _ => return Numeric::NaN,
        }
        match &self.sum {
            Sum::Integer(sum) => Numeric::Finite(Decimal::integer(sum.clone())),
            Sum::Numeric { value, scale, scales } => {
                let dscale = scales.last_key_value().map_or(0, |(dscale, _)| *dscale);
                Numeric::Finite(Decimal { value: value.clone(), scale: *scale, dscale })
            }
            Sum::Float(_) => Numeric::NaN,
        }
    }
}

fn count(scales: &mut BTreeMap<u32, i64>, dscale: u32, diff: i64) {
    let count = scales.entry(dscale).or_insert(0);
    *count += diff;
    if *count == 0 {
        scales.remove(&dscale);
    }
}

pub(super) fn add_scaled(value: &mut Int, scale: &mut u32, more: &Int, at: u32) {
    if at > *scale {
        *value = value.scale_up(at - *scale);
        *scale = at;
    }
    *value = value.add(&more.scale_up(*scale - at));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Vec<u8> {
        Numeric::from_text(text).unwrap().to_image().unwrap()
    }

    fn text(image: Option<Vec<u8>>) -> String {
        image.map_or("NULL".into(), |image| Numeric::read(&image).unwrap().to_text())
    }

    #[test]
    fn e23_the_display_scale_goes_with_its_value() {
        let mut sum = Accumulator::new(Kind::Numeric);
        sum.add(&numeric("1.5"), 1).unwrap();
        sum.add(&numeric("2.250"), 1).unwrap();
        assert_eq!(text(sum.sum().unwrap()), "3.750");
        assert_eq!(text(sum.average().unwrap()), "1.8750000000000000");
        sum.add(&numeric("2.250"), -1).unwrap();
        assert_eq!(text(sum.sum().unwrap()), "1.5");
        sum.add(&numeric("1.5"), -1).unwrap();
        assert!(sum.is_zero());
        assert_eq!(text(sum.sum().unwrap()), "NULL");
    }

    #[test]
    fn e16_what_no_bag_of_values_sums_to_is_not_sound() {
        let mut sum = Accumulator::new(Kind::Numeric);
        assert!(sum.is_sound());
        sum.add(&numeric("1.5"), 1).unwrap();
        assert!(sum.is_sound());
        sum.add(&numeric("1.50"), -1).unwrap();
        assert!(!sum.is_sound(), "a scale is left");
        let mut sum = Accumulator::new(Kind::Int8);
        sum.add(&3i64.to_ne_bytes(), 1).unwrap();
        sum.add(&4i64.to_ne_bytes(), -1).unwrap();
        assert!(!sum.is_sound(), "a rest is left");
        sum.add(&3i64.to_ne_bytes(), -1).unwrap();
        assert!(!sum.is_sound(), "a value is there less than zero times");
    }

    #[test]
    fn special_values_go_again() {
        let mut sum = Accumulator::new(Kind::Numeric);
        for (value, expected) in [("1", "1"), ("Infinity", "Infinity"), ("-Infinity", "NaN"), ("NaN", "NaN")] {
            sum.add(&numeric(value), 1).unwrap();
            assert_eq!(text(sum.sum().unwrap()), expected);
        }
        for (value, expected) in [("NaN", "NaN"), ("Infinity", "-Infinity"), ("-Infinity", "1")] {
            sum.add(&numeric(value), -1).unwrap();
            assert_eq!(text(sum.sum().unwrap()), expected);
        }
    }

    #[test]
    fn integers_overflow_at_the_result_alone() {
        let mut sum = Accumulator::new(Kind::Int4);
        sum.add(&i32::MAX.to_ne_bytes(), i64::MAX).unwrap();
        assert_eq!(sum.sum().unwrap_err().message, "bigint out of range");
        sum.add(&i32::MAX.to_ne_bytes(), 1 - i64::MAX).unwrap();
        assert_eq!(sum.sum().unwrap().unwrap(), i64::from(i32::MAX).to_ne_bytes());
        let mut big = Accumulator::new(Kind::Int8);
        big.add(&i64::MAX.to_ne_bytes(), 3).unwrap();
        assert_eq!(text(big.sum().unwrap()), "27670116110564327421");
        assert_eq!(text(big.average().unwrap()), "9223372036854775807");
    }
}
