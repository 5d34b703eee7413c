//! A block of several leaves: one inner join of all of them, by delta lookups.
//!
//! Equalities between columns of two leaves are keys. Other native predicates that cannot raise filter a leaf, or a path as
//! soon as everything they read is there. Everything that may raise, and everything that PostgreSQL evaluates, comes after
//! the join, where it sees the fewest rows (HAZARDS E24).

use super::block::{columns_of, Block};
use super::equality::key_column;
use super::join_order::{self, Condition, Edge, Side};
use super::stage::{used_columns, Stage};
use super::{native, Compiler, Lowered};
use crate::pg::catalog_lookup;
use crate::pg::node::{Call, Node, View};
use std::collections::{BTreeSet, HashMap};
use trickle_operators::plan::{Join, JoinInput, KeyColumn, Rel};
use trickle_operators::value::{ColumnType, Kind};

/// Where the leaves' columns are: in each leaf's own row, and in the joined row.
struct Places {
    local: Vec<HashMap<(usize, i16), usize>>,
    global: HashMap<(usize, i16), usize>,
}

impl<'t> Compiler<'t, '_> {
    pub(super) fn join(&mut self, block: &Block<'t>) -> Lowered<Stage> {
        let mut inputs = Vec::new();
        let mut places = Places { local: Vec::new(), global: HashMap::new() };
        let mut columns: Vec<(String, ColumnType)> = Vec::new();
        for (number, leaf) in block.leaves.iter().enumerate() {
            let used = used_columns(block, number);
            let stage = self.scan(number, leaf, &used)?;
            for (column, position) in &stage.positions {
                places.global.insert(*column, columns.len() + position);
            }
            let width = stage.columns.len();
            columns.extend(stage.columns);
            places.local.push(stage.positions);
            inputs.push(JoinInput { relation: stage.rel, width, filter: Vec::new() });
        }

        let (mut edges, mut conditions, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for predicate in &block.predicates {
            if let Some(edge) = self.edge(*predicate, &places)? {
                edges.push(edge);
                continue;
            }
            let read: BTreeSet<usize> = columns_of(*predicate).into_iter().map(|column| column.0).collect();
            let single = match read.len() {
                1 => read.first().copied(),
                _ => None,
            };
            let positions = single.map_or(&places.global, |leaf| &places.local[leaf]);
            match self.native(*predicate, positions).filter(|expression| !native::fallible(expression)) {
                Some(expression) if single.is_some() => inputs[single.unwrap_or(0)].filter.push(expression),
                Some(expression) if read.len() > 1 => conditions.push(Condition { inputs: read, expression }),
                _ => rest.push(*predicate),
            }
        }
        let paths = (0..inputs.len()).map(|start| join_order::path(start, inputs.len(), &edges, &conditions)).collect();
        let site = self.site("join".to_string(), columns.iter().map(|(_, ty)| ty.clone()).collect());
        let rel = Rel::Join(Join { inputs, paths, residual: Vec::new(), site });
        let mut stage = Stage { rel, positions: places.global, columns };
        self.filter(&mut stage, &rest)?;
        Ok(stage)
    }

    /// An equality that can be looked up: of two native expressions that cannot raise, each over one leaf.
    fn edge(&self, predicate: Node<'t>, places: &Places) -> Lowered<Option<Edge>> {
        let (call, nulls_equal) = match predicate.view() {
            View::Operator(call) => (call, false),
            View::Not(inner) => match inner.view() {
                View::Distinct(call) => (call, true),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if !catalog_lookup::is_equality(call.operator) || !catalog_lookup::deterministic(call.collation) {
            return Ok(None);
        }
        let [left, right] = call.arguments[..] else { return Ok(None) };
        let (Some(left_leaf), Some(right_leaf)) = (only_leaf(left), only_leaf(right)) else { return Ok(None) };
        if left_leaf == right_leaf {
            return Ok(None);
        }
        let Some(common) = common_type(left, right, &call) else { return Ok(None) };
        let side = |node: Node<'t>, leaf: usize| {
            let local = self.native(node, &places.local[leaf])?;
            let global = self.native(node, &places.global)?;
            if native::fallible(&local) {
                return None;
            }
            let (local, global) = (native::widen(local, common.kind)?, native::widen(global, common.kind)?);
            // What has no key notion is compared after the join.
            let key: KeyColumn = key_column(local, &common, nulls_equal, "a join condition").ok()?;
            Some(Side { input: leaf, key, global })
        };
        Ok(side(left, left_leaf).zip(side(right, right_leaf)).map(|(left, right)| Edge { left, right }))
    }
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
