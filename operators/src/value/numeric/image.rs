//! Reading and writing the on-disk payload (numeric.c: struct NumericData).
//!
//! Header bits: `00`/`01` long form, positive or negative (u16 sign and dscale, i16 weight); `10` short form (sign, 6 bits
//! of dscale, 7 bits of weight in one u16); `11` NaN and infinities. Then base-10000 digits, most significant first,
//! without leading or trailing zero digits.

use super::{Decimal, Numeric, DSCALE_MAX};
use crate::value::error::EvalError;
use crate::value::integer::Int;
use crate::value::Kind;
use num_bigint::{BigInt, Sign};

const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
const SHORT: u16 = 0x8000;
const SHORT_NEGATIVE: u16 = 0x2000;
const LONG_NEGATIVE: u16 = 0x4000;
const SHORT_DSCALE_MAX: u32 = 63;

/// A number's base-10000 digits without leading and trailing zeros, and the weight of the first.
pub(super) struct Digits {
    pub weight: i64,
    small: [u16; 40],
    start: usize,
    end: usize,
    large: Vec<u16>,
}

impl Digits {
    pub fn of(decimal: &Decimal) -> Digits {
        let mut digits = Digits { weight: 0, small: [0; 40], start: 40, end: 40, large: Vec::new() };
        let padding = (4 - decimal.scale % 4) % 4;
        let fraction = i64::from((decimal.scale + padding) / 4);
        match decimal.value.scale_up(padding) {
            Int::Small(value) => {
                let mut rest = value.unsigned_abs();
                while rest > u128::from(u64::MAX) {
                    digits.start -= 1;
                    digits.small[digits.start] = (rest % 10_000) as u16;
                    rest /= 10_000;
                }
                let mut rest = rest as u64;
                while rest != 0 {
                    digits.start -= 1;
                    digits.small[digits.start] = (rest % 10_000) as u16;
                    rest /= 10_000;
                }
                digits.weight = (digits.end - digits.start) as i64 - 1 - fraction;
                while digits.end > digits.start && digits.small[digits.end - 1] == 0 {
                    digits.end -= 1;
                }
            }
            Int::Big(value) => {
                let text = value.magnitude().to_str_radix(10).into_bytes();
                let first = text.len() % 4;
                let (head, tail) = text.split_at(first);
                let groups = std::iter::once(head).filter(|head| !head.is_empty()).chain(tail.chunks(4));
                let number = |group: &[u8]| group.iter().fold(0u16, |n, digit| n * 10 + u16::from(digit - b'0'));
                digits.large = groups.map(number).collect();
                digits.weight = digits.large.len() as i64 - 1 - fraction;
                let kept = digits.large.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
                digits.large.truncate(kept);
            }
        }
        if digits.as_slice().is_empty() {
            digits.weight = 0;
        }
        digits
    }

    pub fn as_slice(&self) -> &[u16] {
        if self.large.is_empty() {
            &self.small[self.start..self.end]
        } else {
            &self.large
        }
    }
}

impl Decimal {
    /// Weight of the first base-10000 digit, and the digits without leading and trailing zeros.
    pub fn base_digits(&self) -> (i64, Vec<u16>) {
        let digits = Digits::of(self);
        (digits.weight, digits.as_slice().to_vec())
    }
}

impl Numeric {
    /// Reads a payload.
    pub fn read(image: &[u8]) -> Result<Numeric, EvalError> {
        let malformed = || EvalError::malformed(Kind::Numeric);
        let (head, rest) = image.split_first_chunk::<2>().ok_or_else(malformed)?;
        let header = u16::from_ne_bytes(*head);
        let (negative, dscale, weight, digits) = match header & 0xC000 {
            0xC000 => {
                return match header & 0xF000 {
                    NAN => Ok(Numeric::NaN),
                    POSITIVE_INFINITY => Ok(Numeric::PositiveInfinity),
                    NEGATIVE_INFINITY => Ok(Numeric::NegativeInfinity),
                    _ => Err(malformed()),
                }
            }
            SHORT => {
                let weight = i64::from(header & 0x3F) - if header & 0x40 != 0 { 64 } else { 0 };
                (header & SHORT_NEGATIVE != 0, u32::from((header & 0x1F80) >> 7), weight, rest)
            }
            sign => {
                let (weight, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
                let weight = i64::from(i16::from_ne_bytes(*weight));
                (sign == LONG_NEGATIVE, u32::from(header) & DSCALE_MAX, weight, rest)
            }
        };
        if digits.len() % 2 != 0 {
            return Err(malformed());
        }
        let count = digits.len() / 2;
        let digits = digits.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]));
        let value = if count <= 9 {
            let mut value = 0i128;
            let mut head = 0u64;
            for (i, digit) in digits.enumerate() {
                if digit > 9999 {
                    return Err(malformed());
                }
                if i < 4 {
                    head = head * 10_000 + u64::from(digit);
                    value = head.into();
                } else {
                    value = value * 10_000 + i128::from(digit);
                }
            }
            Int::Small(if negative { -value } else { value })
        } else {
            let mut text = Vec::with_capacity(4 * count);
            for digit in digits {
                if digit > 9999 {
                    return Err(malformed());
                }
                for power in [1000, 100, 10, 1] {
                    text.push((digit / power % 10) as u8);
                }
            }
            let sign = if negative { Sign::Minus } else { Sign::Plus };
            Int::from(BigInt::from_radix_be(sign, &text, 10).ok_or_else(malformed)?)
        };
        let fraction = count as i64 - 1 - weight;
        if value.is_zero() {
            return Ok(Numeric::Finite(Decimal { value, scale: 0, dscale }));
        }
        let (value, scale) = if fraction >= 0 {
            (value, fraction as u32 * 4)
        } else {
            (value.scale_up(fraction.unsigned_abs() as u32 * 4), 0)
        };
        Ok(Numeric::Finite(Decimal { value, scale, dscale }))
    }

    /// Appends the payload that PostgreSQL writes for this value (numeric.c: make_result).
    pub fn write(&self, image: &mut Vec<u8>) -> Result<(), EvalError> {
        let decimal = match self {
            Numeric::NaN => {
                return {
                    image.extend_from_slice(&NAN.to_ne_bytes());
                    Ok(())
                }
            }
            Numeric::PositiveInfinity => {
                return {
                    image.extend_from_slice(&POSITIVE_INFINITY.to_ne_bytes());
                    Ok(())
                }
            }
            Numeric::NegativeInfinity => {
                return {
                    image.extend_from_slice(&NEGATIVE_INFINITY.to_ne_bytes());
                    Ok(())
                }
            }
            Numeric::Finite(decimal) => decimal,
        };
        let digits = Digits::of(decimal);
        let (weight, dscale) = (digits.weight, decimal.dscale);
        let negative = decimal.value.is_negative();
        if dscale <= SHORT_DSCALE_MAX && (-64..=63).contains(&weight) {
            let sign = if negative { SHORT_NEGATIVE } else { 0 };
            let header = SHORT | sign | (dscale as u16) << 7 | (weight as u16 & 0x7F);
            image.extend_from_slice(&header.to_ne_bytes());
        } else {
            let overflow = || EvalError::new(b"22003", "value overflows numeric format");
            let weight = i16::try_from(weight).map_err(|_| overflow())?;
            if dscale > DSCALE_MAX {
                return Err(overflow());
            }
            let header = dscale as u16 | if negative { LONG_NEGATIVE } else { 0 };
            image.extend_from_slice(&header.to_ne_bytes());
            image.extend_from_slice(&weight.to_ne_bytes());
        }
        for digit in digits.as_slice() {
            image.extend_from_slice(&digit.to_ne_bytes());
        }
        Ok(())
    }

    pub fn to_image(&self) -> Result<Vec<u8>, EvalError> {
        let mut image = Vec::with_capacity(16);
        self.write(&mut image)?;
        Ok(image)
    }
}
