//! UNION ALL and UNION.

use super::block::{Block, Column, Leaf, LeafKind};
use super::{Compiler, Lowered, NotIncremental};
use crate::pg::image;
use crate::pg::query::{Query, RangeKind, SetColumn, SetKind, SetTree};
use trickle_operators::plan::Rel;

impl<'t> Compiler<'t, '_> {
    pub(super) fn set_operation(&mut self, query: Query<'t>, tree: &SetTree) -> Lowered<Block<'t>> {
        let mut block = self.set_tree(query, tree)?;
        let names = query.targets().into_iter().filter(|target| !target.junk).map(|target| target.name);
        for (output, name) in block.outputs.iter_mut().zip(names) {
            output.name = name;
        }
        Ok(block)
    }

    fn set_tree(&mut self, query: Query<'t>, tree: &SetTree) -> Lowered<Block<'t>> {
        match tree {
            SetTree::Arm(entry) => match query.range_table()[entry - 1].kind() {
                RangeKind::Subquery(arm) => self.query(arm),
                _ => Err(NotIncremental::new("set operation", "An arm of a set operation is not a query.")),
            },
            SetTree::Operation { kind: SetKind::Union, all, left, right, types } => {
                // A chain of UNION ALL is one union of all its arms.
                let mut arms = Vec::new();
                for side in [left, right] {
                    self.union_arms(query, side, types, &mut arms)?;
                }
                let union = self.union(arms, if *all { "UNION ALL" } else { "UNION" })?;
                if *all {
                    Ok(union)
                } else {
                    self.distinct(union, "UNION")
                }
            }
            SetTree::Operation { kind, .. } => {
                let name = if *kind == SetKind::Except { "EXCEPT" } else { "INTERSECT" };
                Err(NotIncremental::new(name, format!("The query contains {name}.")))
            }
        }
    }

    fn union_arms(
        &mut self,
        query: Query<'t>,
        tree: &SetTree,
        types: &[SetColumn],
        arms: &mut Vec<Block<'t>>,
    ) -> Lowered<()> {
        if let SetTree::Operation { kind: SetKind::Union, all: true, left, right, types: inner } = tree {
            if inner == types {
                self.union_arms(query, left, types, arms)?;
                return self.union_arms(query, right, types, arms);
            }
        }
        let mut arm = self.set_tree(query, tree)?;
        for (output, ty) in arm.outputs.iter_mut().zip(types) {
            output.expression = self.arena.coerce(output.expression, ty.oid);
        }
        arms.push(arm);
        Ok(())
    }

    /// The bag union of blocks with the same column types.
    pub(super) fn union(&mut self, mut arms: Vec<Block<'t>>, name: &str) -> Lowered<Block<'t>> {
        if arms.len() == 1 {
            return Ok(arms.remove(0));
        }
        let mut inputs = Vec::new();
        let mut columns: Vec<Column> = Vec::new();
        for arm in &arms {
            let finished = self.finish(arm)?;
            if columns.is_empty() {
                columns = finished.columns.clone();
            }
            for (column, other) in columns.iter_mut().zip(&finished.columns) {
                column.nullable |= other.nullable;
                column.determined &= other.determined;
                if column.ty.typmod != other.ty.typmod {
                    column.ty = image::column_type(column.ty.oid.into(), -1, column.ty.collation.into());
                }
            }
            inputs.push(finished.projected());
        }
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Union { inputs }),
            name: name.to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys: Vec::new(),
        };
        Ok(Block::of_relation(self, leaf))
    }
}
