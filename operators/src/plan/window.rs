//! Window functions in a plan: who computes them, and from which rows of a partition.

use super::{Aggregate, KeyColumn, OrderKey, Rel};
use crate::expr::Expr;
use serde::{Deserialize, Serialize};

/// Window functions over partitions. Columns: those of `input`, then the values of the functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    pub input: Box<Rel>,
    /// What the partitions are told apart by. Empty: all rows are one.
    pub keys: Vec<KeyColumn>,
    pub functions: WindowFunctions,
    pub site: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowFunctions {
    /// The engine's own, all over one order; rows that are equal in it follow each other by their images.
    Native { order: Vec<OrderKey>, calls: Vec<WindowCall> },
    /// PostgreSQL's, over all rows of each partition that changes: the fragment's results but the first, which is the number
    /// of the row. `arguments` are columns of the input, after the first argument, which is that number too.
    Foreign { fragment: usize, arguments: Vec<usize> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowCall {
    pub function: WindowFunction,
    /// Of functions that see no frame: [`WindowFrame::Rows`].
    pub frame: WindowFrame,
}

/// Which rows of the partition a function sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowFrame {
    All,
    /// Those up to the row.
    Rows,
    /// Those up to the row, and all that are equal to it in the order.
    Peers,
    /// Of aggregates: those from so many rows after the row, or before it if that is below zero, to so many.
    Around {
        from: i64,
        to: i64,
    },
}

/// Arguments are columns of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    /// `lag`, or with an offset below zero `lead`; the default is infallible and over the input's columns.
    Neighbour {
        argument: usize,
        offset: i64,
        default: Option<Expr>,
    },
    FirstValue(usize),
    LastValue(usize),
    /// Counted from one. Not over [`WindowFrame::All`].
    NthValue(usize, u64),
    /// Without DISTINCT, and none that takes any one of its values.
    Aggregate(Aggregate),
}

/// Which rows have to be computed anew when some of a partition change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Those next to a change.
    Neighbours,
    /// Those from a change on, as far as the function's state is another.
    Following,
    /// All, if the value of the partition is another.
    Partition,
}

impl WindowCall {
    pub fn reach(&self) -> Reach {
        match self.function {
            WindowFunction::Neighbour { .. } => Reach::Neighbours,
            WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => Reach::Following,
            _ => match self.frame {
                WindowFrame::All => Reach::Partition,
                WindowFrame::Around { .. } => Reach::Neighbours,
                WindowFrame::Rows | WindowFrame::Peers => Reach::Following,
            },
        }
    }

    /// The rows that the call looks at, if those are neighbours: from so many after a row to so many, before it if that is
    /// below zero.
    pub fn neighbours(&self) -> Option<(i64, i64)> {
        match (&self.function, self.frame) {
            (WindowFunction::Neighbour { offset, .. }, _) => Some((-offset, -offset)),
            (WindowFunction::Aggregate(_), WindowFrame::Around { from, to }) => Some((from, to)),
            _ => None,
        }
    }
}
