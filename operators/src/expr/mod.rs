//! Scalar expressions that the engine evaluates itself; everything else is PostgreSQL's ([`crate::plan::Fragment`]).

pub mod clock;
pub mod eval;
pub mod function;
mod table;

pub use crate::value::EvalError;

use crate::value::Kind;
use serde::{Deserialize, Serialize};

/// An expression over the columns of one row. Every node's kind is known when it is built.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Expr {
    /// Column by position in the row, and how to read it.
    Column(usize, Kind),
    /// A constant's image; `None` is NULL.
    Literal(Option<Vec<u8>>, Kind),
    /// A native function, named by its pg_proc OID. Strict unless the function's table entry says otherwise.
    Call {
        function: u32,
        arguments: Vec<Expr>,
        kind: Kind,
        collation: u32,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// `IS [NOT] TRUE/FALSE/UNKNOWN`: the test, negated or not.
    BoolTest {
        argument: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    /// Searched CASE: first branch whose condition is true. (The compiler turns simple CASE into this.)
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Box<Expr>,
        kind: Kind,
    },
    Coalesce(Vec<Expr>, Kind),
    NullIf {
        equal: Box<Expr>,
        value: Box<Expr>,
    },
    /// `left IS DISTINCT FROM right`; `equal` is the type's equality over the two non-null values as columns would be.
    Distinct {
        equality: u32,
        left: Box<Expr>,
        right: Box<Expr>,
        collation: u32,
    },
    /// `needle = ANY (constants)` over a constant list; `equality` is the pg_proc OID of the operator's function.
    InList {
        equality: u32,
        needle: Box<Expr>,
        list: Vec<Option<Vec<u8>>>,
        list_kind: Kind,
        negated: bool,
        collation: u32,
    },
    /// A scalar subquery's value: raises if it had more than one row. `rows` is an int8.
    Single {
        rows: Box<Expr>,
        value: Box<Expr>,
    },
}
