//! Functions that return rows: in FROM, and in the target list.
//!
//! PostgreSQL evaluates them for the rows that change: an *expansion* is a block of which each row is repeated for every row
//! that the functions return for it. A call in FROM that refers to items of FROM before it expands just the leaves that it
//! reads; one that refers to nothing expands a relation of one row. What WHERE asks of the expanded rows' own columns is asked
//! before they are expanded, as PostgreSQL's planner does.
//!
//! Set-returning functions of one target list run in step, and so they are one expansion (PostgreSQL's ProjectSet).

mod dissolve;

use super::block::{columns_of, conjuncts, missing_column, Block, Column, Leaf, LeafKind, Output};
use super::scope::{Binding, Scope};
use super::stage::{Rendered, Stage};
use super::{unique, Compiler, Lowered, NotIncremental};
use crate::pg::fragment_query;
use crate::pg::node::{Node, View};
use crate::pg::query::{Query, RangeEntry};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use trickle_operators::plan::{Fragment, Rel};
use trickle_operators::value::{ColumnType, Row};

/// Rows, each as often as functions return rows for it.
pub(super) struct Expansion<'t> {
    /// What is expanded; every column that can be named is an output.
    input: Block<'t>,
    /// The entry of FROM that is called, and its calls over the input's outputs as entry 1; none: calls are in `results`.
    from: Option<(RangeEntry<'t>, Node<'t>)>,
    /// Of LEFT JOIN LATERAL: a row without results is kept, with NULLs.
    padded: bool,
    /// Which results count: over the input's outputs as entry 1, and the columns of the call as entry 2.
    condition: Vec<Node<'t>>,
    /// The columns that follow the input's: over the same.
    results: Vec<Output<'t>>,
    pub rendered: Rendered,
}

/// Leaves of a scope as a block of their own.
struct Split<'t> {
    block: Block<'t>,
    /// The outputs (from 1) that their columns are.
    places: HashMap<(usize, i16), i16>,
}

impl<'t> Compiler<'t, '_> {
    /// Binds a function or a table function of FROM. With `on` it is the second side of a left join, of that condition.
    pub(super) fn bind_function(
        &mut self,
        query: Query<'t>,
        scope: &mut Scope<'t>,
        number: usize,
        on: Option<Option<Node<'t>>>,
    ) -> Lowered<()> {
        let entry = query.range_table()[number - 1];
        let calls = entry.calls().ok_or_else(missing_column)?;
        let calls = self.lift(scope, calls)?;
        self.check_expression(calls, "FROM")?;
        super::conversion::check_table(entry, calls, "FROM")?;
        let calls = scope.resolve(self, calls)?;
        let own = scope.block.leaves.len();
        let columns = entry.columns();
        let attributes = 1..=columns.len() as i16;
        let bound = attributes.zip(&columns).map(|(at, column)| column.as_ref().map(|_| at)).collect();
        scope.entries[number - 1] = Binding::Columns(own, bound);
        let padded = on.is_some();
        let mut condition = Vec::new();
        if let Some(on) = on.flatten() {
            self.check_expression(on, "a join condition")?;
            conjuncts(scope.resolve(self, on)?, &mut condition);
        }
        let mut read: BTreeSet<usize> = columns_of(calls).into_iter().map(|column| column.0).collect();
        read.extend(condition.iter().flat_map(|part| columns_of(*part)).map(|column| column.0));
        read.remove(&own);
        let Split { block: input, places } = self.split(scope, &read)?;
        let over = |expression: Node<'t>| {
            self.arena.rewrite(expression, &mut |node| match node.view() {
                View::Var(var) if var.entry == own + 1 => Ok(Some(self.arena.var_like(node, 2, var.attribute))),
                View::Var(var) => {
                    let place = places.get(&(var.entry - 1, var.attribute)).ok_or_else(missing_column)?;
                    Ok(Some(self.arena.var_like(node, 1, *place)))
                }
                _ => Ok(None),
            })
        };
        let calls = over(calls)?;
        let condition = condition.into_iter().map(over).collect::<Lowered<Vec<_>>>()?;
        let name = entry.name();
        let width = input.outputs.len() as i16;
        let (mut results, mut own_columns) = (Vec::new(), Vec::new());
        for (at, column) in columns.iter().enumerate() {
            own_columns.push(column.as_ref().map(|column| {
                let expression = self.arena.var(2, at as i16 + 1, &column.ty);
                results.push(Output { name: format!("{name}.{}", column.name), expression });
                width + results.len() as i16
            }));
        }
        results.push(Output { name: format!("{name}.present"), expression: self.arena.truth() });
        let present = Some(width + results.len() as i16);
        let unique = match () {
            () if entry.is_one_row() => Some(None),
            // The last column numbers the rows.
            () if entry.with_ordinality() => Some(own_columns.last().copied().flatten()),
            () => None,
        };
        let keys = unique.map_or(Vec::new(), |number| {
            let with = |mut key: Vec<usize>| {
                key.extend(number.map(|attribute| attribute as usize - 1));
                key
            };
            unique::of_block(&input).into_iter().map(with).collect()
        });
        let expansion =
            Expansion { input, from: Some((entry, calls)), padded, condition, results, rendered: Rendered::default() };
        let leaf = self.expansion_leaf(expansion, name, keys)?;
        scope.add(leaf);
        own_columns.push(present);
        scope.entries[number - 1] = Binding::Columns(scope.block.leaves.len() - 1, own_columns);
        Ok(())
    }

    /// Whether a call in FROM refers to items of FROM before it, or to a query around its own.
    pub(super) fn is_lateral(&self, query: Query<'t>, number: usize) -> bool {
        let calls = query.range_table()[number - 1].calls();
        calls.is_some_and(|calls| !calls.all_references().columns.is_empty())
    }

    /// Expands the rows of a block by the set-returning functions of its outputs.
    pub(super) fn project_set(&mut self, block: Block<'t>) -> Lowered<Block<'t>> {
        if !block.outputs.iter().any(|output| output.expression.returns_set()) {
            return Ok(block);
        }
        let mut scope = Scope { block, ..Scope::default() };
        let outputs = std::mem::take(&mut scope.block.outputs);
        let expressions: Vec<Node<'t>> = outputs.iter().map(|output| output.expression).collect();
        // What is not a set is computed for each row once, before it is repeated.
        let all = (0..scope.block.leaves.len()).collect();
        let expressions = self.expand(&mut scope, &expressions, &all)?;
        let renamed = outputs.into_iter().zip(expressions);
        scope.block.outputs = renamed.map(|(output, expression)| Output { expression, ..output }).collect();
        Ok(scope.block)
    }

    /// Expands a scope by the set-returning functions among keys of GROUP BY, before its rows are grouped. These are columns
    /// of an entry then.
    pub(super) fn expand_keys(&mut self, scope: &mut Scope<'t>, keys: &mut [Node<'t>]) -> Lowered<()> {
        let mut sets = Vec::new();
        for key in keys.iter().filter(|key| key.returns_set()) {
            sets.push(scope.resolve(self, *key)?);
        }
        if sets.is_empty() {
            return Ok(());
        }
        let read = sets.iter().flat_map(|set| columns_of(*set)).map(|column| column.0).collect();
        let expanded = self.expand(scope, &sets, &read)?;
        let entry = scope.entry(Binding::Outputs(expanded));
        for (key, attribute) in keys.iter_mut().filter(|key| key.returns_set()).zip(1..) {
            *key = self.arena.var_like(*key, entry, attribute);
        }
        Ok(())
    }

    /// Expands the leaves of a scope that set-returning expressions read, resolved ones; what these are then. Those of the
    /// others that read nothing else are columns, too, where all leaves are expanded.
    pub(super) fn expand(
        &mut self,
        scope: &mut Scope<'t>,
        expressions: &[Node<'t>],
        leaves: &BTreeSet<usize>,
    ) -> Lowered<Vec<Node<'t>>> {
        let Split { block: mut input, places } = self.split(scope, leaves)?;
        let mut results = Vec::new();
        let mut found = Vec::new();
        for expression in expressions {
            let name = format!("column{}", found.len() + 1);
            if expression.returns_set() {
                let over = self.arena.rewrite(*expression, &mut |node| match node.view() {
                    View::Var(var) => {
                        let place = places.get(&(var.entry - 1, var.attribute)).ok_or_else(missing_column)?;
                        Ok(Some(self.arena.var_like(node, 1, *place)))
                    }
                    _ => Ok(None),
                })?;
                results.push(Output { name, expression: over });
                found.push((true, results.len()));
            } else {
                let renumbered = renumber(self, *expression, leaves)?;
                input.outputs.push(Output { name, expression: renumbered });
                found.push((false, input.outputs.len()));
            }
        }
        let width = input.outputs.len();
        let rendered = Rendered::default();
        let expansion = Expansion { input, from: None, padded: false, condition: Vec::new(), results, rendered };
        let leaf = self.expansion_leaf(expansion, "expansion".to_string(), Vec::new())?;
        let types: Vec<ColumnType> = leaf.columns.iter().flatten().map(|column| column.ty.clone()).collect();
        scope.add(leaf);
        let entry = scope.block.leaves.len();
        let column = |(set, number): (bool, usize)| {
            let at = if set { width + number } else { number };
            self.arena.var(entry, at as i16, &types[at - 1])
        };
        Ok(found.into_iter().map(column).collect())
    }

    fn expansion_leaf(&self, expansion: Expansion<'t>, name: String, keys: Vec<Vec<usize>>) -> Lowered<Leaf<'t>> {
        let mut columns = Vec::new();
        for output in &expansion.input.outputs {
            columns.push(Some(expansion.input.describe(&output.name, output.expression)?));
        }
        let mut read: Vec<(usize, i16)> = expansion.from.iter().flat_map(|(_, calls)| columns_of(*calls)).collect();
        read.extend(expansion.results.iter().flat_map(|result| columns_of(result.expression)));
        let determined = read
            .iter()
            .filter(|column| column.0 == 0)
            .all(|(_, attribute)| columns[*attribute as usize - 1].as_ref().is_none_or(|column| column.determined));
        let settled = expansion.input.rows_settled()
            && read
                .iter()
                .filter(|column| column.0 == 0)
                .all(|(_, attribute)| columns[*attribute as usize - 1].as_ref().is_none_or(|column| column.settled));
        let determined = determined && settled;
        for result in &expansion.results {
            let ty = result.expression.column_type();
            columns.push(Some(Column { name: result.name.clone(), ty, nullable: true, determined, settled }));
        }
        Ok(Leaf { kind: LeafKind::Expansion(Rc::new(expansion)), name, columns, keys })
    }

    /// Takes leaves out of a scope, with the predicates that read only them, as a block that shows all of their columns. In
    /// the scope, their columns are those of a leaf that is still to be added.
    fn split(&self, scope: &mut Scope<'t>, read: &BTreeSet<usize>) -> Lowered<Split<'t>> {
        if read.is_empty() {
            let kind = LeafKind::Derived(Rel::Values { rows: vec![Row::default()] });
            let leaf = Leaf { kind, name: "values".to_string(), columns: vec![], keys: vec![vec![]] };
            let block = Block { leaves: vec![leaf], ..Block::default() };
            return Ok(Split { block, places: HashMap::new() });
        }
        let mut block = Block::default();
        let mut places = HashMap::new();
        let (mut kept, mut numbers) = (Vec::new(), HashMap::new());
        for (number, leaf) in std::mem::take(&mut scope.block.leaves).into_iter().enumerate() {
            if !read.contains(&number) {
                numbers.insert(number, kept.len());
                kept.push(leaf);
                continue;
            }
            let entry = block.leaves.len() + 1;
            for (attribute, column) in (1..).zip(&leaf.columns) {
                let Some(column) = column else { continue };
                let name = match column.name.contains('.') {
                    true => column.name.clone(),
                    false => format!("{}.{}", leaf.name, column.name),
                };
                block.outputs.push(Output { name, expression: self.arena.var(entry, attribute, &column.ty) });
                places.insert((number, attribute), block.outputs.len() as i16);
            }
            block.leaves.push(leaf);
        }
        block.outputs.push(Output { name: "present".to_string(), expression: self.arena.truth() });
        let present = Some(block.outputs.len() as i16);
        let expanded = kept.len();
        scope.block.leaves = kept;
        let moved = |expression: Node<'t>| {
            self.arena.rewrite(expression, &mut |node| {
                let View::Var(var) = node.view() else { return Ok(None) };
                if let Some(number) = numbers.get(&(var.entry - 1)) {
                    return Ok(Some(self.arena.var_like(node, number + 1, var.attribute)));
                }
                match places.get(&(var.entry - 1, var.attribute)) {
                    Some(place) => Ok(Some(self.arena.var_like(node, expanded + 1, *place))),
                    None => Err(missing_column()),
                }
            })
        };
        for predicate in std::mem::take(&mut scope.block.predicates) {
            let columns = columns_of(predicate);
            if !columns.is_empty() && columns.iter().all(|column| read.contains(&column.0)) {
                block.predicates.push(renumber(self, predicate, read)?);
            } else {
                scope.block.predicates.push(moved(predicate)?);
            }
        }
        // Of the leaves that every row meets once, those that stay are still such.
        for (leaf, own) in std::mem::take(&mut scope.block.lifted) {
            if let Some(number) = numbers.get(&leaf) {
                let own = own.into_iter().map(moved).collect::<Lowered<Vec<_>>>()?;
                scope.block.lifted.push((*number, own));
            }
        }
        for binding in &mut scope.entries {
            *binding = match std::mem::replace(binding, Binding::Unbound) {
                Binding::Leaf(leaf) => match numbers.get(&leaf) {
                    Some(number) => Binding::Leaf(*number),
                    None => {
                        let last = places.keys().filter(|column| column.0 == leaf).map(|column| column.1).max();
                        let all = (1..=last.unwrap_or(0)).map(|attribute| places.get(&(leaf, attribute)).copied());
                        Binding::Columns(expanded, all.chain([present]).collect())
                    }
                },
                Binding::Columns(leaf, columns) => match numbers.get(&leaf) {
                    Some(number) => Binding::Columns(*number, columns),
                    None => {
                        let place = |column: Option<i16>| places.get(&(leaf, column?)).copied();
                        Binding::Columns(expanded, columns.into_iter().map(place).collect())
                    }
                },
                Binding::Outputs(outputs) => {
                    Binding::Outputs(outputs.into_iter().map(moved).collect::<Lowered<Vec<_>>>()?)
                }
                other => other,
            };
        }
        Ok(Split { block, places })
    }

    /// What WHERE asks of an expansion's input is asked of the input.
    pub(super) fn sink_predicates(&self, block: &Block<'t>) -> Lowered<Option<Block<'t>>> {
        let mut sunk: HashMap<usize, Vec<Node<'t>>> = HashMap::new();
        let mut rest = Vec::new();
        for predicate in &block.predicates {
            let columns = columns_of(*predicate);
            let leaf = columns.first().map(|column| column.0);
            let input = leaf.and_then(|leaf| match &block.leaves.get(leaf)?.kind {
                LeafKind::Expansion(expansion) => Some((leaf, &expansion.input)),
                _ => None,
            });
            match input {
                Some((leaf, input))
                    if columns.iter().all(|(of, at)| *of == leaf && *at as usize <= input.outputs.len()) =>
                {
                    let below = self.arena.rewrite::<NotIncremental>(*predicate, &mut |node| match node.view() {
                        View::Var(var) => Ok(Some(input.outputs[var.attribute as usize - 1].expression)),
                        _ => Ok(None),
                    })?;
                    conjuncts(below, sunk.entry(leaf).or_default());
                }
                _ => rest.push(*predicate),
            }
        }
        if sunk.is_empty() {
            return Ok(None);
        }
        let mut block = Block { predicates: rest, ..block.clone() };
        for (leaf, predicates) in sunk {
            let LeafKind::Expansion(expansion) = &block.leaves[leaf].kind else { continue };
            let mut input = expansion.input.clone();
            input.predicates.extend(predicates);
            let expansion = Expansion {
                input,
                from: expansion.from,
                padded: expansion.padded,
                condition: expansion.condition.clone(),
                results: expansion.results.clone(),
                rendered: Rendered::default(),
            };
            block.leaves[leaf].kind = LeafKind::Expansion(Rc::new(expansion));
        }
        Ok(Some(block))
    }

    /// The expansion as leaf 0 of a block that uses these of its columns.
    pub(super) fn expansion(&mut self, expansion: &Expansion<'t>, used: &BTreeSet<i16>) -> Lowered<Stage> {
        let width = expansion.input.outputs.len();
        let used = used.iter().map(|attribute| *attribute as usize - 1);
        let (mut below, wanted): (BTreeSet<usize>, BTreeSet<usize>) = used.partition(|column| *column < width);
        // Functions that run in step all run.
        let shown: Vec<usize> = (0..expansion.results.len())
            .filter(|result| expansion.from.is_none() || wanted.contains(&(width + result)))
            .collect();
        let results: Vec<Node<'t>> = shown.iter().map(|result| expansion.results[*result].expression).collect();
        let mut read: Vec<Node<'t>> = expansion.from.iter().map(|(_, calls)| *calls).collect();
        read.extend(expansion.condition.iter().chain(&results));
        let arguments: Vec<i16> = {
            let columns: BTreeSet<i16> =
                read.iter().flat_map(|node| columns_of(*node)).filter(|c| c.0 == 0).map(|c| c.1).collect();
            columns.into_iter().collect()
        };
        below.extend(arguments.iter().map(|attribute| *attribute as usize - 1));

        let outputs: Vec<Output<'t>> = below.iter().map(|output| expansion.input.outputs[*output].clone()).collect();
        let mut columns: Vec<(String, ColumnType)> =
            outputs.iter().map(|output| (output.name.clone(), output.expression.column_type())).collect();
        let rel = self.finish(&Block { outputs, ..expansion.input.clone() })?.projected();
        let at = |output: usize| below.iter().position(|known| *known == output).ok_or_else(missing_column);
        let places = arguments.iter().map(|a| at(*a as usize - 1)).collect::<Lowered<Vec<_>>>()?;

        let text = self.expansion_text(expansion, &columns, &below, &results);
        let fragment = self.expansion_fragment(expansion, &arguments, &places, &columns, &results, text.clone())?;
        let site = self.site(text, columns.iter().map(|(_, ty)| ty.clone()).collect());
        let mut positions: HashMap<(usize, i16), usize> =
            below.iter().enumerate().map(|(at, output)| ((0, *output as i16 + 1), at)).collect();
        for result in shown {
            positions.insert((0, (width + result) as i16 + 1), columns.len());
            let Output { name, expression } = &expansion.results[result];
            columns.push((name.clone(), expression.column_type()));
        }
        let rel = Rel::PgFlatMap { input: Box::new(rel), fragment, arguments: places, padded: expansion.padded, site };
        Ok(Stage { rel: self.share(rel), positions, columns })
    }

    fn expansion_fragment(
        &mut self,
        expansion: &Expansion<'t>,
        arguments: &[i16],
        places: &[usize],
        columns: &[(String, ColumnType)],
        results: &[Node<'t>],
        text: String,
    ) -> Lowered<usize> {
        let over_batch = |node: Node<'t>| {
            self.arena.rewrite(node, &mut |node| match node.view() {
                View::Var(var) if var.entry == 1 => {
                    let at = arguments.iter().position(|known| *known == var.attribute).ok_or_else(missing_column)?;
                    Ok(Some(self.arena.var_like(node, 1, at as i16 + 2)))
                }
                _ => Ok(None),
            })
        };
        let from = match expansion.from {
            Some((entry, calls)) => Some((entry, over_batch(calls)?)),
            None => None,
        };
        let condition = expansion.condition.iter().map(|part| over_batch(*part)).collect::<Lowered<Vec<_>>>()?;
        let shown = results.iter().map(|result| over_batch(*result)).collect::<Lowered<Vec<_>>>()?;
        let evaluated = from.iter().map(|(_, calls)| *calls);
        for node in evaluated.chain(condition.iter().copied()).chain(shown.iter().copied()) {
            self.stamps.add_expression(node);
        }
        let types: Vec<ColumnType> = places.iter().map(|place| columns[*place].1.clone()).collect();
        let query = fragment_query::build_expansion(self.arena, &types, from, &condition, &shown);
        let results = results.iter().map(|result| result.column_type()).collect();
        Ok(self.add_fragment(Fragment { query, arguments: types, results, text }))
    }

    /// The calls as a person would write them.
    fn expansion_text(
        &self,
        expansion: &Expansion<'t>,
        columns: &[(String, ColumnType)],
        below: &BTreeSet<usize>,
        results: &[Node<'t>],
    ) -> String {
        let mut positions: HashMap<(usize, i16), usize> =
            below.iter().enumerate().map(|(at, output)| ((0, *output as i16 + 1), at)).collect();
        let mut columns = columns.to_vec();
        if let Some((entry, _)) = expansion.from {
            for (attribute, column) in (1..).zip(entry.columns()) {
                let Some(column) = column else { continue };
                positions.insert((1, attribute), columns.len());
                columns.push((format!("{}.{}", entry.name(), column.name), column.ty));
            }
        }
        let stage = Stage { rel: Rel::Values { rows: Vec::new() }, positions, columns };
        let texts = |nodes: &[Node<'t>], separator: &str| {
            nodes.iter().map(|node| self.text(&stage, *node)).collect::<Vec<_>>().join(separator)
        };
        let mut text = match expansion.from {
            Some((entry, calls)) => match &calls.call_expressions()[..] {
                [] => format!("{} {}", calls.table_function_name(), entry.name()),
                calls => texts(calls, ", "),
            },
            None => texts(results, ", "),
        };
        if !expansion.condition.is_empty() {
            text.push_str(&format!(" ON {}", texts(&expansion.condition, " AND ")));
        }
        text
    }
}

/// An expression over some leaves of a scope, as one over these alone.
fn renumber<'t>(compiler: &Compiler<'t, '_>, expression: Node<'t>, leaves: &BTreeSet<usize>) -> Lowered<Node<'t>> {
    compiler.arena.rewrite(expression, &mut |node| match node.view() {
        View::Var(var) => {
            let number = leaves.iter().position(|leaf| *leaf + 1 == var.entry).ok_or_else(missing_column)?;
            Ok(Some(compiler.arena.var_like(node, number + 1, var.attribute)))
        }
        _ => Ok(None),
    })
}
