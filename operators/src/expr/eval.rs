//! Evaluation of an expression over one row: SQL's three-valued logic, and PostgreSQL's order of evaluation.

use super::function::function;
use super::Expr;
use crate::value::{EvalError, Kind, RowRef};
use std::borrow::Cow;

/// An image; `None` is NULL.
pub type Value<'a> = Option<Cow<'a, [u8]>>;

const TRUE: Value<'static> = Some(Cow::Borrowed(&[1]));
const FALSE: Value<'static> = Some(Cow::Borrowed(&[0]));

fn boolean(value: Option<bool>) -> Value<'static> {
    match value {
        Some(true) => TRUE,
        Some(false) => FALSE,
        None => None,
    }
}

fn truth(value: &Value<'_>) -> Option<bool> {
    value.as_deref().map(|image| image.first().is_some_and(|byte| *byte != 0))
}

impl Expr {
    /// The expression's value over `row`.
    pub fn eval<'a>(&'a self, row: RowRef<'a>) -> Result<Value<'a>, EvalError> {
        match self {
            Expr::Column(index, _) => Ok(row.column(*index).map(Cow::Borrowed)),
            Expr::Literal(image, _) => Ok(image.as_deref().map(Cow::Borrowed)),
            Expr::Call { function, arguments, .. } => call(*function, arguments, row),
            Expr::And(parts) => all(parts, row, false),
            Expr::Or(parts) => all(parts, row, true),
            Expr::Not(part) => Ok(boolean(truth(&part.eval(row)?).map(|truth| !truth))),
            Expr::IsNull(part) => Ok(boolean(Some(part.eval(row)?.is_none()))),
            Expr::BoolTest { argument, value, negated } => {
                let holds = truth(&argument.eval(row)?) == *value;
                Ok(boolean(Some(holds != *negated)))
            }
            Expr::Case { branches, otherwise, .. } => {
                for (condition, result) in branches {
                    if truth(&condition.eval(row)?) == Some(true) {
                        return result.eval(row);
                    }
                }
                otherwise.eval(row)
            }
            Expr::Coalesce(parts, _) => {
                for part in parts {
                    let value = part.eval(row)?;
                    if value.is_some() {
                        return Ok(value);
                    }
                }
                Ok(None)
            }
            Expr::NullIf { equal, value } => {
                if truth(&equal.eval(row)?) == Some(true) {
                    return Ok(None);
                }
                value.eval(row)
            }
            Expr::Distinct { equality, left, right, .. } => {
                let distinct = match (left.eval(row)?, right.eval(row)?) {
                    (None, None) => false,
                    (Some(left), Some(right)) => !equal(*equality, &left, &right)?,
                    _ => true,
                };
                Ok(boolean(Some(distinct)))
            }
            Expr::InList { equality, needle, list, negated, .. } => {
                if list.is_empty() {
                    return Ok(boolean(Some(*negated)));
                }
                let Some(needle) = needle.eval(row)? else { return Ok(None) };
                let mut unknown = false;
                for item in list {
                    match item {
                        None => unknown = true,
                        Some(item) if equal(*equality, &needle, item)? => return Ok(boolean(Some(!negated))),
                        Some(_) => {}
                    }
                }
                Ok(if unknown { None } else { boolean(Some(*negated)) })
            }
        }
    }

    /// Whether the value is true: neither false nor NULL.
    pub fn is_true(&self, row: RowRef<'_>) -> Result<bool, EvalError> {
        Ok(truth(&self.eval(row)?) == Some(true))
    }

    /// Whether some row makes evaluation raise.
    pub fn fallible(&self) -> bool {
        match self {
            Expr::Column(..) | Expr::Literal(..) => false,
            Expr::Call { function: oid, arguments, .. } => {
                function(*oid).is_none_or(|function| function.fallible()) || arguments.iter().any(Expr::fallible)
            }
            Expr::And(parts) | Expr::Or(parts) | Expr::Coalesce(parts, _) => parts.iter().any(Expr::fallible),
            Expr::Not(part) | Expr::IsNull(part) => part.fallible(),
            Expr::BoolTest { argument, .. } => argument.fallible(),
            Expr::Case { branches, otherwise, .. } => {
                otherwise.fallible() || branches.iter().any(|(when, then)| when.fallible() || then.fallible())
            }
            Expr::NullIf { equal, value } => equal.fallible() || value.fallible(),
            Expr::Distinct { left, right, .. } => left.fallible() || right.fallible(),
            Expr::InList { needle, .. } => needle.fallible(),
        }
    }

    /// How the value's image is read.
    pub fn kind(&self) -> Kind {
        match self {
            Expr::Column(_, kind)
            | Expr::Literal(_, kind)
            | Expr::Call { kind, .. }
            | Expr::Case { kind, .. }
            | Expr::Coalesce(_, kind) => *kind,
            Expr::NullIf { value, .. } => value.kind(),
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::BoolTest { .. }
            | Expr::Distinct { .. }
            | Expr::InList { .. } => Kind::Bool,
        }
    }
}

fn call<'a>(oid: u32, arguments: &'a [Expr], row: RowRef<'a>) -> Result<Value<'a>, EvalError> {
    let function = known(oid)?;
    let mut out = Vec::with_capacity(16);
    match arguments {
        [argument] => {
            let Some(argument) = argument.eval(row)? else { return Ok(None) };
            function.call(&[&argument], &mut out)?;
        }
        [left, right] => {
            // All arguments are evaluated before a strict function looks at them.
            let (left, right) = (left.eval(row)?, right.eval(row)?);
            let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
            function.call(&[&left, &right], &mut out)?;
        }
        _ => return Err(unknown(oid)),
    }
    Ok(Some(Cow::Owned(out)))
}

fn equal(oid: u32, left: &[u8], right: &[u8]) -> Result<bool, EvalError> {
    let mut out = Vec::with_capacity(1);
    known(oid)?.call(&[left, right], &mut out)?;
    Ok(out == [1])
}

fn known(oid: u32) -> Result<&'static super::function::Function, EvalError> {
    function(oid).ok_or_else(|| unknown(oid))
}

fn unknown(oid: u32) -> EvalError {
    EvalError::new(b"XX000", format!("function with OID {oid} is not a native one"))
}

/// AND, or OR with `decides` = true: the first part with that value decides, and nothing after it is evaluated.
fn all<'a>(parts: &'a [Expr], row: RowRef<'a>, decides: bool) -> Result<Value<'a>, EvalError> {
    let mut unknown = false;
    for part in parts {
        match truth(&part.eval(row)?) {
            Some(truth) if truth == decides => return Ok(boolean(Some(decides))),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { None } else { boolean(Some(!decides)) })
}
