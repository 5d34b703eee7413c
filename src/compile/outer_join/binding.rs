//! The FROM clause's outer joins: what each side sees of the other and of the rest, and what may be named of them.

use super::{reads_only, Bound, Kind, Outer};
use crate::compile::block::{columns_of, conjuncts, plain_column, Block, Column, Leaf, LeafKind, Output};
use crate::compile::scope::{Binding, Scope};
use crate::compile::subquery::has_subquery;
use crate::compile::{check, temporal, unique, Compiler, Lowered, NotIncremental};
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, Query, RangeEntry, RangeKind};
use crate::pg::references::References;
use std::collections::BTreeSet;
use trickle_operators::plan::Rel;

impl<'t> Compiler<'t, '_> {
    pub(in crate::compile) fn bind_outer(
        &mut self,
        query: Query<'t>,
        scope: &mut Scope<'t>,
        full: bool,
        items: [&FromItem<'t>; 2],
        condition: Option<Node<'t>>,
    ) -> Lowered<()> {
        let mut parts = Vec::new();
        if let Some(condition) = condition {
            conjuncts(condition, &mut parts);
        }
        let [own, other] = items.map(|item| self.outward(query, item));
        let on_outside = parts.iter().any(|part| !part.references().is_empty());
        // P, (L LEFT JOIN R) is (P, L) LEFT JOIN R: what refers to P, or to the queries around, finds it in L.
        let absorb = !own.is_empty() || !other.is_empty() || on_outside;
        if absorb && full {
            let mut references = own;
            references.extend(other);
            parts.iter().for_each(|part| references.extend(further_out(*part)));
            return self.bind_full_bound(query, scope, items, parts, &references);
        }
        let correlated = self.correlated.take();
        let mut first = if absorb {
            let beside = scope.beside();
            std::mem::replace(scope, beside)
        } else {
            scope.beside()
        };
        if !absorb && !full {
            first.waiting.plain = std::mem::take(&mut scope.waiting.plain);
        }
        self.bind_item(query, &mut first, items[0])?;
        // Subqueries of the condition that concern the first side alone are columns of it.
        self.lift_own(&mut first, &mut parts)?;
        // What WHERE asks of the side that is kept holds for what the other is computed for.
        let tied = if other.is_empty() {
            None
        } else {
            self.add_pending(&mut first)?;
            self.tie(&first, &other, &[], &[], true)?
        };
        scope.waiting.plain.append(&mut first.waiting.plain);
        scope.waiting.subqueries = scope.waiting.subqueries.take().or(first.waiting.subqueries.take());
        let mut second = first.beside();
        let bindings = tied.as_ref().map(|tied| second.enter_beside(self, &tied.inside));
        self.bind_item(query, &mut second, items[1])?;
        if full {
            self.lift_own(&mut second, &mut parts)?;
        }

        let (outside, outer_entries) = (first.outside.clone(), second.aliases());
        let (mut first, first_bound) = self.enclose(query, first)?;
        let (mut second, second_bound) = self.enclose(query, second)?;
        let mut on = Scope::new(outer_entries, outside.clone());
        for (number, bound) in [&first_bound, &second_bound].into_iter().enumerate() {
            for (entry, columns) in bound {
                on.entries[*entry] = Binding::Columns(number, columns.clone());
            }
        }
        if let (Some(tied), Some(entry)) = (&tied, bindings) {
            let place = second_bound.iter().find(|(known, _)| known + 1 == entry).map(|(_, columns)| columns);
            for (column, place) in tied.columns.iter().zip(place.into_iter().flatten()) {
                if let (View::Var(_), Some(place)) = (column.view(), place) {
                    let shown = first.show(*column) as i16;
                    let left = self.arena.var_like(*column, 1, shown);
                    on.block.predicates.push(self.same(left, self.arena.var_like(*column, 2, *place)));
                }
            }
        }
        let (lifted, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| has_subquery(*part));
        for part in plain {
            self.outer_condition(&mut on, part, full)?;
        }
        let mut whole = None;
        for part in lifted {
            if full && whole.is_none() {
                second = self.as_columns(second)?;
                whole = Some(second.clone());
            }
            self.lift_on(&mut on, &first, &mut second, part)?;
        }
        self.correlated = correlated;
        let mut condition = on.block.predicates;
        if !full {
            let (own, rest): (Vec<_>, Vec<_>) =
                condition.into_iter().partition(|one| reads_only(*one, 1) && !self.is_certain(*one));
            for predicate in own {
                let predicate = self.arena.rewrite::<NotIncremental>(predicate, &mut |node| match node.view() {
                    View::Var(var) => Ok(Some(second.outputs[var.attribute as usize - 1].expression)),
                    _ => Ok(None),
                })?;
                second.predicates.push(predicate);
            }
            condition = rest;
        }
        let offset = first.outputs.len() as i16;
        let columns = self.outer_columns([(&first, full), (&second, true)])?;
        let keys = self.outer_keys(full, [&first, whole.as_ref().unwrap_or(&second)], &condition)?;
        let kind = if full { Kind::Full } else { Kind::Left };
        let outer = Outer { whole, ..Outer::new(kind, [first, second], condition) };
        let leaf = outer.leaf("join", columns, keys)?;
        scope.add(leaf);
        scope.outside = scope.outside.take().or(outside);
        let leaf = scope.block.leaves.len() - 1;
        let further = |entry: &usize| Some(entry + 1) == bindings;
        for (bound, offset) in [(first_bound, 0), (second_bound, offset)] {
            for (entry, columns) in bound.into_iter().filter(|(entry, _)| !further(entry)) {
                let columns = columns.into_iter().map(|column| column.map(|column| column + offset)).collect();
                if scope.entries.len() <= entry {
                    scope.entries.resize(entry + 1, Binding::Unbound);
                }
                scope.entries[entry] = Binding::Columns(leaf, columns);
            }
        }
        Ok(())
    }

    /// Those subqueries of a condition that concern one side alone are columns of it.
    pub(super) fn lift_own(&mut self, side: &mut Scope<'t>, parts: &mut [Node<'t>]) -> Lowered<()> {
        for part in parts {
            if has_subquery(*part) && part.all_references().columns.iter().all(|of| side.refer(self, of).is_ok()) {
                *part = self.lift(side, *part)?;
            }
        }
        Ok(())
    }

    /// Adds a condition without subqueries.
    pub(super) fn outer_condition(&mut self, on: &mut Scope<'t>, part: Node<'t>, full: bool) -> Lowered<()> {
        let before = on.block.predicates.len();
        self.check_condition(part, "a join condition")?;
        self.add_condition(on, part)?;
        // Of the second side alone, it is a filter of that side.
        let apart = |one: &Node<'t>| !full && reads_only(*one, 1);
        if on.block.predicates[before..].iter().any(|one| temporal::reads_clock(*one) && !apart(one)) {
            return Err(check::clock("the clock", "the condition of an outer join"));
        }
        Ok(())
    }

    /// A block with the same outputs, all of them columns of its leaves.
    pub(super) fn as_columns(&mut self, block: Block<'t>) -> Lowered<Block<'t>> {
        if block.outputs.iter().all(|output| matches!(output.expression.view(), View::Var(_))) {
            return Ok(block);
        }
        let leaf = self.side_leaf(&block)?;
        Ok(Block::of_relation(self, leaf))
    }

    fn side_leaf(&mut self, block: &Block<'t>) -> Lowered<Leaf<'t>> {
        let finished = self.finish(block)?;
        let columns = finished.columns.iter().cloned().map(Some).collect();
        let (name, keys) = ("input".to_string(), finished.keys.clone());
        Ok(Leaf { kind: LeafKind::Derived(finished.projected()), name, columns, keys })
    }

    /// A condition with subqueries: they are columns of the second side, for the bindings of the pairs that the other
    /// conditions leave. Rows of it without a pair are not needed.
    pub(super) fn lift_on(
        &mut self,
        on: &mut Scope<'t>,
        first: &Block<'t>,
        second: &mut Block<'t>,
        part: Node<'t>,
    ) -> Lowered<()> {
        // What is compared by image must be columns.
        *second = self.as_columns(std::mem::take(second))?;
        let leaves = vec![self.side_leaf(first)?, self.side_leaf(second)?];
        let block = Block { leaves, predicates: on.block.predicates.clone(), ..Block::default() };
        let mut pairs = Scope { block, fixed: true, ..Scope::new(on.entries.clone(), on.outside.clone()) };
        let before = pairs.block.predicates.len();
        let part = self.lift(&mut pairs, part)?;
        self.check_expression(part, "a join condition")?;
        let part = pairs.resolve(self, part)?;
        // The relations that were added, in the numbering of the second side; what they have to do with the first side is a
        // condition of the join.
        let offset = second.leaves.len();
        second.leaves.extend(pairs.block.leaves.drain(2..));
        let mut conditions = pairs.block.predicates.split_off(before);
        conjuncts(part, &mut conditions);
        for condition in conditions {
            let read: BTreeSet<usize> = columns_of(condition).into_iter().map(|column| column.0).collect();
            if read.contains(&0) {
                let shown = self.arena.rewrite::<NotIncremental>(condition, &mut |node| match node.view() {
                    View::Var(var) if var.entry > 2 => {
                        let own = self.arena.var_like(node, var.entry - 2 + offset, var.attribute);
                        let shown = second.show(own) as i16;
                        Ok(Some(self.arena.var_like(node, 2, shown)))
                    }
                    _ => Ok(None),
                })?;
                on.block.predicates.push(shown);
                continue;
            }
            let own = self.arena.rewrite::<NotIncremental>(condition, &mut |node| match node.view() {
                View::Var(var) if var.entry > 2 => {
                    Ok(Some(self.arena.var_like(node, var.entry - 2 + offset, var.attribute)))
                }
                View::Var(var) => Ok(Some(second.outputs[var.attribute as usize - 1].expression)),
                _ => Ok(None),
            })?;
            second.predicates.push(own);
        }
        Ok(())
    }

    /// What an item of FROM refers to outside of itself, counted as for a subquery of the query: level 1 is other items.
    fn outward(&self, query: Query<'t>, item: &FromItem<'t>) -> References<'t> {
        let mut found = References::default();
        let mut within = Vec::new();
        self.collect_outward(query, item, &mut found, &mut within);
        found.columns.retain(|reference| reference.levels_up > 1 || !within.contains(&reference.entry));
        found
    }

    fn collect_outward(
        &self,
        query: Query<'t>,
        item: &FromItem<'t>,
        found: &mut References<'t>,
        within: &mut Vec<usize>,
    ) {
        match item {
            FromItem::Entry(entry) => {
                within.push(*entry);
                match query.range_table()[entry - 1].kind() {
                    RangeKind::Subquery(subquery) => found.extend(self.references(subquery)),
                    RangeKind::Cte { name, levels_up, .. } => {
                        let mut references = self.cte_references(&name, levels_up);
                        references.columns.iter_mut().for_each(|reference| reference.levels_up += levels_up);
                        found.extend(references);
                    }
                    RangeKind::Values(rows) => rows.iter().flatten().for_each(|row| found.extend(further_out(*row))),
                    RangeKind::Function | RangeKind::TableFunction => {
                        let calls = query.range_table()[entry - 1].calls();
                        calls.into_iter().for_each(|calls| found.extend(calls.all_references()));
                    }
                    _ => {}
                }
            }
            FromItem::Join { entry, left, right, condition, .. } => {
                within.extend(entry);
                self.collect_outward(query, left, found, within);
                self.collect_outward(query, right, found, within);
                if let Some(condition) = condition {
                    found.extend(further_out(*condition));
                }
            }
        }
    }

    /// What a scope binds as a block whose outputs are all columns of it.
    pub(in crate::compile) fn enclose(&self, query: Query<'t>, side: Scope<'t>) -> Lowered<(Block<'t>, Bound)> {
        self.enclose_named(&query.range_table(), side)
    }

    /// As [`Self::enclose`], where the query's names for its relations are not at hand.
    pub(in crate::compile) fn enclose_all(&self, side: Scope<'t>) -> Lowered<(Block<'t>, Bound)> {
        self.enclose_named(&[], side)
    }

    fn enclose_named(&self, table: &[RangeEntry<'t>], mut side: Scope<'t>) -> Lowered<(Block<'t>, Bound)> {
        let mut bound = Vec::new();
        for (entry, binding) in side.entries.iter().enumerate() {
            // There is a row of what is bound now.
            let present = std::iter::once(Some(self.arena.truth()));
            let expressions: Vec<Option<Node<'t>>> = match binding {
                Binding::Unbound | Binding::Aliases(_) | Binding::Beside(_) => continue,
                Binding::Outputs(outputs) => outputs.iter().copied().map(Some).chain(present).collect(),
                Binding::Leaf(leaf) => {
                    let columns = side.block.leaves[*leaf].columns.iter().enumerate();
                    let var = |(at, column): (usize, &Option<Column>)| {
                        Some(self.arena.var(leaf + 1, at as i16 + 1, &column.as_ref()?.ty))
                    };
                    columns.map(var).chain(present).collect()
                }
                Binding::Columns(leaf, columns) => {
                    let of = &side.block.leaves[*leaf];
                    let var = |column: &Option<i16>| {
                        let column = (*column)?;
                        Some(self.arena.var(leaf + 1, column, &of.column(column)?.ty))
                    };
                    columns.iter().map(var).collect()
                }
            };
            let mut places = Vec::new();
            let last = expressions.len().saturating_sub(1);
            for (at, expression) in expressions.into_iter().enumerate() {
                places.push(expression.map(|expression| {
                    let column = match (binding, plain_column(expression)) {
                        (Binding::Outputs(_), _) | (_, None) => None,
                        (_, Some((leaf, attribute))) => side.block.leaves[leaf].column(attribute),
                    };
                    let column = match column {
                        Some(column) => column.name.clone(),
                        None if at == last => "present".to_string(),
                        None => format!("column{}", at + 1),
                    };
                    let bare = column.rsplit_once('.').map_or(column.as_str(), |(_, bare)| bare);
                    // What the compiler adds is not in the range table.
                    let name = table.get(entry).map_or(bare.to_string(), |entry| format!("{}.{bare}", entry.name()));
                    side.block.outputs.push(Output { name, expression });
                    side.block.outputs.len() as i16
                }));
            }
            bound.push((entry, places));
        }
        Ok((side.block, bound))
    }

    /// The columns of a join, by side and whether that is padded.
    pub(super) fn outer_columns(&self, sides: [(&Block<'t>, bool); 2]) -> Lowered<Vec<Option<Column>>> {
        let mut columns = Vec::new();
        for (block, padded) in sides {
            for output in &block.outputs {
                let mut column = block.describe(&output.name, output.expression)?;
                column.nullable |= padded;
                columns.push(Some(column));
            }
        }
        Ok(columns)
    }

    /// A key of each side together identify a row, padded or not; the first side's alone if it finds one row of the second.
    pub(super) fn outer_keys(
        &self,
        full: bool,
        sides: [&Block<'t>; 2],
        condition: &[Node<'t>],
    ) -> Lowered<Vec<Vec<usize>>> {
        let keys = sides.map(unique::of_block);
        let mut leaves = Vec::new();
        for (block, keys) in sides.into_iter().zip(&keys) {
            let columns = block
                .outputs
                .iter()
                .map(|output| block.describe(&output.name, output.expression).map(Some))
                .collect::<Lowered<Vec<_>>>()?;
            let kind = LeafKind::Derived(Rel::Values { rows: Vec::new() });
            leaves.push(Leaf { kind, name: String::new(), columns, keys: keys.clone() });
        }
        let offset = sides[0].outputs.len();
        let outputs = leaves.iter().enumerate().flat_map(|(leaf, of)| {
            let columns = of.columns.iter().flatten().enumerate();
            columns.map(move |(at, column)| (leaf + 1, at as i16 + 1, column))
        });
        let outputs = outputs
            .map(|(entry, attribute, column)| Output {
                name: String::new(),
                expression: self.arena.var(entry, attribute, &column.ty),
            })
            .collect();
        // A row of one side alone has NULLs for the other's key: it is told apart by a column that is NULL for no other reason.
        let certain = |side: usize, key: &[usize]| {
            let columns = leaves[side].columns.iter().flatten().enumerate();
            columns.into_iter().any(|(at, column)| key.contains(&at) && !column.nullable)
        };
        let apart = |first: &[usize], second: &[usize]| !full || certain(0, first) || certain(1, second);
        let together = keys[0].iter().flat_map(|first| {
            let whole =
                |second: &Vec<usize>| first.iter().copied().chain(second.iter().map(|at| at + offset)).collect();
            keys[1].iter().filter(|second| apart(first, second)).map(whole).collect::<Vec<Vec<usize>>>()
        });
        let mut found: Vec<Vec<usize>> = together.take(16).collect();
        if !full {
            let joined =
                unique::of_block(&Block { leaves, predicates: condition.to_vec(), outputs, ..Block::default() });
            let alone = |key: &Vec<usize>| {
                key.iter().all(|column| *column < offset)
                    && keys[0].iter().any(|first| first.iter().all(|column| key.contains(column)))
            };
            found.extend(joined.into_iter().filter(alone));
        }
        Ok(found)
    }
}

/// What an expression refers to in the queries around its own, counted as for a subquery of it.
fn further_out(expression: Node<'_>) -> References<'_> {
    let mut found = expression.all_references();
    found.columns.retain(|reference| reference.levels_up > 1);
    found
}
