//! UNION, INTERSECT and EXCEPT.
//!
//! Without ALL, INTERSECT and EXCEPT are the distinct rows of the left that are, or are not, among those of the right: a
//! semijoin or an antijoin by all columns, NULLs equal. With ALL, the rows of both are counted for each side, and each
//! distinct row is repeated as the two counts say.

use super::block::{Block, Column, Leaf, LeafKind, Output};
use super::context::Inside;
use super::outer_join::{Kind, Outer};
use super::{unique, Compiler, Lowered, NotIncremental};
use crate::pg::query::{Query, RangeKind, SetColumn, SetKind, SetTree};
use trickle_operators::plan::{Rel, Times};

impl<'t> Compiler<'t, '_> {
    pub(super) fn set_operation(
        &mut self,
        query: Query<'t>,
        tree: &SetTree,
        inside: Option<Inside<'t>>,
    ) -> Lowered<Block<'t>> {
        let carried = inside.as_ref().map_or(0, Inside::width);
        // The arms are queries of their own.
        let inside = inside.as_ref().map(Inside::deeper);
        let mut block = self.set_tree(query, tree, &inside)?;
        block.carried = carried;
        let names = query.targets().into_iter().filter(|target| !target.junk).map(|target| target.name);
        for (output, name) in block.outputs.iter_mut().skip(carried).zip(names) {
            output.name = name;
        }
        Ok(block)
    }

    fn set_tree(&mut self, query: Query<'t>, tree: &SetTree, inside: &Option<Inside<'t>>) -> Lowered<Block<'t>> {
        match tree {
            SetTree::Arm(entry) => match query.range_table()[entry - 1].kind() {
                RangeKind::Subquery(arm) => self.query_in(arm, inside.clone()),
                _ => Err(NotIncremental::new("set operation", "An arm of a set operation is not a query.")),
            },
            SetTree::Operation { kind: SetKind::Union, all, left, right, types } => {
                // A chain of UNION ALL is one union of all its arms.
                let mut arms = Vec::new();
                for side in [left, right] {
                    self.union_arms(query, side, types, inside, &mut arms)?;
                }
                let union = self.union(arms, if *all { "UNION ALL" } else { "UNION" })?;
                if *all {
                    Ok(union)
                } else {
                    self.distinct(union, "UNION")
                }
            }
            SetTree::Operation { kind, all, left, right, types } => {
                let name = if *kind == SetKind::Except { "EXCEPT" } else { "INTERSECT" };
                let left = self.set_arm(query, left, types, inside)?;
                let right = self.set_arm(query, right, types, inside)?;
                if *all {
                    let times = if *kind == SetKind::Except { Times::Excess } else { Times::Lesser };
                    return self.repeated(left, right, times, name);
                }
                let left = self.distinct(left, name)?;
                self.among(left, right, if *kind == SetKind::Except { Kind::Anti } else { Kind::Semi }, name)
            }
        }
    }

    pub(super) fn set_arm(
        &mut self,
        query: Query<'t>,
        tree: &SetTree,
        types: &[SetColumn],
        inside: &Option<Inside<'t>>,
    ) -> Lowered<Block<'t>> {
        let mut arm = self.set_tree(query, tree, inside)?;
        arm.carried = inside.as_ref().map_or(0, Inside::width);
        for (output, ty) in arm.outputs.iter_mut().skip(arm.carried).zip(types) {
            output.expression = self.arena.coerce(output.expression, ty.oid);
        }
        Ok(arm)
    }

    /// The distinct rows of both, each as often as it is in `left` and in `right` say.
    fn repeated(&mut self, mut left: Block<'t>, mut right: Block<'t>, times: Times, name: &str) -> Lowered<Block<'t>> {
        let names: Vec<String> = left.outputs.iter().map(|output| output.name.clone()).collect();
        for (arm, is_left) in [(&mut left, true), (&mut right, false)] {
            for value in [is_left, !is_left] {
                arm.outputs.push(Output { name: "side".to_string(), expression: self.arena.boolean(value) });
            }
        }
        let carried = left.carried;
        let both = Block { carried, ..self.union(vec![left, right], name)? };
        let mut leaf = self.counted_sides(both, name)?;
        let LeafKind::Derived(counted) = leaf.kind else {
            return Err(NotIncremental::new(name, format!("An input of {name} ALL could not be counted.")));
        };
        let width = names.len();
        let repeat = Rel::Repeat { input: Box::new(counted), times, left: width, right: width + 1 };
        leaf.kind = LeafKind::Derived(Rel::Project { input: Box::new(repeat), columns: (0..width).collect() });
        leaf.columns.truncate(width);
        for (column, name) in leaf.columns.iter_mut().flatten().zip(names) {
            column.name = name;
        }
        leaf.keys = Vec::new();
        leaf.name = name.to_lowercase();
        Ok(Block { carried, ..Block::of_relation(self, leaf) })
    }

    /// The rows of `left` that are, or are not, among those of `right`.
    fn among(&mut self, left: Block<'t>, right: Block<'t>, kind: Kind, name: &str) -> Lowered<Block<'t>> {
        let mut condition = Vec::new();
        for (at, (one, other)) in left.outputs.iter().zip(&right.outputs).enumerate() {
            let one = self.arena.var_like(one.expression, 1, at as i16 + 1);
            let other = self.arena.var_like(other.expression, 2, at as i16 + 1);
            let same = (at < left.carried).then(|| self.same(one, other));
            let equal = same.or_else(|| self.arena.not_distinct(one, other));
            condition
                .push(equal.ok_or_else(|| NotIncremental::new(name, format!("A column of {name} has no equality.")))?);
        }
        let columns = left
            .outputs
            .iter()
            .map(|output| left.describe(&output.name, output.expression).map(Some))
            .collect::<Lowered<Vec<_>>>()?;
        let keys = unique::of_block(&left);
        let carried = left.carried;
        let outer = Outer::new(kind, [left, right], condition);
        let leaf = outer.leaf(&name.to_lowercase(), columns, keys)?;
        Ok(Block { carried, ..Block::of_relation(self, leaf) })
    }

    fn union_arms(
        &mut self,
        query: Query<'t>,
        tree: &SetTree,
        types: &[SetColumn],
        inside: &Option<Inside<'t>>,
        arms: &mut Vec<Block<'t>>,
    ) -> Lowered<()> {
        if let SetTree::Operation { kind: SetKind::Union, all: true, left, right, types: inner } = tree {
            if inner == types {
                self.union_arms(query, left, types, inside, arms)?;
                return self.union_arms(query, right, types, inside, arms);
            }
        }
        arms.push(self.set_arm(query, tree, types, inside)?);
        Ok(())
    }

    /// The bag union of blocks with the same column types.
    pub(super) fn union(&mut self, mut arms: Vec<Block<'t>>, name: &str) -> Lowered<Block<'t>> {
        if arms.len() == 1 {
            return Ok(arms.remove(0));
        }
        let carried = arms[0].carried;
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
                column.with_modifier_of(&other.ty);
                column.settled &= other.settled;
            }
            inputs.push(finished.projected());
        }
        let leaf = Leaf {
            kind: LeafKind::Derived(Rel::Union { inputs }),
            name: name.to_string(),
            columns: columns.into_iter().map(Some).collect(),
            keys: Vec::new(),
        };
        Ok(Block { carried, ..Block::of_relation(self, leaf) })
    }
}
