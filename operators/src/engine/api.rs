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

pub use crate::operators::border::{Diff, ErrorRow, EvaluationReply, EvaluationRequest, MemoryGauge, StopReason, Time};

use crate::plan::{GraphId, SourceId};
use crate::value::Row;

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
