//! [`Moments`]: exact sums of values and of their squares, for the variance family.
//!
//! For integers and numerics the result has the digits and the scale that PostgreSQL's has (numeric.c:
//! numeric_stddev_internal); for floats it is the rounded exact one, which PostgreSQL's differs from in the last digits, by
//! the order of its input (HAZARDS E20).

use super::accumulator::Accumulator;
use super::error::EvalError;
use super::float::FloatSum;
use super::integer::Int;
use super::numeric::{Decimal, Numeric};
use super::{read, Kind};

#[derive(Clone, Debug, PartialEq)]
enum Squares {
    /// `value * 10^-scale`
    Decimal {
        value: Int,
        scale: u32,
    },
    Float(FloatSum),
}

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    kind: Kind,
    values: Accumulator,
    squares: Squares,
}

impl Moments {
    /// Of no values of `kind`: an integer, a float or numeric.
    pub fn new(kind: Kind) -> Self {
        let squares = match kind {
            Kind::Float4 | Kind::Float8 => Squares::Float(FloatSum::default()),
            _ => Squares::Decimal { value: Int::ZERO, scale: 0 },
        };
        Moments { kind, values: Accumulator::new(kind), squares }
    }

    /// Adds `diff` times a value.
    pub fn add(&mut self, image: &[u8], diff: i64) -> Result<(), EvalError> {
        self.values.add(image, diff)?;
        match &mut self.squares {
            Squares::Float(sum) => {
                let value = match self.kind {
                    Kind::Float4 => f64::from(read::float4(self.kind, image)?),
                    _ => read::float8(self.kind, image)?,
                };
                if value.is_finite() {
                    sum.add_product(value, value, diff);
                }
            }
            Squares::Decimal { value: sum, scale } => {
                let decimal = match self.kind {
                    Kind::Int2 => Decimal::integer(i64::from(read::int2(self.kind, image)?).into()),
                    Kind::Int4 => Decimal::integer(i64::from(read::int4(self.kind, image)?).into()),
                    Kind::Int8 => Decimal::integer(read::int8(self.kind, image)?.into()),
                    _ => match Numeric::read(image)? {
                        Numeric::Finite(decimal) => decimal,
                        // The sum counts them.
                        _ => return Ok(()),
                    },
                };
                let square = decimal.value.mul(&decimal.value).mul(&Int::from(diff));
                super::accumulator::add_scaled(sum, scale, &square, 2 * decimal.scale);
            }
        }
        Ok(())
    }

    /// Adds what others of the same kind have.
    pub fn merge(&mut self, other: &Moments) {
        self.values.merge(&other.values);
        match (&mut self.squares, &other.squares) {
            (Squares::Float(sum), Squares::Float(more)) => sum.merge(more),
            (Squares::Decimal { value, scale }, Squares::Decimal { value: more, scale: at }) => {
                super::accumulator::add_scaled(value, scale, more, *at);
            }
            // Both were made for the same aggregate.
            _ => {}
        }
    }

    fn no_squares(&self) -> bool {
        match &self.squares {
            Squares::Float(sum) => sum.is_zero(),
            Squares::Decimal { value, .. } => value.is_zero(),
        }
    }

    /// Whether nothing is left of any value.
    pub fn is_zero(&self) -> bool {
        self.values.is_zero() && self.no_squares()
    }

    /// Whether these are the sums of some bag of values.
    pub fn is_sound(&self) -> bool {
        self.values.is_sound() && (self.values.count() > 0 || self.no_squares())
    }

    pub fn count(&self) -> i64 {
        self.values.count()
    }

    /// The values' average, a float.
    pub fn average(&self) -> Result<Option<Vec<u8>>, EvalError> {
        self.values.average()
    }

    /// The sum of finite floats.
    pub fn float_sum(&self) -> Option<&FloatSum> {
        self.values.finite_float()
    }

    /// The variance or, with `root`, its square root; of a sample or of the whole population. NULL of too few values.
    pub fn variance(&self, sample: bool, root: bool) -> Result<Option<Vec<u8>>, EvalError> {
        let count = self.values.count();
        if count <= i64::from(sample) {
            return Ok(None);
        }
        let divisor = if sample { count - 1 } else { count };
        if let Squares::Float(_) = &self.squares {
            let variance = self.deviation()? / divisor as f64;
            let result = if root { variance.sqrt() } else { variance };
            return Ok(Some(result.to_ne_bytes().to_vec()));
        }
        Ok(Some(self.numeric_variance(divisor, root)?.to_image()?))
    }

    /// The sum of the squares of a float's deviations from the average; NaN if not all are finite.
    pub fn deviation(&self) -> Result<f64, EvalError> {
        match (&self.squares, self.values.finite_float()) {
            (Squares::Float(squares), Some(sum)) => deviation(self.values.count(), squares, sum, sum),
            _ => Ok(f64::NAN),
        }
    }

    fn numeric_variance(&self, divisor: i64, root: bool) -> Result<Numeric, EvalError> {
        let Squares::Decimal { value, scale } = &self.squares else { return Ok(Numeric::NaN) };
        let Numeric::Finite(sum) = self.values.numeric() else { return Ok(Numeric::NaN) };
        let count = Int::from(self.values.count());
        let dscale = 2 * sum.dscale;
        let squares = Decimal { value: value.mul(&count), scale: *scale, dscale };
        let square = Decimal { value: sum.value.mul(&sum.value), scale: 2 * sum.scale, dscale };
        let numerator = Numeric::Finite(squares).sub(&Numeric::Finite(square));
        match &numerator {
            Numeric::Finite(decimal) if decimal.value.is_zero() || decimal.value.is_negative() => {
                return Ok(Numeric::integer(0))
            }
            _ => {}
        }
        let divisor = Numeric::Finite(Decimal::integer(count.mul(&Int::from(divisor))));
        let variance = numerator.div(&divisor)?;
        match variance {
            Numeric::Finite(variance) if root => Ok(Numeric::Finite(variance.sqrt(variance.dscale))),
            variance => Ok(variance),
        }
    }
}

/// `products - left * right / count`, of exact sums over `count` values, rounded; an error if it, or one of the sums, is too
/// large for a float.
pub(super) fn deviation(count: i64, products: &FloatSum, left: &FloatSum, right: &FloatSum) -> Result<f64, EvalError> {
    if count > 1 {
        left.to_f64()?;
        right.to_f64()?;
    }
    let count = Int::from(count);
    let mut numerator = left.mul(right).negated();
    numerator.merge(&products.times(&count));
    numerator.divided(&count).to_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Moments {
        let mut moments = Moments::new(Kind::Numeric);
        values.iter().for_each(|value| moments.add(&numeric(value), 1).unwrap());
        moments
    }

    fn numeric(text: &str) -> Vec<u8> {
        Numeric::from_text(text).unwrap().to_image().unwrap()
    }

    fn text(image: Option<Vec<u8>>) -> String {
        image.map_or("NULL".into(), |image| Numeric::read(&image).unwrap().to_text())
    }

    #[test]
    fn e23_variances_have_the_scale_of_what_is_there() {
        let mut moments = of(&["1.5", "2.25", "4"]);
        assert_eq!(text(moments.variance(true, false).unwrap()), "1.6458333333333333");
        assert_eq!(text(moments.variance(false, true).unwrap()), "1.04748375749804455964");
        moments.add(&numeric("2.25"), -1).unwrap();
        assert_eq!(text(moments.variance(true, false).unwrap()), "3.1250000000000000");
        moments.add(&numeric("4"), -1).unwrap();
        assert_eq!(text(moments.variance(true, false).unwrap()), "NULL");
        assert_eq!(text(moments.variance(false, false).unwrap()), "0");
        moments.add(&numeric("1.5"), -1).unwrap();
        assert!(moments.is_zero() && moments.is_sound());
        assert_eq!(text(moments.variance(false, false).unwrap()), "NULL");
    }

    #[test]
    fn special_values_go_again() {
        let mut moments = of(&["1", "3"]);
        moments.add(&numeric("Infinity"), 2).unwrap();
        assert_eq!(text(moments.variance(true, false).unwrap()), "NaN");
        moments.add(&numeric("Infinity"), -2).unwrap();
        assert_eq!(text(moments.variance(true, false).unwrap()), "2.0000000000000000");
    }

    #[test]
    fn floats_leave_nothing_behind() {
        let mut moments = Moments::new(Kind::Float8);
        for (value, diff) in [(1e150, 3), (0.1, 1), (2.0, 1), (4.0, 1), (1e150, -3), (0.1, -1), (f64::NAN, 1)] {
            moments.add(&f64::to_ne_bytes(value), diff).unwrap();
        }
        let float = |image: Option<Vec<u8>>| f64::from_ne_bytes(image.unwrap().try_into().unwrap());
        assert!(float(moments.variance(true, true).unwrap()).is_nan());
        moments.add(&f64::NAN.to_ne_bytes(), -1).unwrap();
        assert_eq!(float(moments.variance(true, false).unwrap()), 2.0);
        assert_eq!(float(moments.variance(false, true).unwrap()), 1.0);
        moments.add(&1e300f64.to_ne_bytes(), 1).unwrap();
        assert_eq!(moments.variance(true, false).unwrap_err().sqlstate, *b"22003");
        moments.add(&1e300f64.to_ne_bytes(), -1).unwrap();
        for value in [2.0f64, 4.0] {
            moments.add(&value.to_ne_bytes(), -1).unwrap();
        }
        assert!(moments.is_zero() && moments.is_sound());
    }

    #[test]
    fn e16_a_rest_of_squares_is_not_sound() {
        let mut moments = Moments::new(Kind::Int4);
        for (value, diff) in [(1i32, 1), (5, 1), (2, -1), (4, -1)] {
            moments.add(&value.to_ne_bytes(), diff).unwrap();
        }
        assert!(!moments.is_zero() && !moments.is_sound());
    }
}
