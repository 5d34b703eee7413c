//! What crosses the border between the main thread (which alone talks to PostgreSQL) and the engine.
//!
//! # One cut
//!
//! The main thread opens a time, feeds each source's changes at it, and advances the sources of the connected component
//! that changed; every graph of the component then reports one [`Event::Output`] for that time. Sources outside of the
//! component stay where they are: their graphs are current by inference, and cost nothing.
//!
//! Times are one counter a lane and only grow. A time may be fed in several steps: a source that is fed by the difference
//! of a full-mode stream table is fed and advanced after the graphs it depends on have reported the same time.
//!
//! # Attaching a graph
//!
//! `attach` makes the shared arrangements that the plan needs and does not find, and names what must be fed into each
//! (a [`Hydration`]). The main thread feeds a table's rows in chunks; each chunk is a time of its own, only the new
//! arrangement sees it, and live changes of that source are withheld from it until `hydrated`. When all are complete,
//! `install` builds the graph and names its direct inputs' hydrations in the same way. A join whose inputs are all shared
//! arrangements sweeps one of them at one time; other joins start from the hydration of their unshared inputs. When
//! everything is in, the first output reported with `complete` is the whole content.

use crate::expr::EvalError;
use crate::plan::{GraphId, SourceId};
use crate::value::Row;

/// Logical time: a counter of feeds, per lane.
pub type Time = u64;

/// A multiplicity change.
pub type Diff = i64;

/// Something that must be filled from a table before it can follow changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hydration {
    pub id: u64,
    pub from: HydrationSource,
    /// Attribute numbers, in the order in which rows must be fed.
    pub columns: Vec<i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HydrationSource {
    /// A table that is fed by `feed`.
    Table(SourceId),
    /// An incremental stream table: its heap content now, later changes come over the bridge from its graph. Must be fed
    /// when the heap holds everything its graph has reported.
    StreamTable(GraphId),
}

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

/// The answer: one result row or error for each distinct item, in any order. `None` as a whole: the evaluation could not
/// be done now (cancelled, lock, resources); the main thread then gives the graph up and attaches it again.
#[derive(Clone, Debug)]
pub struct EvaluationReply {
    pub id: u64,
    pub worker: usize,
    pub graph: GraphId,
    pub results: Vec<(u64, Result<Row, EvalError>)>,
}

/// What the engine tells the main thread.
#[derive(Debug)]
pub enum Event {
    /// All workers have passed `time` for this graph.
    Output {
        graph: GraphId,
        time: Time,
        /// Net change of the content since the last report, consolidated.
        rows: Vec<(Row, Diff)>,
        /// Net change of the error rows since the last report, consolidated; counts below zero cannot remain.
        errors: Vec<(ErrorRow, Diff)>,
        /// False while the graph hydrates: its content is not yet the query's.
        complete: bool,
    },
    Evaluate(EvaluationRequest),
    /// The graph was given up from inside and is gone; the others live.
    Stopped {
        graph: GraphId,
        reason: StopReason,
    },
    /// An engine thread panicked: the whole engine is lost.
    Panicked {
        graph: Option<GraphId>,
        operator: String,
        message: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The memory limit was reached while this graph worked; bytes in use by the engine, and the limit.
    MemoryLimit { used: usize, limit: usize },
    /// Content that cannot be: a negative count at a reported time, an accumulator with a remainder and no rows.
    Inconsistent { operator: String, detail: String },
}

/// How the engine learns how much memory is in use: bytes now, and the limit.
pub trait MemoryGauge: Send + Sync {
    fn used(&self) -> usize;
    fn limit(&self) -> usize;
}
