//! What a query level's range table means in terms of the block under construction.

use super::block::{missing_column, plain_column, Block, Leaf, LeafKind, Output};
use super::context::{Inside, Outside, Tied};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Node, View};
use crate::pg::references::Reference;
use crate::pg::relation::TABLE_OID;
use crate::pg::whole_row::PRESENT;
use std::collections::BTreeSet;

/// The block under construction, and how to read the query's Vars in it.
#[derive(Clone, Default)]
pub(super) struct Scope<'t> {
    pub block: Block<'t>,
    /// By number in the range table, from 1; then those of relations that the compiler adds.
    pub entries: Vec<Binding<'t>>,
    /// What the query sees of those around it.
    pub outside: Option<Outside<'t>>,
    /// Whether its leaves must stay where they are.
    pub fixed: bool,
    pub waiting: Waiting<'t>,
}

/// Conditions that are yet to be added to the block.
#[derive(Clone, Default)]
pub(super) struct Waiting<'t> {
    /// Of WHERE, until what they read is bound.
    pub plain: Vec<Node<'t>>,
    /// Of inner joins, with subqueries: until all is bound. None where they cannot wait.
    pub subqueries: Option<Vec<Node<'t>>>,
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

impl<'t> Scope<'t> {
    pub fn add(&mut self, leaf: Leaf<'t>) -> Binding<'t> {
        self.block.leaves.push(leaf);
        Binding::Leaf(self.block.leaves.len() - 1)
    }

    pub fn new(entries: Vec<Binding<'t>>, outside: Option<Outside<'t>>) -> Self {
        Scope { entries, outside, ..Scope::default() }
    }

    /// A scope over one relation.
    pub fn over(leaf: Leaf<'t>, entries: Vec<Binding<'t>>) -> Self {
        Scope { block: Block { leaves: vec![leaf], ..Block::default() }, entries, ..Scope::default() }
    }

    /// The entries that are in terms of others, for an input of a join.
    pub fn aliases(&self) -> Vec<Binding<'t>> {
        let only = |binding: &Binding<'t>| match binding {
            Binding::Aliases(_) | Binding::Beside(_) => binding.clone(),
            _ => Binding::Unbound,
        };
        self.entries.iter().map(only).collect()
    }

    /// A scope for an input of a join with nothing bound yet.
    pub fn beside(&self) -> Self {
        Scope::new(self.aliases(), None)
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
    pub fn dissolve(&mut self, compiler: &Compiler<'t, '_>, block: Block<'t>) -> Lowered<Binding<'t>> {
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
    pub(super) fn table_oid(&self, compiler: &Compiler<'t, '_>, leaf: usize) -> Lowered<Node<'t>> {
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
