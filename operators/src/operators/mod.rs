//! The streaming operators, one a file.
//!
//! A collection is a stream of row changes; a change's time is the time of the message that carries it. Times are
//! totally ordered, so an operator that has seen its input's frontier pass `t` knows the collection at `t`. Nothing
//! here assumes that one time is finished before the next is fed. Every operator is total over counts below zero:
//! between reported times a deletion may come before its insertion (HAZARDS E6).

pub mod arrangement;
pub mod border;
pub mod bridge;
pub mod context;
pub mod linear;
pub mod lookup;
pub mod memory;
pub mod ordered;
pub mod pg_map;
pub mod pg_window;
pub mod recursion;
pub mod reduce;
pub mod row_container;
pub mod scalar;
pub mod sink;
pub mod stateful;
pub mod temporal;
pub mod top_k;
pub mod window;

use crate::value::{Row, RowRef};
use border::{Diff, ErrorRow, Time};
use timely::dataflow::Stream;

/// Changes of a collection of rows.
pub type Rows<'s> = Stream<'s, Time, Vec<(Row, Diff)>>;
/// Changes of a collection of errors.
pub type Errors<'s> = Stream<'s, Time, Vec<(ErrorRow, Diff)>>;
/// Changes of a collection of rows with their keys: (key, row, count).
pub type Keyed<'s> = Stream<'s, Time, Vec<(Row, Row, Diff)>>;

/// An operator's two outputs; errors only where there can be any (HAZARDS E24).
#[derive(Clone)]
pub struct Collection<'s> {
    pub rows: Rows<'s>,
    pub errors: Vec<Errors<'s>>,
}

/// How often a row may occur: counts that come together can be added up for as long as they are below this. PostgreSQL would
/// not see the end of so many.
const OCCURRENCES: Diff = 1 << 44;

/// How often a pair of rows occurs; none if that is too often.
pub fn occurrences(left: Diff, right: Diff) -> Option<Diff> {
    left.checked_mul(right).filter(|both| (-OCCURRENCES..=OCCURRENCES).contains(both))
}

/// The worker that a key belongs to, before the remainder by the number of workers: one of 256 buckets of a fixed hash,
/// so that what is stored by bucket may be read by any number of workers (HAZARDS E28).
pub fn bucket(key: RowRef<'_>) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.bytes()) >> 56
}

/// Bytes that a row takes up in memory, to be counted against limits: an entry of a list, and, where they are elsewhere, the
/// bytes of the row and what the allocator adds to them.
pub fn weight(row: &Row) -> usize {
    let elsewhere = match row.heap_bytes() {
        0 => 0,
        bytes => bytes + 16,
    };
    elsewhere + size_of::<(Row, Diff)>()
}

/// Sorts, adds up equal rows and drops what cancels.
pub fn consolidate<D: Ord>(rows: &mut Vec<(D, Diff)>) {
    if rows.len() <= 1 {
        rows.retain(|(_, diff)| *diff != 0);
        return;
    }
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut kept = 0;
    for index in 1..rows.len() {
        if rows[index].0 == rows[kept].0 {
            rows[kept].1 += rows[index].1;
        } else {
            if rows[kept].1 != 0 {
                kept += 1;
            }
            rows.swap(kept, index);
        }
    }
    if rows[kept].1 != 0 {
        kept += 1;
    }
    rows.truncate(kept);
}
