//! The FROM clause: its items become leaves, its joins and WHERE predicates of the block.

use super::block::{conjuncts, missing_column, Block, Column, Leaf, LeafKind, Output};
use super::context::{Inside, Outside, Tied};
use super::scope::{Binding, Scope};
use super::subquery::has_subquery;
use super::{semi_join, Compiler, Lowered, NotIncremental, StreamMode};
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, JoinKind, Query, RangeKind};
use crate::pg::references::References;
use trickle_operators::plan::Rel;
use trickle_operators::value::{Row, RowBuilder};

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
        let mut scope = Scope::new(entries, None);
        if let Some(inside) = inside {
            scope.enter(inside);
        }
        let (items, condition) = query.items_of_from();
        let mut parts = Vec::new();
        if let Some(condition) = condition {
            conjuncts(condition, &mut parts);
        }
        let (parts, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| has_subquery(*part));
        scope.waiting.plain = plain;
        scope.waiting.subqueries = Some(Vec::new());
        for item in &items {
            self.bind_item(query, &mut scope, item)?;
        }
        for part in std::mem::take(&mut scope.waiting.plain) {
            self.check_condition(part, "WHERE")?;
            self.add_condition(&mut scope, part)?;
        }
        let (mut subqueries, mut lifted) = (Vec::new(), Vec::new());
        for part in scope.waiting.subqueries.take().into_iter().flatten().chain(parts) {
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
        let pending = std::mem::take(&mut scope.waiting.plain);
        for part in pending {
            if part.all_references().columns.iter().all(|reference| scope.refer(self, reference).is_ok()) {
                self.check_condition(part, "WHERE")?;
                self.add_condition(scope, part)?;
            } else {
                scope.waiting.plain.push(part);
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
            FromItem::Join { kind: JoinKind::Inner, entry: _, left, right, condition } => {
                self.bind_item(query, scope, left)?;
                self.bind_item(query, scope, right)?;
                let mut parts = Vec::new();
                condition.iter().for_each(|condition| conjuncts(*condition, &mut parts));
                for part in parts {
                    match &mut scope.waiting.subqueries {
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
            FromItem::Join { kind: JoinKind::Left, entry: _, left, right, condition } => {
                if let FromItem::Entry(number) = **right {
                    if self.is_lateral(query, number) && !condition.is_some_and(has_subquery) {
                        self.bind_item(query, scope, left)?;
                        return self.bind_function(query, scope, number, Some(*condition));
                    }
                }
                self.bind_outer(query, scope, false, [left, right], *condition)
            }
            FromItem::Join { kind: JoinKind::Right, entry: _, left, right, condition } => {
                self.bind_outer(query, scope, false, [right, left], *condition)
            }
            FromItem::Join { kind: JoinKind::Full, entry: _, left, right, condition } => {
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
                    settled: true,
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
        if let Some((_, known)) = self.tables.iter().find(|(query, _)| inside.is_none() && query.is(ctes[at].query)) {
            return Ok(known.clone());
        }
        // Its query sees the levels that the CTE was defined in, not those of the reference.
        let inner = self.ctes.split_off(level + 1);
        let apart = inside.is_none() && !ctes[at].recursive;
        let block = match &ctes[at] {
            cte if cte.recursive => self.recursive(cte, inside.is_some()),
            cte => self.query_in(cte.query, inside),
        };
        self.ctes.truncate(level + 1);
        self.ctes.extend(inner);
        if let (true, Ok(block)) = (apart, &block) {
            self.tables.push((ctes[at].query, block.clone()));
        }
        block
    }

    /// VALUES of constants is a relation; of anything else, one row each with its expressions.
    fn values(&mut self, rows: &[Vec<Node<'t>>], name: &str, inside: Option<Inside<'t>>) -> Lowered<Block<'t>> {
        let constant = |row: &&Vec<Node<'t>>| row.iter().all(|value| matches!(value.view(), View::Const(_)));
        let (constants, computed): (Vec<_>, Vec<_>) = rows.iter().partition(|row| inside.is_none() && constant(row));
        let mut arms: Vec<Block<'t>> = self.constant_rows(&constants, name).into_iter().collect();
        for row in computed {
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

    /// Rows of constants, if there are any, as a relation of their own.
    fn constant_rows(&mut self, rows: &[&Vec<Node<'t>>], name: &str) -> Option<Block<'t>> {
        let mut columns: Vec<Column> = Vec::new();
        let mut images = Vec::new();
        for row in rows {
            let mut builder = RowBuilder::default();
            for (at, value) in row.iter().enumerate() {
                let View::Const(constant) = value.view() else { return None };
                let (image, ty) = (constant.image(), value.column_type());
                builder.push(image.as_deref());
                match columns.get_mut(at) {
                    None => columns.push(Column {
                        name: format!("column{}", at + 1),
                        ty,
                        nullable: image.is_none(),
                        determined: true,
                        settled: true,
                    }),
                    Some(column) => {
                        column.nullable |= image.is_none();
                        column.with_modifier_of(&ty);
                    }
                }
            }
            images.push(builder.finish());
        }
        let keys = if rows.len() == 1 { vec![vec![]] } else { vec![] };
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Values { rows: images }),
            name: name.to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys,
        };
        (!rows.is_empty()).then(|| Block::of_relation(self, leaf))
    }
}
