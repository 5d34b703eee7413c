//! The FROM clause: what each range table entry means in terms of the block.

use super::block::{conjuncts, missing_column, plain_column, Block, Column, Leaf, LeafKind, Output};
use super::context::{Inside, Outside, Tied};
use super::subquery::has_subquery;
use super::{semi_join, Compiler, Lowered, NotIncremental, StreamMode};
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, JoinKind, Query, RangeKind};
use crate::pg::references::{Reference, References};
use crate::pg::relation::TABLE_OID;
use crate::pg::whole_row::PRESENT;
use std::collections::BTreeSet;
use trickle_operators::plan::Rel;
use trickle_operators::value::Row;

/// The block under construction, and how to read the query's Vars in it.
#[derive(Default)]
pub(super) struct Scope<'t> {
    pub block: Block<'t>,
    /// By number in the range table, from 1; then those of relations that the compiler adds.
    pub entries: Vec<Binding<'t>>,
    /// What the query sees of those around it.
    pub outside: Option<Outside<'t>>,
    /// Whether its leaves must stay where they are.
    pub fixed: bool,
    /// Conditions of WHERE that wait for what they read to be bound.
    pub pending: Vec<Node<'t>>,
    /// Conditions of inner joins with subqueries, if they can wait until all is bound.
    pub deferred: Option<Vec<Node<'t>>>,
}

#[derive(Clone)]
pub(super) enum Binding<'t> {
    /// Not in the FROM clause (a view's remainder, a DML target).
    Unbound,
    /// Columns of a leaf.
    Leaf(usize),
    /// Columns of a leaf, by attribute number - 1, `None` where dropped. Of what is in the range table the last is another: a
    /// boolean that is NULL where there is no row ([`PRESENT`]).
    Columns(usize, Vec<Option<i16>>),
    /// A dissolved subquery: its outputs, in terms of the block.
    Outputs(Vec<Node<'t>>),
    /// Some columns of an entry outside of an outer join's side, by attribute number: in terms of other entries.
    Beside(Vec<(i16, Node<'t>)>),
    /// Columns of a join, or GROUP BY expressions: in terms of other entries.
    Aliases(Vec<Node<'t>>),
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn lower_from(&mut self, query: Query<'t>, inside: Option<Inside<'t>>) -> Lowered<Scope<'t>> {
        let table = query.range_table();
        let entries = table
            .iter()
            .map(|entry| match entry.kind() {
                RangeKind::Join { aliases } => Binding::Aliases(aliases),
                RangeKind::Group(expressions) => Binding::Aliases(expressions),
                _ => Binding::Unbound,
            })
            .collect();
        let mut scope = Scope { block: Block::default(), entries, outside: None, ..Scope::default() };
        if let Some(inside) = inside {
            scope.enter(inside);
        }
        let (items, condition) = query.items_of_from();
        let mut parts = Vec::new();
        if let Some(condition) = condition {
            conjuncts(condition, &mut parts);
        }
        let (parts, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| has_subquery(*part));
        scope.pending = plain;
        scope.deferred = Some(Vec::new());
        for item in &items {
            self.bind_item(query, &mut scope, item)?;
        }
        for part in std::mem::take(&mut scope.pending) {
            self.check_condition(part, "WHERE")?;
            self.add_condition(&mut scope, part)?;
        }
        let (mut subqueries, mut lifted) = (Vec::new(), Vec::new());
        for part in scope.deferred.take().into_iter().flatten().chain(parts) {
            match self.subquery_of(part) {
                Some((negated, link)) => subqueries.push((part, negated, link)),
                None => lifted.push(part),
            }
        }
        for (part, negated, link) in subqueries {
            if !self.bind_subquery(query, &mut scope, negated, link)? {
                lifted.push(part);
            }
        }
        // Last: they are evaluated for the rows that are left.
        for part in lifted {
            let part = self.lift_condition(&mut scope, part)?;
            self.check_condition(part, "WHERE")?;
            self.add_condition(&mut scope, part)?;
        }
        Ok(scope)
    }

    /// Adds those conditions of WHERE that read nothing but what is bound already: what is bound next is computed for the rows
    /// that they leave.
    pub(super) fn add_pending(&mut self, scope: &mut Scope<'t>) -> Lowered<()> {
        let pending = std::mem::take(&mut scope.pending);
        for part in pending {
            if part.all_references().columns.iter().all(|reference| scope.refer(self, reference).is_ok()) {
                self.check_condition(part, "WHERE")?;
                self.add_condition(scope, part)?;
            } else {
                scope.pending.push(part);
            }
        }
        Ok(())
    }

    pub(super) fn add_condition(&mut self, scope: &mut Scope<'t>, condition: Node<'t>) -> Lowered<()> {
        let mut parts = Vec::new();
        conjuncts(condition, &mut parts);
        for part in parts {
            // Resolved when the block is complete.
            if let Some(correlated) = self.correlated.as_mut().filter(|_| semi_join::looks_out(part)) {
                correlated.push(part);
                continue;
            }
            conjuncts(scope.resolve(self, part)?, &mut scope.block.predicates);
        }
        Ok(())
    }

    pub(super) fn bind_item(&mut self, query: Query<'t>, scope: &mut Scope<'t>, item: &FromItem<'t>) -> Lowered<()> {
        match item {
            FromItem::Entry(entry) => self.bind(query, scope, *entry),
            FromItem::Join { kind: JoinKind::Inner, left, right, condition } => {
                self.bind_item(query, scope, left)?;
                self.bind_item(query, scope, right)?;
                let mut parts = Vec::new();
                condition.iter().for_each(|condition| conjuncts(*condition, &mut parts));
                for part in parts {
                    match &mut scope.deferred {
                        // As good as in WHERE, where it is evaluated for fewer rows.
                        Some(deferred) if has_subquery(part) => deferred.push(part),
                        _ => {
                            let part = self.lift(scope, part)?;
                            self.check_condition(part, "a join condition")?;
                            self.add_condition(scope, part)?;
                        }
                    }
                }
                Ok(())
            }
            FromItem::Join { kind: JoinKind::Left, left, right, condition } => {
                if let FromItem::Entry(number) = **right {
                    if self.is_lateral(query, number) && !condition.is_some_and(has_subquery) {
                        self.bind_item(query, scope, left)?;
                        return self.bind_function(query, scope, number, Some(*condition));
                    }
                }
                self.bind_outer(query, scope, false, [left, right], *condition)
            }
            FromItem::Join { kind: JoinKind::Right, left, right, condition } => {
                self.bind_outer(query, scope, false, [right, left], *condition)
            }
            FromItem::Join { kind: JoinKind::Full, left, right, condition } => {
                self.bind_outer(query, scope, true, [left, right], *condition)
            }
            FromItem::Join { kind: JoinKind::Other, .. } => {
                Err(NotIncremental::new("semijoin", "The query contains a semijoin."))
            }
        }
    }

    fn bind(&mut self, query: Query<'t>, scope: &mut Scope<'t>, number: usize) -> Lowered<()> {
        let table = query.range_table();
        let entry = table[number - 1];
        if !entry.security_quals().is_empty() {
            return Err(NotIncremental::new("row-level security", "Row-level security applies to the query."));
        }
        let binding = match entry.kind() {
            RangeKind::Relation { relation, sampled, only } => {
                if sampled {
                    return Err(NotIncremental::new("TABLESAMPLE", "The query contains TABLESAMPLE."));
                }
                let leaf = self.table_leaf(relation, entry.name())?;
                let binding = scope.add(leaf);
                if only && self.relation(relation)?.has_children {
                    self.keep_own_rows(scope, relation)?;
                }
                self.with_virtual_columns(scope, relation, binding)?
            }
            RangeKind::Subquery(subquery) => {
                let references = self.references(subquery);
                if references.is_empty() {
                    let block = self.query(subquery)?;
                    scope.dissolve(self, block)?
                } else {
                    self.add_pending(scope)?;
                    self.bind_lateral(scope, &references, &mut |compiler, inside| {
                        compiler.query_in(subquery, Some(inside))
                    })?
                }
            }
            RangeKind::Cte { name, levels_up, recursive: _ } => {
                // Counted from the CTE's query, of which this use may be several levels inside.
                let mut references = self.cte_references(&name, levels_up);
                references.columns.iter_mut().for_each(|reference| reference.levels_up += levels_up);
                if references.is_empty() {
                    let block = self.cte(&name, levels_up, None)?;
                    scope.dissolve(self, block)?
                } else {
                    self.bind_lateral(scope, &references, &mut |compiler, inside| {
                        let inside = inside.nearer(levels_up);
                        compiler.cte(&name, levels_up, Some(inside))
                    })?
                }
            }
            RangeKind::Values(rows) => {
                let name = entry.name();
                let looks_out = rows.iter().flatten().any(|expression| !expression.references().is_empty());
                match scope.outside.clone().filter(|_| looks_out) {
                    None => {
                        let block = self.values(&rows, &name, None)?;
                        scope.dissolve(self, block)?
                    }
                    Some(Outside { inside, .. }) => {
                        let block = self.values(&rows, &name, Some(inside.clone()))?;
                        let columns = scope.carried(self)?.into_iter().map(|output| output.expression).collect();
                        scope.dissolve_bound(self, &Tied { inside, columns }, block)?
                    }
                }
            }
            RangeKind::Result => {
                let rel = Rel::Values { rows: vec![Row::default()] };
                let leaf =
                    Leaf { kind: LeafKind::Derived(rel), name: entry.name(), columns: vec![], keys: vec![vec![]] };
                scope.add(leaf)
            }
            RangeKind::Function | RangeKind::TableFunction => return self.bind_function(query, scope, number, None),
            RangeKind::NamedTuplestore => {
                return Err(NotIncremental::new("transition table", "The query reads a transition table."))
            }
            RangeKind::Join { .. } | RangeKind::Group(_) => return Ok(()),
        };
        scope.entries[number - 1] = binding;
        Ok(())
    }

    /// Of the rows of a relation that others inherit from, the last leaf, only those that it holds itself.
    fn keep_own_rows(&self, scope: &mut Scope<'t>, relation: u32) -> Lowered<()> {
        let leaf = scope.block.leaves.len() - 1;
        let table = scope.table_oid(self, leaf)?;
        let same = self.arena.not_distinct(table, self.arena.oid(relation)).ok_or_else(missing_column)?;
        scope.block.predicates.push(same);
        Ok(())
    }

    /// Virtual generated columns are in no row: they stand for their expressions.
    fn with_virtual_columns(&mut self, scope: &Scope<'t>, relation: u32, binding: Binding<'t>) -> Lowered<Binding<'t>> {
        let facts = self.relation(relation)?;
        if !facts.attributes.iter().flatten().any(|attribute| attribute.generated_virtually) {
            return Ok(binding);
        }
        let arena = self.arena;
        let leaf = scope.block.leaves.len();
        let mut outputs = Vec::new();
        for (number, attribute) in (1..).zip(&facts.attributes) {
            outputs.push(match attribute {
                None => arena.null_of_dropped(),
                Some(attribute) if attribute.generated_virtually => {
                    let expression = arena.generation_expression(relation, number).ok_or_else(missing_column)?;
                    self.check_expression(expression, "a generated column")?;
                    arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
                        View::Var(var) => Ok(Some(arena.var_like(node, leaf, var.attribute))),
                        _ => Ok(None),
                    })?
                }
                Some(attribute) => arena.var(leaf, number, &attribute.ty),
            });
        }
        Ok(Binding::Outputs(outputs))
    }

    fn table_leaf(&mut self, relation: u32, name: String) -> Lowered<Leaf<'t>> {
        let facts = self.relation(relation)?;
        let mut columns: Vec<_> = facts
            .attributes
            .iter()
            .map(|attribute| {
                attribute.as_ref().map(|attribute| Column {
                    name: attribute.name.clone(),
                    ty: attribute.ty.clone(),
                    nullable: !attribute.not_null,
                    determined: true,
                })
            })
            .collect();
        columns.extend(facts.has_children.then(|| Some(Column::table_oid())));
        let keys =
            facts.unique_keys.iter().map(|key| key.iter().map(|column| (*column - 1) as usize).collect()).collect();
        let incremental_stream = (self.options.stream_table)(relation) == Some(StreamMode::Incremental);
        Ok(Leaf { kind: LeafKind::Table { relation, incremental_stream }, name, columns, keys })
    }

    /// What a CTE refers to in the queries around the one that it belongs to, counted from its own query.
    pub(super) fn cte_references(&self, name: &str, levels_up: u32) -> References<'t> {
        let level = (self.ctes.len() - 1).checked_sub(levels_up as usize);
        let found = level.and_then(|level| {
            let cte = self.ctes[level].iter().find(|cte| cte.name == name)?;
            Some(self.references_within(cte.query, level + 1))
        });
        found.unwrap_or_default()
    }

    /// CTEs are inlined, each reference on its own; a recursive one is a relation.
    fn cte(&mut self, name: &str, levels_up: u32, inside: Option<Inside<'t>>) -> Lowered<Block<'t>> {
        let level = (self.ctes.len() - 1).checked_sub(levels_up as usize);
        let found = level.and_then(|level| {
            let ctes = self.ctes[level].clone();
            let at = ctes.iter().position(|cte| cte.name == name)?;
            Some((level, ctes, at))
        });
        let Some((level, ctes, at)) = found else {
            return Err(NotIncremental::new("WITH", format!("The common table expression \"{name}\" was not found.")));
        };
        // Its query sees the levels that the CTE was defined in, not those of the reference.
        let inner = self.ctes.split_off(level + 1);
        let block = match &ctes[at] {
            cte if cte.recursive => self.recursive(cte, inside.is_some()),
            cte => self.query_in(cte.query, inside),
        };
        self.ctes.truncate(level + 1);
        self.ctes.extend(inner);
        block
    }

    /// VALUES of constants is a relation; of anything else, one row each with its expressions.
    fn values(&mut self, rows: &[Vec<Node<'t>>], name: &str, inside: Option<Inside<'t>>) -> Lowered<Block<'t>> {
        let mut arms = Vec::new();
        for row in rows {
            let mut scope = Scope::default();
            match &inside {
                Some(inside) => scope.enter(inside.clone()),
                None => {
                    scope.add(Leaf {
                        kind: LeafKind::Derived(Rel::Values { rows: vec![Row::default()] }),
                        name: name.to_string(),
                        columns: vec![],
                        keys: vec![vec![]],
                    });
                }
            }
            let mut expressions = Vec::new();
            for expression in row {
                let expression = self.lift(&mut scope, *expression)?;
                self.check_expression(expression, "VALUES")?;
                expressions.push(expression);
            }
            let mut outputs = scope.carried(self)?;
            for (at, expression) in expressions.into_iter().enumerate() {
                let expression = scope.resolve(self, expression)?;
                outputs.push(Output { name: format!("column{}", at + 1), expression });
            }
            arms.push(Block { outputs, ..scope.block });
        }
        let carried = inside.as_ref().map_or(0, Inside::width);
        Ok(Block { carried, ..self.union(arms, name)? })
    }
}

impl<'t> Scope<'t> {
    pub fn add(&mut self, leaf: Leaf<'t>) -> Binding<'t> {
        self.block.leaves.push(leaf);
        Binding::Leaf(self.block.leaves.len() - 1)
    }

    /// A scope over one relation.
    pub fn over(leaf: Leaf<'t>, entries: Vec<Binding<'t>>) -> Self {
        Scope { block: Block { leaves: vec![leaf], ..Block::default() }, entries, outside: None, ..Scope::default() }
    }

    /// Makes room for what the query sees of those around it.
    pub fn enter(&mut self, inside: Inside<'t>) {
        let binding = self.add(inside.context.leaf.clone());
        let entry = self.entry(binding);
        self.outside = Some(Outside { inside, entry });
    }

    /// Makes room for what a side of an outer join sees of what is beside it and around its query.
    pub fn enter_beside(&mut self, compiler: &Compiler<'t, '_>, inside: &Inside<'t>) -> usize {
        let binding = self.add(inside.context.leaf.clone());
        let entry = self.entry(binding);
        let mut around = Vec::new();
        for (reference, column) in inside.context.references() {
            if reference.levels_up > 1 {
                around.push((Reference { levels_up: reference.levels_up - 1, ..*reference }, *column));
                continue;
            }
            let column = inside.context.in_entry(compiler, *column, entry);
            match &mut self.entries[reference.entry - 1] {
                Binding::Beside(columns) => {
                    columns.retain(|(known, _)| *known != reference.attribute);
                    columns.push((reference.attribute, column));
                }
                other => *other = Binding::Beside(vec![(reference.attribute, column)]),
            }
        }
        self.outside = Some(Outside { inside: Inside::around(inside, around), entry });
        entry
    }

    /// The number of an entry that is not in the range table.
    pub fn entry(&mut self, binding: Binding<'t>) -> usize {
        self.entries.push(binding);
        self.entries.len()
    }

    /// The columns of the bindings that every output of a subquery begins with.
    pub fn carried(&self, compiler: &Compiler<'t, '_>) -> Lowered<Vec<Output<'t>>> {
        let Some(outside) = &self.outside else { return Ok(Vec::new()) };
        let columns = outside.inside.context.leaf.columns.iter().flatten().enumerate();
        columns
            .map(|(at, column)| {
                let node = compiler.arena.var(outside.entry, at as i16 + 1, &column.ty);
                Ok(Output { name: column.name.clone(), expression: self.resolve(compiler, node)? })
            })
            .collect()
    }

    /// What a subquery of this query refers to, in terms of the block.
    pub fn refer(&self, compiler: &Compiler<'t, '_>, reference: &Reference<'t>) -> Lowered<Node<'t>> {
        match reference.levels_up {
            1 => self.column(compiler, reference.node, reference.entry, reference.attribute),
            further => self.look_out(compiler, further - 1, reference.entry, reference.attribute),
        }
    }

    /// A column of a query around this one.
    pub fn look_out(
        &self,
        compiler: &Compiler<'t, '_>,
        levels_up: u32,
        entry: usize,
        attribute: i16,
    ) -> Lowered<Node<'t>> {
        let outside = self.outside.as_ref().ok_or_else(lateral)?;
        let bound = outside.inside.lookup(levels_up, entry, attribute).ok_or_else(lateral)?;
        self.resolve(compiler, outside.inside.context.in_entry(compiler, bound, outside.entry))
    }

    /// Takes over a block that was lowered for the bindings of this scope, and joins it back to them. A block that only
    /// filters and joins needs no bindings: the columns themselves stand in their place.
    pub fn dissolve_bound(
        &mut self,
        compiler: &Compiler<'t, '_>,
        tied: &Tied<'t>,
        block: Block<'t>,
    ) -> Lowered<Binding<'t>> {
        if let Some(binding) = compiler.dissolve_expansion(self, tied, &block)? {
            return Ok(binding);
        }
        let offset = self.block.leaves.len();
        let bindings = match block.outputs.first().and_then(|output| plain_column(output.expression)) {
            Some((leaf, _)) if matches!(block.leaves[leaf].kind, LeafKind::Bindings(_)) => Some(leaf),
            _ => None,
        };
        let Some(bindings) = bindings else {
            let carried = block.carried;
            let Binding::Outputs(mut outputs) = self.dissolve(compiler, block)? else { return Err(lateral()) };
            let rest = outputs.split_off(carried);
            for (column, output) in tied.columns.iter().zip(outputs) {
                if let View::Var(_) = column.view() {
                    self.block.predicates.push(compiler.same(*column, output));
                }
            }
            return Ok(Binding::Outputs(rest));
        };
        let place = |expression: Node<'t>| {
            compiler.arena.rewrite::<NotIncremental>(expression, &mut |node| match node.view() {
                View::Var(var) if var.entry == bindings + 1 => {
                    tied.columns.get(var.attribute as usize - 1).copied().map(Some).ok_or_else(missing_column)
                }
                View::Var(var) => {
                    let entry = var.entry - usize::from(var.entry > bindings + 1) + offset;
                    Ok(Some(compiler.arena.var_like(node, entry, var.attribute)))
                }
                _ => Ok(None),
            })
        };
        for (at, leaf) in block.leaves.into_iter().enumerate() {
            if at != bindings {
                self.block.leaves.push(leaf);
            }
        }
        for predicate in block.predicates {
            self.block.predicates.push(place(predicate)?);
        }
        let outputs = &block.outputs[block.carried..];
        Ok(Binding::Outputs(outputs.iter().map(|output| place(output.expression)).collect::<Lowered<_>>()?))
    }

    /// Takes the leaves and predicates of a block below over, and leaves its outputs as what its columns mean. Predicates
    /// that may raise see fewer rows here than below, never more; PostgreSQL's own pull-up does the same.
    fn dissolve(&mut self, compiler: &Compiler<'t, '_>, block: Block<'t>) -> Lowered<Binding<'t>> {
        let offset = self.block.leaves.len();
        self.block.leaves.extend(block.leaves);
        for predicate in block.predicates {
            let predicate = shift(compiler, predicate, offset)?;
            self.block.predicates.push(predicate);
        }
        let outputs = block
            .outputs
            .iter()
            .map(|output| shift(compiler, output.expression, offset))
            .collect::<Lowered<Vec<_>>>()?;
        Ok(Binding::Outputs(outputs))
    }

    /// An expression of the query in terms of the block.
    pub fn resolve(&self, compiler: &Compiler<'t, '_>, expression: Node<'t>) -> Lowered<Node<'t>> {
        compiler.arena.rewrite(expression, &mut |node| match node.view() {
            View::Var(var) if var.levels_up > 0 => {
                self.look_out(compiler, var.levels_up, var.entry, var.attribute).map(Some)
            }
            View::Var(var) => self.column(compiler, node, var.entry, var.attribute).map(Some),
            _ => Ok(None),
        })
    }

    pub fn column(
        &self,
        compiler: &Compiler<'t, '_>,
        node: Node<'t>,
        entry: usize,
        attribute: i16,
    ) -> Lowered<Node<'t>> {
        if attribute == PRESENT {
            return self.present(compiler, entry);
        }
        if attribute <= 0 {
            return match self.entries.get(entry - 1) {
                Some(Binding::Leaf(leaf)) if attribute == TABLE_OID => self.table_oid(compiler, *leaf),
                _ => Err(system_column()),
            };
        }
        let at = attribute as usize - 1;
        match self.entries.get(entry - 1) {
            Some(Binding::Leaf(leaf)) => {
                self.readable(*leaf, attribute)?;
                Ok(compiler.arena.var_like(node, leaf + 1, attribute))
            }
            Some(Binding::Columns(leaf, columns)) => match columns.get(at) {
                Some(Some(column)) => Ok(compiler.arena.var_like(node, leaf + 1, *column)),
                _ => Err(missing_column()),
            },
            Some(Binding::Outputs(outputs)) => outputs.get(at).copied().ok_or_else(missing_column),
            Some(Binding::Aliases(aliases)) => match aliases.get(at) {
                Some(alias) => self.resolve(compiler, *alias),
                None => Err(missing_column()),
            },
            Some(Binding::Beside(columns)) => match columns.iter().find(|(known, _)| *known == attribute) {
                Some((_, column)) => self.resolve(compiler, *column),
                None => Err(missing_column()),
            },
            Some(Binding::Unbound) | None => Err(missing_column()),
        }
    }

    /// The table that a row of a leaf is of: the last column of a relation that others inherit from.
    fn table_oid(&self, compiler: &Compiler<'t, '_>, leaf: usize) -> Lowered<Node<'t>> {
        let Leaf { kind, columns, .. } = &self.block.leaves[leaf];
        match (kind, columns.last()) {
            (LeafKind::Table { .. }, Some(Some(column))) if column.is_table_oid() => {
                Ok(compiler.arena.var(leaf + 1, columns.len() as i16, &column.ty))
            }
            _ => Err(system_column()),
        }
    }

    /// Whether there is a row of an entry at all: where an outer join has padded it, NULL.
    fn present(&self, compiler: &Compiler<'t, '_>, entry: usize) -> Lowered<Node<'t>> {
        match self.entries.get(entry - 1) {
            Some(Binding::Leaf(_) | Binding::Outputs(_)) => Ok(compiler.arena.truth()),
            Some(Binding::Columns(leaf, columns)) => {
                let column = columns.last().copied().flatten().ok_or_else(missing_column)?;
                let ty = self.block.leaves[*leaf].column(column).ok_or_else(missing_column)?.ty.clone();
                Ok(compiler.arena.var(leaf + 1, column, &ty))
            }
            // Of a join, if there is one of either side.
            Some(Binding::Aliases(aliases)) => {
                let mut members = BTreeSet::new();
                for alias in aliases {
                    alias.visit(&mut |node| {
                        if let View::Var(var) = node.view() {
                            members.insert(var.entry);
                        }
                        false
                    });
                }
                let mut arms = Vec::new();
                for member in members {
                    let present = self.present(compiler, member)?;
                    if matches!(present.view(), View::Const(_)) {
                        return Ok(present);
                    }
                    arms.push(present);
                }
                Ok(compiler.arena.or(&arms))
            }
            Some(Binding::Beside(columns)) => match columns.iter().find(|(known, _)| *known == PRESENT) {
                Some((_, column)) => self.resolve(compiler, *column),
                None => Err(missing_column()),
            },
            Some(Binding::Unbound) | None => Err(missing_column()),
        }
    }

    fn readable(&self, leaf: usize, attribute: i16) -> Lowered<()> {
        match self.block.leaves[leaf].column(attribute) {
            Some(_) => Ok(()),
            None => Err(missing_column()),
        }
    }
}

fn shift<'t>(compiler: &Compiler<'t, '_>, expression: Node<'t>, offset: usize) -> Lowered<Node<'t>> {
    compiler.arena.rewrite(expression, &mut |node| match node.view() {
        View::Var(var) => Ok(Some(compiler.arena.var_like(node, var.entry + offset, var.attribute))),
        _ => Ok(None),
    })
}

fn system_column() -> NotIncremental {
    NotIncremental::new("system column", "The query reads a system column.")
}

pub(super) fn lateral() -> NotIncremental {
    NotIncremental::new("LATERAL", "A subquery in FROM refers to other items of FROM.")
}
