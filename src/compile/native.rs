//! Translation of PostgreSQL's expressions to the engine's own; an expression that has any part the engine does not know is
//! PostgreSQL's as a whole.

use super::Compiler;
use crate::pg::catalog_lookup;
use crate::pg::node::{Call, Node, View};
use crate::pg::single;
use std::collections::HashMap;
use trickle_operators::expr::function::{function, Comparison, Function, Operation};
use trickle_operators::expr::Expr;
use trickle_operators::value::{Kind, RowRef};

/// Where a Var's column is in the row.
type Positions = HashMap<(usize, i16), usize>;

impl<'t> Compiler<'t, '_> {
    /// The engine's form of an expression, if it has one.
    pub(super) fn native(&self, expression: Node<'t>, positions: &Positions) -> Option<Expr> {
        let translator = Translator { positions, functions: self.options.native_expressions && catalog_lookup::utf8() };
        translator.expression(expression, None)
    }
}

/// The engine's form of an expression without columns, whether or not it may evaluate those of rows.
pub(super) fn constant(expression: Node<'_>) -> Option<Expr> {
    let positions = Positions::new();
    Translator { positions: &positions, functions: catalog_lookup::utf8() }.expression(expression, None)
}

/// Whether evaluation can raise an error for some row.
pub(super) fn fallible(expression: &Expr) -> bool {
    expression.fallible()
}

/// The function that casts one kind to another without a change of value: pg_proc OIDs.
fn widening(from: Kind, to: Kind) -> Option<u32> {
    Some(match (from, to) {
        (Kind::Int2, Kind::Int4) => 313,
        (Kind::Int2, Kind::Int8) => 754,
        (Kind::Int4, Kind::Int8) => 481,
        (Kind::Float4, Kind::Float8) => 311,
        _ => return None,
    })
}

/// Whether values of one kind are compared with another's as values of the other.
pub(super) fn widens(from: Kind, to: Kind) -> bool {
    widening(from, to).is_some()
}

/// The expression with its value as `kind`, the same or a wider one.
pub(super) fn widen(expression: Expr, kind: Kind) -> Option<Expr> {
    let from = expression.kind();
    if from == kind {
        return Some(expression);
    }
    let function = widening(from, kind)?;
    Some(Expr::Call { function, arguments: vec![expression], kind, collation: 0 })
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
            View::Distinct(call) => self.distinct(call, case),
            View::NullIf(call) => self.null_if(call, case),
            View::ArrayOperator { call, any } => self.in_list(call, any, case),
            _ => None,
        }
    }

    fn call(&self, call: Call<'_>, kind: Kind, case: Option<&Expr>) -> Option<Expr> {
        if let ([value, rows], true) = (&call.arguments[..], single::is_function(call.function)) {
            let (value, rows) = (self.expression(*value, case)?, self.expression(*rows, case)?);
            return Some(Expr::Single { rows: Box::new(rows), value: Box::new(value) });
        }
        self.known(&call)?;
        let arguments = self.arguments(&call, case)?;
        Some(Expr::Call { function: call.function, arguments, kind, collation: call.collation })
    }

    /// The native function of a call, if its result under the call's collation is the one that bytes give.
    fn known(&self, call: &Call<'_>) -> Option<&'static Function> {
        let function = function(call.function)?;
        let textual = function.argument_kinds().iter().any(|kind| matches!(kind, Kind::Text | Kind::Bpchar));
        if call.variadic || call.arguments.len() != function.arity {
            return None;
        }
        if textual && matches!(function.operation, Operation::Compare(_)) {
            let certain = if function.orders() {
                catalog_lookup::byte_order(call.collation)
            } else {
                catalog_lookup::deterministic(call.collation)
            };
            return certain.then_some(function);
        }
        Some(function)
    }

    fn arguments(&self, call: &Call<'_>, case: Option<&Expr>) -> Option<Vec<Expr>> {
        let kinds = function(call.function)?.argument_kinds();
        let translate = |(node, kind): (&Node<'_>, &Kind)| {
            let expression = self.expression(*node, case)?;
            // A domain, an enum or the like under another name would have been relabelled.
            (expression.kind() == *kind).then_some(expression)
        };
        call.arguments.iter().zip(kinds).map(translate).collect()
    }

    fn distinct(&self, call: Call<'_>, case: Option<&Expr>) -> Option<Expr> {
        self.known(&call)?;
        let mut arguments = self.arguments(&call, case)?.into_iter();
        let (left, right) = (Box::new(arguments.next()?), Box::new(arguments.next()?));
        Some(Expr::Distinct { equality: call.function, left, right, collation: call.collation })
    }

    fn null_if(&self, call: Call<'_>, case: Option<&Expr>) -> Option<Expr> {
        let value = self.expression(*call.arguments.first()?, case)?;
        let equal = self.call(call, Kind::Bool, case)?;
        Some(Expr::NullIf { equal: Box::new(equal), value: Box::new(value) })
    }

    /// `needle = ANY (constants)` and `needle <> ALL (constants)`, which IN and NOT IN of a list are.
    fn in_list(&self, call: Call<'_>, any: bool, case: Option<&Expr>) -> Option<Expr> {
        let known = self.known(&call)?;
        let (equality, negated) = match (known.operation, any) {
            (Operation::Compare(Comparison::Eq), true) => (call.function, false),
            (Operation::Compare(Comparison::Ne), false) => (catalog_lookup::negator_function(call.operator)?, true),
            _ => return None,
        };
        let equal = function(equality)?;
        let [needle, array] = call.arguments[..] else { return None };
        let needle = self.expression(needle, case)?;
        let list_kind = equal.arguments[1];
        let list = match array.view() {
            View::Const(constant) => constant.array().filter(|(_, ty)| ty.kind == list_kind)?.0,
            _ => array.elements()?.into_iter().map(|element| literal(element, list_kind)).collect::<Option<_>>()?,
        };
        if needle.kind() != equal.arguments[0] {
            return None;
        }
        Some(Expr::InList { equality, needle: Box::new(needle), list, list_kind, negated, collation: call.collation })
    }
}

/// The image of an expression without columns that does not raise.
fn literal(node: Node<'_>, kind: Kind) -> Option<Option<Vec<u8>>> {
    let expression = constant(node).filter(|expression| expression.kind() == kind)?;
    let value = expression.eval(RowRef::default()).ok()?;
    Some(value.map(|image| image.into_owned()))
}

/// The same bytes read as another kind.
fn relabel(expression: Expr, kind: Kind) -> Option<Expr> {
    match expression {
        Expr::Column(position, _) => Some(Expr::Column(position, kind)),
        Expr::Literal(image, _) => Some(Expr::Literal(image, kind)),
        other => (other.kind() == kind).then_some(other),
    }
}
