//! Translation of PostgreSQL's expressions to the engine's own; an expression that has any part the engine does not know is
//! PostgreSQL's as a whole.

use super::Compiler;
use crate::pg::catalog_lookup;
use crate::pg::node::{Call, Node, View};
use std::collections::HashMap;
use trickle_operators::expr::Expr;
use trickle_operators::value::Kind;

/// Where a Var's column is in the row.
type Positions = HashMap<(usize, i16), usize>;

impl<'t> Compiler<'t, '_> {
    /// The engine's form of an expression, if it has one.
    pub(super) fn native(&self, expression: Node<'t>, positions: &Positions) -> Option<Expr> {
        let translator =
            Translator { positions, functions: self.options.native_expressions && catalog_lookup::utf8() };
        translator.expression(expression, None)
    }
}

/// Whether evaluation can raise an error for some row.
pub(super) fn fallible(expression: &Expr) -> bool {
    let _ = expression;
    false
}

struct Translator<'a> {
    positions: &'a Positions,
    functions: bool,
}

impl Translator<'_> {
    /// `case` is what CASE compares, inside of its conditions.
    fn expression(&self, node: Node<'_>, case: Option<&Expr>) -> Option<Expr> {
        if let View::Var(var) = node.view() {
            let position = self.positions.get(&(var.entry - 1, var.attribute))?;
            return Some(Expr::Column(*position, node.column_type().kind));
        }
        if let View::Const(constant) = node.view() {
            return Some(Expr::Literal(constant.image(), node.column_type().kind));
        }
        if !self.functions {
            return None;
        }
        let one = |node: Node<'_>| self.expression(node, case);
        let all = |nodes: Vec<Node<'_>>| nodes.into_iter().map(one).collect::<Option<Vec<_>>>();
        let kind = || node.column_type().kind;
        match node.view() {
            View::And(parts) => Some(Expr::And(all(parts)?)),
            View::Or(parts) => Some(Expr::Or(all(parts)?)),
            View::Not(part) => Some(Expr::Not(Box::new(one(part)?))),
            View::NullTest { argument, negated, row: false } => {
                let test = Expr::IsNull(Box::new(one(argument)?));
                Some(if negated { Expr::Not(Box::new(test)) } else { test })
            }
            View::BooleanTest { argument, value, negated } => {
                Some(Expr::BoolTest { argument: Box::new(one(argument)?), value, negated })
            }
            View::Relabel(inner) => relabel(one(inner)?, kind()),
            View::Coalesce(parts) => Some(Expr::Coalesce(all(parts)?, kind())),
            View::CaseTest => case.cloned(),
            View::Case { argument, branches, otherwise } => {
                let value = match argument {
                    Some(argument) => Some(one(argument)?),
                    None => None,
                };
                let branches = branches
                    .into_iter()
                    .map(|(condition, result)| {
                        Some((self.expression(condition, value.as_ref().or(case))?, one(result)?))
                    })
                    .collect::<Option<Vec<_>>>()?;
                let otherwise = match otherwise {
                    Some(otherwise) => one(otherwise)?,
                    None => Expr::Literal(None, kind()),
                };
                Some(Expr::Case { branches, otherwise: Box::new(otherwise), kind: kind() })
            }
            View::Function(call) | View::Operator(call) => self.call(call, kind(), case),
            _ => None,
        }
    }

    fn call(&self, call: Call<'_>, kind: Kind, case: Option<&Expr>) -> Option<Expr> {
        let _ = (call, kind, case);
        None
    }
}

/// The same bytes read as another kind.
fn relabel(expression: Expr, kind: Kind) -> Option<Expr> {
    match expression {
        Expr::Column(position, _) => Some(Expr::Column(position, kind)),
        Expr::Literal(image, _) => Some(Expr::Literal(image, kind)),
        other => (super::native::kind_of(&other) == Some(kind)).then_some(other),
    }
}

/// The kind of an expression's value, where it is known.
fn kind_of(expression: &Expr) -> Option<Kind> {
    match expression {
        Expr::Column(_, kind)
        | Expr::Literal(_, kind)
        | Expr::Call { kind, .. }
        | Expr::Case { kind, .. }
        | Expr::Coalesce(_, kind) => Some(*kind),
        Expr::NullIf { value, .. } => kind_of(value),
        Expr::And(_)
        | Expr::Or(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::BoolTest { .. }
        | Expr::Distinct { .. }
        | Expr::InList { .. } => Some(Kind::Bool),
    }
}
