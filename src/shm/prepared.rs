//! What prepared transactions have counted as captured: whoever rolls one back takes it back from the counters of
//! [`super::sources`], and that is never the session which counted.
//!
//! After a crash this is as empty as the counters are. Where there is no room, a rolled back transaction stays counted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Sources of prepared transactions, in all databases.
pub const ENTRIES: usize = 1024;

/// The xid of an entry that is being written or read.
const BUSY: u64 = u64::MAX;

#[repr(C)]
pub struct Entry {
    /// 0: free.
    xid: AtomicU64,
    database: AtomicU32,
    source: AtomicU32,
    rows: AtomicU64,
    bytes: AtomicU64,
}

#[repr(C)]
pub struct Prepared([Entry; ENTRIES]);

impl Prepared {
    /// Notes what the transaction that is being prepared has counted for a source.
    pub fn note(&self, xid: u64, database: u32, source: u32, rows: u64, bytes: u64) {
        let free = |entry: &&Entry| entry.xid.compare_exchange(0, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if let Some(entry) = self.0.iter().find(free) {
            entry.database.store(database, Ordering::Relaxed);
            entry.source.store(source, Ordering::Relaxed);
            entry.rows.store(rows, Ordering::Relaxed);
            entry.bytes.store(bytes, Ordering::Relaxed);
            entry.xid.store(xid, Ordering::Release);
        }
    }

    /// Whether anything is noted.
    pub fn any(&self) -> bool {
        self.0.iter().any(|entry| entry.xid.load(Ordering::Acquire) != 0)
    }

    /// Takes what is noted of a transaction, which has ended: database, source, rows, bytes. Xids of prepared transactions are
    /// less than half the range apart, so their lower halves tell them.
    pub fn take(&self, xid: u32, mut each: impl FnMut(u32, u32, u64, u64)) {
        for entry in &self.0 {
            let noted = entry.xid.load(Ordering::Acquire);
            let same = noted != 0 && noted != BUSY && noted as u32 == xid;
            if same && entry.xid.compare_exchange(noted, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                each(
                    entry.database.load(Ordering::Relaxed),
                    entry.source.load(Ordering::Relaxed),
                    entry.rows.load(Ordering::Relaxed),
                    entry.bytes.load(Ordering::Relaxed),
                );
                entry.xid.store(0, Ordering::Release);
            }
        }
    }
}
