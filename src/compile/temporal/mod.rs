//! Temporal filters: conditions that compare a value of the row with the clock.
//!
//! ```text
//! WHERE ts > now() - interval '1 hour'
//! WHERE valid_from <= now() AND (valid_to IS NULL OR now() < valid_to)
//! WHERE d = current_date
//! ```
//!
//! A condition of WHERE, of an inner join or of HAVING may read the clock in comparisons combined by AND, OR, NOT, IS and
//! COALESCE. One side of each comparison ([`comparison`]) is any expression over the row; the other ([`expression`]) is made
//! of the clock alone, and must not go back while the clock goes on (HAZARDS E32): only then has each row at most two
//! instants at which the comparison turns, or two for each range of a multirange. A difference from the clock that is
//! compared with a constant is such a comparison too.
//!
//! Conditions that cannot raise come before, so that what the clock decides sees the fewest rows. Those that can come after:
//! a row that has left has no error, whenever it left.

mod comparison;
mod expression;

use super::block::{conjuncts, plain_column};
use super::stage::Stage;
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::clock::reads_clock as is_clock;
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use comparison::Test;
use trickle_operators::expr::clock::ClockComparison;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{ClockTest, Rel, Temporal};
use trickle_operators::value::Kind;

/// A condition that reads the clock.
enum Condition<'t> {
    And(Vec<Condition<'t>>),
    Or(Vec<Condition<'t>>),
    Not(Box<Condition<'t>>),
    /// `IS [NOT] TRUE/FALSE/UNKNOWN`
    Is {
        part: Box<Condition<'t>>,
        value: Option<bool>,
        negated: bool,
    },
    /// Of which all but the last are ordinary or tests.
    Coalesce(Vec<Condition<'t>>),
    /// Does not read it.
    Ordinary(Node<'t>),
    Test(Test<'t>),
}

/// What a row must have for the condition, before the clock is asked.
#[derive(Default)]
struct Needed<'t> {
    /// Expressions that become columns: as written, and as they are evaluated.
    computed: Vec<(Node<'t>, Node<'t>)>,
    tests: Vec<(usize, Test<'t>)>,
}

/// A condition whose parts are columns, native predicates and tests by number.
enum Placed {
    And(Vec<Placed>),
    Or(Vec<Placed>),
    Not(Box<Placed>),
    Is { part: Box<Placed>, value: Option<bool>, negated: bool },
    Coalesce(Vec<Placed>),
    Native(Expr),
    Computed(usize),
    Test(usize),
}

/// Whether any part of the expression is the transaction's clock, or what is made of it.
pub(super) fn reads_clock(expression: Node<'_>) -> bool {
    expression.visit(&mut |node| match node.view() {
        View::CurrentTime(_) => true,
        View::Function(call) => is_clock(call.function),
        _ => false,
    })
}

/// Whether a condition on the clock refers to the query around its own: no join condition may, a filter of that query's
/// rows with their bindings may.
pub(super) fn looks_out_by_clock(query: Query<'_>) -> bool {
    query.node().visit(&mut |node| {
        // Of an AND each part is a condition of its own.
        let condition = matches!(
            node.view(),
            View::Operator(_)
                | View::Distinct(_)
                | View::Or(_)
                | View::Not(_)
                | View::BooleanTest { .. }
                | View::NullTest { .. }
                | View::Coalesce(_)
        );
        condition && reads_clock(node) && super::semi_join::looks_out(node)
    })
}

/// Whether any part of the expression is a column.
fn reads_row(expression: Node<'_>) -> bool {
    expression.visit(&mut |node| matches!(node.view(), View::Var(_) | View::Aggregate(_)))
}

impl<'t> Compiler<'t, '_> {
    /// As [`Compiler::check_expression`], for a condition whose rows are filtered.
    pub(super) fn check_condition(&self, condition: Node<'t>, place: &str) -> Lowered<()> {
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        parts.into_iter().try_for_each(|part| match reads_clock(part) {
            true if self.correlated.is_some() && super::semi_join::looks_out(part) => Err(NotIncremental::new(
                "temporal filter over another query level",
                format!("A comparison with the clock in {place} refers to the query around its own."),
            )),
            true => self.temporal_condition(part, place).map(|_| ()),
            false => self.check_expression(part, place),
        })
    }

    /// Keeps the rows for which conditions that read the clock are true at the time that it shows. With each condition come
    /// those that stand before it and are yet to be applied: where one of them is false, it is not reached.
    pub(super) fn filter_by_clock(
        &mut self,
        stage: &mut Stage,
        conditions: &[(Node<'t>, Vec<Node<'t>>)],
    ) -> Lowered<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        let mut needed = Needed::default();
        let mut placed = Vec::new();
        for (condition, first) in conditions {
            let condition = self.temporal_condition(*condition, "WHERE")?;
            let before: Vec<Node<'t>> = first.iter().map(|node| self.arena.not(*node)).collect();
            placed.push(self.place(stage, condition, &before, &mut needed));
        }
        let Needed { computed, tests } = needed;
        let (written, evaluated): (Vec<_>, Vec<_>) = computed.into_iter().unzip();
        let texts: Vec<String> = written.iter().map(|node| self.text(stage, *node)).collect();
        let columns = self.compute(stage, &evaluated)?;
        let names = evaluated.iter().zip(&columns).zip(texts);
        let names = names.filter(|((node, _), _)| plain_column(**node).is_none()).map(|((_, at), text)| (*at, text));
        let names = names.collect();
        let width = stage.columns.len();
        let condition = Placed::And(placed).expression(&columns, width);
        let tests = tests
            .into_iter()
            .map(|(value, test)| {
                let Test { shown: _, value: _, kind, comparison, clock, text } = test;
                ClockTest { value: columns[value], kind, comparison, clock, text }
            })
            .collect();
        let input = stage.rel();
        stage.rel = Rel::Temporal(Temporal { input, width, tests, condition, names });
        Ok(())
    }

    /// Finds places for a condition's parts. `before`: where one of these is true, the part does not matter, and is not
    /// reached, as PostgreSQL would not reach it (HAZARDS E25).
    fn place(&self, stage: &Stage, condition: Condition<'t>, before: &[Node<'t>], needed: &mut Needed<'t>) -> Placed {
        match condition {
            Condition::And(parts) => {
                let mut before = before.to_vec();
                let mut placed = Vec::new();
                for part in parts {
                    let decides = match part {
                        Condition::Ordinary(node) => Some(self.arena.not(node)),
                        _ => None,
                    };
                    placed.push(self.place(stage, part, &before, needed));
                    before.extend(decides);
                }
                Placed::And(placed)
            }
            Condition::Or(parts) => {
                let mut before = before.to_vec();
                let mut placed = Vec::new();
                for part in parts {
                    let decides = match part {
                        Condition::Ordinary(node) => Some(node),
                        _ => None,
                    };
                    placed.push(self.place(stage, part, &before, needed));
                    before.extend(decides);
                }
                Placed::Or(placed)
            }
            Condition::Not(part) => Placed::Not(Box::new(self.place(stage, *part, before, needed))),
            Condition::Is { part, value, negated } => {
                Placed::Is { part: Box::new(self.place(stage, *part, before, needed)), value, negated }
            }
            Condition::Coalesce(parts) => {
                let mut before = before.to_vec();
                let mut placed = Vec::new();
                for part in parts {
                    let decides = match &part {
                        Condition::Ordinary(node) => Some(*node),
                        Condition::Test(test) => Some(test.value),
                        _ => None,
                    };
                    placed.push(self.place(stage, part, &before, needed));
                    before.extend(decides.map(|value| self.arena.not(self.arena.is_null(value))));
                }
                Placed::Coalesce(placed)
            }
            Condition::Ordinary(node) => match self.certain(node, &stage.positions) {
                Some(expression) => Placed::Native(expression),
                None => Placed::Computed(needed.compute(node, self.arena.unless_any(before, node))),
            },
            Condition::Test(test) => {
                let certain = self.certain(test.value, &stage.positions).is_some();
                let value = if certain { test.value } else { self.arena.unless_any(before, test.value) };
                let column = needed.compute(test.shown, value);
                needed.tests.push((column, test));
                Placed::Test(needed.tests.len() - 1)
            }
        }
    }

    fn temporal_condition(&self, condition: Node<'t>, place: &str) -> Lowered<Condition<'t>> {
        if !reads_clock(condition) {
            self.check_expression(condition, place)?;
            return Ok(Condition::Ordinary(condition));
        }
        let all = |parts: Vec<Node<'t>>| -> Lowered<Vec<_>> {
            parts.into_iter().map(|part| self.temporal_condition(part, place)).collect()
        };
        match condition.view() {
            View::And(parts) => Ok(Condition::And(all(parts)?)),
            View::Or(parts) => Ok(Condition::Or(all(parts)?)),
            View::Not(part) => Ok(Condition::Not(Box::new(self.temporal_condition(part, place)?))),
            View::BooleanTest { argument, value, negated } => {
                Ok(Condition::Is { part: Box::new(self.temporal_condition(argument, place)?), value, negated })
            }
            View::NullTest { argument, negated, row: false } if argument.column_type().kind == Kind::Bool => {
                let part = Box::new(self.temporal_condition(argument, place)?);
                Ok(Condition::Is { part, value: None, negated })
            }
            View::Coalesce(parts) => {
                let parts = all(parts)?;
                let simple = |part: &Condition<'_>| matches!(part, Condition::Ordinary(_) | Condition::Test(_));
                match parts.iter().rev().skip(1).all(simple) {
                    true => Ok(Condition::Coalesce(parts)),
                    false => Err(not_compared(place)),
                }
            }
            View::Operator(call) => match self.range(&call) {
                Some((range, clock, several)) if several => self.within_any(range, clock, place).map(Condition::Test),
                Some((range, clock, _)) => self.within(range, clock, place),
                None => self.test(&call, place).map(Condition::Test),
            },
            // A value that is NULL is distinct from the clock.
            View::Distinct(call) => {
                let test = Test { comparison: ClockComparison::Ne, ..self.test(&call, place)? };
                let null = Condition::Ordinary(self.arena.is_null(test.shown));
                Ok(Condition::Or(vec![null, Condition::Test(test)]))
            }
            _ => Err(not_compared(place)),
        }
    }
}

impl<'t> Needed<'t> {
    fn compute(&mut self, written: Node<'t>, evaluated: Node<'t>) -> usize {
        self.computed.push((written, evaluated));
        self.computed.len() - 1
    }
}

impl Placed {
    /// The expression over the columns, in which test `n` is column `width + n`.
    fn expression(self, columns: &[usize], width: usize) -> Expr {
        let all = |parts: Vec<Placed>| parts.into_iter().map(|part| part.expression(columns, width)).collect();
        match self {
            Placed::And(mut parts) if parts.len() == 1 => parts.remove(0).expression(columns, width),
            Placed::And(parts) => Expr::And(all(parts)),
            Placed::Or(parts) => Expr::Or(all(parts)),
            Placed::Not(part) => Expr::Not(Box::new(part.expression(columns, width))),
            Placed::Is { part, value, negated } => {
                Expr::BoolTest { argument: Box::new(part.expression(columns, width)), value, negated }
            }
            Placed::Coalesce(parts) => Expr::Coalesce(all(parts), Kind::Bool),
            Placed::Native(expression) => expression,
            Placed::Computed(at) => Expr::Column(columns[at], Kind::Bool),
            Placed::Test(number) => Expr::Column(width + number, Kind::Bool),
        }
    }
}

fn not_compared(place: &str) -> NotIncremental {
    NotIncremental::new(
        "condition on the clock that is not a comparison",
        format!("The clock is read in {place} other than in a comparison of a date or timestamp with it."),
    )
}
