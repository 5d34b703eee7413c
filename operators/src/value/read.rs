//! Reading fixed-width images. Widths are PostgreSQL's; a wrong width is an error, never a panic.

use super::error::EvalError;
use super::Kind;

macro_rules! reader {
    ($name:ident, $type:ty) => {
        pub fn $name(kind: Kind, image: &[u8]) -> Result<$type, EvalError> {
            match image.try_into() {
                Ok(bytes) => Ok(<$type>::from_ne_bytes(bytes)),
                Err(_) => Err(EvalError::malformed(kind)),
            }
        }
    };
}

reader!(int2, i16);
reader!(int4, i32);
reader!(int8, i64);
reader!(oid, u32);
reader!(float4, f32);
reader!(float8, f64);

pub fn boolean(image: &[u8]) -> Result<bool, EvalError> {
    match image {
        [byte] => Ok(*byte != 0),
        _ => Err(EvalError::malformed(Kind::Bool)),
    }
}

/// An interval's three independent fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub microseconds: i64,
    pub days: i32,
    pub months: i32,
}

pub const DAY: i64 = 86_400_000_000;
const DAYS_PER_MONTH: i64 = 30;

impl Interval {
    pub const INFINITY: Interval = Interval { microseconds: i64::MAX, days: i32::MAX, months: i32::MAX };
    pub const NEGATIVE_INFINITY: Interval = Interval { microseconds: i64::MIN, days: i32::MIN, months: i32::MIN };

    pub fn read(image: &[u8]) -> Result<Interval, EvalError> {
        let malformed = || EvalError::malformed(Kind::Interval);
        let (microseconds, rest) = image.split_first_chunk::<8>().ok_or_else(malformed)?;
        let (days, rest) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        let months: &[u8; 4] = rest.try_into().map_err(|_| malformed())?;
        Ok(Interval {
            microseconds: i64::from_ne_bytes(*microseconds),
            days: i32::from_ne_bytes(*days),
            months: i32::from_ne_bytes(*months),
        })
    }

    pub fn write(self, image: &mut Vec<u8>) {
        image.extend_from_slice(&self.microseconds.to_ne_bytes());
        image.extend_from_slice(&self.days.to_ne_bytes());
        image.extend_from_slice(&self.months.to_ne_bytes());
    }

    /// What PostgreSQL compares: months of 30 days, days of 24 hours, in microseconds.
    pub fn span(self) -> i128 {
        let days = i64::from(self.months) * DAYS_PER_MONTH + i64::from(self.days);
        i128::from(self.microseconds) + i128::from(days) * i128::from(DAY)
    }

    /// The interval of this span with the most months, then the most days: one for each span.
    pub fn of_span(span: i128) -> Interval {
        let day = i128::from(DAY);
        let month = day * i128::from(DAYS_PER_MONTH);
        let months = (span / month).clamp(i32::MIN.into(), i32::MAX.into());
        let rest = span - months * month;
        let days = (rest / day).clamp(i32::MIN.into(), i32::MAX.into());
        let microseconds = (rest - days * day) as i64;
        Interval { microseconds, days: days as i32, months: months as i32 }
    }
}

/// A time with zone: microseconds of the day, and seconds west of Greenwich.
pub fn timetz(image: &[u8]) -> Result<(i64, i32), EvalError> {
    let malformed = || EvalError::malformed(Kind::TimeTz);
    let (time, rest) = image.split_first_chunk::<8>().ok_or_else(malformed)?;
    let zone: &[u8; 4] = rest.try_into().map_err(|_| malformed())?;
    Ok((i64::from_ne_bytes(*time), i32::from_ne_bytes(*zone)))
}

/// A bpchar's bytes without the blanks that do not count.
pub fn without_blanks(image: &[u8]) -> &[u8] {
    let end = image.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &image[..end]
}
