//! The FROM clause: what each range table entry means in terms of the block.

use super::block::{conjuncts, Block, Column, Leaf, LeafKind, Output};
use super::{semi_join, Compiler, Lowered, NotIncremental, StreamMode};
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, JoinKind, Query, RangeKind};
use trickle_operators::plan::Rel;
use trickle_operators::value::Row;

/// The block under construction, and how to read the query's Vars in it.
#[derive(Default)]
pub(super) struct Scope<'t> {
    pub block: Block<'t>,
    pub entries: Vec<Binding<'t>>,
}

#[derive(Clone)]
pub(super) enum Binding<'t> {
    /// Not in the FROM clause (a view's remainder, a DML target).
    Unbound,
    /// Columns of a leaf.
    Leaf(usize),
    /// Columns of a leaf, by attribute number - 1, `None` where dropped.
    Columns(usize, Vec<Option<i16>>),
    /// A dissolved subquery: its outputs, in terms of the block.
    Outputs(Vec<Node<'t>>),
    /// Columns of a join, or GROUP BY expressions: in terms of other entries.
    Aliases(Vec<Node<'t>>),
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn lower_from(&mut self, query: Query<'t>) -> Lowered<Scope<'t>> {
        let table = query.range_table();
        let entries = table
            .iter()
            .map(|entry| match entry.kind() {
                RangeKind::Join { aliases } => Binding::Aliases(aliases),
                RangeKind::Group(expressions) => Binding::Aliases(expressions),
                _ => Binding::Unbound,
            })
            .collect();
        let mut scope = Scope { block: Block::default(), entries };
        let (items, condition) = query.items_of_from();
        for item in &items {
            self.bind_item(query, &mut scope, item)?;
        }
        let mut parts = Vec::new();
        if let Some(condition) = condition {
            conjuncts(condition, &mut parts);
        }
        let mut subqueries = Vec::new();
        for part in parts {
            match semi_join::subquery_of(part) {
                Some(subquery) => subqueries.push(subquery),
                None => {
                    self.check_expression(part, "WHERE")?;
                    self.add_condition(&mut scope, part)?;
                }
            }
        }
        for (negated, link) in subqueries {
            self.bind_subquery(query, &mut scope, negated, link)?;
        }
        Ok(scope)
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
                if let Some(condition) = condition {
                    self.check_expression(*condition, "a join condition")?;
                    self.add_condition(scope, *condition)?;
                }
                Ok(())
            }
            FromItem::Join { kind: JoinKind::Left, left, right, condition } => {
                if let FromItem::Entry(number) = **right {
                    if self.is_lateral(query, number) {
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
            RangeKind::Relation { relation, sampled } => {
                if sampled {
                    return Err(NotIncremental::new("TABLESAMPLE", "The query contains TABLESAMPLE."));
                }
                let leaf = self.table_leaf(relation, entry.name())?;
                scope.add(leaf)
            }
            RangeKind::Subquery(subquery) => {
                let block = self.query(subquery)?;
                scope.dissolve(self, block)?
            }
            RangeKind::Cte { name, levels_up, recursive } => {
                let block = self.cte(&name, levels_up, recursive)?;
                scope.dissolve(self, block)?
            }
            RangeKind::Values(rows) => {
                let block = self.values(&rows, &entry.name())?;
                scope.dissolve(self, block)?
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

    fn table_leaf(&mut self, relation: u32, name: String) -> Lowered<Leaf<'t>> {
        let facts = self.relation(relation)?;
        let columns = facts
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
        let keys =
            facts.unique_keys.iter().map(|key| key.iter().map(|column| (*column - 1) as usize).collect()).collect();
        let incremental_stream = (self.options.stream_table)(relation) == Some(StreamMode::Incremental);
        Ok(Leaf { kind: LeafKind::Table { relation, incremental_stream }, name, columns, keys })
    }

    /// CTEs are inlined, each reference on its own.
    fn cte(&mut self, name: &str, levels_up: u32, recursive: bool) -> Lowered<Block<'t>> {
        if recursive {
            return Err(NotIncremental::new("WITH RECURSIVE", "The query is recursive."));
        }
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
        let block = self.query(ctes[at].query);
        self.ctes.truncate(level + 1);
        self.ctes.extend(inner);
        block
    }

    /// VALUES of constants is a relation; of anything else, one row each with its expressions.
    fn values(&mut self, rows: &[Vec<Node<'t>>], name: &str) -> Lowered<Block<'t>> {
        let mut arms = Vec::new();
        for row in rows {
            let mut block = Block {
                leaves: vec![Leaf {
                    kind: LeafKind::Derived(Rel::Values { rows: vec![Row::default()] }),
                    name: name.to_string(),
                    columns: vec![],
                    keys: vec![vec![]],
                }],
                ..Block::default()
            };
            for (at, expression) in row.iter().enumerate() {
                self.check_expression(*expression, "VALUES")?;
                if expression.visit(&mut |node| matches!(node.view(), View::Var(_))) {
                    return Err(lateral());
                }
                block.outputs.push(Output { name: format!("column{}", at + 1), expression: *expression });
            }
            arms.push(block);
        }
        self.union(arms, name)
    }
}

impl<'t> Scope<'t> {
    pub fn add(&mut self, leaf: Leaf<'t>) -> Binding<'t> {
        self.block.leaves.push(leaf);
        Binding::Leaf(self.block.leaves.len() - 1)
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
            View::Var(var) if var.levels_up > 0 => Err(lateral()),
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
        if attribute == 0 {
            return Err(NotIncremental::new(
                "whole-row reference",
                "The query refers to a row of a relation as a whole.",
            ));
        }
        if attribute < 0 {
            return Err(NotIncremental::new("system column", "The query reads a system column."));
        }
        let at = attribute as usize - 1;
        match self.entries.get(entry - 1) {
            Some(Binding::Leaf(leaf)) => {
                self.readable(*leaf, attribute)?;
                Ok(compiler.arena.var_like(node, leaf + 1, attribute))
            }
            Some(Binding::Columns(leaf, columns)) => match columns.get(at) {
                Some(Some(column)) => Ok(compiler.arena.var_like(node, leaf + 1, *column)),
                _ => Err(super::block::missing_column()),
            },
            Some(Binding::Outputs(outputs)) => outputs.get(at).copied().ok_or_else(super::block::missing_column),
            Some(Binding::Aliases(aliases)) => match aliases.get(at) {
                Some(alias) => self.resolve(compiler, *alias),
                None => Err(super::block::missing_column()),
            },
            Some(Binding::Unbound) | None => Err(super::block::missing_column()),
        }
    }

    fn readable(&self, leaf: usize, attribute: i16) -> Lowered<()> {
        match self.block.leaves[leaf].column(attribute) {
            Some(_) => Ok(()),
            None => Err(super::block::missing_column()),
        }
    }
}

fn shift<'t>(compiler: &Compiler<'t, '_>, expression: Node<'t>, offset: usize) -> Lowered<Node<'t>> {
    compiler.arena.rewrite(expression, &mut |node| match node.view() {
        View::Var(var) => Ok(Some(compiler.arena.var_like(node, var.entry + offset, var.attribute))),
        _ => Ok(None),
    })
}

pub(super) fn lateral() -> NotIncremental {
    NotIncremental::new("LATERAL", "A subquery in FROM refers to other items of FROM.")
}
