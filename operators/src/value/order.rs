//! [`order_key`]: bytes that compare as PostgreSQL orders the values.
//!
//! No key is a proper prefix of another of the same kind, so keys can be concatenated, and complementing all bytes of a
//! key reverses its order. Text is ordered by bytes, which is the C collation; opaque images by bytes, which is an order
//! but of no meaning in SQL. Values that are SQL-equal have equal keys.

use super::error::EvalError;
use super::numeric::{Decimal, Numeric};
use super::read::{self, Interval};
use super::Kind;

/// Appends the ascending key of `image`.
pub fn order_key(kind: Kind, image: &[u8], out: &mut Vec<u8>) -> Result<(), EvalError> {
    match kind {
        Kind::Bool => out.push(u8::from(read::boolean(image)?)),
        Kind::Int2 => out.extend_from_slice(&(read::int2(kind, image)? as u16 ^ 1 << 15).to_be_bytes()),
        Kind::Int4 | Kind::Date => {
            out.extend_from_slice(&(read::int4(kind, image)? as u32 ^ 1 << 31).to_be_bytes());
        }
        Kind::Int8 | Kind::Time | Kind::Timestamp | Kind::TimestampTz => {
            out.extend_from_slice(&sortable(read::int8(kind, image)?));
        }
        Kind::Oid => out.extend_from_slice(&read::oid(kind, image)?.to_be_bytes()),
        Kind::Float4 => {
            let float = read::float4(kind, image)?;
            let bits = if float.is_nan() { f32::NAN.to_bits() & !(1 << 31) } else { (float + 0.0).to_bits() };
            let key = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
            out.extend_from_slice(&key.to_be_bytes());
        }
        Kind::Float8 => {
            let float = read::float8(kind, image)?;
            let bits = if float.is_nan() { f64::NAN.to_bits() & !(1 << 63) } else { (float + 0.0).to_bits() };
            let key = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
            out.extend_from_slice(&key.to_be_bytes());
        }
        Kind::Numeric => numeric(&Numeric::read(image)?, out),
        Kind::Text | Kind::Bytea | Kind::Opaque => escaped(image, out),
        Kind::Bpchar => escaped(read::without_blanks(image), out),
        Kind::TimeTz => {
            let (time, zone) = read::timetz(image)?;
            out.extend_from_slice(&sortable(time + i64::from(zone) * 1_000_000));
            out.extend_from_slice(&(zone as u32 ^ 1 << 31).to_be_bytes());
        }
        Kind::Interval => {
            let span = Interval::read(image)?.span();
            out.extend_from_slice(&(span as u128 ^ 1 << 127).to_be_bytes());
        }
        Kind::Uuid => out.extend_from_slice(image),
    }
    Ok(())
}

/// Appends the key of one ORDER BY column: direction and the place of NULLs included.
pub fn order_column(
    kind: Kind,
    image: Option<&[u8]>,
    descending: bool,
    nulls_first: bool,
    out: &mut Vec<u8>,
) -> Result<(), EvalError> {
    let Some(image) = image else {
        out.push(if nulls_first { 0 } else { 2 });
        return Ok(());
    };
    out.push(1);
    let start = out.len();
    order_key(kind, image, out)?;
    if descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

fn sortable(value: i64) -> [u8; 8] {
    (value as u64 ^ 1 << 63).to_be_bytes()
}

/// Zero bytes become `00 FF`, the end is `00 00`.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// A class byte; for finite values other than zero then weight, base-10000 digits + 1 and a zero, complemented if negative.
fn numeric(value: &Numeric, out: &mut Vec<u8>) {
    let decimal: &Decimal = match value {
        Numeric::NegativeInfinity => return out.push(0),
        Numeric::PositiveInfinity => return out.push(4),
        Numeric::NaN => return out.push(5),
        Numeric::Finite(decimal) => decimal,
    };
    if decimal.value.is_zero() {
        return out.push(2);
    }
    let negative = decimal.value.is_negative();
    out.push(if negative { 1 } else { 3 });
    let start = out.len();
    let (weight, digits) = decimal.base_digits();
    out.extend_from_slice(&(weight as u32 ^ 1 << 31).to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&(digit + 1).to_be_bytes());
    }
    out.extend_from_slice(&[0, 0]);
    if negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}
