//! Random cases: a schema, queries to a depth, statements; and what a stream table must be after each round.
//!
//! A [`case::Case`] is generated whole before anything runs, so that it can be run again in part: [`shrink`] leaves out
//! what a failure does not need. SQL is text in a [`tree::Tree`] that knows what may be left out. What the server rejects
//! is skipped; what it fails on, the stream table must fail on too, and recover from.

pub mod case;
pub mod expression;
mod from;
pub mod functions;
mod order;
pub mod query;
pub mod run;
pub mod shrink;
mod subquery;
pub mod tree;
pub mod types;
