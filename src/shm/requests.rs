//! Numbered request slots in shared memory: a session asks its database's worker for something and waits for the answer.
//!
//! A slot is owned by one side at a time, and its state says which: the session fills it (`FILLING`), hands it over
//! (`SUBMITTED`), the worker takes it (`WORKING`) and answers (`DONE`), the session reads and frees it. A session that
//! goes away while the worker is at it leaves it `ABANDONED`; one that dies without a word is found by its process number.
//! All fields are atomics, so a torn read is impossible, and the state's acquire/release order makes the rest coherent.

use crate::pg::txn::Failure;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicU8, Ordering};

/// Requests that can wait at one time, in all databases.
pub const SLOTS: usize = 128;
const ANSWER_BYTES: usize = 4096;
/// The longest text of an answer that has three, beside their lengths and the SQLSTATE.
const TEXT_BYTES: usize = (ANSWER_BYTES - 64) / 3;
/// The longest answer when all went well, beside its length.
pub const PAYLOAD_BYTES: usize = ANSWER_BYTES - 64;

const FREE: u32 = 0;
const FILLING: u32 = 1;
const SUBMITTED: u32 = 2;
const WORKING: u32 = 3;
const DONE: u32 = 4;
const ABANDONED: u32 = 5;

/// What a session may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The content must include everything committed before the request.
    Refresh,
    /// The same, but without forcing a refresh before it is due.
    Wait,
    /// Refresh, and say at which moment the content is to be compared with the query: asked by a verifier.
    Verify,
    /// Build the graph anew from its sources.
    Rebuild,
}

/// A request as the worker sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub slot: usize,
    pub id: u64,
    pub kind: Kind,
    /// The stream table's OID; 0: all of the database.
    pub table: u32,
    /// Pid of the process that asks.
    pub process: i32,
    /// Pid of the session that waits in the end: whose locks may be in the way.
    pub session: i32,
}

#[repr(C)]
pub struct Slot {
    state: AtomicU32,
    database: AtomicU32,
    kind: AtomicU32,
    table: AtomicU32,
    id: AtomicU64,
    process: AtomicI32,
    session: AtomicI32,
    answer_length: AtomicU32,
    answer: [AtomicU8; ANSWER_BYTES],
}

/// The shared structure; all zeroes is its initial state.
#[repr(C)]
pub struct Requests {
    next: AtomicU64,
    slots: [Slot; SLOTS],
}

/// A session's claim on a slot; given back when dropped, also while an ERROR unwinds.
pub struct Ticket<'a> {
    requests: &'a Requests,
    slot: usize,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        [Kind::Refresh, Kind::Wait, Kind::Verify, Kind::Rebuild].into_iter().find(|kind| *kind as u32 == number)
    }
}

impl Requests {
    /// Submits a request of this process (`process`: its pid), on behalf of `session`, to the worker of `database`, which must
    /// then be woken.
    pub fn submit(
        &self,
        database: u32,
        kind: Kind,
        table: u32,
        process: i32,
        session: i32,
    ) -> Result<Ticket<'_>, Failure> {
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.state.compare_exchange(FREE, FILLING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            slot.database.store(database, Ordering::Relaxed);
            slot.kind.store(kind as u32, Ordering::Relaxed);
            slot.table.store(table, Ordering::Relaxed);
            slot.id.store(id, Ordering::Relaxed);
            slot.process.store(process, Ordering::Relaxed);
            slot.session.store(session, Ordering::Relaxed);
            slot.answer_length.store(0, Ordering::Relaxed);
            slot.state.store(SUBMITTED, Ordering::Release);
            return Ok(Ticket { requests: self, slot: index });
        }
        Err(Failure {
            hint: Some("Try again when fewer sessions wait for stream tables.".into()),
            ..Failure::new(b"53000", format!("more than {SLOTS} sessions wait for stream tables"))
        })
    }

    /// Takes all requests that are waiting for the worker of `database`.
    pub fn take(&self, database: u32) -> Vec<Request> {
        let mut taken = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.state.load(Ordering::Acquire) != SUBMITTED || slot.database.load(Ordering::Relaxed) != database {
                continue;
            }
            if slot.state.compare_exchange(SUBMITTED, WORKING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            match Kind::from_number(slot.kind.load(Ordering::Relaxed)) {
                Some(kind) => taken.push(Request {
                    slot: index,
                    id: slot.id.load(Ordering::Relaxed),
                    kind,
                    table: slot.table.load(Ordering::Relaxed),
                    process: slot.process.load(Ordering::Relaxed),
                    session: slot.session.load(Ordering::Relaxed),
                }),
                None => slot.state.store(FREE, Ordering::Release),
            }
        }
        taken.sort_by_key(|request| request.id);
        taken
    }

    /// Answers a request that was taken. The asking process, if it still waits, must then be woken: its pid is returned.
    pub fn answer(&self, request: &Request, result: &Result<Vec<u8>, Failure>) -> Option<i32> {
        let slot = &self.slots[request.slot];
        let bytes = encode(result);
        for (cell, byte) in slot.answer.iter().zip(&bytes) {
            cell.store(*byte, Ordering::Relaxed);
        }
        slot.answer_length.store(bytes.len() as u32, Ordering::Relaxed);
        if slot.state.compare_exchange(WORKING, DONE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(slot.process.load(Ordering::Relaxed));
        }
        slot.state.store(FREE, Ordering::Release);
        None
    }

    /// Whether the session that asked has stopped waiting.
    pub fn abandoned(&self, request: &Request) -> bool {
        self.slots[request.slot].state.load(Ordering::Acquire) == ABANDONED
    }

    /// Frees the slots of processes that are gone, and at a worker's start those that its predecessor had taken.
    pub fn sweep(&self, database: u32, worker_starts: bool, alive: impl Fn(i32) -> bool) {
        for slot in &self.slots {
            if slot.database.load(Ordering::Relaxed) != database {
                continue;
            }
            let state = slot.state.load(Ordering::Acquire);
            if matches!(state, SUBMITTED | DONE) && !alive(slot.process.load(Ordering::Relaxed)) {
                // Lost to the session's own freeing or to a new owner: then there is nothing to do.
                let _ = slot.state.compare_exchange(state, FREE, Ordering::AcqRel, Ordering::Relaxed);
            }
            if worker_starts && state == WORKING {
                let _ = slot.state.compare_exchange(WORKING, SUBMITTED, Ordering::AcqRel, Ordering::Relaxed);
            }
            if worker_starts && state == ABANDONED {
                let _ = slot.state.compare_exchange(ABANDONED, FREE, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }
}

impl Ticket<'_> {
    /// The answer, if it has come.
    pub fn poll(&self) -> Option<Result<Vec<u8>, Failure>> {
        let slot = &self.requests.slots[self.slot];
        if slot.state.load(Ordering::Acquire) != DONE {
            return None;
        }
        let length = (slot.answer_length.load(Ordering::Relaxed) as usize).min(ANSWER_BYTES);
        let bytes: Vec<u8> = slot.answer[..length].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        Some(decode(&bytes))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let state = &self.requests.slots[self.slot].state;
        loop {
            let now = state.load(Ordering::Acquire);
            let next = if now == WORKING { ABANDONED } else { FREE };
            if state.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }
}

/// The answer in bincode, its texts cut so that the whole fits.
fn encode(result: &Result<Vec<u8>, Failure>) -> Vec<u8> {
    let short = |text: &String| cut(text, TEXT_BYTES).to_string();
    let answer = result.as_ref().map_err(|failure| Failure {
        sqlstate: failure.sqlstate,
        message: short(&failure.message),
        detail: failure.detail.as_ref().map(short),
        hint: failure.hint.as_ref().map(short),
    });
    // Nothing in it can fail to be written; an empty answer would be read as a damaged one.
    bincode::serialize(&answer).unwrap_or_default()
}

fn cut(text: &str, room: usize) -> &str {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn decode(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let answer: Result<Result<Vec<u8>, Failure>, _> = bincode::deserialize(bytes);
    answer.unwrap_or_else(|error| Err(Failure::new(b"XX000", format!("the worker's answer is damaged: {error}"))))
}
