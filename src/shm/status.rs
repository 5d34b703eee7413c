//! What the workers know about their stream tables, for the status functions: one entry a table, written by the database's
//! worker alone and read by anyone. Counters live here and not in the catalog, where an update a refresh would leave a
//! chain of dead rows under every long snapshot (HAZARDS H10).

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering};

/// Stream tables that have an entry, in all databases; further ones work, but show no counters.
pub const ENTRIES: usize = 4096;
const TEXT_BYTES: usize = 512;

/// The state of a stream table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Initializing = 1,
    Active = 2,
    Suspended = 3,
    Error = 4,
    Quarantined = 5,
}

#[repr(C)]
pub struct Entry {
    database: AtomicU32,
    table: AtomicU32,
    state: AtomicU32,
    text_length: AtomicU32,
    /// Microseconds since 2000-01-01 up to which the content is known to be current.
    pub current_at: AtomicI64,
    /// When the oldest change that is not reflected was committed; 0: none.
    pub oldest_pending: AtomicI64,
    pub rows_changed_last: AtomicU64,
    pub refreshes: AtomicU64,
    /// Sum over all refreshes.
    pub refresh_micros: AtomicU64,
    pub pending_rows: AtomicU64,
    pub state_bytes: AtomicU64,
    pub error_rows: AtomicU64,
    text: [AtomicU8; TEXT_BYTES],
}

/// The shared structure; all zeroes is its initial state.
#[repr(C)]
pub struct Statuses {
    entries: [Entry; ENTRIES],
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Initializing => "initializing",
            State::Active => "active",
            State::Suspended => "suspended",
            State::Error => "error",
            State::Quarantined => "quarantined",
        }
    }
}

impl Statuses {
    /// The entry of a table, if its worker has made one.
    pub fn find(&self, database: u32, table: u32) -> Option<&Entry> {
        self.entries.iter().find(|entry| {
            entry.table.load(Ordering::Acquire) == table && entry.database.load(Ordering::Relaxed) == database
        })
    }

    /// The entry of a table, made if there is none; `None` if all are taken. Called by the database's worker only, but the
    /// workers of several databases share the pool, so a free entry is claimed by exchange.
    pub fn claim(&self, database: u32, table: u32) -> Option<&Entry> {
        if let Some(entry) = self.find(database, table) {
            return Some(entry);
        }
        let claimed = self
            .entries
            .iter()
            .find(|entry| entry.database.compare_exchange(0, database, Ordering::AcqRel, Ordering::Relaxed).is_ok())?;
        claimed.reset();
        claimed.table.store(table, Ordering::Release);
        Some(claimed)
    }

    /// Forgets the tables of a database for which `keep` is false.
    pub fn retain(&self, database: u32, keep: impl Fn(u32) -> bool) {
        for entry in &self.entries {
            if entry.database.load(Ordering::Acquire) == database && !keep(entry.table.load(Ordering::Relaxed)) {
                entry.table.store(0, Ordering::Relaxed);
                entry.database.store(0, Ordering::Release);
            }
        }
    }
}

impl Entry {
    fn reset(&self) {
        self.set_state(State::Initializing, "");
        for counter in [&self.current_at, &self.oldest_pending] {
            counter.store(0, Ordering::Relaxed);
        }
        for counter in [
            &self.rows_changed_last,
            &self.refreshes,
            &self.refresh_micros,
            &self.pending_rows,
            &self.state_bytes,
            &self.error_rows,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            2 => State::Active,
            3 => State::Suspended,
            4 => State::Error,
            5 => State::Quarantined,
            _ => State::Initializing,
        }
    }

    /// Sets the state and the text that explains it (the last error, empty if all is well).
    pub fn set_state(&self, state: State, text: &str) {
        let mut end = text.len().min(TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text_length.store(0, Ordering::Release);
        for (cell, byte) in self.text.iter().zip(text[..end].bytes()) {
            cell.store(byte, Ordering::Relaxed);
        }
        self.text_length.store(end as u32, Ordering::Release);
        self.state.store(state as u32, Ordering::Release);
    }

    pub fn text(&self) -> String {
        let length = (self.text_length.load(Ordering::Acquire) as usize).min(TEXT_BYTES);
        let bytes: Vec<u8> = self.text[..length].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
