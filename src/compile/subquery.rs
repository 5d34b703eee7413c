//! Subqueries in expressions: each becomes a column, of a relation with one row for each of its bindings ([`super::context`]).
//!
//! That relation is one reduce over the rows of the subquery, with a row beside them for each binding, so that there is a
//! result where the subquery has no row:
//!
//! ```text
//! EXISTS (…)        whether there is a row
//! x op ANY (…)      t OR (n AND NULL)         t: there is a row for which the comparison is true, n: … is NULL
//! x op ALL (…)      NOT (f OR (n AND NULL))   f: there is a row for which it is false
//! scalar            the row's value, NULL without a row, an error with two
//! ARRAY(…)          a scalar one: an aggregate of the rows
//! ```
//!
//! A subquery under CASE, COALESCE, AND or OR is lowered for the bindings of those rows alone that get there: what it would
//! raise for others is not raised (HAZARDS E25).

use super::block::{conjuncts, Block, Column, Leaf, LeafKind, Output};
use super::context::{image_key, Tied};
use super::equality::image_column;
use super::existence::Existence;
use super::scope::Scope;
use super::{unique, window, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::image;
use crate::pg::node::{Arena, Node, View};
use crate::pg::query::Query;
use crate::pg::single;
use crate::pg::sublink::{SubLink, SubLinkKind};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Aggregate, AggregateFunction, Reduce, Rel};
use trickle_operators::value::{ColumnType, Kind, Row};

/// A subquery of an expression, and what must be true for it to be evaluated.
struct Guarded<'t> {
    node: Node<'t>,
    guard: Vec<Node<'t>>,
}

pub(super) fn has_subquery(expression: Node<'_>) -> bool {
    expression.visit(&mut |node| matches!(node.view(), View::SubLink))
}

/// The subqueries of an expression in the order of evaluation.
fn guarded<'t>(arena: &'t Arena, node: Node<'t>, guard: &mut Vec<Node<'t>>, found: &mut Vec<Guarded<'t>>) {
    if !has_subquery(node) {
        return;
    }
    let before = guard.len();
    match node.view() {
        View::SubLink => {
            if let Some(test) = node.sublink().and_then(|link| link.test) {
                guarded(arena, test, guard, found);
            }
            found.push(Guarded { node, guard: guard.clone() });
        }
        View::And(parts) | View::Or(parts) => {
            let decides = matches!(node.view(), View::Or(_));
            for part in parts {
                guarded(arena, part, guard, found);
                // What is compared with the columns of a subquery is asked for each of its rows.
                if !compares(arena, part) {
                    guard.push(arena.is_not(part, decides));
                }
            }
        }
        View::Coalesce(parts) => {
            for part in parts {
                guarded(arena, part, guard, found);
                guard.push(arena.is_null(part));
            }
        }
        View::Case { argument, branches, otherwise } => {
            if let Some(argument) = argument {
                guarded(arena, argument, guard, found);
            }
            for (condition, result) in branches {
                guarded(arena, condition, guard, found);
                let condition = tested(arena, condition, argument);
                let outside = guard.len();
                guard.extend(condition);
                guarded(arena, result, guard, found);
                guard.truncate(outside);
                guard.extend(condition.map(|condition| arena.is_not(condition, true)));
            }
            if let Some(otherwise) = otherwise {
                guarded(arena, otherwise, guard, found);
            }
        }
        // What FILTER leaves out is not evaluated.
        View::Aggregate(call) if call.filter.is_some() && !call.ordered_set => {
            call.filter.iter().for_each(|filter| guarded(arena, *filter, guard, found));
            guard.extend(call.filter);
            call.arguments.into_iter().for_each(|argument| guarded(arena, argument, guard, found));
        }
        _ => {
            let mut top = true;
            let walked = arena.rewrite::<()>(node, &mut |part| {
                if std::mem::take(&mut top) {
                    return Ok(None);
                }
                guarded(arena, part, guard, found);
                Ok(Some(part))
            });
            debug_assert!(walked.is_ok());
        }
    }
    guard.truncate(before);
}

/// Whether an expression is part of a comparison with a subquery's columns.
fn compares<'t>(arena: &'t Arena, expression: Node<'t>) -> bool {
    let mut found = false;
    let walked = arena.rewrite::<()>(expression, &mut |node| {
        found |= node.sublink_column().is_some();
        Ok(matches!(node.view(), View::SubLink).then_some(node))
    });
    walked.is_ok() && found
}

/// Whether a window function of the query decides whether one of its subqueries is evaluated, or is compared with one.
pub(super) fn depends_on_window<'t>(arena: &'t Arena, expression: Node<'t>) -> bool {
    let mut found = Vec::new();
    guarded(arena, expression, &mut Vec::new(), &mut found);
    found.iter().any(|Guarded { node, guard }| {
        let test = node.sublink().and_then(|link| link.test);
        guard.iter().copied().chain(test).any(|part| !window::calls_of_level(arena, part).is_empty())
    })
}

/// A condition of `CASE argument WHEN …` with the argument in its place; none if there are other places in it that look the
/// same.
fn tested<'t>(arena: &'t Arena, condition: Node<'t>, argument: Option<Node<'t>>) -> Option<Node<'t>> {
    let Some(argument) = argument else { return Some(condition) };
    if condition.visit(&mut |node| node.tests_elements()) {
        return None;
    }
    let written = arena.rewrite::<()>(condition, &mut |node| {
        Ok(match node.view() {
            View::CaseTest => Some(argument),
            // Its conditions have an argument of their own.
            View::Case { argument: Some(_), .. } => Some(node),
            _ => None,
        })
    });
    written.ok()
}

impl<'t> Compiler<'t, '_> {
    /// The expression with a column in the place of each of its subqueries, which become inputs of the scope's block.
    pub(super) fn lift(&mut self, scope: &mut Scope<'t>, expression: Node<'t>) -> Lowered<Node<'t>> {
        self.lift_all(scope, expression, None)
    }

    /// The same of a condition that must be true.
    pub(super) fn lift_condition(&mut self, scope: &mut Scope<'t>, condition: Node<'t>) -> Lowered<Node<'t>> {
        self.lift_all(scope, condition, Some(condition))
    }

    fn lift_all(
        &mut self,
        scope: &mut Scope<'t>,
        expression: Node<'t>,
        condition: Option<Node<'t>>,
    ) -> Lowered<Node<'t>> {
        let mut found = Vec::new();
        guarded(self.arena, expression, &mut Vec::new(), &mut found);
        let mut done: Vec<(Node<'t>, Node<'t>)> = Vec::new();
        for Guarded { node, guard } in found {
            let Some(mut link) = node.sublink() else {
                return Err(unknown());
            };
            let mut conditions = Vec::new();
            for condition in guard {
                let condition = replaced(self.arena, condition, &done)?;
                self.check_condition(condition, "a condition")?;
                conditions.push(scope.resolve(self, condition)?);
            }
            if let Some(test) = link.test {
                link.test = Some(replaced(self.arena, test, &done)?);
            }
            let mut beyond = None;
            if link.kind == SubLinkKind::Exists {
                match self.existence(link)? {
                    Existence::Never => {
                        done.push((node, self.arena.falsehood()));
                        continue;
                    }
                    Existence::Any(other) => link = other,
                    Existence::Beyond(count, offset) => (link, beyond) = (count, Some(offset)),
                }
            }
            let grouped = match &conditions[..] {
                [] => self.lift_grouped(scope, &link, node, condition.filter(|_| beyond.is_none()))?,
                _ => None,
            };
            let value = match grouped {
                Some(value) => value,
                None => self.lift_one(scope, link, &conditions)?,
            };
            done.push((node, beyond.map_or(value, |offset| self.arena.above(value, offset))));
        }
        replaced(self.arena, expression, &done)
    }

    fn lift_one(&mut self, scope: &mut Scope<'t>, link: SubLink<'t>, guard: &[Node<'t>]) -> Lowered<Node<'t>> {
        match link.kind {
            SubLinkKind::Exists | SubLinkKind::Any | SubLinkKind::All => self.lift_test(scope, link, guard),
            SubLinkKind::Scalar | SubLinkKind::Row => self.lift_value(scope, link, guard),
            SubLinkKind::Array => match self.arena.array_as_aggregate(link) {
                Some(link) => self.lift_value(scope, link, guard),
                None => Err(unknown()),
            },
            SubLinkKind::Other => Err(unknown()),
        }
    }

    /// EXISTS, ANY and ALL: a boolean column.
    fn lift_test(&mut self, scope: &mut Scope<'t>, link: SubLink<'t>, guard: &[Node<'t>]) -> Lowered<Node<'t>> {
        let test = match link.test {
            Some(test) => Some(self.tested_outside(scope, test)?),
            None => None,
        };
        let references = self.references(link.query);
        let tied = self.tie(scope, &references, test.as_slice(), &[], !guard.is_empty())?;
        let inner = self.tie_guarded(scope, &references, test.as_slice(), guard, &tied)?;
        let width = tied.as_ref().map_or(0, |tied| tied.columns.len());
        let mut rows = self.subquery_rows(link.query, &inner)?;
        let targets = rows.outputs.split_off(width);
        let (mut arms, negated) = (Vec::new(), link.kind == SubLinkKind::All);
        match test {
            None => arms.push((rows, [true, false])),
            Some(test) => {
                let (test, rows) = self.inner_test(&inner, test, rows, &targets)?;
                let decides = if negated { self.negation(test) } else { test };
                let mut matched = rows.clone();
                conjuncts(decides, &mut matched.predicates);
                arms.push((matched, [true, false]));
                for conditions in self.unknown(&rows, test)? {
                    let mut unknown = rows.clone();
                    unknown.predicates.extend(conditions);
                    arms.push((unknown, [false, true]));
                }
            }
        }
        let leaf = self.gather_tests(&tied, arms, negated)?;
        let columns = tied.map_or(Vec::new(), |tied| tied.columns);
        let ty =
            leaf.columns[width].as_ref().map(|column| column.ty.clone()).ok_or_else(super::block::missing_column)?;
        let entry = self.join_back(scope, &columns, leaf, true);
        Ok(self.arena.var(entry, width as i16 + 1, &ty))
    }

    /// The side of a comparison that is not the subquery's, in terms of the scope's block.
    fn tested_outside(&mut self, scope: &Scope<'t>, test: Node<'t>) -> Lowered<Node<'t>> {
        let resolved = self.arena.rewrite(test, &mut |node| match (node.view(), node.sublink_column()) {
            (_, Some(_)) => Ok(Some(node)),
            (View::Var(_), None) => scope.resolve(self, node).map(Some),
            _ => Ok(None),
        })?;
        Ok(resolved)
    }

    /// A comparison, over the scope's block and the subquery's columns, as a condition on the subquery's rows with their
    /// bindings.
    fn inner_test(
        &mut self,
        inner: &Option<Tied<'t>>,
        test: Node<'t>,
        rows: Block<'t>,
        targets: &[Output<'t>],
    ) -> Lowered<(Node<'t>, Block<'t>)> {
        let test = self.arena.rewrite(test, &mut |node| match (node.view(), node.sublink_column()) {
            (_, Some(column)) => {
                let target = targets.get(column - 1).ok_or_else(super::block::missing_column)?;
                Ok(Some(target.expression))
            }
            (View::Var(var), None) => {
                let tied = inner.as_ref().ok_or_else(super::block::missing_column)?;
                let at =
                    tied.columns.iter().position(|column| matches!(column.view(), View::Var(known) if known == var));
                let at = at.ok_or_else(super::block::missing_column)?;
                Ok(Some(rows.outputs[at].expression))
            }
            _ => Ok(None),
        })?;
        self.check_expression(test, "a comparison with a subquery")?;
        Ok((test, rows))
    }

    /// `NOT test`, by the negated operator where there is one.
    fn negation(&self, test: Node<'t>) -> Node<'t> {
        self.arena.negated(test).unwrap_or_else(|| self.arena.not(test))
    }

    /// When a comparison is NULL: any of these sets of conditions.
    fn unknown(&self, rows: &Block<'t>, test: Node<'t>) -> Lowered<Vec<Vec<Node<'t>>>> {
        let mut parts = Vec::new();
        conjuncts(test, &mut parts);
        let mut found = Vec::new();
        for part in &parts {
            match part.view() {
                // A comparison of two values is never NULL; other operators may be.
                View::Operator(call)
                    if catalog_lookup::builtin(call.operator)
                        && catalog_lookup::strict(call.function)
                        && catalog_lookup::is_comparison(call.operator) =>
                {
                    for argument in call.arguments {
                        if rows.describe("", argument)?.nullable {
                            found.push(vec![self.arena.is_null(argument)]);
                        }
                    }
                }
                _ => return Ok(vec![vec![self.arena.is_null(test)]]),
            }
        }
        // Of several comparisons, NULL in one does not matter where another is false.
        Ok(if parts.len() == 1 || found.is_empty() { found } else { vec![vec![self.arena.is_null(test)]] })
    }

    /// For each binding, whether there is a row in the arms whose first mark is true; or NULL if one whose second is.
    fn gather_tests(
        &mut self,
        tied: &Option<Tied<'t>>,
        arms: Vec<(Block<'t>, [bool; 2])>,
        negated: bool,
    ) -> Lowered<Leaf<'t>> {
        // Without an arm of that kind there is nothing that it could be NULL by.
        let nullable = arms.iter().any(|(_, marks)| marks[1]);
        let marks = if nullable { 2 } else { 1 };
        let mut all = vec![(self.every_binding(tied), [false, false])];
        all.extend(arms);
        let settled = all.iter().all(|(block, _)| block.rows_settled());
        let mut blocks = Vec::new();
        for (mut block, values) in all {
            for value in &values[..marks] {
                block.outputs.push(Output { name: "mark".to_string(), expression: self.arena.boolean(*value) });
            }
            blocks.push(block);
        }
        let types = bound_types(tied);
        let width = types.len();
        let input = self.union_rel(&blocks)?;
        let mark = |at: usize| Aggregate {
            function: AggregateFunction::BoolOr,
            argument: Some(width + at),
            distinct: None,
            filter: None,
        };
        let rel = self.by_binding(&types, input, (0..marks).map(mark).collect(), "subquery");
        let found = Expr::Column(width, Kind::Bool);
        let value = if nullable {
            let unknown = Expr::Column(width + 1, Kind::Bool);
            Expr::Or(vec![found, Expr::And(vec![unknown, Expr::Literal(None, Kind::Bool)])])
        } else {
            found
        };
        let value = if negated { Expr::Not(Box::new(value)) } else { value };
        let site = self.site("subquery".to_string(), types.clone());
        let rel = Rel::Map { input: Box::new(rel), expressions: vec![value], site };
        let rel = Rel::Project { input: Box::new(rel), columns: (0..width).chain([width + marks]).collect() };
        let name = if negated { "all" } else { "any" };
        let ty = self.arena.truth().column_type();
        let column = Column { name: name.to_string(), ty, nullable, determined: settled, settled };
        Ok(self.bound_leaf(tied, rel, vec![column], &types))
    }

    /// A scalar subquery, or the comparison of a row with one.
    fn lift_value(&mut self, scope: &mut Scope<'t>, link: SubLink<'t>, guard: &[Node<'t>]) -> Lowered<Node<'t>> {
        let references = self.references(link.query);
        let tied = self.tie(scope, &references, &[], &[], !guard.is_empty())?;
        let inner = self.tie_guarded(scope, &references, &[], guard, &tied)?;
        let width = tied.as_ref().map_or(0, |tied| tied.columns.len());
        let rows = self.subquery_rows(link.query, &inner)?;
        let (leaf, counted) = if guard.is_empty() && has_one_row(link.query) {
            (self.value_as_is(&tied, rows)?, false)
        } else {
            self.gather_value(&tied, rows)?
        };
        let types: Vec<ColumnType> =
            leaf.columns.iter().skip(width).flatten().map(|column| column.ty.clone()).collect();
        let columns = tied.map_or(Vec::new(), |tied| tied.columns);
        let entry = self.join_back(scope, &columns, leaf, true);
        let value = |at: usize| {
            let column = |at: usize| {
                let ty = types.get(at).ok_or_else(super::block::missing_column)?;
                Ok(self.arena.var(entry, (width + at) as i16 + 1, ty))
            };
            // Several rows are an error of the rows that ask for the value.
            Ok(match counted {
                true => single::call(self.arena, column(at)?, column(types.len() - 1)?),
                false => column(at)?,
            })
        };
        match link.test {
            None => value(0),
            Some(test) => self.arena.rewrite(test, &mut |node| match node.sublink_column() {
                Some(column) => value(column - 1).map(Some),
                None => Ok(None),
            }),
        }
    }

    /// For each binding the values of the row that there is in any case.
    fn value_as_is(&mut self, tied: &Option<Tied<'t>>, rows: Block<'t>) -> Lowered<Leaf<'t>> {
        let types = bound_types(tied);
        let finished = self.finish(&rows)?;
        let columns = finished.columns[types.len()..].to_vec();
        let rel = finished.projected();
        Ok(self.bound_leaf(tied, rel, columns, &types))
    }

    /// For each binding the values of its only row, NULLs without one; then, unless there can be no more, the number of rows.
    fn gather_value(&mut self, tied: &Option<Tied<'t>>, mut rows: Block<'t>) -> Lowered<(Leaf<'t>, bool)> {
        let types = bound_types(tied);
        let width = types.len();
        let described = rows.outputs[width..]
            .iter()
            .map(|output| rows.describe(&output.name, output.expression))
            .collect::<Lowered<Vec<_>>>()?;
        let only_one = unique::has_one_row(&rows, width);
        let mut pad = self.every_binding(tied);
        for column in &described {
            pad.outputs.push(Output { name: column.name.clone(), expression: self.arena.null(&column.ty) });
        }
        for (block, counted) in [(&mut rows, true), (&mut pad, false)] {
            block.outputs.push(Output { name: "counted".to_string(), expression: self.arena.boolean(counted) });
        }
        let settled = rows.rows_settled();
        let input = self.union_rel(&[rows, pad])?;
        let count = described.len();
        let filter = Some(width + count);
        let aggregate = |function, argument| Aggregate { function, argument, distinct: None, filter };
        let mut aggregates: Vec<Aggregate> =
            (0..count).map(|at| aggregate(AggregateFunction::LeastImage, Some(width + at))).collect();
        if !only_one {
            aggregates.push(aggregate(AggregateFunction::CountRows, None));
        }
        let rel = self.by_binding(&types, input, aggregates, "scalar subquery");
        let mut columns: Vec<Column> =
            described.into_iter().map(|column| Column { nullable: true, ..column }).collect();
        if !only_one {
            let ty = image::column_type(pgrx::pg_sys::INT8OID, -1, pgrx::pg_sys::InvalidOid);
            columns.push(Column { name: "rows".to_string(), ty, nullable: false, determined: settled, settled });
        }
        Ok((self.bound_leaf(tied, rel, columns, &types), !only_one))
    }

    /// A reduce by the bindings' columns; without any, over everything.
    fn by_binding(&mut self, types: &[ColumnType], input: Rel, aggregates: Vec<Aggregate>, what: &str) -> Rel {
        let site = self.site(what.to_string(), types.to_vec());
        Rel::Reduce(Reduce {
            input: Box::new(input),
            keys: types.iter().enumerate().map(|(at, ty)| image_column(at, ty)).collect(),
            aggregates,
            collected: None,
            global: types.is_empty(),
            site,
        })
    }

    fn bound_leaf(
        &mut self,
        tied: &Option<Tied<'t>>,
        rel: Rel,
        columns: Vec<Column>,
        types: &[ColumnType],
    ) -> Leaf<'t> {
        let bound = tied.iter().flat_map(|tied| tied.leaf().columns).flatten();
        let columns = bound.chain(columns).map(Some).collect();
        let keys = image_key(&types.iter().collect::<Vec<_>>());
        Leaf { kind: LeafKind::Derived(rel), name: "subquery".to_string(), columns, keys }
    }

    /// The bindings whose rows the guard lets through: those for which the subquery is evaluated.
    fn tie_guarded(
        &mut self,
        scope: &Scope<'t>,
        references: &crate::pg::references::References<'t>,
        beside: &[Node<'t>],
        guard: &[Node<'t>],
        all: &Option<Tied<'t>>,
    ) -> Lowered<Option<Tied<'t>>> {
        if guard.is_empty() {
            return Ok(all.as_ref().map(|tied| Tied { inside: tied.inside.clone(), columns: tied.columns.clone() }));
        }
        self.tie(scope, references, beside, guard, true)
    }

    /// The rows of a subquery, beginning with its bindings' columns.
    fn subquery_rows(&mut self, query: Query<'t>, tied: &Option<Tied<'t>>) -> Lowered<Block<'t>> {
        self.query_in(query, tied.as_ref().map(|tied| tied.inside.clone()))
    }

    /// The bindings themselves: one row if there are none.
    fn every_binding(&self, tied: &Option<Tied<'t>>) -> Block<'t> {
        match tied {
            Some(tied) => Block::of_relation(self, tied.leaf()),
            None => {
                let kind = LeafKind::Derived(Rel::Values { rows: vec![Row::default()] });
                let leaf = Leaf { kind, name: "row".to_string(), columns: Vec::new(), keys: vec![Vec::new()] };
                Block { leaves: vec![leaf], ..Block::default() }
            }
        }
    }

    fn union_rel(&mut self, blocks: &[Block<'t>]) -> Lowered<Rel> {
        let mut inputs = Vec::new();
        for block in blocks {
            inputs.push(self.finish(block)?.projected());
        }
        Ok(Rel::Union { inputs })
    }
}

/// Whether a query has one row whatever is in its tables: it only aggregates them.
fn has_one_row(query: Query<'_>) -> bool {
    query.has_aggregates()
        && !query.has_group_by()
        && query.having().is_none()
        && query.set_operations().is_none()
        && !query.has_limit()
        && !query.targets().iter().any(|target| target.expression.returns_set())
}

/// What parse analysis does not make of a SELECT.
pub(super) fn unknown() -> NotIncremental {
    NotIncremental::new("subquery in an expression", "There is a subquery in an expression.")
}

fn bound_types(tied: &Option<Tied<'_>>) -> Vec<ColumnType> {
    tied.iter().flat_map(|tied| tied.leaf().columns).flatten().map(|column| column.ty).collect()
}

/// An expression with what has been found for its subqueries in their place.
fn replaced<'t>(arena: &'t Arena, expression: Node<'t>, done: &[(Node<'t>, Node<'t>)]) -> Lowered<Node<'t>> {
    if done.is_empty() {
        return Ok(expression);
    }
    // A condition of `CASE argument WHEN …` is a copy in a guard.
    arena.rewrite(expression, &mut |node| {
        let found =
            done.iter().find(|(known, _)| known.is(node)).or_else(|| done.iter().find(|(known, _)| *known == node));
        Ok(found.map(|(_, value)| *value))
    })
}
