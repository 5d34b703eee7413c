//! ORDER BY with LIMIT, OFFSET and FETCH FIRST … WITH TIES, DISTINCT ON, and the order of a query's clauses after its target
//! list: windows, DISTINCT, ORDER BY, LIMIT.
//!
//! ORDER BY alone means nothing to a relation and is left out, with what only it reads. With a limit the rows are those of
//! a [`TopK`]. Which of several rows that are equal in the order are among the first is the engine's choice, always the same
//! one; then of the rows' columns only those of the order are determined by the content (HAZARDS E20).

use super::block::{Block, Leaf, LeafKind, Output};
use super::equality::{image_column, key_column};
use super::{native, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::ordering::{default_order, SortKey};
use crate::pg::query::Query;
use crate::pg::txn::Failure;
use std::collections::BTreeSet;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{KeyColumn, OrderKey, Rel, TopK};
use trickle_operators::value::{ColumnType, Kind, Row};

/// Which of the rows in order.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub offset: u64,
    pub count: Option<u64>,
    pub with_ties: bool,
}

/// The clauses of a query that come after its target list.
pub(super) struct Tail {
    /// The targets that are wanted, as indexes into the query's: first those that are shown, then those that something of
    /// the tail reads.
    pub targets: Vec<usize>,
    shown: usize,
    distinct: bool,
    /// Of DISTINCT ON: indexes of `targets`.
    distinct_on: Option<Vec<usize>>,
    /// The order, `target` being an index of `targets`; empty if nothing depends on it.
    order: Vec<SortKey>,
    limit: Option<Limit>,
}

/// A column of an order.
#[derive(Clone, Copy)]
pub(super) struct Ordered<'t> {
    pub expression: Node<'t>,
    pub operator: u32,
    pub descending: bool,
    pub nulls_first: bool,
}

impl<'t> Compiler<'t, '_> {
    /// What is to be done with the rows of a query once its target list is computed.
    pub(super) fn tail(&self, query: Query<'t>) -> Lowered<Tail> {
        let limit = self.limit(query)?;
        let order = if limit.is_some() || query.has_distinct_on() { query.sort_keys() } else { Vec::new() };
        let distinct_on = query.has_distinct_on().then(|| query.distinct_keys());
        let all = query.targets();
        let mut targets: Vec<usize> = (0..all.len()).filter(|at| !all[*at].junk).collect();
        let shown = targets.len();
        let mut place = |target: usize| match targets.iter().position(|known| *known == target) {
            Some(at) => at,
            None => {
                targets.push(target);
                targets.len() - 1
            }
        };
        let order = order.into_iter().map(|key| SortKey { target: place(key.target), ..key }).collect();
        let distinct_on = distinct_on.map(|keys| keys.into_iter().map(|key| place(key.target)).collect());
        // A set-returning function in ORDER BY repeats rows, even where the order means nothing.
        for at in (0..all.len()).filter(|at| all[*at].expression.returns_set()) {
            if !targets.contains(&at) {
                targets.push(at);
            }
        }
        let distinct = query.has_distinct() && !query.has_distinct_on();
        Ok(Tail { targets, shown, distinct, distinct_on, order, limit })
    }

    /// Applies it to a block with an output for each of its targets, after those of the bindings of a subquery, each of which
    /// has a limit of its own.
    pub(super) fn finish_query(&mut self, mut block: Block<'t>, tail: &Tail) -> Lowered<Block<'t>> {
        let carried = block.carried;
        block = self.project_set(block)?;
        if tail.distinct {
            block = self.distinct(block, "DISTINCT")?;
        }
        for keys in tail.distinct_on.iter() {
            let order = ordered(&block, &tail.order);
            let keys: Vec<Node<'t>> = keys.iter().map(|at| block.outputs[carried + at].expression).collect();
            let first = Limit { offset: 0, count: Some(1), with_ties: false };
            block = self.top_k(block, &keys, &order, first, "DISTINCT ON expression")?;
        }
        if let Some(limit) = tail.limit {
            if limit.count == Some(0) {
                block.predicates.push(self.arena.falsehood());
            } else {
                let order = ordered(&block, &tail.order);
                block = self.top_k(block, &[], &order, limit, "partition key")?;
            }
        }
        block.outputs.truncate(carried + tail.shown);
        Ok(block)
    }

    /// The first rows in an order, for each value of the keys and for each binding; the block that comes of it has the same outputs.
    fn top_k(
        &mut self,
        block: Block<'t>,
        keys: &[Node<'t>],
        order: &[Ordered<'t>],
        limit: Limit,
        what: &str,
    ) -> Lowered<Block<'t>> {
        let names: Vec<String> = block.outputs.iter().map(|output| output.name.clone()).collect();
        let shown = names.len();
        let carried = block.carried;
        let mut below = block;
        below.carried = 0;
        let mut input = |expression: Node<'t>| show(&mut below, expression);
        let mut compared = Vec::new();
        let mut partition = Vec::new();
        for key in keys {
            partition.push(input(*key));
            let canonical = self.canonical(*key, key.collation());
            compared.push(canonical.map_or(partition[partition.len() - 1], &mut input));
        }
        let sorted: Vec<usize> = order.iter().map(|key| input(key.expression)).collect();
        let finished = self.finish(&below)?;
        let columns = finished.columns.clone();

        let mut key_columns: Vec<KeyColumn> =
            columns[..carried].iter().enumerate().map(|(at, column)| image_column(at, &column.ty)).collect();
        let exact = columns[..carried].iter().all(|column| catalog_lookup::equal_image(&column.ty));
        for (key, by) in keys.iter().zip(&compared) {
            let what = format!("{what} {}", self.name_of(&below, *key));
            key_columns.push(key_column(Expr::Column(*by, columns[*by].ty.kind), &columns[*by].ty, true, &what)?);
        }
        let mut order_keys = Vec::new();
        for (key, column) in order.iter().zip(&sorted) {
            // All rows of a partition are equal in what it is told apart by.
            if partition.contains(column) {
                continue;
            }
            let ty = &columns[*column].ty;
            if !has_order(key, ty) {
                let (text, name) = (self.name_of(&below, key.expression), catalog_lookup::type_name(ty.oid));
                return Err(NotIncremental::new(
                    format!("order of type {name}"),
                    format!("The query takes the first rows in the order of {text}, which only PostgreSQL knows."),
                ));
            }
            order_keys.push(OrderKey {
                column: *column,
                kind: ty.kind,
                descending: key.descending,
                nulls_first: key.nulls_first,
            });
        }
        let bound = 0..carried;
        let covered: BTreeSet<usize> = bound.clone().chain(partition.iter().chain(&sorted).copied()).collect();
        let total = limit.with_ties && limit.offset == 0
            || finished.keys.iter().any(|key| key.iter().all(|column| covered.contains(column)));
        let certain = covered.iter().all(|column| columns[*column].determined);
        let leaf_columns = columns.iter().enumerate().map(|(at, column)| {
            let mut column = column.clone();
            let chosen = covered.contains(&at) && catalog_lookup::equal_image(&column.ty);
            column.determined &= certain && (total || chosen);
            if let Some(name) = names.get(at) {
                column.name.clone_from(name);
            }
            Some(column)
        });
        let leaf_columns: Vec<_> = leaf_columns.collect();
        let mut unique = finished.keys.clone();
        if limit.count == Some(1) && !limit.with_ties && exact {
            unique.push(bound.chain(partition).collect());
        }
        let rel = Rel::TopK(TopK {
            input: Box::new(finished.projected()),
            keys: key_columns,
            order: order_keys,
            offset: limit.offset,
            limit: limit.count,
            with_ties: limit.with_ties,
        });
        let leaf =
            Leaf { kind: LeafKind::Derived(rel), name: "limit".to_string(), columns: leaf_columns, keys: unique };
        let mut block = Block::of_relation(self, leaf);
        block.outputs.truncate(shown);
        block.carried = carried;
        Ok(block)
    }

    fn limit(&self, query: Query<'t>) -> Lowered<Option<Limit>> {
        let clause = query.limit_clause();
        let count = self.row_count(clause.count, "LIMIT", b"2201W")?;
        let offset = self.row_count(clause.offset, "OFFSET", b"2201X")?.unwrap_or(0);
        if count.is_none() && offset == 0 {
            return Ok(None);
        }
        if query.sort_keys().is_empty() && count != Some(0) {
            return Err(NotIncremental::new(
                "LIMIT without ORDER BY",
                "The query contains LIMIT, OFFSET or FETCH FIRST, but no ORDER BY that says which rows come first.",
            ));
        }
        Ok(Some(Limit { offset, count, with_ties: clause.with_ties }))
    }

    /// The value of a constant expression; none if it is NULL. Raises PostgreSQL's error if it is below zero.
    fn row_count(&self, expression: Option<Node<'t>>, clause: &str, sqlstate: &[u8; 5]) -> Lowered<Option<u64>> {
        let Some(expression) = expression else { return Ok(None) };
        let image = match expression.view() {
            View::Const(constant) => constant.image(),
            _ => {
                let constant = native::constant(expression).ok_or_else(|| {
                    NotIncremental::new(
                        format!("{clause} is not a constant"),
                        format!("{clause} of the query is an expression that is not computed from constants alone."),
                    )
                })?;
                match constant.eval(Row::default().as_ref()) {
                    Ok(image) => image.map(|image| image.into_owned()),
                    Err(error) => Failure::new(&error.sqlstate, error.message).raise(),
                }
            }
        };
        let value = image.and_then(|image| image.try_into().ok()).map(i64::from_ne_bytes);
        match value.map(u64::try_from) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Failure::new(sqlstate, format!("{clause} must not be negative")).raise(),
        }
    }
}

/// The order in terms of the block's outputs.
fn ordered<'t>(block: &Block<'t>, order: &[SortKey]) -> Vec<Ordered<'t>> {
    let of = |key: &SortKey| Ordered {
        expression: block.outputs[block.carried + key.target].expression,
        operator: key.operator,
        descending: key.descending,
        nulls_first: key.nulls_first,
    };
    order.iter().map(of).collect()
}

/// Which output of the block shows an expression; a new one if none does.
fn show<'t>(block: &mut Block<'t>, expression: Node<'t>) -> usize {
    match block.outputs.iter().position(|output| output.expression == expression) {
        Some(at) => at,
        None => {
            block.outputs.push(Output { name: String::new(), expression });
            block.outputs.len() - 1
        }
    }
}

/// Whether the engine sorts as the query asks (HAZARDS E37).
fn has_order(key: &Ordered<'_>, ty: &ColumnType) -> bool {
    let known = match ty.kind {
        Kind::Opaque => false,
        Kind::Text | Kind::Bpchar => catalog_lookup::byte_order(ty.collation),
        _ => true,
    };
    known && default_order(ty.oid, key.operator, key.descending)
}
