//! Window functions.
//!
//! The engine computes those that it knows ([`native`]), for the rows in which a change can be felt; windows over the same
//! partitions in the same order are one node. Others PostgreSQL evaluates over all rows of a partition that changes; there
//! windows over the same partitions are one node, in whatever orders. What such a call reads is passed through as columns;
//! only what its partitions are told apart by, and what its rows are sorted by, is computed before. Where rows are equal in
//! an order, which of them comes first is the engine's choice or PostgreSQL's: calls that depend on it are not determined by
//! the content (HAZARDS E20).

mod first_rows;
mod native;

use super::aggregate::is_order_free;
use super::block::{columns_of, Block, Column, Leaf, LeafKind, Output};
use super::equality::{image_column, key_column, key_types};
use super::limit::{order_keys, Tail};
use super::stage::Finished;
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::image;
use crate::pg::node::{Arena, Node, View};
use crate::pg::ordering::SortKey;
use crate::pg::query::Query;
use crate::pg::window::{self, Frame, Over, WindowClause};
use native::Determined;
use std::collections::BTreeSet;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Fragment, KeyColumn, OrderKey, Rel, Window, WindowCall, WindowFunctions};
use trickle_operators::value::ColumnType;

/// Rows in partitions, and what they are sorted by.
pub(super) struct Partitioned<'t> {
    /// Its outputs are the columns of what it is finished to.
    pub below: Block<'t>,
    pub finished: Finished,
    pub keys: Vec<KeyColumn>,
    /// Which columns the partitions are told apart by.
    pub partition: Vec<usize>,
    pub sorted: Vec<usize>,
}

/// A window over the columns of [`Partitioned`].
pub(super) struct Sorted<'t> {
    pub frame: Frame<'t>,
    pub order: Vec<(usize, SortKey<'t>)>,
    /// Whether rows that are equal in the order are sorted by their images.
    pub total: bool,
    /// Calls, over the block below.
    pub calls: Vec<Node<'t>>,
}

impl<'t> Compiler<'t, '_> {
    /// Lays out the rows of a block in partitions: by the bindings of a subquery, by image, and by `keys`, as SQL has it;
    /// `what` names these where they have no equality that the engine knows.
    pub(super) fn partitioned(
        &mut self,
        mut below: Block<'t>,
        keys: &[Node<'t>],
        order: &[Node<'t>],
        what: &str,
    ) -> Lowered<Partitioned<'t>> {
        let carried = std::mem::take(&mut below.carried);
        let mut input = |expression: Node<'t>| show(&mut below, expression);
        let mut partition: Vec<usize> = (0..carried).collect();
        let mut compared = Vec::new();
        for key in keys {
            let shown = input(*key);
            partition.push(shown);
            let canonical = self.canonical(*key, key.collation());
            compared.push(canonical.map_or(shown, &mut input));
        }
        let sorted: Vec<usize> = order.iter().map(|expression| input(*expression)).collect();
        let finished = self.finish(&below)?;
        let columns = &finished.columns;
        let mut key_columns: Vec<KeyColumn> =
            (0..carried).map(|column| image_column(column, &columns[column].ty)).collect();
        for (key, by) in keys.iter().zip(compared) {
            let what = format!("{what} {}", self.name_of(&below, *key));
            key_columns.push(key_column(Expr::Column(by, columns[by].ty.kind), &columns[by].ty, true, &what)?);
        }
        Ok(Partitioned { below, finished, keys: key_columns, partition, sorted })
    }

    /// Computes the window functions of a block's outputs.
    pub(super) fn windows(&mut self, query: Query<'t>, mut block: Block<'t>, tail: &Tail<'t>) -> Lowered<Block<'t>> {
        for clause in &tail.windows {
            for offset in clause.frame.offsets(query) {
                self.check_expression(offset, "the frame of a window")?;
            }
        }
        loop {
            let calls = calls_of(block.outputs.iter().map(|output| output.expression));
            let Some(first) = calls.first().and_then(|call| call.window_call()) else { return Ok(block) };
            let Some(clause) = tail.windows.iter().find(|clause| clause.number == first.window) else {
                return Err(unresolved());
            };
            let partition = partition_of(&block, clause);
            let same = |other: &Vec<Node<'t>>| {
                other.iter().all(|key| partition.contains(key)) && partition.iter().all(|key| other.contains(key))
            };
            let together: Vec<(&WindowClause<'t>, Vec<Node<'t>>)> = tail
                .windows
                .iter()
                .filter(|clause| same(&partition_of(&block, clause)))
                .map(|clause| {
                    let of = |call: &&Node<'t>| call.window_call().is_some_and(|call| call.window == clause.number);
                    (clause, calls.iter().filter(of).copied().collect::<Vec<_>>())
                })
                .filter(|(_, calls)| !calls.is_empty())
                .collect();
            let native = self.are_native(&block, &together);
            let order = order_of(&block, together[0].0);
            let together: Vec<_> =
                together.into_iter().filter(|(clause, _)| !native || order_of(&block, clause) == order).collect();
            block = self.windows_together(block, &partition, &together, native)?;
        }
    }

    /// Windows over the same partitions.
    fn windows_together(
        &mut self,
        block: Block<'t>,
        partition: &[Node<'t>],
        windows: &[(&WindowClause<'t>, Vec<Node<'t>>)],
        native: bool,
    ) -> Lowered<Block<'t>> {
        let Block { outputs, carried, .. } = block;
        let mut below = Block { outputs: outputs[..carried].to_vec(), ..block };
        for output in &outputs {
            for (leaf, attribute) in columns_of(output.expression) {
                let column = below.leaves[leaf].column(attribute).ok_or_else(super::block::missing_column)?;
                let var = self.arena.var(leaf + 1, attribute, &column.ty.clone());
                show(&mut below, var);
            }
        }
        let mut order = Vec::new();
        for (clause, _) in windows {
            order.extend(clause.order.iter().map(|key| outputs[carried + key.target].expression));
        }
        let described = Block { outputs: Vec::new(), ..below.clone() };
        let mut computed = Vec::new();
        for (clause, calls) in windows.iter().filter(|_| native) {
            for call in calls {
                let own = self.native_call(*call, clause, &mut |argument| show(&mut below, argument));
                computed.push(own.ok_or_else(unresolved)?);
            }
        }
        let rows = self.partitioned(below, partition, &order, "PARTITION BY expression")?;
        let mut next = rows.sorted.iter().copied();
        let mut sorted = Vec::new();
        let mut results: Vec<(Node<'t>, Column)> = Vec::new();
        for (clause, calls) in windows {
            let order: Vec<(usize, SortKey<'t>)> =
                next.by_ref().zip(&clause.order).map(|(at, key)| (at, *key)).collect();
            let covered: BTreeSet<usize> =
                rows.partition.iter().copied().chain(order.iter().map(|(at, _)| *at)).collect();
            let total = rows.finished.keys.iter().any(|key| key.iter().all(|column| covered.contains(column)));
            let certain = covered.iter().all(|column| rows.finished.columns[*column].determined);
            let firm = covered.iter().all(|column| rows.finished.columns[*column].settled);
            for call in calls {
                let mut column = described.describe("", *call)?;
                column.nullable = true;
                let of_call = match computed.get(results.len()) {
                    Some((_, determined)) => {
                        *determined == Determined::Always || total && *determined == Determined::InTotalOrder
                    }
                    None => total || is_determined(*call, &clause.frame),
                };
                column.determined &= certain && of_call;
                column.settled &= firm && of_call;
                results.push((*call, column));
            }
            sorted.push(Sorted { frame: clause.frame, order, total: false, calls: calls.clone() });
        }
        let inputs = rows.below.outputs.clone();
        let computed = native.then(|| computed.into_iter().map(|(call, _)| call).collect());
        let leaf =
            self.window_leaf(rows, &sorted, results.iter().map(|(_, column)| column.clone()).collect(), computed)?;
        let types: Vec<ColumnType> = leaf.columns.iter().flatten().map(|column| column.ty.clone()).collect();
        let place = |at: usize| self.arena.var(1, at as i16 + 1, &types[at]);
        let over = |expression: Node<'t>| {
            self.arena.rewrite(expression, &mut |node| {
                if let Some(at) = results.iter().position(|(call, _)| *call == node) {
                    return Ok(Some(place(inputs.len() + at)));
                }
                match node.view() {
                    View::Var(_) => match inputs.iter().position(|input| input.expression == node) {
                        Some(at) => Ok(Some(place(at))),
                        None => Err(super::block::missing_column()),
                    },
                    _ => Ok(None),
                }
            })
        };
        let mut block = Block { leaves: vec![leaf], carried, ..Block::default() };
        for (at, output) in outputs.into_iter().enumerate() {
            let expression = if at < carried { place(at) } else { over(output.expression)? };
            block.outputs.push(Output { name: output.name, expression });
        }
        Ok(block)
    }

    /// The rows with the windows' calls as columns after their own; `computed` are the calls if the engine computes them.
    pub(super) fn window_leaf(
        &mut self,
        rows: Partitioned<'t>,
        windows: &[Sorted<'t>],
        results: Vec<Column>,
        computed: Option<Vec<WindowCall>>,
    ) -> Lowered<Leaf<'t>> {
        let Partitioned { below, finished, keys, .. } = rows;
        let mut columns: Vec<Column> = finished.columns.clone();
        for (column, output) in columns.iter_mut().zip(&below.outputs) {
            column.name = self.name_of(&below, output.expression);
        }
        let unique = finished.keys.clone();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let types: Vec<ColumnType> = columns.iter().map(|column| column.ty.clone()).collect();
        let (functions, site) = match computed {
            Some(calls) => {
                let order = self.common_order(windows, &types)?;
                let shown = self.overs(&below, windows, &|at| self.arena.var(1, at as i16 + 1, &types[at]))?;
                let site = self.site(window::deparse(self.arena, &short(&names), &shown), types);
                (WindowFunctions::Native { order, calls }, site)
            }
            None => {
                let (fragment, arguments) = self.window_fragment(&below, &names, &types, windows)?;
                let site = self.site(self.fragments[fragment].text.clone(), key_types(&keys, &types));
                (WindowFunctions::Foreign { fragment, arguments }, site)
            }
        };
        let rel = Rel::Window(Window { input: Box::new(finished.projected()), keys, functions, site });
        columns.extend(results);
        let columns = columns.into_iter().map(Some).collect();
        Ok(Leaf { kind: LeafKind::Derived(rel), name: "window".to_string(), columns, keys: unique })
    }

    /// The order of windows that all have the same.
    fn common_order(&mut self, windows: &[Sorted<'t>], types: &[ColumnType]) -> Lowered<Vec<OrderKey>> {
        let window = windows.first().ok_or_else(unresolved)?;
        window.order.iter().for_each(|(at, _)| self.stamps.add_order(&types[*at]));
        order_keys(&window.order, &|at| &types[at]).ok_or_else(unresolved)
    }

    fn window_fragment(
        &mut self,
        below: &Block<'t>,
        names: &[String],
        types: &[ColumnType],
        windows: &[Sorted<'t>],
    ) -> Lowered<(usize, Vec<usize>)> {
        let mut read: Vec<usize> = Vec::new();
        for window in windows {
            for call in &window.calls {
                self.stamps.add_expression(*call);
                for (leaf, attribute) in columns_of(*call) {
                    let at = below.outputs.iter().position(|output| is_column(output.expression, leaf, attribute));
                    read.push(at.ok_or_else(super::block::missing_column)?);
                }
            }
            for (at, key) in &window.order {
                read.push(*at);
                let functions = key.functions().into_iter().chain(window.frame.functions());
                functions.for_each(|function| self.stamps.add_function(function));
            }
        }
        read.sort_unstable();
        read.dedup();
        // The item and the row's number come first.
        let in_fragment = |at: usize| {
            let argument = read.iter().position(|known| *known == at).unwrap_or_default();
            self.arena.var(1, argument as i16 + 3, &types[at])
        };
        let by_name = |at: usize| self.arena.var(1, at as i16 + 1, &types[at]);
        let query = self.overs(below, windows, &in_fragment)?;
        let shown = self.overs(below, windows, &by_name)?;
        let number = image::column_type(pgrx::pg_sys::INT8OID, -1, pgrx::pg_sys::InvalidOid);
        let arguments: Vec<ColumnType> =
            std::iter::once(number.clone()).chain(read.iter().map(|at| types[*at].clone())).collect();
        let calls = windows.iter().flat_map(|window| &window.calls);
        let results = std::iter::once(number).chain(calls.map(|call| call.column_type())).collect();
        self.fragments.push(Fragment {
            query: window::build(self.arena, &arguments, &query),
            arguments,
            results,
            text: window::deparse(self.arena, &short(names), &shown),
        });
        Ok((self.fragments.len() - 1, read))
    }

    fn overs(
        &self,
        below: &Block<'t>,
        windows: &[Sorted<'t>],
        place: &dyn Fn(usize) -> Node<'t>,
    ) -> Lowered<Vec<Over<'t>>> {
        let renumbered = |call: &Node<'t>| {
            self.arena.rewrite(*call, &mut |node| match node.view() {
                View::Var(_) => match below.outputs.iter().position(|output| output.expression == node) {
                    Some(at) => Ok(Some(place(at))),
                    None => Err(super::block::missing_column()),
                },
                _ => Ok(None),
            })
        };
        let over = |window: &Sorted<'t>| {
            Ok(Over {
                frame: window.frame,
                order: window.order.iter().map(|(at, key)| (place(*at), *key)).collect(),
                total: window.total,
                calls: window.calls.iter().map(renumbered).collect::<Lowered<Vec<_>>>()?,
            })
        };
        windows.iter().map(over).collect()
    }
}

/// Which output of the block shows an expression; a new one if none does.
pub(super) fn show<'t>(block: &mut Block<'t>, expression: Node<'t>) -> usize {
    match block.outputs.iter().position(|output| output.expression == expression) {
        Some(at) => at,
        None => {
            block.outputs.push(Output { name: String::new(), expression });
            block.outputs.len() - 1
        }
    }
}

/// The calls of window functions in expressions, each once.
pub(super) fn calls_of<'t>(expressions: impl Iterator<Item = Node<'t>>) -> Vec<Node<'t>> {
    let mut calls = Vec::new();
    for expression in expressions {
        expression.visit(&mut |node| {
            if matches!(node.view(), View::Window) && !calls.contains(&node) {
                calls.push(node);
            }
            false
        });
    }
    calls
}

/// The calls of window functions in an expression that are its own query's.
pub(super) fn calls_of_level<'t>(arena: &'t Arena, expression: Node<'t>) -> Vec<Node<'t>> {
    let mut calls = Vec::new();
    let walked = arena.rewrite::<()>(expression, &mut |node| {
        if matches!(node.view(), View::Window) && !calls.contains(&node) {
            calls.push(node);
        }
        Ok(None)
    });
    debug_assert!(walked.is_ok());
    calls
}

fn partition_of<'t>(block: &Block<'t>, clause: &WindowClause<'t>) -> Vec<Node<'t>> {
    clause.partition.iter().map(|key| block.outputs[block.carried + key.target].expression).collect()
}

/// What a window is sorted by, and how.
fn order_of<'t>(block: &Block<'t>, clause: &WindowClause<'t>) -> Vec<(Node<'t>, u32, bool)> {
    let of = |key: &SortKey<'t>| (block.outputs[block.carried + key.target].expression, key.operator, key.nulls_first);
    clause.order.iter().map(of).collect()
}

fn unresolved() -> NotIncremental {
    NotIncremental::new("window function", "A window could not be resolved.")
}

fn is_column(expression: Node<'_>, leaf: usize, attribute: i16) -> bool {
    matches!(expression.view(), View::Var(var) if var.entry == leaf + 1 && var.attribute == attribute)
}

/// Names without their relation, where that is clear.
fn short(names: &[String]) -> Vec<String> {
    let bare = |name: &String| name.rsplit_once('.').map_or(name.clone(), |(_, bare)| bare.to_string());
    let all: Vec<String> = names.iter().map(bare).collect();
    let clear = |name: &String| all.iter().filter(|other| *other == name).count() == 1;
    all.iter().zip(names).map(|(short, name)| if clear(short) { short.clone() } else { name.clone() }).collect()
}

/// Whether a call has the same value for a row in whatever order its peers are.
fn is_determined(call: Node<'_>, frame: &Frame<'_>) -> bool {
    let Some(call) = call.window_call() else { return false };
    let types: Vec<ColumnType> = call.arguments.iter().map(|argument| argument.column_type()).collect();
    let known = catalog_lookup::function(call.function).is_some_and(|facts| facts.builtin);
    known && (!call.aggregate || frame.by_peers()) && is_order_free(call.function, &types, false)
}
