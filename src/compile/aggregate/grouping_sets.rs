//! GROUPING SETS, ROLLUP, CUBE and GROUPING(): the union of one grouping for each set, all over the same rows.
//!
//! In the rows of a set the keys that it has not are NULL, and GROUPING() is a constant. The input of the groupings is one
//! subplan, so it is rendered once. The empty grouping set has one row, over no input too, as an aggregation without GROUP
//! BY has.

use super::{Grouping, Groups};
use crate::compile::block::{Block, Column, LeafKind};
use crate::compile::{Compiler, Lowered, NotIncremental};
use crate::pg::node::{Node, View};
use crate::pg::query::Query;
use trickle_operators::expr::Expr;
use trickle_operators::plan::Rel;
use trickle_operators::value::{ColumnType, Kind};

/// A call of GROUPING().
pub(super) struct GroupingCall<'t> {
    pub written: Node<'t>,
    ty: ColumnType,
    /// The keys that it asks about; the last is the least bit.
    keys: Vec<usize>,
}

impl<'t> GroupingCall<'t> {
    pub fn new(query: Query<'t>, written: Node<'t>, references: &[u32]) -> Lowered<Self> {
        let keys = keys_of(&query.group_references(), references);
        if keys.len() != references.len() {
            return Err(NotIncremental::new("GROUPING()", "An argument of GROUPING() is not a grouping key."));
        }
        Ok(GroupingCall { written, ty: written.column_type(), keys })
    }

    /// Bits of the keys that are not in the set.
    fn value(&self, set: &[usize]) -> i32 {
        self.keys.iter().fold(0, |bits, key| bits << 1 | i32::from(!set.contains(key)))
    }
}

fn keys_of(all: &[u32], references: &[u32]) -> Vec<usize> {
    references.iter().filter_map(|reference| all.iter().position(|known| known == reference)).collect()
}

/// The keys that are in each grouping set of a query level; without grouping sets, there is one of all `keys`.
pub(super) fn of(query: Query<'_>, keys: usize) -> Vec<Vec<usize>> {
    let Some(sets) = query.grouping_sets() else { return vec![(0..keys).collect()] };
    let all = query.group_references();
    sets.iter()
        .map(|set| {
            let mut keys = keys_of(&all, set);
            keys.sort_unstable();
            keys.dedup();
            keys
        })
        .collect()
}

impl<'t> Compiler<'t, '_> {
    /// An aggregate as a grouping set has it: its direct arguments may read keys.
    pub(super) fn without_absent_keys(
        &self,
        aggregate: Node<'t>,
        group_entry: Option<usize>,
        set: &[usize],
    ) -> Lowered<Node<'t>> {
        self.arena.rewrite(aggregate, &mut |node| match node.view() {
            View::Var(var) if var.levels_up == 0 && Some(var.entry) == group_entry => {
                let absent = !set.contains(&(var.attribute as usize - 1));
                Ok(absent.then(|| self.arena.null_like(node)))
            }
            _ => Ok(None),
        })
    }

    /// The groups of all grouping sets. Columns: leading ones, keys, columns that these determine, aggregates, and the calls
    /// of GROUPING().
    pub(super) fn groups(&mut self, below: &Block<'t>, grouping: &Grouping<'t>) -> Lowered<Groups<'t>> {
        if grouping.sets.len() == 1 && grouping.calls.is_empty() && grouping.sets[0].len() == grouping.keys.len() {
            return self.one_group(below, grouping);
        }
        let finished = self.finish(below)?;
        let mut inputs = Vec::new();
        let mut columns: Vec<Column> = Vec::new();
        let mut unique = Vec::new();
        for (number, set) in grouping.sets.iter().enumerate() {
            let leaf = self.reduce(below, &finished, grouping, number)?;
            let LeafKind::Derived(rel) = leaf.kind else {
                return Err(NotIncremental::new("GROUPING SETS", "A grouping set is not a relation."));
            };
            unique.push(leaf.keys);
            let of_set: Vec<Column> = leaf.columns.into_iter().flatten().collect();
            let (rel, of_set) = self.padded(rel, of_set, grouping, set);
            if columns.is_empty() {
                columns = of_set;
            } else {
                for (column, other) in columns.iter_mut().zip(of_set) {
                    column.nullable |= other.nullable;
                    column.determined &= other.determined;
                    column.settled &= other.settled;
                }
            }
            inputs.push(rel);
        }
        // Of several sets the rows are not told apart by their keys: a key may be NULL where it is there.
        let first_key = grouping.leading.len();
        let keys = match &unique[..] {
            [of_set] if !of_set.is_empty() => {
                let set = grouping.sets[0].iter().map(|key| first_key + key);
                vec![(0..first_key).chain(set).collect()]
            }
            _ => Vec::new(),
        };
        let rel = if inputs.len() == 1 { inputs.remove(0) } else { Rel::Union { inputs } };
        Ok(Groups {
            kind: LeafKind::Derived(rel),
            name: "group".to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys,
        })
    }

    /// The rows of one set with all columns: NULL for keys that are not in it, and the constants that GROUPING() gives.
    fn padded(&mut self, rel: Rel, of_set: Vec<Column>, grouping: &Grouping<'t>, set: &[usize]) -> (Rel, Vec<Column>) {
        let width = of_set.len();
        let settled = of_set.is_empty() || of_set.iter().any(|column| column.settled);
        let mut of_set = of_set.into_iter();
        let (mut constants, mut order, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        let mut next = 0;
        let mut take = |order: &mut Vec<usize>, columns: &mut Vec<Column>| {
            if let Some(column) = of_set.next() {
                order.push(next);
                columns.push(column);
                next += 1;
            }
        };
        grouping.leading.iter().for_each(|_| take(&mut order, &mut columns));
        for (at, key) in grouping.keys.iter().enumerate() {
            if set.contains(&at) {
                take(&mut order, &mut columns);
                continue;
            }
            let ty = key.expression.column_type();
            order.push(width + constants.len());
            constants.push(Expr::Literal(None, ty.kind));
            columns.push(Column { name: String::new(), ty, nullable: true, determined: settled, settled });
        }
        (0..grouping.dependent.len() + grouping.aggregates.len()).for_each(|_| take(&mut order, &mut columns));
        for call in &grouping.calls {
            order.push(width + constants.len());
            constants.push(Expr::Literal(Some(call.value(set).to_ne_bytes().to_vec()), Kind::Int4));
            let name = "grouping".to_string();
            columns.push(Column { name, ty: call.ty.clone(), nullable: false, determined: settled, settled });
        }
        let rel = if constants.is_empty() {
            rel
        } else {
            // Constants raise nothing, so nobody asks for the place.
            let site = self.site("GROUPING SETS".to_string(), Vec::new());
            Rel::Map { input: Box::new(rel), expressions: constants, site }
        };
        let rel = if order.iter().enumerate().all(|(at, column)| at == *column) {
            rel
        } else {
            Rel::Project { input: Box::new(rel), columns: order }
        };
        (rel, columns)
    }
}
