//! LEFT, RIGHT and FULL joins: the inner join, and the rows of a side that is kept whole of which nothing is in it, padded
//! with NULLs.
//!
//! ```text
//! L LEFT JOIN R ON c  =  J + pad(L - M)    J = L JOIN R ON c,  M = the rows of L that are in J, as often as in L
//! ```
//!
//! No operator of its own is needed: what M holds changes with J and L alone. M is found by joining L with a set:
//! * where c compares expressions of L with expressions of R, and each side otherwise with itself only, with the distinct
//!   values of R's expressions. Each row of L meets at most one of them, because both sides are compared as values of one
//!   type under one notion of equality.
//! * otherwise with the distinct rows of L in J, by image, NULLs equal: a join's notion of equality would lose rows here
//!   (HAZARDS E22).
//!
//! The sides are blocks of their own: what they compute is computed before the padding. A condition on R alone that may
//! raise, or that PostgreSQL evaluates, is one of R's rows, whatever they are joined with; one on L alone is evaluated for
//! the rows of J only.

mod binding;
mod full;
mod lowering;

use super::block::{columns_of, Block, Column, Leaf, LeafKind};
use super::stage::Rendered;
use super::Lowered;
use crate::pg::node::Node;
use std::rc::Rc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first side is kept whole.
    Left,
    /// Both are.
    Full,
    /// M alone.
    Semi,
    /// L - M.
    Anti,
}

/// A join that is more than the pairs of rows that match, before it is known what is used of it.
pub(super) struct Outer<'t> {
    pub kind: Kind,
    /// Every column that can be named is an output; a semi- or antijoin shows those of the first side only.
    pub sides: [Block<'t>; 2],
    /// In its Vars, entry 1 is the first side and 2 the second, attribute number m is its output m - 1.
    pub condition: Vec<Node<'t>>,
    /// Of a full join whose condition has subqueries: the second side's rows as they are, without what the subqueries' values
    /// need for the pairs. Its outputs are the first ones of that side.
    pub whole: Option<Block<'t>>,
    pub rendered: Rendered,
}

impl<'t> Outer<'t> {
    pub fn new(kind: Kind, sides: [Block<'t>; 2], condition: Vec<Node<'t>>) -> Self {
        Outer { kind, sides, condition, whole: None, rendered: Rendered::default() }
    }

    /// The join as an input of a block, with these columns. Which rows there are may depend on what the content of the
    /// sources does not determine.
    pub fn leaf(self, name: &str, mut columns: Vec<Option<Column>>, keys: Vec<Vec<usize>>) -> Lowered<Leaf<'t>> {
        let mut settled = self.sides.iter().all(Block::rows_settled);
        for (side, attribute) in self.condition.iter().flat_map(|condition| columns_of(*condition)) {
            let output = &self.sides[side].outputs[attribute as usize - 1];
            settled &= self.sides[side].describe("", output.expression)?.settled;
        }
        if !settled {
            columns.iter_mut().flatten().for_each(Column::unsettle);
        }
        Ok(Leaf { kind: LeafKind::Outer(Rc::new(self)), name: name.to_string(), columns, keys })
    }
}

/// By range table entry: where its columns are among a side's outputs (from 1), by attribute number - 1.
pub(super) type Bound = Vec<(usize, Vec<Option<i16>>)>;

fn reads_only(expression: Node<'_>, side: usize) -> bool {
    let read = columns_of(expression);
    !read.is_empty() && read.iter().all(|column| column.0 == side)
}
