//! LEFT, RIGHT and FULL joins: the inner join, and the rows of a side that is kept whole of which nothing is in it, padded
//! with NULLs.
//!
//! ```text
//! L LEFT JOIN R ON c  =  J + pad(L - M)    J = L JOIN R ON c,  M = the rows of L that are in J, as often as in L
//! ```
//!
//! No operator of its own is needed: what M holds changes with J and L alone. M is found by joining L with a set:
//! * where c compares expressions of L with expressions of R, and each side otherwise with itself only, with the distinct
//!   values of R's expressions. Each row of L meets at most one of them, because both sides are compared as values of one
//!   type under one notion of equality.
//! * otherwise with the distinct rows of L in J, by image, NULLs equal: a join's notion of equality would lose rows here
//!   (HAZARDS E22).
//!
//! The sides are blocks of their own: what they compute is computed before the padding. A condition on R alone that may
//! raise, or that PostgreSQL evaluates, is one of R's rows, whatever they are joined with; one on L alone is evaluated for
//! the rows of J only.

use super::block::{columns_of, conjuncts, plain_column, Block, Column, Leaf, LeafKind, Output};
use super::equality::image_column;
use super::from::{Binding, Scope};
use super::stage::Stage;
use super::subquery::has_subquery;
use super::{temporal, unique, Compiler, Lowered, NotIncremental};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, Query, RangeEntry, RangeKind};
use crate::pg::references::References;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use trickle_operators::expr::Expr;
use trickle_operators::plan::{Join, JoinInput, Lookup, Reduce, Rel};
use trickle_operators::value::ColumnType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first side is kept whole.
    Left,
    /// Both are.
    Full,
    /// M alone.
    Semi,
    /// L - M.
    Anti,
}

/// A join that is more than the pairs of rows that match, before it is known what is used of it.
pub(super) struct Outer<'t> {
    pub kind: Kind,
    /// Every column that can be named is an output; a semi- or antijoin shows those of the first side only.
    pub sides: [Block<'t>; 2],
    /// In its Vars, entry 1 is the first side and 2 the second, attribute number m is its output m - 1.
    pub condition: Vec<Node<'t>>,
}

/// By range table entry: where its columns are among a side's outputs (from 1), by attribute number - 1.
pub(super) type Bound = Vec<(usize, Vec<Option<i16>>)>;

/// One side with what is used of it.
struct Side<'t> {
    /// As an input of a join.
    leaf: Leaf<'t>,
    /// Outputs that are used, each with the leaf's attribute number.
    used: Vec<(usize, i16)>,
    /// All rows, with the used outputs as columns.
    rel: Rel,
    columns: Vec<(String, ColumnType)>,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn bind_outer(
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
            return Err(NotIncremental::new(
                "FULL JOIN that refers to other items of FROM",
                "A FULL JOIN refers to items of FROM outside of it, or to a query around its own.",
            ));
        }
        let correlated = self.correlated.take();
        let mut first = if absorb {
            std::mem::replace(
                scope,
                Scope { block: Block::default(), entries: aliases_only(scope), outside: None, ..Scope::default() },
            )
        } else {
            Scope { block: Block::default(), entries: aliases_only(scope), outside: None, ..Scope::default() }
        };
        if !absorb && !full {
            first.pending = std::mem::take(&mut scope.pending);
        }
        self.bind_item(query, &mut first, items[0])?;
        // Subqueries of the condition that concern the first side alone are columns of it.
        for part in &mut parts {
            if has_subquery(*part) && part.all_references().columns.iter().all(|of| first.refer(self, of).is_ok()) {
                *part = self.lift(&mut first, *part)?;
            }
        }
        // What WHERE asks of the side that is kept holds for what the other is computed for.
        let tied = if other.is_empty() {
            None
        } else {
            self.add_pending(&mut first)?;
            self.tie(&first, &other, &[], &[], true)?
        };
        scope.pending.append(&mut first.pending);
        scope.deferred = scope.deferred.take().or(first.deferred.take());
        let mut second =
            Scope { block: Block::default(), entries: aliases_only(&first), outside: None, ..Scope::default() };
        let bindings = tied.as_ref().map(|tied| second.enter_beside(self, &tied.inside));
        self.bind_item(query, &mut second, items[1])?;

        let (outside, outer_entries) = (first.outside.clone(), aliases_only(&second));
        let (mut first, first_bound) = self.enclose(query, first)?;
        let (mut second, second_bound) = self.enclose(query, second)?;
        let mut on =
            Scope { block: Block::default(), entries: outer_entries, outside: outside.clone(), ..Scope::default() };
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
            let before = on.block.predicates.len();
            self.check_condition(part, "a join condition")?;
            self.add_condition(&mut on, part)?;
            // Of the second side alone, it is a filter of that side.
            let apart = |one: &Node<'t>| !full && reads_only(*one, 1);
            if on.block.predicates[before..].iter().any(|one| temporal::reads_clock(*one) && !apart(one)) {
                return Err(super::check::clock("the clock", "the condition of an outer join"));
            }
        }
        if full && !lifted.is_empty() {
            return Err(NotIncremental::new(
                "subquery in the condition of a FULL JOIN",
                "The condition of a FULL JOIN contains a subquery.",
            ));
        }
        for part in lifted {
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
        let mut columns = Vec::new();
        for (block, padded) in [(&first, full), (&second, true)] {
            for output in &block.outputs {
                let mut column = block.describe(&output.name, output.expression)?;
                column.nullable |= padded;
                columns.push(Some(column));
            }
        }
        let keys = self.outer_keys(full, [&first, &second], &condition)?;
        let kind = if full { Kind::Full } else { Kind::Left };
        let outer = Outer { kind, sides: [first, second], condition };
        let leaf = Leaf { kind: LeafKind::Outer(Rc::new(outer)), name: "join".to_string(), columns, keys };
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

    /// A condition with subqueries: they are columns of the second side, for the bindings of the pairs that the other
    /// conditions leave. Rows of it without a pair are not needed.
    fn lift_on(
        &mut self,
        on: &mut Scope<'t>,
        first: &Block<'t>,
        second: &mut Block<'t>,
        part: Node<'t>,
    ) -> Lowered<()> {
        let mut leaves = Vec::new();
        for block in [first, &*second] {
            let finished = self.finish(block)?;
            let columns = finished.columns.iter().cloned().map(Some).collect();
            let (name, keys) = ("input".to_string(), finished.keys.clone());
            leaves.push(Leaf { kind: LeafKind::Derived(finished.projected()), name, columns, keys });
        }
        // What is compared by image must be columns.
        if second.outputs.iter().any(|output| !matches!(output.expression.view(), View::Var(_))) {
            *second = Block::of_relation(self, leaves[1].clone());
        }
        let block = Block { leaves, predicates: on.block.predicates.clone(), ..Block::default() };
        let mut pairs =
            Scope { block, entries: on.entries.clone(), outside: on.outside.clone(), fixed: true, ..Scope::default() };
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
            FromItem::Join { left, right, condition, .. } => {
                self.collect_outward(query, left, found, within);
                self.collect_outward(query, right, found, within);
                if let Some(condition) = condition {
                    found.extend(further_out(*condition));
                }
            }
        }
    }

    /// What a scope binds as a block whose outputs are all columns of it.
    pub(super) fn enclose(&self, query: Query<'t>, side: Scope<'t>) -> Lowered<(Block<'t>, Bound)> {
        self.enclose_named(&query.range_table(), side)
    }

    /// As [`Self::enclose`], where the query's names for its relations are not at hand.
    pub(super) fn enclose_all(&self, side: Scope<'t>) -> Lowered<(Block<'t>, Bound)> {
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

    /// A key of each side together identify a row, padded or not; the first side's alone if it finds one row of the second.
    fn outer_keys(&self, full: bool, sides: [&Block<'t>; 2], condition: &[Node<'t>]) -> Lowered<Vec<Vec<usize>>> {
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

    /// The join as leaf `number` of a block that uses these of its columns.
    pub(super) fn outer_join(&mut self, number: usize, outer: &Outer<'t>, used: &BTreeSet<i16>) -> Lowered<Stage> {
        let offset = outer.sides[0].outputs.len();
        let mut wanted: [BTreeSet<usize>; 2] = Default::default();
        for column in used.iter().map(|attribute| *attribute as usize - 1) {
            let side = usize::from(column >= offset);
            wanted[side].insert(column - side * offset);
        }
        for (side, attribute) in outer.condition.iter().flat_map(|condition| columns_of(*condition)) {
            wanted[side].insert(attribute as usize - 1);
        }
        // Rows are told apart by their columns: there must be one.
        let mut side =
            |block: &Block<'t>, mut wanted: BTreeSet<usize>| {
                if wanted.is_empty() {
                    let fixed = |output: &Output<'_>| output.expression.column_type().length > 0;
                    let some = block.outputs.iter().position(fixed).or((!block.outputs.is_empty()).then_some(0));
                    wanted.insert(some.ok_or_else(|| {
                        NotIncremental::new("outer join", "An outer join has an input without columns.")
                    })?);
                }
                self.outer_side(block, &wanted)
            };
        let [first, second] = wanted;
        let sides = [side(&outer.sides[0], first)?, side(&outer.sides[1], second)?];
        let condition: Vec<Node<'t>> =
            outer.condition.iter().map(|condition| self.in_leaves(*condition, &sides)).collect::<Lowered<_>>()?;

        let block = Block {
            leaves: sides.iter().map(|side| side.leaf.clone()).collect(),
            predicates: condition.clone(),
            outputs: (0..2).flat_map(|side| self.side_outputs(&sides[side], side + 1)).collect(),
            ..Block::default()
        };
        let mut joined = match outer.kind {
            Kind::Left | Kind::Full => Some(self.columns(&block)?),
            Kind::Semi | Kind::Anti => None,
        };
        let mut inputs: Vec<Rel> = joined.iter().cloned().collect();
        for kept in 0..=usize::from(outer.kind == Kind::Full) {
            let matched = match self.by_keys(&sides, kept, &condition)? {
                Some(matched) => matched,
                None => {
                    let pairs = match joined.take() {
                        Some(pairs) => pairs,
                        None => self.columns(&block)?,
                    };
                    self.by_image(&sides, kept, joined.insert(pairs))
                }
            };
            if outer.kind == Kind::Semi {
                inputs.push(matched);
                continue;
            }
            let matched = Rel::Negate { input: Box::new(matched) };
            let rest = Rel::Union { inputs: vec![sides[kept].rel.clone(), matched] };
            inputs.push(if outer.kind == Kind::Anti { rest } else { self.pad(&sides, kept, rest) });
        }
        let rel = if inputs.len() == 1 { inputs.remove(0) } else { Rel::Union { inputs } };
        let shown = if matches!(outer.kind, Kind::Semi | Kind::Anti) { 1 } else { 2 };
        let mut positions = HashMap::new();
        let mut columns = Vec::new();
        for (side, start) in sides.into_iter().zip([0, offset]).take(shown) {
            for ((output, _), column) in side.used.iter().zip(side.columns) {
                positions.insert((number, (start + output) as i16 + 1), columns.len());
                columns.push(column);
            }
        }
        Ok(Stage { rel, positions, columns })
    }

    fn outer_side(&mut self, block: &Block<'t>, wanted: &BTreeSet<usize>) -> Lowered<Side<'t>> {
        let outputs: Vec<Output<'t>> = wanted.iter().map(|output| block.outputs[*output].clone()).collect();
        let columns: Vec<(String, ColumnType)> =
            outputs.iter().map(|output| (output.name.clone(), output.expression.column_type())).collect();
        // A table with nothing to be done is looked up where all graphs do.
        let attributes: Option<Vec<i16>> = match &block.leaves[..] {
            [Leaf { kind: LeafKind::Table { .. }, .. }] if block.predicates.is_empty() => outputs
                .iter()
                .map(|output| match output.expression.view() {
                    View::Var(var) => Some(var.attribute),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if let Some(attributes) = attributes {
            let leaf = block.leaves[0].clone();
            let scan = self.scan(0, &leaf, &attributes.iter().copied().collect())?;
            let places = attributes.iter().map(|attribute| scan.positions[&(0, *attribute)]).collect();
            let rel = Rel::Project { input: Box::new(scan.rel), columns: places };
            let used = wanted.iter().copied().zip(attributes).collect();
            return Ok(Side { leaf, used, rel, columns });
        }
        let finished = self.finish(&Block { outputs, ..block.clone() })?;
        let (described, keys) = (finished.columns.iter().cloned().map(Some).collect(), finished.keys.clone());
        let rel = finished.projected();
        let leaf = Leaf { kind: LeafKind::Derived(rel.clone()), name: "input".to_string(), columns: described, keys };
        let used = wanted.iter().copied().zip(1..).collect();
        Ok(Side { leaf, used, rel, columns })
    }

    /// The condition in terms of the sides' leaves.
    fn in_leaves(&self, condition: Node<'t>, sides: &[Side<'t>; 2]) -> Lowered<Node<'t>> {
        self.arena.rewrite(condition, &mut |node| match node.view() {
            View::Var(var) => {
                let output = var.attribute as usize - 1;
                let place = sides[var.entry - 1].used.iter().find(|(used, _)| *used == output);
                let (_, attribute) = place.ok_or_else(super::block::missing_column)?;
                Ok(Some(self.arena.var_like(node, var.entry, *attribute)))
            }
            _ => Ok(None),
        })
    }

    fn side_outputs(&self, side: &Side<'t>, entry: usize) -> Vec<Output<'t>> {
        let outputs = side.used.iter().zip(&side.columns);
        outputs
            .map(|((_, attribute), (name, ty))| Output {
                name: name.clone(),
                expression: self.arena.var(entry, *attribute, ty),
            })
            .collect()
    }

    /// A block whose outputs are columns, as a relation of just these.
    fn columns(&mut self, block: &Block<'t>) -> Lowered<Rel> {
        Ok(self.finish(block)?.projected())
    }

    /// The rows of side `kept` that the other side's keys match; none if the condition is not made of keys.
    fn by_keys(&mut self, sides: &[Side<'t>; 2], kept: usize, condition: &[Node<'t>]) -> Lowered<Option<Rel>> {
        let other = 1 - kept;
        let (mut own, mut others, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for predicate in condition {
            let read: BTreeSet<usize> = columns_of(*predicate).into_iter().map(|column| column.0).collect();
            match (read.contains(&kept), read.contains(&other)) {
                (true, true) => match key_of(*predicate, other) {
                    Some(key) => keys.push((*predicate, key)),
                    None => return Ok(None),
                },
                // What fails must not fail twice.
                _ if !self.is_certain(*predicate) => return Ok(None),
                (false, true) => others.push(*predicate),
                _ => own.push(*predicate),
            }
        }
        let mut expressions: Vec<Node<'t>> = Vec::new();
        for (_, key) in &keys {
            if !expressions.contains(key) {
                expressions.push(*key);
            }
        }
        // Without a key all that matters is whether there is a row at all.
        let some = [self.arena.truth()];
        let shown = if expressions.is_empty() { &some[..] } else { &expressions[..] };
        let below = Block {
            leaves: vec![sides[other].leaf.clone()],
            predicates: others.iter().map(|predicate| self.moved(*predicate, 1)).collect::<Lowered<_>>()?,
            outputs: shown
                .iter()
                .map(|key| Ok(Output { name: "key".to_string(), expression: self.moved(*key, 1)? }))
                .collect::<Lowered<_>>()?,
            ..Block::default()
        };
        let Ok(distinct) = self.distinct(below, "a join condition") else { return Ok(None) };
        let mut predicates =
            own.iter().map(|predicate| self.moved(*predicate, 1)).collect::<Lowered<Vec<Node<'t>>>>()?;
        for (predicate, key) in keys {
            let at = expressions.iter().position(|known| *known == key).expect("every key is an expression");
            let var = self.arena.var(2, at as i16 + 1, &key.column_type());
            predicates.push(self.arena.rewrite::<NotIncremental>(predicate, &mut |node| match node.view() {
                _ if node == key => Ok(Some(var)),
                View::Var(own) => Ok(Some(self.arena.var_like(node, 1, own.attribute))),
                _ => Ok(None),
            })?);
        }
        let set = distinct.leaves.into_iter().next().expect("a reduced relation is one leaf");
        let matched = Block {
            leaves: vec![sides[kept].leaf.clone(), set],
            predicates,
            outputs: self.side_outputs(&sides[kept], 1),
            ..Block::default()
        };
        self.columns(&matched).map(Some)
    }

    /// Whether the engine evaluates it, and it cannot raise.
    fn is_certain(&self, predicate: Node<'t>) -> bool {
        let positions = columns_of(predicate).into_iter().enumerate().map(|(at, column)| (column, at)).collect();
        self.certain(predicate, &positions).is_some()
    }

    fn moved(&self, expression: Node<'t>, entry: usize) -> Lowered<Node<'t>> {
        self.arena.rewrite(expression, &mut |node| match node.view() {
            View::Var(var) => Ok(Some(self.arena.var_like(node, entry, var.attribute))),
            _ => Ok(None),
        })
    }

    /// The rows of side `kept` that occur in the join, by what they are.
    fn by_image(&mut self, sides: &[Side<'t>; 2], kept: usize, joined: &Rel) -> Rel {
        let types: Vec<ColumnType> = sides[kept].columns.iter().map(|(_, ty)| ty.clone()).collect();
        let width = types.len();
        let start = if kept == 0 { 0 } else { sides[0].columns.len() };
        let key: Vec<_> = types.iter().enumerate().map(|(at, ty)| image_column(at, ty)).collect();
        let site = self.site("outer join".to_string(), types.clone());
        let in_join = Rel::Reduce(Reduce {
            input: Box::new(Rel::Project {
                input: Box::new(joined.clone()),
                columns: (start..start + width).collect(),
            }),
            keys: key.clone(),
            aggregates: Vec::new(),
            collected: None,
            global: false,
            site,
        });
        let step = |input: usize, from: usize| Lookup {
            input,
            probe: types.iter().enumerate().map(|(at, ty)| Expr::Column(from + at, ty.kind)).collect(),
            key: key.clone(),
            filter: Vec::new(),
        };
        let input = |relation| JoinInput { relation, width, filter: Vec::new() };
        let site = self.site("outer join".to_string(), types.iter().chain(&types).cloned().collect());
        let join = Rel::Join(Join {
            inputs: vec![input(sides[kept].rel.clone()), input(in_join)],
            paths: vec![vec![step(1, 0)], vec![step(0, width)]],
            residual: Vec::new(),
            site,
        });
        Rel::Project { input: Box::new(join), columns: (0..width).collect() }
    }

    /// Rows of side `kept` with NULLs for the other one.
    fn pad(&mut self, sides: &[Side<'t>; 2], kept: usize, rest: Rel) -> Rel {
        let (own, other) = (&sides[kept].columns, &sides[1 - kept].columns);
        let expressions = other.iter().map(|(_, ty)| Expr::Literal(None, ty.kind)).collect();
        let (own, other) = (own.len(), other.len());
        let site = self.site("NULL".to_string(), sides[kept].columns.iter().map(|(_, ty)| ty.clone()).collect());
        let padded = Rel::Map { input: Box::new(rest), expressions, site };
        match kept {
            0 => padded,
            _ => Rel::Project { input: Box::new(padded), columns: (own..own + other).chain(0..own).collect() },
        }
    }
}

/// What an expression refers to in the queries around its own, counted as for a subquery of it.
fn further_out(expression: Node<'_>) -> References<'_> {
    let mut found = expression.all_references();
    found.columns.retain(|reference| reference.levels_up > 1);
    found
}

fn reads_only(expression: Node<'_>, side: usize) -> bool {
    let read = columns_of(expression);
    !read.is_empty() && read.iter().all(|column| column.0 == side)
}

/// The other side's expression, if the predicate is an equality of one with one of the kept side, and each value of the
/// kept side's is equal to at most one of the other's distinct values.
fn key_of<'t>(predicate: Node<'t>, other: usize) -> Option<Node<'t>> {
    let call = match predicate.view() {
        View::Operator(call) => call,
        View::Not(inner) => match inner.view() {
            View::Distinct(call) => call,
            _ => return None,
        },
        _ => return None,
    };
    let [left, right] = call.arguments[..] else { return None };
    let of = |node: Node<'t>| columns_of(node).iter().all(|column| column.0 == other);
    let key = match (of(left), of(right)) {
        (true, false) => left,
        (false, true) => right,
        _ => return None,
    };
    let apart = {
        let against = if key == left { right } else { left };
        columns_of(against).iter().all(|column| column.0 != other) && against.type_oid() == key.type_oid()
    };
    let same = catalog_lookup::default_equality(key.type_oid(), call.operator)
        && catalog_lookup::deterministic(call.collation)
        && catalog_lookup::deterministic(key.collation());
    (apart && same).then_some(key)
}

/// The scope's entries that are in terms of others, for an input of a join.
pub(super) fn aliases_only<'t>(scope: &Scope<'t>) -> Vec<Binding<'t>> {
    let only = |binding: &Binding<'t>| match binding {
        Binding::Aliases(_) | Binding::Beside(_) => binding.clone(),
        _ => Binding::Unbound,
    };
    scope.entries.iter().map(only).collect()
}
