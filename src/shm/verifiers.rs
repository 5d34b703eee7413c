//! How a session and the verifier that it has started find each other: see `worker::verifier`.
//!
//! A place belongs to the session that claimed it until that gives it back, or is gone. Its word says everything that both
//! sides change: the claim's number, how far it is, and the parcel with the answer. So a verifier that outlives its session
//! cannot touch the claim of the next one.

use crate::pg::process;
use crate::pg::txn::Failure;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Verifications that can run at one time, in all databases.
const PLACES: usize = 64;

const FREE: u8 = 0;
const CLAIMED: u8 = 1;
/// The verifier may begin.
const ASKED: u8 = 2;
/// The answer is in the parcel.
const ANSWERED: u8 = 3;

#[repr(C)]
struct Place {
    /// See [`Word`].
    word: AtomicU64,
    table: AtomicU32,
    /// Pid of the session.
    session: AtomicI32,
    /// Process number + 1 of the verifier; 0: not there yet. Only ever a hint whom to wake.
    verifier: AtomicI32,
}

/// The shared structure; all zeroes is its initial state.
#[repr(C)]
pub struct Verifiers([Place; PLACES]);

/// The claim's number (24 bits), the state (8 bits), the parcel (32 bits).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    claim: u32,
    state: u8,
    parcel: u32,
}

const CLAIM_BITS: u32 = 24;

/// A session's claim; given back when dropped, also while an ERROR unwinds.
pub struct Claim<'a> {
    place: &'a Place,
    index: usize,
    claim: u32,
}

/// What a verifier is to do, from its own side.
pub struct Task<'a> {
    place: &'a Place,
    claim: u32,
    pub table: u32,
    /// Pid of the session that waits.
    pub session: i32,
}

impl Word {
    fn pack(self) -> u64 {
        u64::from(self.claim) << 40 | u64::from(self.state) << 32 | u64::from(self.parcel)
    }

    fn unpack(word: u64) -> Word {
        Word { claim: (word >> 40) as u32, state: (word >> 32) as u8, parcel: word as u32 }
    }
}

impl Place {
    fn word(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }

    fn exchange(&self, old: Word, new: Word) -> bool {
        self.word.compare_exchange(old.pack(), new.pack(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Verifiers {
    /// Claims a place for this session (`session`: its pid).
    pub fn claim(&self, table: u32, session: i32, alive: impl Fn(i32) -> bool) -> Result<Claim<'_>, Failure> {
        for (index, place) in self.0.iter().enumerate() {
            let old = place.word();
            // A session that was terminated leaves its claim behind.
            if old.state != FREE && alive(place.session.load(Ordering::Relaxed)) {
                continue;
            }
            let claim = (old.claim + 1) % (1 << CLAIM_BITS);
            if !place.exchange(old, Word { claim, state: CLAIMED, parcel: 0 }) {
                continue;
            }
            place.table.store(table, Ordering::Relaxed);
            place.session.store(session, Ordering::Relaxed);
            place.verifier.store(0, Ordering::Relaxed);
            place.word.store(Word { claim, state: ASKED, parcel: 0 }.pack(), Ordering::Release);
            return Ok(Claim { place, index, claim });
        }
        Err(Failure::new(b"53000", format!("more than {PLACES} sessions verify stream tables"))
            .hint("Try again when fewer sessions do."))
    }

    /// The task with this number, if it is still wanted. For the verifier that was started for it.
    pub fn begin(&self, task: u32) -> Option<Task<'_>> {
        let place = self.0.get((task >> CLAIM_BITS) as usize)?;
        let claim = task % (1 << CLAIM_BITS);
        let (table, session) = (place.table.load(Ordering::Relaxed), place.session.load(Ordering::Relaxed));
        let task = Task { place, claim, table, session };
        if !task.wanted() {
            return None;
        }
        place.verifier.store(process::number() + 1, Ordering::Relaxed);
        Some(task)
    }
}

impl Claim<'_> {
    /// What the verifier must be told to find the task.
    pub fn task(&self) -> u32 {
        (self.index as u32) << CLAIM_BITS | self.claim
    }

    /// The number of the parcel with the answer, once it is there.
    pub fn answer(&self) -> Option<u32> {
        Some(self.place.word()).filter(|word| word.state == ANSWERED).map(|word| word.parcel)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.place.word.store(Word { claim: self.claim, state: FREE, parcel: 0 }.pack(), Ordering::Release);
        let verifier = self.place.verifier.load(Ordering::Relaxed);
        if verifier != 0 {
            process::set_latch(verifier - 1);
        }
    }
}

impl Task<'_> {
    /// Whether the session still has its claim.
    pub fn wanted(&self) -> bool {
        let word = self.place.word();
        word.claim == self.claim && word.state != FREE
    }

    /// Gives the answer; false if nobody wants it any more. The session must then be woken.
    pub fn answer(&self, parcel: u32) -> bool {
        let old = Word { claim: self.claim, state: ASKED, parcel: 0 };
        self.place.exchange(old, Word { claim: self.claim, state: ANSWERED, parcel })
    }
}
