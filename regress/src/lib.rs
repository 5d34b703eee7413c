//! The test harness of pg_trickle: PostgreSQL itself as the oracle, seen from outside.
//!
//! A [`Cluster`] is a scratch server with the extension preloaded, reached only over a Unix socket in its own folder; a
//! [`Session`] is one client of it; the [`oracle`] compares a stream table with its query. Random work comes from
//! [`random`] with a seed that is printed, so that every run can be had again. Nothing here sleeps to synchronise: waits
//! are on conditions.

#![forbid(unsafe_code)]

pub mod cases;
pub mod cluster;
pub mod generator;
pub mod installation;
pub mod nexmark;
pub mod oracle;
pub mod random;
pub mod session;
pub mod tpch;

pub use cluster::{Cluster, Locale};
pub use installation::Installation;
pub use session::{wait_until, Session};

/// Says that something was skipped and why, in a line that is counted. It goes past the test harness, which keeps what a
/// passing test prints to itself.
pub fn skipped(why: &str) {
    use std::io::Write;
    let line = format!("\nskipped: {why}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("the log can be written");
}
