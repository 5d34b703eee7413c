//! [`IntervalSum`]: a sum of intervals that they can be taken out of again.

use super::error::EvalError;
use super::read::Interval;

/// Months, days and microseconds are summed apart; infinite ones are counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervalSum {
    /// Of finite intervals.
    count: i64,
    months: i128,
    days: i128,
    microseconds: i128,
    positive: i64,
    negative: i64,
}

const DAYS_PER_MONTH: f64 = 30.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
const MICROSECONDS: f64 = 1e6;

impl IntervalSum {
    /// Adds `diff` times an interval.
    pub fn add(&mut self, image: &[u8], diff: i64) -> Result<(), EvalError> {
        let interval = Interval::read(image)?;
        if interval == Interval::INFINITY {
            self.positive += diff;
        } else if interval == Interval::NEGATIVE_INFINITY {
            self.negative += diff;
        } else {
            self.count += diff;
            self.months += i128::from(interval.months) * i128::from(diff);
            self.days += i128::from(interval.days) * i128::from(diff);
            self.microseconds += i128::from(interval.microseconds) * i128::from(diff);
        }
        Ok(())
    }

    pub fn merge(&mut self, other: &IntervalSum) {
        self.count += other.count;
        self.months += other.months;
        self.days += other.days;
        self.microseconds += other.microseconds;
        self.positive += other.positive;
        self.negative += other.negative;
    }

    pub fn is_zero(&self) -> bool {
        *self == IntervalSum::default()
    }

    pub fn is_sound(&self) -> bool {
        let rest = IntervalSum { positive: 0, negative: 0, ..self.clone() };
        [self.count, self.positive, self.negative].iter().all(|count| *count >= 0) && (self.count > 0 || rest.is_zero())
    }

    /// The sum or, with `average`, it divided by how many there are; NULL of none. Infinities of both signs have no sum.
    pub fn result(&self, average: bool) -> Result<Option<Vec<u8>>, EvalError> {
        let interval = match (self.count > 0, self.positive > 0, self.negative > 0) {
            (false, false, false) => return Ok(None),
            (_, true, true) => return Err(out_of_range()),
            (_, true, _) => Interval::INFINITY,
            (_, _, true) => Interval::NEGATIVE_INFINITY,
            _ if average => divide(self.finite()?, self.count as f64)?,
            _ => self.finite()?,
        };
        let mut image = Vec::new();
        interval.write(&mut image);
        Ok(Some(image))
    }

    fn finite(&self) -> Result<Interval, EvalError> {
        let interval = Interval {
            microseconds: self.microseconds.try_into().map_err(|_| out_of_range())?,
            days: self.days.try_into().map_err(|_| out_of_range())?,
            months: self.months.try_into().map_err(|_| out_of_range())?,
        };
        checked(interval)
    }
}

fn out_of_range() -> EvalError {
    EvalError::datetime_out_of_range("interval")
}

/// What would be an infinity is out of range.
fn checked(interval: Interval) -> Result<Interval, EvalError> {
    match interval {
        Interval::INFINITY | Interval::NEGATIVE_INFINITY => Err(out_of_range()),
        finite => Ok(finite),
    }
}

/// timestamp.c: interval_div. What is left of a month are days of which it has 30, what is left of a day is time; the double
/// precision and where it is rounded are PostgreSQL's.
fn divide(interval: Interval, divisor: f64) -> Result<Interval, EvalError> {
    let rounded = |seconds: f64| (seconds * MICROSECONDS).round_ties_even() / MICROSECONDS;
    let (months, days) = (f64::from(interval.months) / divisor, f64::from(interval.days) / divisor);
    let mut result = Interval { microseconds: 0, days: days as i32, months: months as i32 };
    let month_days = rounded((months - f64::from(result.months)) * DAYS_PER_MONTH);
    let mut seconds = rounded((days - f64::from(result.days) + month_days - month_days.trunc()) * SECONDS_PER_DAY);
    if seconds.abs() >= SECONDS_PER_DAY {
        let more = (seconds / SECONDS_PER_DAY).trunc();
        result.days = result.days.checked_add(more as i32).ok_or_else(out_of_range)?;
        seconds -= more * SECONDS_PER_DAY;
    }
    result.days = result.days.checked_add(month_days as i32).ok_or_else(out_of_range)?;
    let time = (interval.microseconds as f64 / divisor + seconds * MICROSECONDS).round_ties_even();
    if !(-(2f64.powi(63))..2f64.powi(63)).contains(&time) {
        return Err(out_of_range());
    }
    result.microseconds = time as i64;
    checked(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::DAY;

    fn image(months: i32, days: i32, microseconds: i64) -> Vec<u8> {
        let mut image = Vec::new();
        Interval { microseconds, days, months }.write(&mut image);
        image
    }

    fn result(sum: &IntervalSum, average: bool) -> Option<Interval> {
        sum.result(average).unwrap().map(|image| Interval::read(&image).unwrap())
    }

    #[test]
    fn intervals_come_and_go() {
        let mut sum = IntervalSum::default();
        assert_eq!(result(&sum, false), None);
        sum.add(&image(1, 0, 0), 1).unwrap();
        sum.add(&image(0, 1, 0), 2).unwrap();
        sum.add(&image(0, 0, DAY / 2), 1).unwrap();
        assert_eq!(result(&sum, false), Some(Interval { months: 1, days: 2, microseconds: DAY / 2 }));
        // (1 mon 2 days 12:00) / 4: 7.5 days of the month, and half a day.
        assert_eq!(result(&sum, true), Some(Interval { months: 0, days: 8, microseconds: DAY / 8 }));
        sum.add(&image(i32::MAX, i32::MAX, i64::MAX), 1).unwrap();
        assert_eq!(result(&sum, true), Some(Interval::INFINITY));
        sum.add(&image(i32::MIN, i32::MIN, i64::MIN), 1).unwrap();
        assert_eq!(sum.result(false).unwrap_err().sqlstate, *b"22008");
        sum.add(&image(i32::MAX, i32::MAX, i64::MAX), -1).unwrap();
        sum.add(&image(i32::MIN, i32::MIN, i64::MIN), -1).unwrap();
        sum.add(&image(i32::MAX, 0, 0), 1).unwrap();
        assert_eq!(sum.result(false).unwrap_err().message, "interval out of range");
        sum.add(&image(i32::MAX, 0, 0), -1).unwrap();
        for (value, diff) in [(image(1, 0, 0), -1), (image(0, 1, 0), -2), (image(0, 0, DAY / 2), -1)] {
            assert!(sum.is_sound());
            sum.add(&value, diff).unwrap();
        }
        assert!(sum.is_zero());
    }
}
