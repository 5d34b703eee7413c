//! WITH RECURSIVE: a relation that is defined by itself, round by round.
//!
//! The two arms of the common table expression become the body of a [`Fixpoint`], in which a reference to itself is a leaf.
//! PostgreSQL has already turned SEARCH and CYCLE into columns and conditions, and sees to it that the second arm refers to
//! the expression once, and not from within an aggregate of the same level, a side of an outer join that may be missing, the
//! right of EXCEPT, or a subquery of an expression.
//!
//! What is left to be checked is that the second arm maps each row by itself (see [`Fixpoint`]): for UNION ALL as bags, for
//! UNION as sets. What it joins the rows with does not matter, and neither does what is in subqueries that do not refer to
//! the expression.

use super::block::{Block, Column, Leaf, LeafKind};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::query::{Cte, Query, RangeKind, SetColumn, SetKind, SetTree};
use crate::pg::{catalog_lookup, image};
use trickle_operators::plan::{Fixpoint, Rel};
use trickle_operators::value::ColumnType;

/// A recursive common table expression.
pub(super) struct Recursion<'t> {
    query: Query<'t>,
    /// A reference to it: to itself while it is lowered, to the whole after that, which is built once.
    leaf: Leaf<'t>,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn recursive(&mut self, cte: &Cte<'t>, correlated: bool) -> Lowered<Block<'t>> {
        if correlated {
            return Err(refused(cte, "refers to the query around it"));
        }
        if let Some(known) = self.recursions.iter().find(|known| known.query.is(cte.query)) {
            let leaf = known.leaf.clone();
            return Ok(Block::of_relation(self, leaf));
        }
        let Some(SetTree::Operation { kind: SetKind::Union, all, left, right, types }) = cte.query.set_operations()
        else {
            return Err(refused(cte, "is not a UNION"));
        };
        self.check_clauses(cte.query)?;
        distributes(cte, &right, all)?;
        let id = self.recursions.len();
        let columns = types.iter().zip(&cte.columns).map(|(ty, name)| Some(recursive_column(ty, name))).collect();
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Recursive { id, width: types.len() }),
            name: cte.name.clone(),
            columns,
            keys: Vec::new(),
        };
        self.recursions.push(Recursion { query: cte.query, leaf });
        let correlated = self.correlated.take();
        let leaf = self.at_level(cte.query, |compiler| compiler.fixpoint(cte, id, all, [&left, &right], &types));
        self.correlated = correlated;
        let leaf = leaf?;
        self.recursions[id].leaf = leaf.clone();
        Ok(Block::of_relation(self, leaf))
    }

    fn fixpoint(
        &mut self,
        cte: &Cte<'t>,
        id: usize,
        all: bool,
        arms: [&SetTree; 2],
        types: &[SetColumn],
    ) -> Lowered<Leaf<'t>> {
        let [base, step] = arms.map(|arm| self.set_arm(cte.query, arm, types, &None));
        let mut block = self.union(vec![base?, step?], "UNION ALL")?;
        if !all {
            block = self.distinct(block, "UNION")?;
        }
        let finished = self.finish(&block)?;
        // Of values that are equal and written differently one is shown, and the next round is computed from that: from
        // round to round it could be another.
        let loose = finished.columns.iter().find(|column| !all && !exact(&column.ty));
        if let Some(column) = loose {
            let ty = catalog_lookup::type_name(column.ty.oid);
            let what =
                format!("has a column of type {ty}, of which equal values may be written differently, under UNION");
            return Err(refused(cte, &what));
        }
        let (mut columns, keys) = (finished.columns.clone(), finished.keys.clone());
        let body = finished.projected();
        if let Some(what) = body.unfit_for_loop(id) {
            return Err(refused(cte, &format!("needs {what} in each round")));
        }
        // A column of the step may be computed from any column of the round before.
        let determined = columns.iter().all(|column| column.determined);
        for (column, name) in columns.iter_mut().zip(&cte.columns) {
            column.name.clone_from(name);
            column.determined = determined;
        }
        let site = self.site(format!("WITH RECURSIVE {}", cte.name), Vec::new());
        let fixpoint = Fixpoint {
            id,
            name: cte.name.clone(),
            columns: cte.columns.clone(),
            body: Box::new(body),
            rounds: self.options.recursion_rounds,
            site,
        };
        Ok(Leaf {
            kind: LeafKind::Derived(Rel::Fixpoint(fixpoint)),
            name: cte.name.clone(),
            columns: columns.into_iter().map(Some).collect(),
            keys,
        })
    }
}

fn recursive_column(ty: &SetColumn, name: &str) -> Column {
    Column {
        name: name.to_string(),
        ty: image::column_type(ty.oid.into(), ty.typmod, ty.collation.into()),
        nullable: true,
        determined: true,
    }
}

/// Whether equal values have the same image, in an array too.
fn exact(ty: &ColumnType) -> bool {
    catalog_lookup::equal_image(ty)
        || catalog_lookup::element_type(ty).is_some_and(|element| catalog_lookup::equal_image(&element))
}

fn refused(cte: &Cte<'_>, what: &str) -> NotIncremental {
    NotIncremental::new(
        "WITH RECURSIVE",
        format!("The recursive part of the common table expression \"{}\" {what}.", cte.name),
    )
}

/// How many query levels the arms of a common table expression are below the query that it belongs to.
const ARM_DEPTH: u32 = 2;

/// Whether the second arm maps each row by itself.
fn distributes(cte: &Cte<'_>, arm: &SetTree, all: bool) -> Lowered<()> {
    let over = if all { Over::Bags } else { Over::Sets };
    tree_distributes(cte, cte.query, arm, ARM_DEPTH, over).map(|_| ())
}

#[derive(Clone, Copy, PartialEq)]
enum Over {
    Bags,
    Sets,
}

/// Whether a tree of set operations refers to the expression, if it then maps each row by itself. `depth`: of its arms.
fn tree_distributes(cte: &Cte<'_>, query: Query<'_>, tree: &SetTree, depth: u32, over: Over) -> Lowered<bool> {
    match tree {
        SetTree::Arm(entry) => match query.range_table()[entry - 1].kind() {
            RangeKind::Subquery(arm) => query_distributes(cte, arm, depth, over),
            _ => Ok(false),
        },
        SetTree::Operation { kind, all, left, right, .. } => {
            let refers = [left, right].map(|side| tree_distributes(cte, query, side, depth, over));
            let [left, right] = refers;
            if !(left? || right?) {
                return Ok(false);
            }
            match kind {
                // The other arm's rows would come again in every round.
                SetKind::Union => Err(refused(cte, "is a UNION of its own")),
                _ if *all || over == Over::Bags => Err(refused(cte, "contains INTERSECT or EXCEPT")),
                SetKind::Intersect | SetKind::Except => Ok(true),
            }
        }
    }
}

fn query_distributes(cte: &Cte<'_>, query: Query<'_>, depth: u32, over: Over) -> Lowered<bool> {
    // What a WITH clause takes of a round may be used several times, and in ways in which the round itself may not.
    for inner in query.ctes() {
        if query_distributes(cte, inner.query, depth + 1, over)? {
            return Err(refused(cte, "refers to the expression in a WITH clause of its own"));
        }
    }
    if let Some(tree) = query.set_operations() {
        let refers = tree_distributes(cte, query, &tree, depth + 1, over)?;
        if refers && query.has_limit() {
            return Err(refused(cte, "contains LIMIT"));
        }
        return Ok(refers);
    }
    let mut refers = false;
    for entry in query.range_table() {
        refers |= match entry.kind() {
            RangeKind::Cte { name, levels_up, recursive } => recursive && levels_up == depth && name == cte.name,
            RangeKind::Subquery(subquery) => query_distributes(cte, subquery, depth + 1, over)?,
            _ => false,
        };
    }
    if !refers {
        return Ok(false);
    }
    let grouped = query.has_group_by() || query.has_distinct();
    let clauses = [
        (
            query.has_aggregates() || query.having().is_some() || query.grouping_sets().is_some(),
            "contains an aggregate",
        ),
        (query.has_windows(), "contains a window function"),
        (query.has_limit() || query.has_distinct_on(), "contains LIMIT or DISTINCT ON"),
        (grouped && over == Over::Bags, "contains DISTINCT or GROUP BY below UNION ALL"),
    ];
    match clauses.into_iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(refused(cte, what)),
        None => Ok(true),
    }
}
