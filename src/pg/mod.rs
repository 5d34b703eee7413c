//! The only room with unsafe code: safe wrappers around what PostgreSQL offers.
//!
//! Everything here runs on a process's main thread, inside PostgreSQL's error handling: an ERROR of PostgreSQL unwinds
//! as a panic to the nearest guarded callback and goes on from there as an ERROR. A wrapper is safe if no argument that
//! its types allow can break memory; it says which transaction state it needs where PostgreSQL would not check it.

pub mod allocator;
pub mod arena;
pub mod array_subquery;
pub mod background;
pub mod canonical;
pub mod catalog_lookup;
pub mod civil;
pub mod clock;
pub mod condition;
pub mod definition;
pub mod executor;
pub mod exists;
pub mod fill;
pub mod fragment_query;
pub mod generated_column;
pub mod holder;
pub mod hooks;
pub mod image;
pub mod inheritance;
pub mod invalidation;
pub mod latch;
pub mod list;
pub mod lock;
pub mod log;
pub mod multirange;
pub mod node;
pub mod ordering;
pub mod outcome;
pub mod outer_aggregate;
pub mod owner;
pub mod parcel;
pub mod predicate;
pub mod process;
pub mod query;
pub mod range_function;
pub mod references;
pub mod relation;
pub mod role;
pub mod row_hash;
pub mod scan;
pub mod segment;
pub mod settings;
pub mod shmem;
pub mod single;
pub mod sink;
pub mod slot;
pub mod snapshot;
pub mod sorted_input;
pub mod spi;
pub mod statistics;
pub mod sublink;
pub mod text;
pub mod time_limit;
pub mod trigger;
pub mod txn;
pub mod type_lookup;
pub mod utility;
pub mod view;
pub mod wait;
pub mod whole_row;
pub mod window;
pub mod xact;
