//! How a worker has a snapshot held by a second process while a big table is read slice by slice: see `pg::holder`.

use crate::pg::process;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// No holder is wanted.
const IDLE: u32 = 0;
/// The worker has asked for a snapshot of `source`.
const WANTED: u32 = 1;
/// The snapshot is held and exported under `name`.
const HELD: u32 = 2;

/// Words of eight bytes in a snapshot's exported name; PostgreSQL's are 26 bytes long.
const NAME_WORDS: usize = 8;

#[repr(C)]
pub struct Holder {
    state: AtomicU32,
    /// Increased by each request, so that a holder of an older one knows that it is not wanted any more.
    ticket: AtomicU32,
    source: AtomicU32,
    /// Process number + 1 of the holder; 0: none.
    number: AtomicI32,
    /// Pid of the worker that asked.
    worker: AtomicI32,
    name: [AtomicU64; NAME_WORDS],
}

impl Holder {
    /// The worker asks for a snapshot taken after `source` was locked; any holder before it ends.
    pub fn want(&self, source: u32) -> u32 {
        self.release();
        self.source.store(source, Ordering::Relaxed);
        self.worker.store(process::pid(), Ordering::Relaxed);
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.state.store(WANTED, Ordering::Release);
        ticket
    }

    /// The worker needs the snapshot no more.
    pub fn release(&self) {
        self.state.store(IDLE, Ordering::Release);
        let number = self.number.load(Ordering::Acquire);
        if number != 0 {
            process::set_latch(number - 1);
        }
    }

    /// The holder begins to serve: its ticket and the table to lock; `None` if nobody wants it any more.
    pub fn serve(&self) -> Option<(u32, u32)> {
        let ticket = self.ticket.load(Ordering::Acquire);
        self.number.store(process::number() + 1, Ordering::Release);
        (self.state.load(Ordering::Acquire) == WANTED).then(|| (ticket, self.source.load(Ordering::Relaxed)))
    }

    /// The holder has the snapshot; false if it is not wanted any more, or its name is too long.
    pub fn held(&self, ticket: u32, name: &str) -> bool {
        if name.len() > NAME_WORDS * 8 || self.ticket.load(Ordering::Acquire) != ticket {
            return false;
        }
        let mut bytes = [0u8; NAME_WORDS * 8];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        for (word, chunk) in self.name.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        self.state.compare_exchange(WANTED, HELD, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether the holder must go on: it is still wanted, by a worker that lives.
    pub fn wanted(&self, ticket: u32) -> bool {
        self.state.load(Ordering::Acquire) == HELD
            && self.ticket.load(Ordering::Acquire) == ticket
            && process::alive(self.worker.load(Ordering::Relaxed))
    }

    /// The holder ends.
    pub fn leave(&self) {
        let own = process::number() + 1;
        // Lost to a newer holder: then it is that one's.
        let _ = self.number.compare_exchange(own, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The exported snapshot's name, once it is there.
    pub fn name(&self) -> Option<String> {
        if self.state.load(Ordering::Acquire) != HELD {
            return None;
        }
        let mut bytes = Vec::with_capacity(NAME_WORDS * 8);
        for word in &self.name {
            bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        String::from_utf8(bytes).ok()
    }
}
