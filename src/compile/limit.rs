//! ORDER BY with LIMIT, OFFSET and FETCH FIRST … WITH TIES, DISTINCT ON, and the order of a query's clauses after its target
//! list: windows, DISTINCT, ORDER BY, LIMIT.
//!
//! ORDER BY alone means nothing to a relation and is left out, with what only it reads. With a limit the rows are those of
//! a [`TopK`]. Which of several rows that are equal in the order are among the first is the engine's choice, always the same
//! one; then of the rows' columns only those of the order are determined by the content (HAZARDS E20). Where only PostgreSQL
//! knows the order, it numbers the rows of the partitions that change (HAZARDS E37), and the numbers are compared.

use super::block::{Block, Column, Leaf, LeafKind};
use super::window::{self, Partitioned, Sorted};
use super::window_dependent::Dependent;
use super::{native, unique, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::ordering::{default_order, SortKey};
use crate::pg::query::Query;
use crate::pg::txn::Failure;
use crate::pg::window::{Frame, WindowClause};
use std::collections::BTreeSet;
use trickle_operators::plan::{OrderKey, Rel, TopK};
use trickle_operators::value::{ColumnType, Kind, Row};

/// Which of the rows in order.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub offset: u64,
    pub count: Option<u64>,
    pub with_ties: bool,
}

/// The clauses of a query that come after its target list.
pub(super) struct Tail<'t> {
    /// The targets that are wanted, as indexes into the query's: first those that are shown, then those that something of
    /// the tail reads. Below they are known by their indexes here.
    pub targets: Vec<usize>,
    /// The windows of the targets.
    pub windows: Vec<WindowClause<'t>>,
    shown: usize,
    distinct: bool,
    distinct_on: Option<Vec<usize>>,
    /// Empty if nothing depends on it.
    order: Vec<SortKey<'t>>,
    limit: Option<Limit>,
}

impl<'t> Compiler<'t, '_> {
    /// What is to be done with the rows of a query once its target list is computed.
    pub(super) fn tail(&self, query: Query<'t>) -> Lowered<Tail<'t>> {
        let limit = self.limit(query)?;
        let all = query.targets();
        let mut targets: Vec<usize> = (0..all.len()).filter(|at| !all[*at].junk).collect();
        let shown = targets.len();
        let order = if limit.is_some() || query.has_distinct_on() { query.sort_keys() } else { Vec::new() };
        let order = place(&mut targets, order);
        let distinct_on = query.has_distinct_on().then(|| query.distinct_keys());
        let distinct_on = distinct_on.map(|keys| place(&mut targets, keys).into_iter().map(|key| key.target).collect());
        // A set-returning function in ORDER BY repeats rows, even where the order means nothing.
        for at in (0..all.len()).filter(|at| all[*at].expression.returns_set()) {
            if !targets.contains(&at) {
                targets.push(at);
            }
        }
        let calls = window::calls_of(targets.iter().map(|at| all[*at].expression));
        let numbers: Vec<u32> = calls.iter().filter_map(|call| Some(call.window_call()?.window)).collect();
        let mut windows = Vec::new();
        for clause in query.windows().into_iter().filter(|clause| numbers.contains(&clause.number)) {
            let partition = place(&mut targets, clause.partition);
            let order = place(&mut targets, clause.order);
            windows.push(WindowClause { partition, order, ..clause });
        }
        let distinct = query.has_distinct() && !query.has_distinct_on();
        Ok(Tail { targets, windows, shown, distinct, distinct_on, order, limit })
    }

    /// Applies it to a block with an output for each of its targets, after those of the bindings of a subquery, each of which
    /// has partitions and a limit of its own.
    pub(super) fn finish_query(
        &mut self,
        query: Query<'t>,
        mut block: Block<'t>,
        tail: &Tail<'t>,
        dependent: Option<Dependent<'t>>,
    ) -> Lowered<Block<'t>> {
        let carried = block.carried;
        block = self.windows(query, block, tail)?;
        if let Some(dependent) = dependent {
            block = self.after_windows(block, dependent)?;
        }
        block = self.project_set(block)?;
        if tail.distinct {
            block.outputs.truncate(carried + tail.shown);
            block = self.distinct(block, "DISTINCT")?;
        }
        if let Some(on) = &tail.distinct_on {
            let keys: Vec<Node<'t>> = on.iter().map(|at| block.outputs[carried + at].expression).collect();
            let first = Limit { offset: 0, count: Some(1), with_ties: false };
            block = self.first_rows(block, &keys, &tail.order, first)?;
        }
        if let Some(limit) = tail.limit {
            let one_row = unique::has_one_row(&block, carried);
            if limit.count == Some(0) || one_row && limit.offset > 0 {
                block.predicates.push(self.arena.falsehood());
            } else if !one_row && tail.order.is_empty() {
                return Err(NotIncremental::new(
                    "LIMIT without ORDER BY",
                    "The query contains LIMIT, OFFSET or FETCH FIRST, but no ORDER BY that says which rows come first.",
                ));
            } else if !one_row {
                block = self.first_rows(block, &[], &tail.order, limit)?;
            }
        }
        block.outputs.truncate(carried + tail.shown);
        Ok(block)
    }

    /// The first rows in an order, for each value of the keys and for each binding; the block that comes of it has the same
    /// outputs.
    fn first_rows(
        &mut self,
        block: Block<'t>,
        keys: &[Node<'t>],
        order: &[SortKey<'t>],
        limit: Limit,
    ) -> Lowered<Block<'t>> {
        let names: Vec<String> = block.outputs.iter().map(|output| output.name.clone()).collect();
        let (shown, carried) = (names.len(), block.carried);
        let by: Vec<Node<'t>> = order.iter().map(|key| block.outputs[carried + key.target].expression).collect();
        let rows = self.partitioned(block, keys, &by, "DISTINCT ON expression")?;
        let columns = &rows.finished.columns;
        // Bindings are told apart by their images.
        let exact = columns[..carried].iter().all(|column| catalog_lookup::equal_image(&column.ty));
        let covered: BTreeSet<usize> = rows.partition.iter().chain(&rows.sorted).copied().collect();
        let mut unique = rows.finished.keys.clone();
        let total = limit.with_ties && limit.offset == 0
            || unique.iter().any(|key| key.iter().all(|column| covered.contains(column)));
        let certain = covered.iter().all(|column| columns[*column].determined);
        let firm = covered.iter().all(|column| columns[*column].settled);
        let mut leaf_columns = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let chosen = covered.contains(&at) && catalog_lookup::equal_image(&column.ty);
            let determined = column.determined && certain && (total || chosen);
            let settled = column.settled && firm && (total || covered.contains(&at));
            let name = names.get(at).unwrap_or(&column.name).clone();
            leaf_columns.push(Some(Column { name, determined, settled, ..column.clone() }));
        }
        if limit.count == Some(1) && !limit.with_ties && exact {
            unique.push(rows.partition.clone());
        }
        // All rows of a partition are equal in what it is told apart by.
        let sorted = rows.sorted.iter().zip(order).filter(|(column, _)| !rows.partition.contains(column));
        let sorted: Vec<(usize, SortKey<'t>)> = sorted.map(|(column, key)| (*column, *key)).collect();
        let order = order_keys(&sorted, &|at| &columns[at].ty).filter(|_| self.options.native_expressions);
        let native = order.is_some();
        let mut leaf = if let Some(order) = order {
            sorted.iter().for_each(|(at, _)| self.stamps.add_order(&columns[*at].ty));
            let rel = Rel::TopK(TopK {
                input: Box::new(rows.finished.projected()),
                keys: rows.keys,
                order,
                offset: limit.offset,
                limit: limit.count,
                with_ties: limit.with_ties,
            });
            Leaf { kind: LeafKind::Derived(rel), name: "limit".to_string(), columns: Vec::new(), keys: Vec::new() }
        } else {
            self.numbered(rows, sorted, limit)?
        };
        // What the rows' numbers decide is said of the columns.
        let settled = leaf_columns.iter().flatten().any(|column| column.settled);
        let placed = leaf.columns.drain(..).skip(leaf_columns.len()).flatten();
        let placed: Vec<Option<Column>> = placed.map(|column| Some(Column { settled, ..column })).collect();
        leaf.columns = leaf_columns.into_iter().chain(placed).collect();
        leaf.keys = unique;
        let places: Vec<Node<'t>> = leaf
            .columns
            .iter()
            .enumerate()
            .skip(leaf.columns.len() - numbers(native, limit))
            .filter_map(|(at, column)| Some(self.arena.var(1, at as i16 + 1, &column.as_ref()?.ty)))
            .collect();
        let mut block = Block::of_relation(self, leaf);
        block.outputs.truncate(shown);
        if let (false, [number, rest @ ..]) = (native, &places[..]) {
            if limit.offset > 0 {
                block.predicates.push(self.arena.above(*number, limit.offset));
            }
            if let Some(count) = limit.count {
                let end = limit.offset.saturating_add(count);
                block.predicates.push(self.arena.at_most(*rest.first().unwrap_or(number), end));
            }
        }
        block.carried = carried;
        Ok(block)
    }

    /// The rows with their places in an order that only PostgreSQL knows: the number, and with ties, the rank.
    fn numbered(&mut self, rows: Partitioned<'t>, order: Vec<(usize, SortKey<'t>)>, limit: Limit) -> Lowered<Leaf<'t>> {
        let window = |ties: bool| Sorted {
            frame: Frame::default(),
            order: order.clone(),
            total: !ties,
            calls: vec![self.arena.place_in_order(ties)],
        };
        let windows: Vec<Sorted<'t>> =
            [false, true][..numbers(false, limit)].iter().map(|ties| window(*ties)).collect();
        let column = |window: &Sorted<'t>| Column {
            name: String::new(),
            ty: window.calls[0].column_type(),
            nullable: false,
            determined: false,
            settled: false,
        };
        let results = windows.iter().map(column).collect();
        self.window_leaf(rows, &windows, results, None)
    }

    pub(super) fn limit(&self, query: Query<'t>) -> Lowered<Option<Limit>> {
        let clause = query.limit_clause();
        let count = self.row_count(clause.count, "LIMIT", b"2201W")?;
        let offset = self.row_count(clause.offset, "OFFSET", b"2201X")?.unwrap_or(0);
        if count.is_none() && offset == 0 {
            return Ok(None);
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

/// The keys in terms of the targets that are wanted, to which theirs are added.
fn place<'t>(targets: &mut Vec<usize>, keys: Vec<SortKey<'t>>) -> Vec<SortKey<'t>> {
    let mut at = |target: usize| {
        targets.iter().position(|known| *known == target).unwrap_or_else(|| {
            targets.push(target);
            targets.len() - 1
        })
    };
    keys.into_iter().map(|key| key.at(at(key.target))).collect()
}

/// How many columns say where a row is in its order.
fn numbers(native: bool, limit: Limit) -> usize {
    match (native, limit.with_ties) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

/// The columns by which the engine sorts as the query asks, if it can (HAZARDS E37).
pub(super) fn order_keys<'a>(
    order: &[(usize, SortKey<'_>)],
    ty: &dyn Fn(usize) -> &'a ColumnType,
) -> Option<Vec<OrderKey>> {
    let key = |(column, key): &(usize, SortKey<'_>)| {
        let ty = ty(*column);
        let labels = catalog_lookup::enum_order(ty.oid);
        (has_order(key, ty) || !labels.is_empty() && default_order(ty.oid, key.operator, key.descending)).then(|| {
            let SortKey { descending, nulls_first, .. } = *key;
            OrderKey { column: *column, kind: ty.kind, descending, nulls_first, labels }
        })
    };
    order.iter().map(key).collect()
}

fn has_order(key: &SortKey<'_>, ty: &ColumnType) -> bool {
    let known = match ty.kind {
        Kind::Opaque => false,
        Kind::Text | Kind::Bpchar => catalog_lookup::byte_order(ty.collation),
        _ => true,
    };
    known && default_order(ty.oid, key.operator, key.descending)
}
