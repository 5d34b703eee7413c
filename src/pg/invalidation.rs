//! What this process has been told about changed relations: the relcache callback notes OIDs, the worker takes them.
//!
//! Messages are processed when a transaction starts and when a lock is taken; a lock that is held therefore means that all
//! of its relation's changes that are visible have also been noted (HAZARDS H4, DESIGN 7).

use hashbrown::HashSet;
use pgrx::pg_sys;
use std::cell::RefCell;

/// More than this many relations are as good as all of them.
const REMEMBERED: usize = 4096;

/// Relations whose cache entry was invalidated.
#[derive(Default)]
pub struct Invalidated {
    all: bool,
    relations: HashSet<u32>,
}

thread_local! {
    // Only the main thread runs callbacks.
    static NOTED: RefCell<Invalidated> = RefCell::new(Invalidated::default());
    static CHANGED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl Invalidated {
    pub fn includes(&self, relation: u32) -> bool {
        self.all || self.relations.contains(&relation)
    }
}

/// Starts to note; once a process.
pub fn listen() {
    // SAFETY: a static function that lives as long as the process.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(noted), pg_sys::Datum::null()) }
}

/// Takes what was noted since the last call.
pub fn take() -> Invalidated {
    NOTED.with(|noted| std::mem::take(&mut *noted.borrow_mut()))
}

/// Notes relations again that could not be looked at.
pub fn put_back(relations: impl Iterator<Item = u32>) {
    NOTED.with(|noted| noted.borrow_mut().relations.extend(relations));
}

/// Whether any relation was created, dropped or changed since the last call: then definitions are read again.
pub fn catalog_changed() -> bool {
    CHANGED.with(|changed| changed.replace(false))
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn noted(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    CHANGED.with(|changed| changed.set(true));
    NOTED.with(|noted| {
        let mut noted = noted.borrow_mut();
        if relation == pg_sys::InvalidOid || noted.relations.len() >= REMEMBERED {
            noted.all = true;
            noted.relations.clear();
        } else if !noted.all {
            noted.relations.insert(relation.to_u32());
        }
    });
}
