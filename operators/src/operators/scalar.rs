//! How operators use scalar expressions: values, truth and keys of a packed row.

use super::border::Diff;
use crate::expr::{EvalError, Expr};
use crate::plan::KeyColumn;
use crate::value::{Kind, RowBuilder, RowRef};

/// Appends the value of `expression` over `row`.
pub fn append(expression: &Expr, row: RowRef<'_>, out: &mut RowBuilder) -> Result<(), EvalError> {
    match expression {
        Expr::Column(index, _) => out.push(row.column(*index)),
        Expr::Literal(image, _) => out.push(image.as_deref()),
        other => unimplemented(other)?,
    }
    Ok(())
}

fn unimplemented(expression: &Expr) -> Result<(), EvalError> {
    Err(EvalError { sqlstate: *b"0A000", message: format!("expression {expression:?} is not evaluated natively") })
}

/// Whether `expression` over `row` is true: neither false nor NULL.
pub fn is_true(expression: &Expr, row: RowRef<'_>) -> Result<bool, EvalError> {
    let mut out = RowBuilder::default();
    append(expression, row, &mut out)?;
    Ok(out.as_ref().column(0).is_some_and(|image| image == [1]))
}

/// Writes the key of `row`; false if a NULL takes the row out of the relation of keys. Key expressions are infallible.
pub fn key(columns: &[KeyColumn], row: RowRef<'_>, out: &mut RowBuilder) -> bool {
    for column in columns {
        if !part(&column.expression, column, row, out) {
            return false;
        }
    }
    true
}

/// Writes the value of `probe`, to be compared under `column`'s notion of equality.
pub fn part(probe: &Expr, column: &KeyColumn, row: RowRef<'_>, out: &mut RowBuilder) -> bool {
    let mut value = RowBuilder::default();
    if append(probe, row, &mut value).is_err() {
        return false;
    }
    let image = value.as_ref().column(0);
    if image.is_none() && !column.nulls_equal {
        return false;
    }
    out.push(image);
    true
}

/// Whether evaluating `expression` can raise.
pub fn fallible(expression: &Expr) -> bool {
    !matches!(expression, Expr::Column(..) | Expr::Literal(..))
}

/// The canonical form of a value: equal for values that are SQL-equal.
pub fn canonical(_kind: Kind, image: &[u8]) -> Result<Box<[u8]>, EvalError> {
    Ok(image.into())
}

/// Bytes in the order of the values.
pub fn order(kind: Kind, image: &[u8]) -> Result<Box<[u8]>, EvalError> {
    let integer = integer(kind, image)?;
    Ok((integer ^ i64::MIN).to_be_bytes().into())
}

fn integer(kind: Kind, image: &[u8]) -> Result<i64, EvalError> {
    let wrong = || EvalError { sqlstate: *b"XX001", message: format!("image is not a value of kind {kind:?}") };
    Ok(match kind {
        Kind::Int2 => i64::from(i16::from_ne_bytes(image.try_into().map_err(|_| wrong())?)),
        Kind::Int4 => i64::from(i32::from_ne_bytes(image.try_into().map_err(|_| wrong())?)),
        Kind::Int8 => i64::from_ne_bytes(image.try_into().map_err(|_| wrong())?),
        _ => return Err(wrong()),
    })
}

/// A sum that can be taken back.
pub struct Accumulator {
    kind: Kind,
    count: Diff,
    sum: i128,
}

impl Accumulator {
    pub fn new(kind: Kind) -> Self {
        Accumulator { kind, count: 0, sum: 0 }
    }

    pub fn add(&mut self, image: &[u8], diff: Diff) -> Result<(), EvalError> {
        self.sum += i128::from(integer(self.kind, image)?) * i128::from(diff);
        self.count += diff;
        Ok(())
    }

    pub fn merge(&mut self, other: &Accumulator) {
        self.sum += other.sum;
        self.count += other.count;
    }

    pub fn is_zero(&self) -> bool {
        self.sum == 0 && self.count == 0
    }

    pub fn sum(&self) -> Result<Option<Vec<u8>>, EvalError> {
        if self.count <= 0 {
            return Ok(None);
        }
        match i64::try_from(self.sum) {
            Ok(sum) => Ok(Some(sum.to_ne_bytes().to_vec())),
            Err(_) => Err(EvalError { sqlstate: *b"22003", message: "bigint out of range".to_owned() }),
        }
    }

    pub fn average(&self) -> Result<Option<Vec<u8>>, EvalError> {
        unimplemented(&Expr::Column(0, self.kind)).map(|()| None)
    }
}
