//! [`Pairs`]: exact sums over pairs of floats, for the regression family.
//!
//! PostgreSQL's results differ from these in the last digits, by the order of its input (HAZARDS E20); where an exact sum of
//! deviations is zero, PostgreSQL's may be next to it.

use super::error::EvalError;
use super::float::FloatSum;
use super::moments::{self, Moments};
use super::{read, Kind};
use crate::plan::Regression;

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    x: Moments,
    y: Moments,
    /// Of pairs of which both are finite.
    products: FloatSum,
}

impl Default for Pairs {
    fn default() -> Self {
        Pairs { x: Moments::new(Kind::Float8), y: Moments::new(Kind::Float8), products: FloatSum::default() }
    }
}

impl Pairs {
    /// Adds `diff` times a pair of double precision values.
    pub fn add(&mut self, y: &[u8], x: &[u8], diff: i64) -> Result<(), EvalError> {
        self.y.add(y, diff)?;
        self.x.add(x, diff)?;
        let (y, x) = (read::float8(Kind::Float8, y)?, read::float8(Kind::Float8, x)?);
        if y.is_finite() && x.is_finite() {
            self.products.add_product(y, x, diff);
        }
        Ok(())
    }

    pub fn merge(&mut self, other: &Pairs) {
        self.x.merge(&other.x);
        self.y.merge(&other.y);
        self.products.merge(&other.products);
    }

    pub fn is_zero(&self) -> bool {
        self.x.is_zero() && self.y.is_zero() && self.products.is_zero()
    }

    pub fn is_sound(&self) -> bool {
        self.x.is_sound() && self.y.is_sound() && (self.x.count() > 0 || self.products.is_zero())
    }

    /// The sum of the products of both deviations from the averages; NaN if not all values are finite.
    fn codeviation(&self) -> Result<f64, EvalError> {
        match (self.x.float_sum(), self.y.float_sum()) {
            (Some(x), Some(y)) => moments::deviation(self.x.count(), &self.products, x, y),
            _ => Ok(f64::NAN),
        }
    }

    /// A statistic of the pairs, NULL where it has no value. The formulas are those of float.c.
    pub fn result(&self, statistic: Regression) -> Result<Option<Vec<u8>>, EvalError> {
        let count = self.x.count();
        let float = |value: f64| Ok(Some(value.to_ne_bytes().to_vec()));
        match statistic {
            Regression::Count => return Ok(Some(count.to_ne_bytes().to_vec())),
            Regression::CovarianceOfSample if count < 2 => return Ok(None),
            _ if count < 1 => return Ok(None),
            _ => {}
        }
        match statistic {
            Regression::AverageX => return self.x.average(),
            Regression::AverageY => return self.y.average(),
            _ => {}
        }
        // Whichever is asked for, a sum that is too large is an error.
        let (xx, yy, xy) = (self.x.deviation()?, self.y.deviation()?, self.codeviation()?);
        let n = count as f64;
        match statistic {
            Regression::SquaresX => float(xx),
            Regression::SquaresY => float(yy),
            Regression::Products => float(xy),
            Regression::Covariance => float(xy / n),
            Regression::CovarianceOfSample => float(xy / (n - 1.0)),
            Regression::Correlation if xx == 0.0 || yy == 0.0 => Ok(None),
            Regression::Correlation if (xx * yy).is_normal() => float(xy / (xx * yy).sqrt()),
            Regression::Correlation => float(xy / xx.sqrt() / yy.sqrt()),
            _ if xx == 0.0 => Ok(None),
            Regression::Determination if yy == 0.0 => float(1.0),
            Regression::Determination if (xx * yy).is_normal() => float(xy * xy / (xx * yy)),
            Regression::Determination => float((xy / xx) * (xy / yy)),
            Regression::Slope => float(xy / xx),
            _ => {
                let average = |image: Option<Vec<u8>>| image.map(|image| read::float8(Kind::Float8, &image));
                let (Some(x), Some(y)) = (average(self.x.average()?), average(self.y.average()?)) else {
                    return Ok(None);
                };
                float(y? - x? * (xy / xx))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, f64)]) -> Pairs {
        let mut sums = Pairs::default();
        pairs.iter().for_each(|(y, x)| sums.add(&y.to_ne_bytes(), &x.to_ne_bytes(), 1).unwrap());
        sums
    }

    fn result(pairs: &Pairs, statistic: Regression) -> Option<f64> {
        pairs.result(statistic).unwrap().map(|image| f64::from_ne_bytes(image.try_into().unwrap()))
    }

    #[test]
    fn a_line_is_found_again() {
        let mut pairs = of(&[(1.0, 0.0), (3.0, 1.0), (5.0, 2.0), (1e200, 1e-200), (f64::NAN, 1.0)]);
        assert!(result(&pairs, Regression::Slope).unwrap().is_nan());
        for (y, x) in [(1e200f64, 1e-200f64), (f64::NAN, 1.0)] {
            pairs.add(&y.to_ne_bytes(), &x.to_ne_bytes(), -1).unwrap();
        }
        assert_eq!(result(&pairs, Regression::Slope), Some(2.0));
        assert_eq!(result(&pairs, Regression::Intercept), Some(1.0));
        assert_eq!(result(&pairs, Regression::Correlation), Some(1.0));
        assert_eq!(result(&pairs, Regression::Determination), Some(1.0));
        assert_eq!(result(&pairs, Regression::SquaresY), Some(8.0));
        assert_eq!(result(&pairs, Regression::CovarianceOfSample), Some(2.0));
        assert_eq!(result(&pairs, Regression::AverageX), Some(1.0));
    }

    #[test]
    fn few_pairs_have_no_value() {
        let none = Pairs::default();
        assert!(none.is_zero() && none.is_sound());
        assert_eq!(result(&none, Regression::SquaresX), None);
        assert_eq!(none.result(Regression::Count).unwrap(), Some(0i64.to_ne_bytes().to_vec()));
        let one = of(&[(1.0, 2.0)]);
        assert_eq!(result(&one, Regression::CovarianceOfSample), None);
        assert_eq!(result(&one, Regression::Covariance), Some(0.0));
        assert_eq!(result(&one, Regression::Slope), None);
        assert_eq!(result(&of(&[(1.0, 2.0), (1.0, 3.0)]), Regression::Determination), Some(1.0));
    }
}
