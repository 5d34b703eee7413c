//! One entry a database: its worker's process, flags by which sessions reach it, and its active segments.

use crate::pg::process;
use crate::shm::holder::Holder;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Databases that can have an entry.
pub const ENTRIES: usize = 128;
/// Segments that writers fill at one time, so that they do not all extend the same relation.
pub const LANES: usize = 2;

#[repr(C)]
pub struct Database {
    oid: AtomicU32,
    /// Process number + 1 of the worker; 0: none.
    worker: AtomicI32,
    worker_pid: AtomicI32,
    /// Something was committed, asked for or changed since the worker last looked.
    news: AtomicBool,
    /// Capture could not be recorded anywhere: everything in this database must be rebuilt.
    lost: AtomicBool,
    /// A worker has found the extension here, and none has since found it gone.
    installed: AtomicBool,
    /// The database was dropped: the entry may be taken by another.
    gone: AtomicBool,
    /// Some transaction that has captured changes was prepared.
    prepared: AtomicBool,
    /// Pid of the session that needs the database to itself (DROP DATABASE and the like); 0: none.
    quiesced_by: AtomicI32,
    /// When a commit was seen whose sources are not known (COMMIT PREPARED), in microseconds since 2000-01-01; 0: none.
    unattributed: AtomicI64,
    /// Bytes that the worker's process had in use when it last looked.
    memory: AtomicU64,
    /// The snapshot that is held for this database's worker.
    pub holder: Holder,
    /// Relation OIDs of the active segments; 0: not known here, look into the catalog.
    active: [AtomicU32; LANES],
    /// Bytes written into each active segment since it became active.
    written: [AtomicU64; LANES],
}

#[repr(C)]
pub struct Databases([Database; ENTRIES]);

impl Databases {
    pub fn find(&self, oid: u32) -> Option<&Database> {
        self.0.iter().find(|database| database.oid.load(Ordering::Acquire) == oid)
    }

    /// The entry of a database, made if there is none; `None` if all are taken. Entries are claimed in order, so that two
    /// processes that claim one for the same database meet at the same free place.
    pub fn claim(&self, oid: u32) -> Option<&Database> {
        let fresh = self.0.iter().find(|database| {
            database.oid.load(Ordering::Acquire) == oid
                || match database.oid.compare_exchange(0, oid, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => true,
                    Err(other) => other == oid,
                }
        });
        // Only then those of dropped databases, in order too.
        fresh.or_else(|| self.0.iter().find(|database| database.inherit(oid)))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Database> {
        self.0.iter().filter(|database| database.oid.load(Ordering::Acquire) != 0 && !database.retired())
    }
}

impl Database {
    pub fn oid(&self) -> u32 {
        self.oid.load(Ordering::Acquire)
    }

    /// Takes over the entry of a database that was dropped, or finds that another process has just done so for `oid`.
    fn inherit(&self, oid: u32) -> bool {
        let old = self.oid.load(Ordering::Acquire);
        if !self.gone.load(Ordering::Acquire) {
            return old == oid;
        }
        match self.oid.compare_exchange(old, oid, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                self.gone.store(false, Ordering::Release);
                true
            }
            Err(other) => other == oid,
        }
    }

    /// The database was dropped: nothing of it is left for whoever takes the entry over.
    pub fn retire(&self) {
        self.installed.store(false, Ordering::Relaxed);
        self.news.store(false, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
        self.unattributed.store(0, Ordering::Relaxed);
        self.set_active(&[]);
        self.gone.store(true, Ordering::Release);
    }

    /// Whether the database was dropped.
    pub fn retired(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Makes the calling process the one that is woken.
    pub fn worker_starts(&self) {
        self.worker_pid.store(process::pid(), Ordering::Release);
        self.worker.store(process::number() + 1, Ordering::Release);
    }

    /// A worker has found the extension here.
    pub fn extension_is_present(&self) {
        self.installed.store(true, Ordering::Release);
    }

    /// A worker has found no extension here.
    pub fn extension_is_absent(&self) {
        self.installed.store(false, Ordering::Release);
    }

    /// Whether the extension was here when a worker last looked.
    pub fn has_extension(&self) -> bool {
        self.installed.load(Ordering::Acquire)
    }

    /// The calling process is no longer to be woken; nothing if another has taken its place.
    pub fn worker_ends(&self) {
        let own = process::pid();
        if self.worker_pid.compare_exchange(own, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.worker.store(0, Ordering::Release);
        }
    }

    /// Pid of the worker, if one runs.
    pub fn worker_pid(&self) -> Option<i32> {
        Some(self.worker_pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// The calling worker has so many bytes in use.
    pub fn note_memory(&self, bytes: usize) {
        self.memory.store(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that the worker had in use when it last looked.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Wakes the worker. The flag stays set if none runs, so the next one looks.
    pub fn wake(&self) {
        self.news.store(true, Ordering::Release);
        let number = self.worker.load(Ordering::Acquire);
        if number != 0 {
            process::set_latch(number - 1);
        } else if let Some(shared) = crate::shm::shared() {
            shared.launcher.wake();
        }
    }

    /// Whether someone looked for a worker and found none: the launcher's question.
    pub fn is_missed(&self) -> bool {
        self.news.load(Ordering::Acquire) && self.worker.load(Ordering::Acquire) == 0
    }

    /// Whether the worker was woken since the last call.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Whether the worker was woken since it last took the news. To be asked before sleeping: whatever the worker waited for
    /// meanwhile (a lock, I/O) may have reset its latch.
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Says that a change may have gone unrecorded.
    pub fn mark_lost(&self) {
        self.lost.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether changes went unrecorded; to be asked before the snapshot that the rebuild starts from.
    pub fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }

    /// Some transaction that has captured changes was prepared, and may be committed by whoever tells nobody.
    pub fn note_prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    pub fn has_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    /// The same, and forgets it: whoever asks looks for himself then.
    pub fn take_prepared(&self) -> bool {
        self.prepared.swap(false, Ordering::AcqRel)
    }

    /// A commit was seen whose sources are not known.
    pub fn note_unattributed(&self, at: i64) {
        // The oldest stays.
        let _ = self.unattributed.compare_exchange(0, at, Ordering::AcqRel, Ordering::Relaxed);
        self.wake();
    }

    /// When the oldest such commit was seen, if there was one since the last call; before the snapshot of a cut.
    pub fn take_unattributed(&self) -> Option<i64> {
        Some(self.unattributed.swap(0, Ordering::AcqRel)).filter(|at| *at != 0)
    }

    /// The same without taking it.
    pub fn unattributed(&self) -> Option<i64> {
        Some(self.unattributed.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    /// Asks the worker to leave and keeps a new one away until `resume`, or until the calling process is gone.
    pub fn quiesce(&self) {
        self.quiesced_by.store(process::pid(), Ordering::Release);
        self.wake();
    }

    /// Ends what the calling process began by `quiesce`; whether it had.
    pub fn resume(&self) -> bool {
        self.quiesced_by.compare_exchange(process::pid(), 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether some session needs the database to itself.
    pub fn quiesced(&self) -> bool {
        let pid = self.quiesced_by.load(Ordering::Acquire);
        if pid == 0 {
            return false;
        }
        if process::alive(pid) {
            return true;
        }
        // The session died inside its statement. Lost to a new one: then that one is asked at the next call.
        let _ = self.quiesced_by.compare_exchange(pid, 0, Ordering::AcqRel, Ordering::Relaxed);
        false
    }

    /// The active segment of a lane, if it is known here.
    pub fn active(&self, lane: usize) -> Option<u32> {
        Some(self.active[lane].load(Ordering::SeqCst)).filter(|oid| *oid != 0)
    }

    /// Whether a segment is known here to be active.
    pub fn is_active(&self, segment: u32) -> bool {
        self.active.iter().any(|active| active.load(Ordering::SeqCst) == segment)
    }

    /// Publishes the active segments; the worker's alone, after the commit that made them so. A segment that stays active
    /// keeps its lane.
    pub fn set_active(&self, segments: &[u32]) {
        let mut coming = segments.iter().filter(|segment| !self.is_active(**segment));
        for (active, written) in self.active.iter().zip(&self.written) {
            if segments.contains(&active.load(Ordering::SeqCst)) {
                continue;
            }
            active.store(coming.next().copied().unwrap_or(0), Ordering::SeqCst);
            written.store(0, Ordering::Relaxed);
        }
    }

    pub fn note_written(&self, lane: usize, bytes: u64) {
        self.written[lane].fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn written(&self, lane: usize) -> u64 {
        self.written[lane].load(Ordering::Relaxed)
    }
}
