//! Counters of each captured source: what was captured, what the worker has read, and how old the oldest unread change is.
//!
//! A writer counts its rows when it writes them and takes them back if its (sub)transaction aborts, so what is pending
//! includes rows that are not committed yet, and the worker can never have read more than was counted. The age is set at
//! commit, after the rows have become visible: the worker takes it *before* the snapshot of a cut, so a commit that the
//! snapshot misses leaves its age for the next cut. A commit that the snapshot includes may set the age afterwards; that
//! costs one empty cut.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Sources that can have counters, in all databases. Changes of further ones are captured, and announced as commits
/// whose sources are not known.
pub const ENTRIES: usize = 4096;

#[repr(C)]
pub struct Source {
    /// Database OID in the upper half, relation OID in the lower; 0: free.
    key: AtomicU64,
    captured_rows: AtomicU64,
    captured_bytes: AtomicU64,
    read_rows: AtomicU64,
    read_bytes: AtomicU64,
    oldest: AtomicI64,
}

#[repr(C)]
pub struct Sources([Source; ENTRIES]);

fn key(database: u32, relation: u32) -> u64 {
    (u64::from(database) << 32) | u64::from(relation)
}

impl Sources {
    fn probe(&self, key: u64) -> impl Iterator<Item = &Source> {
        // A multiplicative hash. Entries are never removed, or a probe would stop short of those behind them.
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % ENTRIES;
        self.0[start..].iter().chain(&self.0[..start])
    }

    pub fn find(&self, database: u32, relation: u32) -> Option<&Source> {
        let key = key(database, relation);
        self.probe(key)
            .map_while(|source| match source.key.load(Ordering::Acquire) {
                0 => None,
                other => Some((other, source)),
            })
            .find(|(other, _)| *other == key)
            .map(|(_, source)| source)
    }

    /// The counters of a source, made if there are none; `None` if all are taken.
    pub fn claim(&self, database: u32, relation: u32) -> Option<&Source> {
        let key = key(database, relation);
        self.probe(key).find(|source| {
            source.key.load(Ordering::Acquire) == key
                || match source.key.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => true,
                    Err(other) => other == key,
                }
        })
    }

    /// The sources of a database, with their relation OIDs.
    pub fn of(&self, database: u32) -> impl Iterator<Item = (u32, &Source)> {
        self.0.iter().filter_map(move |source| {
            let key = source.key.load(Ordering::Acquire);
            (key != 0 && (key >> 32) as u32 == database).then_some((key as u32, source))
        })
    }
}

impl Source {
    pub fn note_captured(&self, rows: u64, bytes: u64) {
        self.captured_rows.fetch_add(rows, Ordering::Relaxed);
        self.captured_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes back what an aborted (sub)transaction had counted.
    pub fn take_back(&self, rows: u64, bytes: u64) {
        self.captured_rows.fetch_sub(rows, Ordering::Relaxed);
        self.captured_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets the age of the oldest unread commit, if there is none.
    pub fn note_committed(&self, at: i64) {
        let _ = self.oldest.compare_exchange(0, at, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// When the oldest commit since the last cut was captured, in microseconds since 2000-01-01.
    pub fn oldest(&self) -> Option<i64> {
        Some(self.oldest.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    /// Takes the age, before the snapshot of a cut.
    pub fn take_oldest(&self) -> Option<i64> {
        Some(self.oldest.swap(0, Ordering::AcqRel)).filter(|at| *at != 0)
    }

    /// What a cut has read.
    pub fn note_read(&self, rows: u64, bytes: u64) {
        self.read_rows.fetch_add(rows, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Rows captured and not read yet.
    pub fn pending_rows(&self) -> u64 {
        let read = self.read_rows.load(Ordering::Relaxed);
        self.captured_rows.load(Ordering::Relaxed).saturating_sub(read)
    }

    /// Bytes captured and not read yet.
    pub fn pending_bytes(&self) -> u64 {
        let read = self.read_bytes.load(Ordering::Relaxed);
        self.captured_bytes.load(Ordering::Relaxed).saturating_sub(read)
    }
}
