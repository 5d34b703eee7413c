//! Evaluation of an expression over one row: SQL's three-valued logic, and PostgreSQL's order of evaluation.

use super::function::function;
use super::Expr;
use crate::value::{EvalError, Kind, RowRef};
use std::borrow::Cow;

/// An image; `None` is NULL.
pub type Value<'a> = Option<Cow<'a, [u8]>>;

const MORE_THAN_ONE_ROW: &str = "more than one row returned by a subquery used as an expression";
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
            Expr::Single { rows, value } => {
                let rows = rows.eval(row)?;
                match rows.as_deref().map(|image| image.try_into().map(i64::from_ne_bytes)) {
                    Some(Ok(0 | 1)) => value.eval(row),
                    Some(Ok(_)) => Err(EvalError::new(b"21000", MORE_THAN_ONE_ROW)),
                    None | Some(Err(_)) => Err(EvalError::malformed(Kind::Int8)),
                }
            }
        }
    }

    /// The value of a boolean expression.
    fn is(&self, row: RowRef<'_>) -> Result<Option<bool>, EvalError> {
        Ok(truth(&self.eval(row)?))
    }

    /// Whether the value is true: neither false nor NULL.
    pub fn is_true(&self, row: RowRef<'_>) -> Result<bool, EvalError> {
        Ok(self.is(row)? == Some(true))
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
            Expr::Single { .. } => true,
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
            Expr::NullIf { value, .. } | Expr::Single { value, .. } => value.kind(),
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

/// AND, or OR with `decides` = true: the first part with that value decides, whatever the parts before it raised, and
/// nothing after it is evaluated (HAZARDS E24). PostgreSQL's planner may order the parts either way.
fn all<'a>(parts: &'a [Expr], row: RowRef<'a>, decides: bool) -> Result<Value<'a>, EvalError> {
    let mut unknown = false;
    let mut raised = None;
    for part in parts {
        match part.is(row) {
            Ok(Some(truth)) if truth == decides => return Ok(boolean(Some(decides))),
            Ok(Some(_)) => {}
            Ok(None) => unknown = true,
            Err(error) => raised = raised.or(Some(error)),
        }
    }
    match raised {
        Some(error) => Err(error),
        None if unknown => Ok(None),
        None => Ok(boolean(Some(!decides))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(value: Option<bool>) -> Expr {
        Expr::Literal(value.map(|value| vec![u8::from(value)]), Kind::Bool)
    }

    /// 1 / 0 = 0
    fn raises() -> Expr {
        let int = |value: i32| Expr::Literal(Some(value.to_ne_bytes().to_vec()), Kind::Int4);
        let call = |function, arguments, kind| Expr::Call { function, arguments, kind, collation: 0 };
        call(65, vec![call(154, vec![int(1), int(0)], Kind::Int4), int(0)], Kind::Bool)
    }

    fn eval(expression: &Expr) -> Result<Option<bool>, String> {
        expression.is(RowRef::default()).map_err(|error| error.message)
    }

    #[test]
    fn e24_false_beats_an_error_under_and_true_under_or() {
        let error = Err("division by zero".to_owned());
        for (decides, connect) in [(false, Expr::And as fn(Vec<Expr>) -> Expr), (true, Expr::Or)] {
            let (decided, open) = (constant(Some(decides)), constant(Some(!decides)));
            assert_eq!(eval(&connect(vec![raises(), decided.clone()])), Ok(Some(decides)));
            assert_eq!(eval(&connect(vec![decided.clone(), raises()])), Ok(Some(decides)));
            assert_eq!(eval(&connect(vec![open.clone(), raises(), constant(None)])), error);
            assert_eq!(eval(&connect(vec![open.clone(), constant(None)])), Ok(None));
            assert_eq!(eval(&connect(vec![constant(None), decided])), Ok(Some(decides)));
            assert_eq!(eval(&connect(vec![open.clone(), open])), Ok(Some(!decides)));
        }
    }

    #[test]
    fn conditions_guard_what_they_choose() {
        let case = |when: Option<bool>| Expr::Case {
            branches: vec![(constant(when), raises())],
            otherwise: Box::new(constant(Some(true))),
            kind: Kind::Bool,
        };
        assert_eq!(eval(&case(Some(false))), Ok(Some(true)));
        assert_eq!(eval(&case(None)), Ok(Some(true)));
        assert!(eval(&case(Some(true))).is_err());
        assert_eq!(eval(&Expr::Coalesce(vec![constant(Some(false)), raises()], Kind::Bool)), Ok(Some(false)));
        assert!(eval(&Expr::Coalesce(vec![constant(None), raises()], Kind::Bool)).is_err());
    }

    #[test]
    fn a_list_with_a_null_is_unknown_unless_it_matches() {
        let list = |needle: Option<i32>, list: &[Option<i32>], negated| {
            let image = |value: i32| value.to_ne_bytes().to_vec();
            eval(&Expr::InList {
                equality: 65,
                needle: Box::new(Expr::Literal(needle.map(image), Kind::Int4)),
                list: list.iter().map(|item| item.map(image)).collect(),
                list_kind: Kind::Int4,
                negated,
                collation: 0,
            })
        };
        assert_eq!(list(Some(1), &[None, Some(1)], false), Ok(Some(true)));
        assert_eq!(list(Some(1), &[None, Some(1)], true), Ok(Some(false)));
        assert_eq!(list(Some(2), &[None, Some(1)], false), Ok(None));
        assert_eq!(list(Some(2), &[None, Some(1)], true), Ok(None));
        assert_eq!(list(None, &[Some(1)], false), Ok(None));
        assert_eq!(list(None, &[], false), Ok(Some(false)));
        assert_eq!(list(None, &[], true), Ok(Some(true)));
    }
}
