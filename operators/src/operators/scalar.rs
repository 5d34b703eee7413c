//! How operators use scalar expressions: values, truth and keys of a packed row.

use crate::expr::{EvalError, Expr};
use crate::plan::KeyColumn;
use crate::value::{RowBuilder, RowRef};

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
