//! Casts to and from integers and floats, and the text form (which the float casts go through, as in PostgreSQL).

use super::{Decimal, Numeric};
use crate::value::error::EvalError;
use crate::value::integer::Int;
use num_bigint::BigInt;

impl Numeric {
    /// The nearest integer, halves away from zero, if it fits into an i64. `name` is the type in messages.
    pub fn to_i64(&self, name: &str) -> Result<i64, EvalError> {
        match self {
            Numeric::NaN => Err(EvalError::new(b"0A000", format!("cannot convert NaN to {name}"))),
            Numeric::PositiveInfinity | Numeric::NegativeInfinity => {
                Err(EvalError::new(b"0A000", format!("cannot convert infinity to {name}")))
            }
            Numeric::Finite(decimal) => {
                let rounded = decimal.round(0);
                let (value, _) = rounded.value.div_rem(&Int::power_of_ten(rounded.scale));
                value.to_i64().ok_or_else(|| EvalError::out_of_range(name))
            }
        }
    }

    pub fn to_f64(&self) -> Result<f64, EvalError> {
        let (text, value) = match self {
            Numeric::NaN => return Ok(f64::NAN),
            Numeric::PositiveInfinity => return Ok(f64::INFINITY),
            Numeric::NegativeInfinity => return Ok(f64::NEG_INFINITY),
            Numeric::Finite(decimal) => (self.to_text(), decimal),
        };
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() && (float != 0.0 || value.value.is_zero()) => Ok(float),
            _ => Err(EvalError::new(b"22003", format!("\"{text}\" is out of range for type double precision"))),
        }
    }

    pub fn to_f32(&self) -> Result<f32, EvalError> {
        let (text, value) = match self {
            Numeric::NaN => return Ok(f32::NAN),
            Numeric::PositiveInfinity => return Ok(f32::INFINITY),
            Numeric::NegativeInfinity => return Ok(f32::NEG_INFINITY),
            Numeric::Finite(decimal) => (self.to_text(), decimal),
        };
        match text.parse::<f32>() {
            Ok(float) if float.is_finite() && (float != 0.0 || value.value.is_zero()) => Ok(float),
            _ => Err(EvalError::new(b"22003", format!("\"{text}\" is out of range for type real"))),
        }
    }

    /// float8 to numeric: 15 significant digits, trailing zeros dropped.
    pub fn from_f64(float: f64) -> Numeric {
        Numeric::from_float(float, format!("{float:.14e}"))
    }

    /// float4 to numeric: 6 significant digits, trailing zeros dropped.
    pub fn from_f32(float: f32) -> Numeric {
        Numeric::from_float(float.into(), format!("{float:.5e}"))
    }

    fn from_float(float: f64, scientific: String) -> Numeric {
        if float.is_nan() {
            return Numeric::NaN;
        }
        if float.is_infinite() {
            return if float > 0.0 { Numeric::PositiveInfinity } else { Numeric::NegativeInfinity };
        }
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(0);
        let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        let kept = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
        let mut value = digits[..kept].iter().fold(0i128, |value, &digit| value * 10 + i128::from(digit));
        if float < 0.0 {
            value = -value;
        }
        let scale = kept.max(1) as i64 - 1 - exponent;
        Numeric::Finite(if value == 0 {
            Decimal::integer(Int::ZERO)
        } else if scale >= 0 {
            Decimal { value: Int::Small(value), scale: scale as u32, dscale: scale as u32 }
        } else {
            Decimal::integer(Int::Small(value).scale_up(scale.unsigned_abs() as u32))
        })
    }

    /// As numeric_out writes it.
    pub fn to_text(&self) -> String {
        let decimal = match self {
            Numeric::NaN => return "NaN".into(),
            Numeric::PositiveInfinity => return "Infinity".into(),
            Numeric::NegativeInfinity => return "-Infinity".into(),
            Numeric::Finite(decimal) => decimal,
        };
        let shown = decimal.round(decimal.dscale.into());
        let scale = shown.dscale as usize;
        let value = shown.value.scale_up(shown.dscale.saturating_sub(shown.scale));
        let value = value.div_rem(&Int::power_of_ten(shown.scale.saturating_sub(shown.dscale))).0;
        let digits = match value.abs() {
            Int::Small(small) => small.to_string(),
            Int::Big(big) => big.to_str_radix(10),
        };
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if value.is_negative() { "-" } else { "" };
        match scale {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }
    }

    /// Reads `[-]digits[.digits]`, `NaN`, `[-]Infinity`; for constants and tests.
    pub fn from_text(text: &str) -> Option<Numeric> {
        match text {
            "NaN" => return Some(Numeric::NaN),
            "Infinity" => return Some(Numeric::PositiveInfinity),
            "-Infinity" => return Some(Numeric::NegativeInfinity),
            _ => {}
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let scale = u32::try_from(fraction.len()).ok()?;
        let value = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
        Some(Numeric::Finite(Decimal { value: Int::from(value), scale, dscale: scale }))
    }
}
