//! Recursion: the plan type, and what may stand in a loop.

use super::{KeyColumn, Rel};
use serde::{Deserialize, Serialize};

/// A recursive common table expression. Its columns are the body's.
///
/// The content is the last of the sequence `R(0)` = nothing, `R(n + 1) = body(R(n))`, which exists if the sequence becomes
/// constant. With UNION ALL, the body is `base + step(R)`; with UNION, `distinct(base + step(R))`. PostgreSQL gives the
/// step not all rows so far, as here, but those of the last round, `W(n)`, until there are none; that is the same where
/// the step maps each row by itself:
/// * UNION ALL: `R(n)` is `W(0) + … + W(n - 1)` as a bag, because `step(A + B) = step(A) + step(B)`; rounds that are
///   different in number of rows are added up in both.
/// * UNION: `R(n)` is the set of all rows that some round up to then has seen, because `step(A or B)` is the set
///   `step(A) or step(B)`; that the step sees a row again in later rounds adds nothing that is not there.
///
/// So the first needs a step that distributes over bags, the second one that distributes over sets (DISTINCT, INTERSECT and
/// the left of EXCEPT do). The compiler sees to that; no other plan is made.
///
/// Row `r` of round `n` is derived from rows of round `n - 1` and of relations outside, never from itself: a row whose
/// last derivation from the base goes away, goes away, whatever circle it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fixpoint {
    /// Which [`Rel::Recursive`] is meant.
    pub id: usize,
    /// What the query calls it.
    pub name: String,
    /// What it calls its columns.
    pub columns: Vec<String>,
    pub body: Box<Rel>,
    /// With UNION, where equal rows may be written differently.
    pub earliest: Option<Earliest>,
    /// How many rounds there may be after the base's; more are an error datum.
    pub rounds: u64,
    pub site: usize,
}

/// Of the body's rows that are equal by `keys` only one, as it is: the one of the lowest round, and of several of those the
/// least by bytes. What follows from a row may depend on how it is written, so that it matters which one goes round; PostgreSQL
/// keeps the one that it meets first, and no more says which of a round's that is.
///
/// A row of the base is of round 0, and what follows from a row is of the next round. So the rows of a round are what
/// they are from that round on: those that come later, equal or not, change none of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Earliest {
    pub keys: Vec<KeyColumn>,
    /// The column that says the round, an int8.
    pub round: usize,
}

impl Rel {
    /// The relations directly below.
    pub fn inputs(&self) -> Vec<&Rel> {
        match self {
            Rel::Source { .. } | Rel::StreamTable { .. } | Rel::Values { .. } | Rel::Recursive { .. } => Vec::new(),
            Rel::Map { input, .. }
            | Rel::PgMap { input, .. }
            | Rel::PgFlatMap { input, .. }
            | Rel::Repeat { input, .. }
            | Rel::Filter { input, .. }
            | Rel::Project { input, .. }
            | Rel::Negate { input } => vec![input],
            Rel::Union { inputs } => inputs.iter().collect(),
            Rel::Join(join) => join.inputs.iter().map(|input| &input.relation).collect(),
            Rel::Reduce(reduce) => vec![&reduce.input],
            Rel::Temporal(temporal) => vec![&temporal.input],
            Rel::TopK(top_k) => vec![&top_k.input],
            Rel::Window(window) => vec![&window.input],
            Rel::Fixpoint(fixpoint) => vec![&fixpoint.body],
            Rel::Shared(shared) => vec![shared.rel()],
        }
    }

    /// Whether the relation depends on what fixpoint `id` has come to.
    pub fn is_recursive(&self, id: usize) -> bool {
        let mut found = false;
        self.visit_once(&mut |rel| {
            found |= matches!(rel, Rel::Recursive { id: of, .. } if *of == id);
            !found
        });
        found
    }

    /// Whether there is a fixpoint in it.
    pub fn has_loop(&self) -> bool {
        let mut found = false;
        self.visit_once(&mut |rel| {
            found |= matches!(rel, Rel::Fixpoint(_));
            !found
        });
        found
    }

    /// What of a body cannot be run in the loop of fixpoint `id`, as a query calls it.
    pub fn unfit_for_loop(&self, id: usize) -> Option<&'static str> {
        let mut unfit = None;
        self.visit_once(&mut |rel| {
            if unfit.is_some() || !rel.is_recursive(id) {
                return false;
            }
            unfit = rel.unfit_itself();
            unfit.is_none()
        });
        unfit
    }

    fn unfit_itself(&self) -> Option<&'static str> {
        match self {
            Rel::Map { .. }
            | Rel::PgMap { .. }
            | Rel::PgFlatMap { .. }
            | Rel::Filter { .. }
            | Rel::Project { .. }
            | Rel::Negate { .. }
            | Rel::Union { .. }
            | Rel::Join(_)
            | Rel::Shared(_)
            | Rel::Recursive { .. } => None,
            Rel::Reduce(reduce) if reduce.global => Some("an aggregate over all rows"),
            Rel::Reduce(reduce) if reduce.collected.is_some() => Some("an aggregate that PostgreSQL evaluates"),
            Rel::Reduce(_) => None,
            Rel::Repeat { .. } => Some("EXCEPT ALL or INTERSECT ALL"),
            Rel::Temporal(_) => Some("a condition that the clock decides"),
            Rel::TopK(_) => Some("LIMIT or DISTINCT ON"),
            Rel::Window(_) => Some("window function"),
            Rel::Fixpoint(_) => Some("another recursive query that depends on this one"),
            Rel::Source { .. } | Rel::StreamTable { .. } | Rel::Values { .. } => None,
        }
    }
}
