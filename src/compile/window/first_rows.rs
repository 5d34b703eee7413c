//! `row_number() OVER (…) <= k` and `rank() OVER (…) <= k` in a condition around the window: a [`TopK`] below it, so that the
//! functions are computed over the rows that are shown alone.
//!
//! The condition stays where it is. The other functions of the window must have the same values for these rows: those that
//! look further are given the rows that they look at, and over a whole partition there is no such rewriting.

use crate::compile::block::{columns_of, Block, LeafKind};
use crate::compile::Compiler;
use crate::pg::catalog_lookup;
use crate::pg::node::Node;
use std::collections::HashMap;
use trickle_operators::expr::function::{function, Comparison, Operation};
use trickle_operators::expr::Expr;
use trickle_operators::plan::{
    Equality, Reach, Rel, TopK, Window, WindowCall, WindowFrame, WindowFunction, WindowFunctions,
};
use trickle_operators::value::Kind;

impl<'t> Compiler<'t, '_> {
    /// The block with windows computed over no more rows than its conditions let through, if there are such.
    pub(in crate::compile) fn over_first_rows(&self, block: &Block<'t>) -> Option<Block<'t>> {
        let mut limited: Option<Block<'t>> = None;
        for (number, leaf) in block.leaves.iter().enumerate() {
            let LeafKind::Derived(Rel::Window(window)) = &leaf.kind else { continue };
            let WindowFunctions::Native { order, calls } = &window.functions else { continue };
            let first_call = leaf.columns.len() - calls.len();
            let bounds = block.predicates.iter().filter_map(|predicate| {
                let [(of, attribute)] = columns_of(*predicate)[..] else { return None };
                let call = (attribute as usize - 1).checked_sub(first_call).filter(|_| of == number)?;
                first_rows(&calls[call], self.bound(*predicate, (of, attribute))?, calls)
            });
            let Some((rows, with_ties)) = bounds.min() else { continue };
            let top_k = TopK {
                input: window.input.clone(),
                keys: window.keys.clone(),
                order: order.clone(),
                offset: 0,
                limit: Some(rows),
                with_ties,
            };
            let leaf = &mut limited.get_or_insert_with(|| block.clone()).leaves[number];
            leaf.kind = LeafKind::Derived(Rel::Window(Window { input: Box::new(Rel::TopK(top_k)), ..window.clone() }));
            if rows == 1 && !with_ties {
                let exact = |column: usize, equality: Equality| {
                    let ty = leaf.columns[column].as_ref().map(|column| &column.ty);
                    equality == Equality::Sql || ty.is_some_and(catalog_lookup::equal_image)
                };
                let key = window.keys.iter().map(|key| match key.expression {
                    Expr::Column(column, _) if exact(column, key.equality) => Some(column),
                    _ => None,
                });
                leaf.keys.extend(key.collect::<Option<Vec<usize>>>());
            }
        }
        limited
    }

    /// The greatest value that a column may have under a condition on it alone.
    fn bound(&self, predicate: Node<'t>, column: (usize, i16)) -> Option<u64> {
        let bound = match self.native(predicate, &HashMap::from([(column, 0)]))? {
            Expr::Call { function: compared, arguments, .. } => {
                let Operation::Compare(comparison) = function(compared)?.operation else { return None };
                match (&arguments[..], comparison) {
                    ([Expr::Column(..), Expr::Literal(Some(image), kind)], Comparison::Le | Comparison::Eq)
                    | ([Expr::Literal(Some(image), kind), Expr::Column(..)], Comparison::Ge | Comparison::Eq) => {
                        integer(image, *kind)?
                    }
                    ([Expr::Column(..), Expr::Literal(Some(image), kind)], Comparison::Lt)
                    | ([Expr::Literal(Some(image), kind), Expr::Column(..)], Comparison::Gt) => {
                        integer(image, *kind)?.checked_sub(1)?
                    }
                    _ => return None,
                }
            }
            Expr::InList { needle, list, list_kind, negated: false, .. } if matches!(*needle, Expr::Column(..)) => {
                let values = list.iter().flatten().map(|image| integer(image, list_kind));
                values.collect::<Option<Vec<i64>>>()?.into_iter().max()?
            }
            _ => return None,
        };
        u64::try_from(bound).ok().filter(|bound| *bound > 0)
    }
}

/// The first rows of a partition, with ties or without, that have to be there for all calls to have their values where
/// `call` is at most `bound`.
fn first_rows(call: &WindowCall, bound: u64, calls: &[WindowCall]) -> Option<(u64, bool)> {
    if calls.iter().any(|call| call.reach() == Reach::Partition) {
        return None;
    }
    let ahead = calls.iter().filter_map(WindowCall::neighbours).map(|(_, to)| u64::try_from(to).unwrap_or(0));
    let ahead = ahead.max().unwrap_or(0);
    match call.function {
        WindowFunction::RowNumber => {
            let by_peers = calls.iter().any(|call| call.frame == WindowFrame::Peers);
            Some((bound.saturating_add(ahead), by_peers))
        }
        WindowFunction::Rank if ahead == 0 => Some((bound, true)),
        _ => None,
    }
}

fn integer(image: &[u8], kind: Kind) -> Option<i64> {
    match kind {
        Kind::Int2 => Some(i16::from_ne_bytes(image.try_into().ok()?).into()),
        Kind::Int4 => Some(i32::from_ne_bytes(image.try_into().ok()?).into()),
        Kind::Int8 => Some(i64::from_ne_bytes(image.try_into().ok()?)),
        _ => None,
    }
}
