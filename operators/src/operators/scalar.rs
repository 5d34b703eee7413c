//! How operators use scalar expressions: values, truth and keys of a packed row.

use crate::expr::{EvalError, Expr};
use crate::plan::{Equality, KeyColumn};
use crate::value::bytes::Bytes;
use crate::value::{Kind, RowBuilder, RowRef};

pub use crate::value::accumulator::Accumulator;

/// Appends the value of `expression` over `row`.
pub fn append(expression: &Expr, row: RowRef<'_>, out: &mut RowBuilder) -> Result<(), EvalError> {
    out.push(expression.eval(row)?.as_deref());
    Ok(())
}

/// Whether `expression` over `row` is true: neither false nor NULL.
pub fn is_true(expression: &Expr, row: RowRef<'_>) -> Result<bool, EvalError> {
    expression.is_true(row)
}

/// Writes the key of `row`; false if a NULL takes the row out of the relation of keys. Key expressions are infallible: an
/// error is a malformed image, and not the row's.
pub fn key(columns: &[KeyColumn], row: RowRef<'_>, out: &mut RowBuilder) -> Result<bool, EvalError> {
    for column in columns {
        if !part(&column.expression, column, row, out)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the value of `probe`, to be compared under `column`'s notion of equality; false if a NULL takes the row out.
pub fn part(probe: &Expr, column: &KeyColumn, row: RowRef<'_>, out: &mut RowBuilder) -> Result<bool, EvalError> {
    let Some(image) = probe.eval(row)? else {
        if column.nulls_equal {
            out.push(None);
        }
        return Ok(column.nulls_equal);
    };
    match column.equality {
        Equality::Image => out.push(Some(&image)),
        Equality::Sql => out.push(Some(&crate::value::canonical::canonical(column.kind, &image)?)),
    }
    Ok(true)
}

/// Whether evaluating `expression` can raise.
pub fn fallible(expression: &Expr) -> bool {
    expression.fallible()
}

/// The canonical form of a value: equal for values that are SQL-equal.
pub fn canonical(kind: Kind, image: &[u8]) -> Result<Bytes, EvalError> {
    Ok(Bytes::from(&*crate::value::canonical::canonical(kind, image)?))
}

/// Bytes in the order of the values.
pub fn order(kind: Kind, image: &[u8]) -> Result<Bytes, EvalError> {
    let mut key = Vec::new();
    crate::value::order::order_key(kind, image, &mut key)?;
    Ok(key.into())
}
