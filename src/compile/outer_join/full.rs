//! A FULL JOIN with references to other items of FROM, or to queries around its own: both sides are lowered for the
//! bindings, and rows of the same binding meet. A row belongs to the binding of the side that it has:
//!
//! ```text
//! P, (L FULL JOIN R ON c)  =  P JOIN (L' FULL JOIN R' ON L'.b = R'.b AND c) ON P.b = (L'.b or R'.b)
//! ```

use super::{Kind, Outer};
use crate::compile::block::missing_column;
use crate::compile::scope::{lateral, Binding, Scope};
use crate::compile::subquery::has_subquery;
use crate::compile::{Compiler, Lowered};
use crate::pg::node::{Node, View};
use crate::pg::query::{FromItem, Query};
use crate::pg::references::References;

impl<'t> Compiler<'t, '_> {
    pub(super) fn bind_full_bound(
        &mut self,
        query: Query<'t>,
        scope: &mut Scope<'t>,
        items: [&FromItem<'t>; 2],
        mut parts: Vec<Node<'t>>,
        references: &References<'t>,
    ) -> Lowered<()> {
        self.add_pending(scope)?;
        let tied = self.tie(scope, references, &[], &[], true)?.ok_or_else(lateral)?;
        let correlated = self.correlated.take();
        let mut bindings = 0;
        let mut on = Scope::default();
        let mut sides = Vec::new();
        for item in items {
            let mut side = scope.beside();
            bindings = side.enter_beside(self, &tied.inside);
            on = Scope::new(side.aliases(), side.outside.clone());
            self.bind_item(query, &mut side, item)?;
            self.lift_own(&mut side, &mut parts)?;
            let (block, mut bound) = self.enclose(query, side)?;
            // What the compiler has added on the way is not named by anything outside.
            bound.retain(|(entry, _)| *entry < bindings);
            sides.push((block, bound));
        }
        let (Some((mut second, second_bound)), Some((first, first_bound))) = (sides.pop(), sides.pop()) else {
            return Err(lateral());
        };
        for (number, bound) in [&first_bound, &second_bound].into_iter().enumerate() {
            for (entry, columns) in bound {
                on.entries[*entry] = Binding::Columns(number, columns.clone());
            }
        }
        let place = |bound: &super::Bound| {
            let found = bound.iter().find(|(entry, _)| entry + 1 == bindings);
            found.map(|(_, columns)| columns.clone()).ok_or_else(missing_column)
        };
        let (own, other) = (place(&first_bound)?, place(&second_bound)?);
        // (the column of the block, those of the sides)
        let mut met: Vec<(Node<'t>, i16, i16)> = Vec::new();
        for (column, (own, other)) in tied.columns.iter().zip(own.iter().zip(&other)) {
            if let (View::Var(_), Some(own), Some(other)) = (column.view(), own, other) {
                let left = self.arena.var_like(*column, 1, *own);
                on.block.predicates.push(self.same(left, self.arena.var_like(*column, 2, *other)));
                met.push((*column, *own, *other));
            }
        }
        let (lifted, plain): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| has_subquery(*part));
        for part in plain {
            self.outer_condition(&mut on, part, true)?;
        }
        let mut whole = None;
        for part in lifted {
            if whole.is_none() {
                second = self.as_columns(second)?;
                whole = Some(second.clone());
            }
            self.lift_on(&mut on, &first, &mut second, part)?;
        }
        self.correlated = correlated;
        let condition = on.block.predicates;
        let offset = first.outputs.len() as i16;
        let columns = self.outer_columns([(&first, true), (&second, true)])?;
        let keys = self.outer_keys(true, [&first, whole.as_ref().unwrap_or(&second)], &condition)?;
        let outer = Outer { whole, ..Outer::new(Kind::Full, [first, second], condition) };
        scope.add(outer.leaf("join", columns, keys)?);
        let leaf = scope.block.leaves.len() - 1;
        let present = own.last().copied().flatten().ok_or_else(missing_column)?;
        let present = self.arena.var_like(self.arena.truth(), leaf + 1, present);
        for (column, own, other) in met {
            let one = self.arena.var_like(column, leaf + 1, own);
            let other = self.arena.var_like(column, leaf + 1, other + offset);
            let binding = self.arena.case(&[(present, one)], other);
            scope.block.predicates.push(self.same(column, binding));
        }
        for (bound, offset) in [(first_bound, 0), (second_bound, offset)] {
            for (entry, columns) in bound.into_iter().filter(|(entry, _)| entry + 1 < bindings) {
                let columns = columns.into_iter().map(|column| column.map(|column| column + offset)).collect();
                scope.entries[entry] = Binding::Columns(leaf, columns);
            }
        }
        Ok(())
    }
}
