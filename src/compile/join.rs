//! A block of several leaves: one inner join of all of them, by delta lookups.
//!
//! Equalities between expressions of two leaves are keys; those that the engine does not evaluate itself are computed in
//! their leaf beforehand. Other native predicates that cannot raise filter a leaf, or a path as
//! soon as everything they read is there. Everything that may raise, and everything that PostgreSQL evaluates, comes after
//! the join, where it sees the fewest rows (HAZARDS E24).

use super::block::{columns_of, Block, Leaf, LeafKind};
use super::equality::{has_key, key_column};
use super::join_order::{self, Condition, Edge, Side, Size};
use super::stage::{used_columns, Stage};
use super::{native, temporal, Compiler, Lowered};
use crate::pg::catalog_lookup;
use crate::pg::node::{Call, Node, View};
use crate::pg::statistics;
use std::collections::{BTreeSet, HashMap};
use trickle_operators::expr::Expr;
use trickle_operators::plan::Equality::Image;
use trickle_operators::plan::{Join, JoinInput, KeyColumn, Rel};
use trickle_operators::value::{ColumnType, Kind};

/// An equality of two expressions, each over one leaf, that can be looked up.
struct Equality<'t> {
    predicate: Node<'t>,
    sides: [(Node<'t>, usize); 2],
    /// As whose values the two are compared.
    common: ColumnType,
    nulls_equal: bool,
    /// Compared as they are stored, whatever the type.
    by_image: bool,
}

/// The leaves as relations, and what was computed in them beforehand.
struct Leaves<'t> {
    stages: Vec<Stage>,
    filters: Vec<Vec<Expr>>,
    /// Expressions that are columns of their leaf by now.
    computed: Vec<(Node<'t>, usize, usize)>,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn join(&mut self, block: &Block<'t>) -> Lowered<Stage> {
        let mut leaves = Leaves { stages: Vec::new(), filters: Vec::new(), computed: Vec::new() };
        for (number, leaf) in block.leaves.iter().enumerate() {
            leaves.stages.push(self.scan(number, leaf, &used_columns(block, number))?);
            leaves.filters.push(Vec::new());
        }
        let (mut equalities, mut others, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let looping = (0..self.recursions.len()).any(|id| leaves.stages.iter().any(|stage| stage.rel.is_recursive(id)));
        for predicate in &block.predicates {
            if let Some(equality) = self.equality(*predicate) {
                equalities.push(equality);
                continue;
            }
            match only_leaf(*predicate) {
                // What the clock decides cannot stand in a loop, but what it leaves of a relation beside can enter one.
                Some(leaf) if looping && temporal::reads_clock(*predicate) => {
                    self.filter_by_clock(&mut leaves.stages[leaf], &[(*predicate, Vec::new())])?;
                }
                Some(leaf) => match self.certain(*predicate, &leaves.stages[leaf].positions) {
                    Some(expression) => leaves.filters[leaf].push(expression),
                    None => rest.push(*predicate),
                },
                None => others.push(*predicate),
            }
        }
        self.compute_keys(&mut leaves, &equalities)?;

        let (mut inputs, mut columns, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
        let mut positions: HashMap<(usize, i16), usize> = HashMap::new();
        for (stage, filter) in leaves.stages.iter_mut().zip(&mut leaves.filters) {
            let offset = columns.len();
            positions.extend(stage.positions.iter().map(|(column, position)| (*column, offset + position)));
            columns.extend(stage.columns.iter().cloned());
            offsets.push(offset);
            let width = stage.columns.len();
            inputs.push(JoinInput { relation: *stage.rel(), width, filter: std::mem::take(filter) });
        }
        let mut edges = Vec::new();
        for equality in &equalities {
            let [left, right] = equality.sides.map(|(node, leaf)| {
                let (local, global) = self.side(&leaves, node, leaf, offsets[leaf], &positions)?;
                let (local, global) =
                    (native::widen(local, equality.common.kind)?, native::widen(global, equality.common.kind)?);
                let key = if equality.by_image {
                    KeyColumn { expression: local, kind: equality.common.kind, equality: Image, nulls_equal: true }
                } else {
                    key_column(local, &equality.common, equality.nulls_equal, "a join condition").ok()?
                };
                Some(Side { input: leaf, key, global })
            });
            match left.zip(right) {
                Some((left, right)) => edges.push(Edge { left, right }),
                // What has no key notion is compared after the join.
                None => others.push(equality.predicate),
            }
        }
        let mut conditions = Vec::new();
        for predicate in others {
            let read: BTreeSet<usize> = columns_of(predicate).into_iter().map(|column| column.0).collect();
            match self.certain(predicate, &positions).filter(|_| read.len() > 1) {
                Some(expression) => conditions.push(Condition { inputs: read, expression }),
                None => rest.push(predicate),
            }
        }
        let sizes: Vec<Size> = block
            .leaves
            .iter()
            .enumerate()
            .map(|(number, leaf)| Size {
                filters: inputs[number].filter.len(),
                ..size(number, leaf, &leaves.stages[number].positions)
            })
            .collect();
        let paths = (0..inputs.len()).map(|start| join_order::path(start, &sizes, &edges, &conditions)).collect();
        let site = self.site("join".to_string(), columns.iter().map(|(_, ty)| ty.clone()).collect());
        let rel = Rel::Join(Join { inputs, paths, residual: Vec::new(), site });
        let mut stage = Stage { rel, positions, columns };
        self.filter(&mut stage, &rest)?;
        Ok(stage)
    }

    /// The native form of an expression that cannot raise.
    pub(super) fn certain(&self, expression: Node<'t>, positions: &HashMap<(usize, i16), usize>) -> Option<Expr> {
        self.native(expression, positions).filter(|expression| !native::fallible(expression))
    }

    /// Keys that may raise, or that PostgreSQL evaluates, become columns of their leaf, for the rows that its filters leave;
    /// PostgreSQL's own joins compute them for each of these rows too.
    fn compute_keys(&mut self, leaves: &mut Leaves<'t>, equalities: &[Equality<'t>]) -> Lowered<()> {
        for leaf in 0..leaves.stages.len() {
            let mut nodes: Vec<Node<'t>> = Vec::new();
            for (node, _) in equalities.iter().flat_map(|equality| equality.sides).filter(|side| side.1 == leaf) {
                if self.certain(node, &leaves.stages[leaf].positions).is_none() && !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
            if nodes.is_empty() {
                continue;
            }
            let stage = &mut leaves.stages[leaf];
            let predicates = std::mem::take(&mut leaves.filters[leaf]);
            if !predicates.is_empty() {
                let site = self.site("filter".to_string(), stage.types());
                stage.rel = Rel::Filter { input: stage.rel(), predicates, site };
            }
            let places = self.compute(stage, &nodes)?;
            leaves.computed.extend(nodes.into_iter().zip(places).map(|(node, place)| (node, leaf, place)));
        }
        Ok(())
    }

    fn equality(&self, predicate: Node<'t>) -> Option<Equality<'t>> {
        let (call, nulls_equal) = match predicate.view() {
            View::Operator(call) => (call, false),
            View::Not(inner) => match inner.view() {
                View::Distinct(call) => (call, true),
                _ => return None,
            },
            _ => return None,
        };
        // Without an operator: the same image.
        let by_image = call.operator == 0;
        if !by_image && !catalog_lookup::is_equality(call.operator) {
            return None;
        }
        let [left, right] = call.arguments[..] else { return None };
        let (left_leaf, right_leaf) = (only_leaf(left)?, only_leaf(right)?);
        if left_leaf == right_leaf {
            return None;
        }
        if by_image {
            let sides = [(left, left_leaf), (right, right_leaf)];
            return Some(Equality { predicate, sides, common: left.column_type(), nulls_equal, by_image });
        }
        let mut common = common_type(left, right, &call)?;
        let mut sides = [(left, left_leaf), (right, right_leaf)];
        if !has_key(&common) {
            for side in &mut sides {
                side.0 = self.canonical(side.0, call.collation)?;
            }
            common = sides[0].0.column_type();
        }
        Some(Equality { predicate, sides, common, nulls_equal, by_image })
    }

    /// An expression over one leaf, in the leaf's numbering and in the join's.
    fn side(
        &self,
        leaves: &Leaves<'t>,
        node: Node<'t>,
        leaf: usize,
        offset: usize,
        positions: &HashMap<(usize, i16), usize>,
    ) -> Option<(Expr, Expr)> {
        let kind = node.column_type().kind;
        if let Some((_, _, place)) = leaves.computed.iter().find(|(known, of, _)| *known == node && *of == leaf) {
            return Some((Expr::Column(*place, kind), Expr::Column(offset + place, kind)));
        }
        self.certain(node, &leaves.stages[leaf].positions).zip(self.certain(node, positions))
    }
}

/// What the catalogs know of a leaf, in terms of the columns of its stage.
fn size(number: usize, leaf: &Leaf<'_>, positions: &HashMap<(usize, i16), usize>) -> Size {
    let place = |column: &usize| positions.get(&(number, *column as i16 + 1)).copied();
    let unique = leaf.keys.iter().filter_map(|key| key.iter().map(place).collect()).collect();
    let mut size = Size { unique, ..Size::default() };
    if let LeafKind::Table { relation, .. } = &leaf.kind {
        size.rows = statistics::rows(*relation);
        let of_leaf = positions.iter().filter(|((leaf, _), _)| *leaf == number);
        let distinct =
            of_leaf.filter_map(|((_, attribute), at)| Some((*at, statistics::distinct(*relation, *attribute)?)));
        size.distinct = distinct.collect();
    }
    size
}

fn only_leaf(expression: Node<'_>) -> Option<usize> {
    let leaves: BTreeSet<usize> = columns_of(expression).into_iter().map(|column| column.0).collect();
    if leaves.len() == 1 {
        leaves.first().copied()
    } else {
        None
    }
}

/// The type as whose values the two sides are compared; none if the engine cannot tell that from images.
fn common_type(left: Node<'_>, right: Node<'_>, call: &Call<'_>) -> Option<ColumnType> {
    let (left, right) = (left.column_type(), right.column_type());
    let wider = if left.kind == right.kind {
        // An operator of another type over the same images (a user's own equality) is nothing we know.
        if left.kind == Kind::Opaque
            && (left.oid != right.oid || !catalog_lookup::default_equality(left.oid, call.operator))
        {
            return None;
        }
        left
    } else if native::widens(left.kind, right.kind) {
        right
    } else if native::widens(right.kind, left.kind) {
        left
    } else {
        return None;
    };
    (wider.kind == Kind::Opaque || catalog_lookup::builtin(call.operator))
        .then_some(ColumnType { collation: call.collation, ..wider })
}
