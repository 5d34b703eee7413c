//! What a native function does to images of its argument kinds, with PostgreSQL's results and PostgreSQL's errors.

use super::table::FUNCTIONS;
use crate::value::numeric::Numeric;
use crate::value::read::{self, Interval};
use crate::value::{EvalError, Kind};
use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    /// `div(numeric, numeric)`
    Quotient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Compare(Comparison),
    Arithmetic(Binary),
    Bitwise(Bits),
    Complement,
    Negate,
    Identity,
    Absolute,
    Sign,
    Ceiling,
    Floor,
    /// `round(numeric, integer)`
    Round,
    /// `trunc(numeric, integer)`
    Truncate,
    /// The cast to numeric(precision, scale); the second argument is the type modifier.
    Rescale,
    Cast,
    DatePlus,
    DateMinus,
    /// Days between two dates.
    Days,
    /// Characters of a UTF-8 text.
    Characters,
    Octets,
}

/// A native function. A unary one has its argument's kind twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    pub oid: u32,
    pub operation: Operation,
    pub arguments: [Kind; 2],
    pub arity: usize,
    pub result: Kind,
}

/// The native function with this pg_proc OID.
pub fn function(oid: u32) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by_key(&oid, |function| function.oid).ok().map(|at| &FUNCTIONS[at])
}

impl Function {
    pub fn argument_kinds(&self) -> &[Kind] {
        &self.arguments[..self.arity]
    }

    /// Whether some arguments make it raise.
    pub fn fallible(&self) -> bool {
        use Operation::*;
        let widening = |from: Kind, to: Kind| {
            use Kind::*;
            matches!(
                (from, to),
                (Int2, Int4 | Int8 | Numeric | Float4 | Float8)
                    | (Int4, Int8 | Numeric | Float4 | Float8)
                    | (Int8, Numeric | Float4 | Float8)
                    | (Float4, Float8 | Numeric)
                    | (Float8, Numeric)
                    | (Bool, Int4)
                    | (Int4, Bool)
            )
        };
        match self.operation {
            Compare(_) | Bitwise(_) | Complement | Identity | Sign | Characters | Octets => false,
            Cast => !widening(self.arguments[0], self.result),
            Negate | Absolute => !matches!(self.result, Kind::Float4 | Kind::Float8 | Kind::Numeric),
            // Numerics raise beyond 131072 digits.
            Arithmetic(_) | Ceiling | Floor | Round | Truncate | Rescale | DatePlus | DateMinus | Days => true,
        }
    }

    /// Whether it compares by an order in which text has to be in the order of its bytes.
    pub fn orders(&self) -> bool {
        matches!(self.operation, Operation::Compare(comparison) if !matches!(comparison, Comparison::Eq | Comparison::Ne))
    }

    /// Appends the result over arguments that are not NULL.
    pub fn call(&self, arguments: &[&[u8]], out: &mut Vec<u8>) -> Result<(), EvalError> {
        let first = self.arguments[0];
        let left = arguments[0];
        let right = arguments.get(1).copied().unwrap_or(left);
        match self.operation {
            Operation::Compare(comparison) => {
                let ordering = compare(first, left, self.arguments[1], right)?;
                out.push(u8::from(comparison.holds(ordering)));
                Ok(())
            }
            Operation::Arithmetic(operation) => self.arithmetic(operation, left, right, out),
            Operation::Bitwise(bits) => {
                let apply = |(a, b): (&u8, &u8)| match bits {
                    Bits::And => a & b,
                    Bits::Or => a | b,
                    Bits::Xor => a ^ b,
                };
                out.extend(left.iter().zip(right).map(apply));
                Ok(())
            }
            Operation::Complement => {
                out.extend(left.iter().map(|byte| !byte));
                Ok(())
            }
            Operation::Identity => {
                out.extend_from_slice(left);
                Ok(())
            }
            Operation::Negate => match first {
                Kind::Numeric => Numeric::read(left)?.neg().write(out),
                Kind::Float4 => put(out, (-read::float4(first, left)?).to_ne_bytes()),
                Kind::Float8 => put(out, (-read::float8(first, left)?).to_ne_bytes()),
                _ => integer(self.result, -i128::from(read_integer(first, left)?), out),
            },
            Operation::Absolute => match first {
                Kind::Numeric => Numeric::read(left)?.abs().write(out),
                Kind::Float4 => put(out, read::float4(first, left)?.abs().to_ne_bytes()),
                Kind::Float8 => put(out, read::float8(first, left)?.abs().to_ne_bytes()),
                _ => integer(self.result, i128::from(read_integer(first, left)?).abs(), out),
            },
            Operation::Sign => Numeric::read(left)?.sign().write(out),
            Operation::Ceiling => Numeric::read(left)?.ceil().write(out),
            Operation::Floor => Numeric::read(left)?.floor().write(out),
            Operation::Round => Numeric::read(left)?.round(read::int4(Kind::Int4, right)?).write(out),
            Operation::Truncate => Numeric::read(left)?.trunc(read::int4(Kind::Int4, right)?).write(out),
            Operation::Rescale => Numeric::read(left)?.with_typmod(read::int4(Kind::Int4, right)?)?.write(out),
            Operation::Cast => self.cast(left, out),
            Operation::DatePlus => date(read::int4(first, left)?, read::int4(Kind::Int4, right)?.into(), out),
            Operation::DateMinus => date(read::int4(first, left)?, -i64::from(read::int4(Kind::Int4, right)?), out),
            Operation::Days => {
                let (left, right) = (read::int4(first, left)?, read::int4(first, right)?);
                if infinite(left) || infinite(right) {
                    return Err(EvalError::new(b"22008", "cannot subtract infinite dates"));
                }
                put(out, left.wrapping_sub(right).to_ne_bytes())
            }
            Operation::Characters => {
                // Continuation bytes of UTF-8 begin no character.
                let characters = left.iter().filter(|byte| *byte & 0xC0 != 0x80).count();
                put(out, (characters as i32).to_ne_bytes())
            }
            Operation::Octets => put(out, (left.len() as i32).to_ne_bytes()),
        }
    }

    fn arithmetic(&self, operation: Binary, left: &[u8], right: &[u8], out: &mut Vec<u8>) -> Result<(), EvalError> {
        let [first, second] = self.arguments;
        match self.result {
            Kind::Numeric => {
                let (left, right) = (Numeric::read(left)?, Numeric::read(right)?);
                let result = match operation {
                    Binary::Add => left.add(&right),
                    Binary::Subtract => left.sub(&right),
                    Binary::Multiply => left.mul(&right),
                    Binary::Divide => left.div(&right)?,
                    Binary::Remainder => left.rem(&right)?,
                    Binary::Quotient => left.div_trunc(&right)?,
                };
                result.write(out)
            }
            Kind::Float4 => {
                let (left, right) = (read::float4(first, left)?, read::float4(second, right)?);
                let result = match operation {
                    Binary::Add => left + right,
                    Binary::Subtract => left - right,
                    Binary::Multiply => left * right,
                    _ => left / right,
                };
                let (x, y) = (f64::from(left), f64::from(right));
                check_float(operation, x, y, result.is_infinite(), result == 0.0)?;
                put(out, result.to_ne_bytes())
            }
            Kind::Float8 => {
                let (left, right) = (read_float(first, left)?, read_float(second, right)?);
                let result = match operation {
                    Binary::Add => left + right,
                    Binary::Subtract => left - right,
                    Binary::Multiply => left * right,
                    _ => left / right,
                };
                check_float(operation, left, right, result.is_infinite(), result == 0.0)?;
                put(out, result.to_ne_bytes())
            }
            _ => {
                let (left, right) = (i128::from(read_integer(first, left)?), i128::from(read_integer(second, right)?));
                let result = match operation {
                    Binary::Add => left + right,
                    Binary::Subtract => left - right,
                    Binary::Multiply => left * right,
                    _ if right == 0 => return Err(EvalError::division_by_zero()),
                    Binary::Remainder => left % right,
                    Binary::Divide | Binary::Quotient => left / right,
                };
                integer(self.result, result, out)
            }
        }
    }

    fn cast(&self, image: &[u8], out: &mut Vec<u8>) -> Result<(), EvalError> {
        let from = self.arguments[0];
        match (from, self.result) {
            (Kind::Bool, _) => put(out, i32::from(read::boolean(image)?).to_ne_bytes()),
            (_, Kind::Bool) => put(out, [u8::from(read_integer(from, image)? != 0)]),
            (Kind::Numeric, Kind::Float4) => put(out, Numeric::read(image)?.to_f32()?.to_ne_bytes()),
            (Kind::Numeric, Kind::Float8) => put(out, Numeric::read(image)?.to_f64()?.to_ne_bytes()),
            (Kind::Numeric, to) => {
                let value = Numeric::read(image)?.to_i64(type_name(to))?;
                integer(to, value.into(), out)
            }
            (Kind::Float4, Kind::Numeric) => Numeric::from_f32(read::float4(from, image)?).write(out),
            (Kind::Float8, Kind::Numeric) => Numeric::from_f64(read::float8(from, image)?).write(out),
            (_, Kind::Numeric) => Numeric::integer(read_integer(from, image)?).write(out),
            (Kind::Float4, Kind::Float8) => put(out, f64::from(read::float4(from, image)?).to_ne_bytes()),
            (Kind::Float8, Kind::Float4) => {
                let float = read::float8(from, image)?;
                let single = float as f32;
                if single.is_infinite() && !float.is_infinite() {
                    return Err(EvalError::float_overflow());
                }
                if single == 0.0 && float != 0.0 {
                    return Err(EvalError::float_underflow());
                }
                put(out, single.to_ne_bytes())
            }
            (Kind::Float4 | Kind::Float8, to) => {
                let rounded = read_float(from, image)?.round_ties_even();
                // -2^63 is exact, 2^63 is the first that does not fit.
                let limit = match to {
                    Kind::Int2 => 32_768.0,
                    Kind::Int4 => 2_147_483_648.0,
                    _ => 9_223_372_036_854_775_808.0,
                };
                if rounded.is_nan() || rounded < -limit || rounded >= limit {
                    return Err(EvalError::out_of_range(type_name(to)));
                }
                integer(to, rounded as i128, out)
            }
            (_, Kind::Float4) => put(out, (read_integer(from, image)? as f32).to_ne_bytes()),
            (_, Kind::Float8) => put(out, (read_integer(from, image)? as f64).to_ne_bytes()),
            (_, to) => integer(to, read_integer(from, image)?.into(), out),
        }
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Eq => ordering.is_eq(),
            Comparison::Ne => ordering.is_ne(),
            Comparison::Lt => ordering.is_lt(),
            Comparison::Le => ordering.is_le(),
            Comparison::Gt => ordering.is_gt(),
            Comparison::Ge => ordering.is_ge(),
        }
    }
}

/// PostgreSQL's order of two values; the kinds are the same, or both integers, or both floats.
fn compare(left_kind: Kind, left: &[u8], right_kind: Kind, right: &[u8]) -> Result<Ordering, EvalError> {
    Ok(match left_kind {
        Kind::Bool => read::boolean(left)?.cmp(&read::boolean(right)?),
        Kind::Int2 | Kind::Int4 | Kind::Int8 => read_integer(left_kind, left)?.cmp(&read_integer(right_kind, right)?),
        Kind::Oid => read::oid(left_kind, left)?.cmp(&read::oid(right_kind, right)?),
        Kind::Date => read::int4(left_kind, left)?.cmp(&read::int4(right_kind, right)?),
        Kind::Time | Kind::Timestamp | Kind::TimestampTz => {
            read::int8(left_kind, left)?.cmp(&read::int8(right_kind, right)?)
        }
        Kind::Float4 | Kind::Float8 => {
            let (left, right) = (read_float(left_kind, left)?, read_float(right_kind, right)?);
            // NaN is equal to itself and greater than everything else; zeros are equal.
            left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
        }
        Kind::Numeric => Numeric::read(left)?.compare(&Numeric::read(right)?),
        Kind::Bpchar => read::without_blanks(left).cmp(read::without_blanks(right)),
        Kind::Interval => Interval::read(left)?.span().cmp(&Interval::read(right)?.span()),
        Kind::TimeTz => {
            let ((left, left_zone), (right, right_zone)) = (read::timetz(left)?, read::timetz(right)?);
            let utc = |time: i64, zone: i32| time + i64::from(zone) * 1_000_000;
            utc(left, left_zone).cmp(&utc(right, right_zone)).then(left_zone.cmp(&right_zone))
        }
        Kind::Text | Kind::Bytea | Kind::Uuid | Kind::Opaque => left.cmp(right),
    })
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) -> Result<(), EvalError> {
    out.extend_from_slice(&bytes);
    Ok(())
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int2 => "smallint",
        Kind::Int4 => "integer",
        _ => "bigint",
    }
}

fn read_integer(kind: Kind, image: &[u8]) -> Result<i64, EvalError> {
    match kind {
        Kind::Int2 => Ok(read::int2(kind, image)?.into()),
        Kind::Int4 => Ok(read::int4(kind, image)?.into()),
        _ => read::int8(kind, image),
    }
}

fn read_float(kind: Kind, image: &[u8]) -> Result<f64, EvalError> {
    match kind {
        Kind::Float4 => Ok(read::float4(kind, image)?.into()),
        _ => read::float8(kind, image),
    }
}

/// Appends an integer of `kind` if it fits.
fn integer(kind: Kind, value: i128, out: &mut Vec<u8>) -> Result<(), EvalError> {
    let out_of_range = || EvalError::out_of_range(type_name(kind));
    match kind {
        Kind::Int2 => put(out, i16::try_from(value).map_err(|_| out_of_range())?.to_ne_bytes()),
        Kind::Int4 => put(out, i32::try_from(value).map_err(|_| out_of_range())?.to_ne_bytes()),
        _ => put(out, i64::try_from(value).map_err(|_| out_of_range())?.to_ne_bytes()),
    }
}

/// The checks of utils/float.h after an operation on `left` and `right`.
fn check_float(operation: Binary, left: f64, right: f64, infinite: bool, zero: bool) -> Result<(), EvalError> {
    match operation {
        Binary::Divide if right == 0.0 && !left.is_nan() => return Err(EvalError::division_by_zero()),
        Binary::Divide => {
            if infinite && !left.is_infinite() {
                return Err(EvalError::float_overflow());
            }
            if zero && left != 0.0 && !right.is_infinite() {
                return Err(EvalError::float_underflow());
            }
        }
        _ => {
            if infinite && !left.is_infinite() && !right.is_infinite() {
                return Err(EvalError::float_overflow());
            }
            if operation == Binary::Multiply && zero && left != 0.0 && right != 0.0 {
                return Err(EvalError::float_underflow());
            }
        }
    }
    Ok(())
}

fn infinite(date: i32) -> bool {
    date == i32::MIN || date == i32::MAX
}

/// Days since 2000-01-01 of the first and after the last date that PostgreSQL knows: 4714-11-24 BC to 5874897-12-31.
const FIRST_DATE: i64 = -2_451_545;
const END_OF_DATES: i64 = 2_145_031_949;

fn date(date: i32, days: i64, out: &mut Vec<u8>) -> Result<(), EvalError> {
    if infinite(date) {
        return put(out, date.to_ne_bytes());
    }
    let result = i64::from(date) + days;
    match i32::try_from(result) {
        Ok(fits) if (FIRST_DATE..END_OF_DATES).contains(&result) => put(out, fits.to_ne_bytes()),
        _ => Err(EvalError::datetime_out_of_range("date")),
    }
}
