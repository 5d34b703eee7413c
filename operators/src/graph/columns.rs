//! Renumbering the columns that expressions refer to.

use crate::expr::Expr;
use crate::plan::KeyColumn;

/// `expression` with every column number replaced.
pub fn renumber(expression: &Expr, new: &dyn Fn(usize) -> usize) -> Expr {
    let all = |list: &[Expr]| list.iter().map(|part| renumber(part, new)).collect::<Vec<_>>();
    let one = |part: &Expr| Box::new(renumber(part, new));
    match expression {
        Expr::Column(index, kind) => Expr::Column(new(*index), *kind),
        Expr::Literal(..) => expression.clone(),
        Expr::Call { function, arguments, kind, collation } => {
            Expr::Call { function: *function, arguments: all(arguments), kind: *kind, collation: *collation }
        }
        Expr::And(parts) => Expr::And(all(parts)),
        Expr::Or(parts) => Expr::Or(all(parts)),
        Expr::Not(part) => Expr::Not(one(part)),
        Expr::IsNull(part) => Expr::IsNull(one(part)),
        Expr::BoolTest { argument, value, negated } => {
            Expr::BoolTest { argument: one(argument), value: *value, negated: *negated }
        }
        Expr::Case { branches, otherwise, kind } => Expr::Case {
            branches: branches.iter().map(|(when, then)| (renumber(when, new), renumber(then, new))).collect(),
            otherwise: one(otherwise),
            kind: *kind,
        },
        Expr::Coalesce(parts, kind) => Expr::Coalesce(all(parts), *kind),
        Expr::NullIf { equal, value } => Expr::NullIf { equal: one(equal), value: one(value) },
        Expr::Distinct { equality, left, right, collation } => {
            Expr::Distinct { equality: *equality, left: one(left), right: one(right), collation: *collation }
        }
        Expr::InList { equality, needle, list, list_kind, negated, collation } => Expr::InList {
            equality: *equality,
            needle: one(needle),
            list: list.clone(),
            list_kind: *list_kind,
            negated: *negated,
            collation: *collation,
        },
        Expr::Single { rows, value } => Expr::Single { rows: one(rows), value: one(value) },
    }
}

/// `key` with every column number replaced.
pub fn renumber_key(key: &[KeyColumn], new: &dyn Fn(usize) -> usize) -> Vec<KeyColumn> {
    key.iter().map(|part| KeyColumn { expression: renumber(&part.expression, new), ..part.clone() }).collect()
}

/// Where each of `wanted` stands in `held`; none if one does not.
pub fn positions(wanted: &[i16], held: &[i16]) -> Option<Vec<usize>> {
    wanted.iter().map(|column| held.iter().position(|other| other == column)).collect()
}

/// A projection, unless it is the identity over `width` columns.
pub fn projection(columns: Vec<usize>, width: usize) -> Option<Vec<usize>> {
    let identity = columns.len() == width && columns.iter().enumerate().all(|(index, column)| index == *column);
    (!identity).then_some(columns)
}

/// One predicate that is true where all are; none if there are none.
pub fn conjunction(predicates: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    let mut all: Vec<Expr> = predicates.into_iter().collect();
    if all.len() > 1 {
        Some(Expr::And(all))
    } else {
        all.pop()
    }
}
