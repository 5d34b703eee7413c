//! The PostgreSQL-free engine of pg_trickle: values, expressions, relational plans, streaming operators and the threads
//! that run them.
//!
//! Imports point one way: `engine` -> `graph` -> `operators` -> `plan` -> `expr` -> `value`. Nothing here calls
//! PostgreSQL, and nothing here is unsafe: the crate is tested and fuzzed on its own.

#![forbid(unsafe_code)]
// Streams of timed, counted rows have long types; an alias for each would hide what flows.
#![allow(clippy::type_complexity)]

pub mod engine;
pub mod expr;
pub mod graph;
pub mod operators;
pub mod plan;
pub mod value;
