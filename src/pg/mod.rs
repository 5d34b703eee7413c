//! The only room with unsafe code: safe wrappers around what PostgreSQL offers.
//!
//! Everything here runs on a process's main thread, inside PostgreSQL's error handling: an ERROR of PostgreSQL unwinds
//! as a panic to the nearest guarded callback and goes on from there as an ERROR. A wrapper is safe if no argument that
//! its types allow can break memory; it says which transaction state it needs where PostgreSQL would not check it.

pub mod catalog_lookup;
pub mod error;
pub mod fragment_query;
pub mod image;
pub mod node;
pub mod query;
pub mod snapshot;
