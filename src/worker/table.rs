//! What the worker keeps about one stream table.

use crate::catalog::Definition;
use crate::pg::catalog_lookup::KeyFacts;
use crate::pg::executor::PreparedFragment;
use crate::pg::snapshot::Frontier;
use crate::pg::time_limit;
use crate::pg::txn::Failure;
use crate::worker::delta::Pending;
use hashbrown::HashMap;
use std::sync::Arc;
use trickle_operators::engine::api::ErrorRow;
use trickle_operators::plan::Plan;
use trickle_operators::value::ColumnType;

/// How a stream table is kept, as the worker last found it. The catalog says what the user wants; this is what can be done.
pub enum Mode {
    /// Not known yet: compiled at the next attempt to attach.
    Undecided,
    Incremental(Graph),
    Full(Full),
}

/// An attached dataflow graph.
pub struct Graph {
    pub plan: Arc<Plan>,
    /// Planned when first used; rebuilt with the graph.
    pub fragments: Vec<Option<PreparedFragment>>,
    /// Stamps of everything PostgreSQL evaluates for it (HAZARDS E16).
    pub stamps: crate::compile::Stamps,
    /// What told rows of the relations apart that it reads, when the plan was made: its own key follows from it.
    pub keys: Vec<(u32, Option<KeyFacts>)>,
}

/// A table whose definition is run as a whole.
pub struct Full {
    /// Stamps of the types that it reads.
    pub stamps: crate::compile::Stamps,
    /// Whether some source cannot be captured, or the result changes without them, so that only the clock says when to look.
    pub blind: bool,
}

/// What speaks against a table's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The content violated it.
    Violated,
    /// Values came that are too long for a unique index.
    TooLong,
}

/// Something went wrong with this table alone; the others go on.
pub struct Trouble {
    pub failure: Failure,
    pub attempts: u32,
    /// Microseconds since 2000-01-01.
    pub failed_at: i64,
    /// Microseconds since 2000-01-01; [`NEVER`]: only a changed definition or `rebuild` ends it.
    pub retry_at: i64,
    /// An engine thread panicked in its graph.
    pub quarantined: bool,
}

/// How long at most a table rests that somebody waits for, in microseconds.
const SHORT_REST: i64 = 400_000;

impl Trouble {
    /// When to try again; sooner if somebody waits for it.
    pub fn retry_by(&self, asked_for: bool) -> i64 {
        if asked_for && self.retry_at != NEVER {
            self.retry_at.min(self.failed_at + SHORT_REST)
        } else {
            self.retry_at
        }
    }
}

/// No time by the clock.
pub const NEVER: i64 = i64::MAX;

/// After so many microseconds a rebuild does not count any more.
const FORGOTTEN: i64 = 10 * 60 * 1_000_000;

/// One stream table.
pub struct StreamTable {
    pub definition: Definition,
    pub mode: Mode,
    /// Whether the mode's machinery is in place: a graph that has reported its whole content, or a full refresh done.
    pub attached: bool,
    pub columns: Vec<ColumnType>,
    /// Columns that identify a row, if the plan knows them.
    pub key: Option<Vec<usize>>,
    /// Base tables read directly, with the attribute numbers needed.
    pub sources: Vec<(u32, Vec<i16>)>,
    /// Those of them whose changes its owner may not have captured: their writers must not pay for it (HAZARDS H49).
    pub uncaptured: Vec<u32>,
    /// Views read, with the stamps of their rules.
    pub views: Vec<(u32, String)>,
    /// Row-level security applies to something that it reads.
    pub row_security: bool,
    /// Stream tables read directly.
    pub upstream: Vec<u32>,
    /// Output not yet written to the table.
    pub pending: Pending,
    /// Rows that expressions fail on; while there are any, the content stays as it is.
    pub errors: HashMap<ErrorRow, i64>,
    /// Whether `errors` changed since they were last written for `errors()`.
    pub errors_changed: bool,
    /// What the content covers.
    pub frontier: Option<Frontier>,
    /// Commit time of the oldest change that has been consumed but is not in the table yet.
    pub pending_since: Option<i64>,
    /// For full mode: a source changed since the last refresh.
    pub dirty: bool,
    pub trouble: Option<Trouble>,
    /// When the last full refresh or apply was committed.
    pub refreshed_at: i64,
    /// The content is known to be current as of this moment.
    pub current_at: i64,
    /// The last cycle could not touch it: a lock on a source was refused, or something that it reads was held.
    pub held: bool,
    /// It rests until a stream table that it reads has been decided.
    pub waits_for_upstream: bool,
    /// Something speaks against the key that was made for the table.
    pub key_doubted: Option<Doubt>,
    /// How often its graph was found to be inconsistent of late, and when that was last.
    pub inconsistent: (u32, i64),
}

impl StreamTable {
    pub fn new(definition: Definition) -> Self {
        StreamTable {
            definition,
            mode: Mode::Undecided,
            attached: false,
            columns: Vec::new(),
            key: None,
            sources: Vec::new(),
            uncaptured: Vec::new(),
            views: Vec::new(),
            row_security: false,
            upstream: Vec::new(),
            pending: Pending::default(),
            errors: HashMap::new(),
            errors_changed: false,
            frontier: None,
            pending_since: None,
            dirty: false,
            trouble: None,
            refreshed_at: 0,
            current_at: 0,
            held: false,
            waits_for_upstream: false,
            key_doubted: None,
            inconsistent: (0, 0),
        }
    }

    pub fn is_incremental(&self) -> bool {
        matches!(self.mode, Mode::Incremental(_))
    }

    pub fn is_full(&self) -> bool {
        matches!(self.mode, Mode::Full(_))
    }

    pub fn is_undecided(&self) -> bool {
        matches!(self.mode, Mode::Undecided)
    }

    /// Whether there is something that the table does not show yet.
    pub fn behind(&self) -> bool {
        self.held || !self.pending.is_empty() || (self.is_full() && self.dirty)
    }

    /// Forgets everything that came out of the graph; the next attach works by difference.
    pub fn forget_graph(&mut self) {
        self.mode = Mode::Undecided;
        self.attached = false;
        self.pending.clear();
        self.errors_changed |= !self.errors.is_empty();
        self.errors.clear();
    }

    /// Adds error rows' net change; those that reach zero go.
    pub fn add_errors(&mut self, changes: Vec<(ErrorRow, i64)>) {
        self.errors_changed |= !changes.is_empty();
        for (row, diff) in changes {
            let count = self.errors.entry(row.clone()).or_insert(0);
            *count += diff;
            if *count == 0 {
                self.errors.remove(&row);
            }
        }
    }

    /// Records a failure; the wait before the next attempt doubles up to a minute.
    pub fn fail(&mut self, failure: Failure, now: i64) {
        if let Some(failure) = time_limit::expired(&failure) {
            // It would hold everybody up again.
            return self.give_up(failure, false);
        }
        let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts) + 1;
        self.fail_for_the(attempts, failure, now);
    }

    fn fail_for_the(&mut self, attempts: u32, failure: Failure, now: i64) {
        let wait = 200_000i64 << attempts.min(9).saturating_sub(1);
        let retry_at = now + wait.min(60_000_000);
        self.trouble = Some(Trouble { failure, attempts, failed_at: now, retry_at, quarantined: false });
    }

    /// Records that the graph is to be built anew because of what was found in it. The first time that is done at once. Found
    /// again and again, though every rebuild succeeds, it has a cause that rebuilding does not mend, and must not be all
    /// that the worker does.
    pub fn rebuild(&mut self, failure: Failure, now: i64) {
        let (times, last) = self.inconsistent;
        let times = if now - last > FORGOTTEN { 0 } else { times };
        self.inconsistent = (times + 1, now);
        if times > 0 {
            let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts).max(times);
            self.fail_for_the(attempts + 1, failure, now);
        }
    }

    /// Leaves the table alone until its definition changes or it is rebuilt.
    pub fn give_up(&mut self, failure: Failure, quarantined: bool) {
        self.trouble = Some(Trouble { failure, attempts: 1, failed_at: 0, retry_at: NEVER, quarantined });
    }

    /// Whether the table must be left alone for now.
    pub fn resting(&self, now: i64) -> bool {
        self.rests(now, false)
    }

    /// The same; not as long if somebody waits for it.
    pub fn rests(&self, now: i64, asked_for: bool) -> bool {
        self.definition.suspended || self.trouble.as_ref().is_some_and(|trouble| trouble.retry_by(asked_for) > now)
    }
}
