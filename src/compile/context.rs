//! What a correlated subquery sees of the queries around it: the one rule by which all of them are lowered.
//!
//! A subquery that refers to the rows around it is a function of the columns it refers to. It is lowered as a query of its
//! own with one input more: the *bindings*, the distinct combinations of these columns. Whatever groups or orders its rows
//! does so for each binding, and its result begins with the binding's columns, by which it is joined back:
//!
//! ```text
//! SELECT a, (SELECT max(d) FROM s WHERE s.c < r.b) FROM r
//!   bindings   B = distinct b of r
//!   subquery   S = for each b of B: max(d) of B JOIN s ON c < b
//!   result     r JOIN S ON r.b = S.b
//! ```
//!
//! Bindings are told apart by their images, NULLs being equal, and so they are joined back: a notion of equality under which
//! different images are one value would give a row the result of another (HAZARDS E22). Only columns that are referred to
//! are bound, and where they contain a key there is nothing to be made distinct (HAZARDS E38).

use super::block::{columns_of, missing_column, Block, Leaf, LeafKind, Output};
use super::equality::image_column;
use super::scope::{lateral, Scope};
use super::{Compiler, Lowered};
use crate::pg::catalog_lookup;
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use crate::pg::references::{Reference, References};
use std::rc::Rc;
use trickle_operators::plan::{Reduce, Rel};

/// The bindings of a subquery.
pub(super) struct Context<'t> {
    /// One row a binding.
    pub leaf: Leaf<'t>,
    /// What is referred to, counted from the subquery, and what that is: in its Vars, entry 1 is the leaf.
    references: Vec<(Reference<'t>, Node<'t>)>,
}

/// A context as a query level within the subquery sees it.
#[derive(Clone)]
pub(super) struct Inside<'t> {
    pub context: Rc<Context<'t>>,
    /// How many levels below the subquery's own.
    deeper: u32,
}

/// A context in a scope: its columns are those of this entry.
#[derive(Clone)]
pub(super) struct Outside<'t> {
    pub inside: Inside<'t>,
    pub entry: usize,
}

/// Bindings, and the columns of the block that each of their columns is.
pub(super) struct Tied<'t> {
    pub inside: Inside<'t>,
    pub columns: Vec<Node<'t>>,
}

impl<'t> Context<'t> {
    pub fn references(&self) -> &[(Reference<'t>, Node<'t>)] {
        &self.references
    }

    /// What is in terms of the bindings, with these as another entry.
    pub fn in_entry(&self, compiler: &Compiler<'t, '_>, expression: Node<'t>, entry: usize) -> Node<'t> {
        let renumbered = compiler.arena.rewrite::<()>(expression, &mut |node| match node.view() {
            View::Var(var) => Ok(Some(compiler.arena.var_like(node, entry, var.attribute))),
            _ => Ok(None),
        });
        renumbered.unwrap_or(expression)
    }
}

impl<'t> Inside<'t> {
    /// The same bindings, with other references.
    pub fn around(inside: &Inside<'t>, references: Vec<(Reference<'t>, Node<'t>)>) -> Self {
        Inside::new(Context { leaf: inside.context.leaf.clone(), references })
    }

    pub fn new(context: Context<'t>) -> Self {
        Inside { context: Rc::new(context), deeper: 0 }
    }

    /// With references counted from that many levels further out.
    pub fn nearer(&self, levels: u32) -> Self {
        let references = self.context.references.iter();
        let nearer = |(reference, column): &(Reference<'t>, Node<'t>)| {
            (Reference { levels_up: reference.levels_up - levels, ..*reference }, *column)
        };
        Inside::around(self, references.map(nearer).collect())
    }

    /// As a query within the query at hand sees it.
    pub fn deeper(&self) -> Self {
        Inside { context: self.context.clone(), deeper: self.deeper + 1 }
    }

    pub fn width(&self) -> usize {
        self.context.leaf.columns.len()
    }

    /// What a reference to a query further out stands for, in terms of the bindings as entry 1.
    pub fn lookup(&self, levels_up: u32, entry: usize, attribute: i16) -> Option<Node<'t>> {
        let levels_up = levels_up.checked_sub(self.deeper)?;
        let found = self.context.references.iter().find(|(known, _)| known.is(levels_up, entry, attribute))?;
        Some(found.1)
    }
}

impl<'t> Tied<'t> {
    /// The bindings as an input of a block.
    pub fn leaf(&self) -> Leaf<'t> {
        self.inside.context.leaf.clone()
    }
}

impl<'t> Compiler<'t, '_> {
    /// The bindings of a subquery in a scope: of what it refers to, and of `beside`, expressions over the scope's block that
    /// its comparison reads. With a guard, those of the rows that it lets through. Of a subquery that is the same for all rows
    /// there are none, unless it matters whether there is any row (`always`).
    pub(super) fn tie(
        &mut self,
        scope: &Scope<'t>,
        references: &References<'t>,
        beside: &[Node<'t>],
        guard: &[Node<'t>],
        always: bool,
    ) -> Lowered<Option<Tied<'t>>> {
        let mut resolved = Vec::new();
        for reference in &references.columns {
            resolved.push((*reference, scope.refer(self, reference)?));
        }
        let mut columns: Vec<(usize, i16)> = Vec::new();
        for expression in resolved.iter().map(|(_, expression)| *expression).chain(beside.iter().copied()) {
            for column in columns_of(expression) {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        if columns.is_empty() && references.columns.is_empty() && !always {
            return Ok(None);
        }
        let leaf = self.bindings(&scope.block, &columns, guard)?;
        let references = resolved
            .into_iter()
            .map(|(reference, expression)| Ok((reference, self.in_bindings(&columns, expression, 1)?)))
            .collect::<Lowered<_>>()?;
        let mut columns: Vec<Node<'t>> =
            columns.iter().map(|column| self.column_of(&scope.block, *column)).collect::<Lowered<_>>()?;
        if columns.is_empty() {
            columns.push(self.arena.truth());
        }
        Ok(Some(Tied { inside: Inside::new(Context { leaf, references }), columns }))
    }

    /// An expression over a block in terms of bindings, as entry `entry`.
    fn in_bindings(&self, columns: &[(usize, i16)], expression: Node<'t>, entry: usize) -> Lowered<Node<'t>> {
        self.arena.rewrite(expression, &mut |node| match node.view() {
            View::Var(var) => {
                let at = columns.iter().position(|column| *column == (var.entry - 1, var.attribute));
                let at = at.ok_or_else(missing_column)?;
                Ok(Some(self.arena.var_like(node, entry, at as i16 + 1)))
            }
            _ => Ok(None),
        })
    }

    fn column_of(&self, block: &Block<'t>, (leaf, attribute): (usize, i16)) -> Lowered<Node<'t>> {
        let column = block.leaves.get(leaf).and_then(|leaf| leaf.column(attribute)).ok_or_else(missing_column)?;
        Ok(self.arena.var(leaf + 1, attribute, &column.ty))
    }

    /// The distinct values of a block's columns; of none, one row if there is any.
    pub(super) fn bindings(
        &mut self,
        block: &Block<'t>,
        columns: &[(usize, i16)],
        guard: &[Node<'t>],
    ) -> Lowered<Leaf<'t>> {
        let mut below = Block { leaves: block.leaves.clone(), lifted: block.lifted.clone(), ..Block::default() };
        below.predicates = block.predicates.iter().chain(guard).copied().collect();
        for (leaf, attribute) in columns {
            let expression = self.column_of(block, (*leaf, *attribute))?;
            let name = block.leaves[*leaf].column(*attribute).map_or(String::new(), |column| column.name.clone());
            below.outputs.push(Output { name, expression });
        }
        if columns.is_empty() {
            below.outputs.push(Output { name: "any".to_string(), expression: self.arena.truth() });
        }
        below.prune(self);
        let finished = self.finish(&below)?;
        let distinct = !finished.keys.is_empty() && !columns.is_empty();
        let described = finished.columns.clone();
        let rel = finished.projected();
        let rel = if distinct {
            rel
        } else {
            let types = described.iter().map(|column| column.ty.clone()).collect();
            let site = self.site("bindings".to_string(), types);
            let keys = described.iter().enumerate().map(|(at, column)| image_column(at, &column.ty)).collect();
            Rel::Reduce(Reduce {
                input: Box::new(rel),
                keys,
                aggregates: Vec::new(),
                collected: None,
                global: false,
                site,
            })
        };
        let keys = if columns.is_empty() {
            vec![Vec::new()]
        } else {
            image_key(&described.iter().map(|column| &column.ty).collect::<Vec<_>>())
        };
        let columns = described.into_iter().map(Some).collect();
        Ok(Leaf { kind: LeafKind::Bindings(rel), name: "outer".to_string(), columns, keys })
    }

    /// What a query that is met in the query level at hand refers to in the levels around it, by way of common table
    /// expressions too.
    pub(super) fn references(&self, query: Query<'t>) -> References<'t> {
        self.references_within(query, self.ctes.len())
    }

    /// The same of a query whose surrounding levels are the first `levels` of the CTEs.
    pub(super) fn references_within(&self, query: Query<'t>, levels: usize) -> References<'t> {
        let mut found = query.references();
        for (level, name) in std::mem::take(&mut found.ctes) {
            // Those of the level where it is defined.
            let Some(defined) = (levels + 1).checked_sub(level as usize).filter(|defined| *defined > 0) else {
                continue;
            };
            let cte = self.ctes.get(defined - 1).and_then(|ctes| ctes.iter().find(|cte| cte.name == name));
            // A recursive one refers to itself.
            let Some(cte) = cte.filter(|cte| !cte.query.node().is(query.node())) else { continue };
            let mut inner = self.references_within(cte.query, defined);
            // Its query is one level below the one where it is defined.
            inner.columns.retain(|reference| reference.levels_up > 1);
            inner.columns.iter_mut().for_each(|reference| reference.levels_up += level - 1);
            found.extend(inner);
        }
        found
    }

    /// Whether two columns of one type hold the same: what joins a result back to what it was bound to.
    pub(super) fn same(&self, left: Node<'t>, right: Node<'t>) -> Node<'t> {
        let by_operator =
            catalog_lookup::equal_image(&left.column_type()).then(|| self.arena.not_distinct(left, right));
        by_operator.flatten().unwrap_or_else(|| self.arena.same_image(left, right))
    }

    /// Joins a relation that begins with the columns of bindings back to the scope's block; the entry that stands for it.
    pub(super) fn join_back(
        &mut self,
        scope: &mut Scope<'t>,
        columns: &[Node<'t>],
        leaf: Leaf<'t>,
        whole: bool,
    ) -> usize {
        let number = scope.block.leaves.len();
        let mut predicates = Vec::new();
        for (at, (column, other)) in columns.iter().zip(&leaf.columns).enumerate() {
            // Without columns there is only one binding.
            if let (View::Var(_), Some(other)) = (column.view(), other) {
                predicates.push(self.same(*column, self.arena.var(number + 1, at as i16 + 1, &other.ty)));
            }
        }
        if whole {
            scope.block.lifted.push((number, predicates.clone()));
        }
        scope.block.predicates.extend(predicates);
        let binding = scope.add(leaf);
        scope.entry(binding)
    }

    /// A subquery in FROM that refers to other items of FROM, or to the queries around its own.
    pub(super) fn bind_lateral(
        &mut self,
        scope: &mut Scope<'t>,
        references: &References<'t>,
        lower: &mut dyn FnMut(&mut Self, Inside<'t>) -> Lowered<Block<'t>>,
    ) -> Lowered<super::scope::Binding<'t>> {
        let tied = self.tie(scope, references, &[], &[], true)?.ok_or_else(lateral)?;
        let block = lower(self, tied.inside.clone())?;
        scope.dissolve_bound(self, &tied, block)
    }
}

/// The key of a relation that holds each combination of images of its first columns once.
pub(super) fn image_key(types: &[&trickle_operators::value::ColumnType]) -> Vec<Vec<usize>> {
    if types.iter().all(|ty| catalog_lookup::equal_image(ty)) {
        vec![(0..types.len()).collect()]
    } else {
        Vec::new()
    }
}
