//! What PostgreSQL evaluates: fragments over an ephemeral relation.

use super::block::columns_of;
use super::stage::Stage;
use super::{temporal, Compiler, Lowered, NotIncremental};
use crate::pg::fragment_query::{self, Shape};
use crate::pg::node::{Node, View};
use trickle_operators::plan::{Collected, Fragment, Rel};
use trickle_operators::value::ColumnType;

impl<'t> Compiler<'t, '_> {
    /// Appends the values of expressions that PostgreSQL evaluates, by one fragment; where they are then.
    pub(super) fn evaluate(&mut self, stage: &mut Stage, expressions: &[Node<'t>]) -> Lowered<Vec<usize>> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        if expressions.iter().any(|expression| expression.returns_set()) {
            return Err(NotIncremental::new(
                "set-returning function",
                "The query contains a set-returning function where it would have to give one value.",
            ));
        }
        let (fragment, arguments) = self.fragment(stage, Shape::Scalar, expressions)?;
        let first = stage.columns.len();
        let site = self.site(self.fragments[fragment].text.clone(), stage.types());
        for expression in expressions {
            let name = self.text(stage, *expression);
            stage.columns.push((name, expression.column_type()));
        }
        stage.rel = Rel::PgMap { input: stage.rel(), fragment, arguments, site };
        Ok((first..stage.columns.len()).collect())
    }

    /// Aggregates that PostgreSQL evaluates over the rows of a group.
    pub(super) fn collect(&mut self, stage: &Stage, global: bool, aggregates: &[Node<'t>]) -> Lowered<Collected> {
        let shape = if global { Shape::Global } else { Shape::Grouped };
        let (fragment, arguments) = self.fragment(stage, shape, aggregates)?;
        Ok(Collected { fragment, arguments })
    }

    fn fragment(&mut self, stage: &Stage, shape: Shape, expressions: &[Node<'t>]) -> Lowered<(usize, Vec<usize>)> {
        let mut columns: Vec<(usize, i16)> = Vec::new();
        for expression in expressions {
            if temporal::reads_clock(*expression) {
                // Wherever it comes from: what is evaluated once must be true for ever.
                return Err(super::check::clock("the clock", "an expression"));
            }
            self.stamps.add_expression(*expression);
            for column in columns_of(*expression) {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        let mut positions = Vec::new();
        for column in &columns {
            let position = stage.positions.get(column).ok_or_else(super::block::missing_column)?;
            positions.push(*position);
        }
        let arguments: Vec<ColumnType> = positions.iter().map(|at| stage.columns[*at].1.clone()).collect();
        let mut results = Vec::new();
        for expression in expressions {
            let renumbered = self.arena.rewrite(*expression, &mut |node| match node.view() {
                View::Var(var) => {
                    let column = (var.entry - 1, var.attribute);
                    match columns.iter().position(|known| *known == column) {
                        Some(at) => Ok(Some(self.arena.var_like(node, 1, at as i16 + 2))),
                        None => Err(super::block::missing_column()),
                    }
                }
                _ => Ok(None),
            })?;
            results.push(renumbered);
        }
        let texts: Vec<String> = expressions.iter().map(|expression| self.text(stage, *expression)).collect();
        let fragment = Fragment {
            query: fragment_query::build(self.arena, shape, &arguments, &results),
            arguments,
            results: expressions.iter().map(|expression| expression.column_type()).collect(),
            text: texts.join(", "),
        };
        Ok((self.add_fragment(fragment), positions))
    }

    /// The same fragment twice in a plan is evaluated by one.
    pub(super) fn add_fragment(&mut self, fragment: Fragment) -> usize {
        let known = self.fragments.iter().position(|other| *other == fragment);
        known.unwrap_or_else(|| {
            self.fragments.push(fragment);
            self.fragments.len() - 1
        })
    }
}
