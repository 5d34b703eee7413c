//! The words that operators share with the main thread: times, counts, error rows, evaluation, limits.

use crate::expr::EvalError;
use crate::plan::GraphId;
use crate::value::Row;

/// Logical time: a counter of feeds, per lane.
pub type Time = u64;

/// A multiplicity change.
pub type Diff = i64;

/// A row that an expression failed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ErrorRow {
    /// Index into the plan's sites.
    pub site: usize,
    pub error: EvalError,
    pub row: Row,
}

/// Rows that PostgreSQL must evaluate for an operator that waits without blocking.
#[derive(Clone, Debug)]
pub struct EvaluationRequest {
    /// To be given back.
    pub id: u64,
    pub worker: usize,
    pub graph: GraphId,
    /// Index into the plan's fragments.
    pub fragment: usize,
    /// (item, arguments); an aggregate's group is one item with several rows, repeated as often as they occur.
    pub rows: Vec<(u64, Row)>,
}

/// The answer: one result row (of a set-returning fragment: any number of them) or one error for each distinct item, in any
/// order. If the evaluation cannot be done now
/// (cancelled, lock, resources) there is no answer: the main thread gives the graph up and attaches it again.
#[derive(Clone, Debug)]
pub struct EvaluationReply {
    pub id: u64,
    pub worker: usize,
    pub graph: GraphId,
    pub results: Vec<(u64, Result<Row, EvalError>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The memory limit was reached and this graph had grown most, or held most: bytes in use by the engine, the limit,
    /// and what the graph is charged with.
    MemoryLimit { used: usize, limit: usize, held: usize },
    /// An image that its kind does not allow: attaching the graph again would not help.
    Malformed { operator: String, error: EvalError },
    /// More rows than can be counted: a join multiplies how often its inputs' rows occur.
    TooMany { operator: String },
    /// Content that cannot be: a negative count at a reported time, an accumulator with a remainder and no rows.
    Inconsistent { operator: String, detail: String },
    /// A stream table that this graph reads was stopped.
    Upstream { graph: GraphId },
}

/// How the engine learns how much memory is in use: bytes now, and the limit.
pub trait MemoryGauge: Send + Sync {
    fn used(&self) -> usize;
    fn limit(&self) -> usize;
}
