//! What runs inside a loop: collections whose times are pairs (time of the graph, round), which are partially ordered.
//!
//! Total-order operators are of no use there: between two rounds of one time lie rounds of other times that are in flight
//! too. So these are differential's own arrange, join and reduce, over our rows, which are exact over partial orders; what
//! enters is arranged outside, under total order (HAZARDS E12). Every change carries its own time, and a message says only
//! from when on its changes are.
//!
//! * Cost: an arrangement keeps for each row the rounds in which its count changes, and a change of the graph makes rows
//!   go through the loop only where, in some round, something is different from before: the change's consequences.
//! * Counts are added and multiplied modulo 2^64 ([`Count`]): a circle in which rows multiply would soon leave any type,
//!   and only in a ring does what was added and multiplied also cancel again. [`bound`] raises long before, and lets none of
//!   it out.
//! * Errors leave the loop where they come up and do not go round: a row that fails has no successors, and whether it
//!   fails in the end is the sum over all rounds.
//! * Rounds are bounded by [`gate`], through which all that goes round must pass. It also lets the loop run dry when the
//!   graph is halted; timely runs one pass of the loop in a step of the worker, so that an endless recursion holds up
//!   no other graph. What multiplies rows within a pass ([`pairs`]) looks at the stop flag and at memory between slices.
//! * A loop runs over nothing that no snapshot has had: while its graph hydrates, chunk by chunk, it might go on for ever
//!   where it ends over the whole. So what enters is held back until all of it is there ([`enter`]).
//! * Checkpoint form: none of what is inside. The loop is run again from what enters (HAZARDS E31).

mod arrangement;
mod bound;
mod enter;
mod gate;
mod join;
mod linear;
mod pg_map;
mod rounds;

pub use arrangement::{arrange_by, earliest, reduce, Arranged};
pub use bound::{bound, leave_errors};
pub use enter::enter;
pub use gate::gate;
pub use join::pairs;
pub use linear::{linear, negate};
pub use pg_map::pg_map;

use super::border::{ErrorRow, Time};
use crate::value::Row;
use differential_dataflow::VecCollection;
use std::num::Wrapping;
use timely::dataflow::Stream;
use timely::order::Product;

/// A multiplicity change modulo 2^64.
pub type Count = Wrapping<i64>;
/// How often a change has gone round.
pub type Round = u64;
/// Time inside a loop.
pub type LoopTime = Product<Time, Round>;
/// A collection with explicit times.
pub type Changes<'s, T, D = Row> = VecCollection<'s, T, D, Count>;
/// Errors of a loop.
pub type LoopErrors<'s> = VecCollection<'s, LoopTime, ErrorRow, Count>;
/// What changes come to: how many rows, and the same sum with each row counted by an odd number of its own. As sums of
/// changes that are over all times, both are zero where nothing is left; the second is not, but by a chance of 1 in 2^63,
/// where rows that come and rows that go are as many, or come to a multiple of 2^64.
pub type Total = (Count, Count);
/// What has changed, by time of the graph and round; parts of a total come in any order.
pub type Totals<'s, T> = Stream<'s, T, Vec<(Time, Round, Total)>>;
