//! What this process has been told about changed relations: the relcache callback notes OIDs, the worker takes them.
//!
//! Messages are processed when a transaction starts and when a lock is taken; a lock that is held therefore means that all
//! of its relation's changes that are visible have also been noted (HAZARDS H4, DESIGN 7).

use hashbrown::HashSet;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};

/// More than this many relations are as good as all of them.
const REMEMBERED: usize = 4096;

/// Relations whose cache entry was invalidated.
#[derive(Clone, Default)]
pub struct Invalidated {
    all: bool,
    relations: HashSet<u32>,
}

thread_local! {
    // Only the main thread runs callbacks.
    static NOTED: RefCell<Invalidated> = RefCell::new(Invalidated::default());
    static CHANGED: Cell<bool> = const { Cell::new(false) };
    static ROLES: Cell<bool> = const { Cell::new(false) };
    static EVALUATION: Cell<Evaluation> = const { Cell::new(Evaluation { functions: false, labels: false, any: false }) };
    // Apart from NOTED, which is taken for other ends.
    static ROW_TYPES: RefCell<Invalidated> = RefCell::new(Invalidated::default());
}

/// What changed of that by which PostgreSQL evaluates expressions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Some function.
    pub functions: bool,
    /// Some label of an enum, which every look at its text depends on.
    pub labels: bool,
    /// Some function, aggregate, operator, cast, type, attribute or collation.
    pub any: bool,
}

/// Catalogs that tell how expressions are evaluated.
const EVALUATION_CACHES: [pg_sys::SysCacheIdentifier::Type; 8] = [
    pg_sys::SysCacheIdentifier::PROCOID,
    pg_sys::SysCacheIdentifier::AGGFNOID,
    pg_sys::SysCacheIdentifier::OPEROID,
    pg_sys::SysCacheIdentifier::CASTSOURCETARGET,
    pg_sys::SysCacheIdentifier::TYPEOID,
    pg_sys::SysCacheIdentifier::COLLOID,
    pg_sys::SysCacheIdentifier::ATTNUM,
    pg_sys::SysCacheIdentifier::ENUMOID,
];

/// Catalogs that tell who a role is: its attributes, and what it is a member of.
const ROLE_CACHES: [pg_sys::SysCacheIdentifier::Type; 3] = [
    pg_sys::SysCacheIdentifier::AUTHOID,
    pg_sys::SysCacheIdentifier::AUTHMEMMEMROLE,
    pg_sys::SysCacheIdentifier::AUTHMEMROLEMEM,
];

impl Invalidated {
    pub fn includes(&self, relation: u32) -> bool {
        self.all || self.relations.contains(&relation)
    }

    fn note(&mut self, relation: pg_sys::Oid) {
        if relation == pg_sys::InvalidOid || self.relations.len() >= REMEMBERED {
            self.all = true;
            self.relations.clear();
        } else if !self.all {
            self.relations.insert(relation.to_u32());
        }
    }
}

/// Starts to note; once a process.
pub fn listen() {
    // SAFETY: a static function that lives as long as the process.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(noted), pg_sys::Datum::null());
        for cache in EVALUATION_CACHES {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(evaluation_noted), pg_sys::Datum::null());
        }
        for cache in ROLE_CACHES {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(role_noted), pg_sys::Datum::null());
        }
    }
}

/// Processes what other sessions have sent until now. Inside a transaction.
pub fn accept() {
    // SAFETY: allowed wherever a relation lock could be taken.
    unsafe { pg_sys::AcceptInvalidationMessages() }
}

/// Takes what is known to have changed of functions, operators and types.
pub fn take_evaluation() -> Evaluation {
    EVALUATION.with(Cell::take)
}

/// The same, left where it is.
pub fn evaluation() -> Evaluation {
    EVALUATION.with(Cell::get)
}

/// Whether a composite type, as CREATE TYPE makes it, may have changed since the last call. Inside a transaction.
pub fn take_row_types_changed() -> bool {
    let noted = ROW_TYPES.take();
    // SAFETY: a look-up by OID, which answers zero for what is gone.
    let composite = |relation: &u32| unsafe {
        pg_sys::get_rel_relkind(pg_sys::Oid::from(*relation)) as u8 == pg_sys::RELKIND_COMPOSITE_TYPE
    };
    noted.all || noted.relations.iter().any(composite)
}

/// Whether some role's attributes or memberships have changed since [`roles_settled`].
pub fn roles_changed() -> bool {
    ROLES.get()
}

/// Everything that depends on roles has been looked at.
pub fn roles_settled() {
    ROLES.set(false);
}

/// Takes what was noted since the last call.
pub fn take() -> Invalidated {
    NOTED.with(|noted| std::mem::take(&mut *noted.borrow_mut()))
}

/// Puts back what [`take_evaluation`] took.
pub fn restore_evaluation(taken: Evaluation) {
    EVALUATION.with(|cell| {
        let now = cell.get();
        cell.set(Evaluation {
            functions: now.functions || taken.functions,
            labels: now.labels || taken.labels,
            any: now.any || taken.any,
        });
    });
}

/// Puts back all that was taken.
pub fn restore(invalidated: Invalidated) {
    NOTED.with(|noted| {
        let mut noted = noted.borrow_mut();
        noted.all |= invalidated.all;
        noted.relations.extend(invalidated.relations);
    });
}

/// Notes relations again that could not be looked at.
pub fn put_back(relations: impl Iterator<Item = u32>) {
    NOTED.with(|noted| noted.borrow_mut().relations.extend(relations));
}

/// Whether any relation was created, dropped or changed, or any role, since the last call: then definitions are read again.
pub fn catalog_changed() -> bool {
    CHANGED.with(|changed| changed.replace(false))
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn noted(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    CHANGED.with(|changed| changed.set(true));
    NOTED.with_borrow_mut(|noted| noted.note(relation));
    ROW_TYPES.with_borrow_mut(|noted| noted.note(relation));
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn role_noted(_argument: pg_sys::Datum, _cache: std::ffi::c_int, _hash: u32) {
    ROLES.set(true);
    CHANGED.set(true);
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn evaluation_noted(_argument: pg_sys::Datum, cache: std::ffi::c_int, _hash: u32) {
    EVALUATION.with(|cell| {
        let functions = cell.get().functions || cache == pg_sys::SysCacheIdentifier::PROCOID as i32;
        let labels = cell.get().labels || cache == pg_sys::SysCacheIdentifier::ENUMOID as i32;
        cell.set(Evaluation { functions, labels, any: true });
    });
}
