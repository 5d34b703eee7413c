//! Heavyweight locks on relations, taken and given back by OID.
//!
//! A lock belongs to the current resource owner: it is kept to the end of the transaction, and goes when the subtransaction
//! that took it is rolled back. So whether a lock is held is always asked of the lock manager, never remembered.

use hashbrown::HashSet;
use pgrx::pg_sys;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    AccessShare = 1,
    RowExclusive = 3,
    Share = 5,
    ShareRowExclusive = 6,
    AccessExclusive = 8,
}

/// How many tables one transaction of ours may lock, so that three quarters of the shared lock table are left to others.
pub fn tables_at_once() -> usize {
    // SAFETY: settings that are fixed once the server has started.
    let (each, sessions) = unsafe { (pg_sys::max_locks_per_xact, pg_sys::MaxBackends) };
    each.max(0) as usize * sessions.max(0) as usize / 4
}

/// Takes a lock if that needs no waiting; whether it did. What other sessions committed to the relation's definition before
/// is known afterwards.
pub fn try_lock(relation: u32, mode: Mode) -> bool {
    // SAFETY: inside a transaction; a lock may be taken on an OID that no longer exists.
    unsafe { pg_sys::ConditionalLockRelationOid(pg_sys::Oid::from(relation), mode as i32) }
}

/// Takes a lock, waiting for it up to lock_timeout, which raises 55P03.
pub fn lock(relation: u32, mode: Mode) {
    // SAFETY: as above.
    unsafe { pg_sys::LockRelationOid(pg_sys::Oid::from(relation), mode as i32) }
}

/// Takes a lock, and says whether there is such a relation: it stays then.
pub fn lock_existing(relation: u32, mode: Mode) -> bool {
    lock(relation, mode);
    // SAFETY: a look-up that has heard of all drops that were committed before the lock was granted.
    let exists = unsafe { pg_sys::get_rel_relkind(pg_sys::Oid::from(relation)) } != 0;
    if !exists {
        unlock(relation, mode);
    }
    exists
}

/// Waits until nobody else changes the definition of the stream table `table`, to the end of the transaction. A lock of its
/// own, which neither readers nor the worker ever take: two who change a definition would otherwise hold weak locks on the
/// table and both wait for strong ones.
pub fn definition(table: u32) {
    object(table, 0);
}

/// Waits until nobody else creates a stream table of this name, to the end of the transaction.
pub fn name(schema: u32, name: &str) {
    let hash = xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u16;
    object(schema, hash.max(1));
}

fn object(object: u32, sub: u16) {
    // SAFETY: taken through the lock manager, released at the end of the transaction; interruptible.
    unsafe {
        let class = pg_sys::RelationRelationId;
        pg_sys::LockDatabaseObject(class, pg_sys::Oid::from(object), sub, pg_sys::ExclusiveLock as i32);
    }
}

/// Gives a lock back before the end of the transaction.
pub fn unlock(relation: u32, mode: Mode) {
    // SAFETY: as above; a lock that is not held is a WARNING.
    unsafe { pg_sys::UnlockRelationOid(pg_sys::Oid::from(relation), mode as i32) }
}

/// Whether this transaction holds exactly this lock now.
pub fn held(relation: u32, mode: Mode) -> bool {
    // SAFETY: a look-up in this backend's own lock table.
    unsafe { pg_sys::CheckRelationOidLockedByMe(pg_sys::Oid::from(relation), mode as i32, false) }
}

/// Who stands in the way of a lock: pids of sessions, and how many prepared transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    pub pids: Vec<i32>,
    pub prepared: usize,
}

/// Who holds a lock on the relation that conflicts with `mode` at this moment.
pub fn conflicting(relation: u32, mode: Mode) -> Holders {
    let mut holders = Holders::default();
    // SAFETY: the result is an array of `count` entries in this process's memory; a process number is only used for a look-up
    // that may find nothing.
    unsafe {
        let mut count = 0;
        let conflicts = pg_sys::GetLockConflicts(&tag(relation), mode as i32, &mut count);
        for index in 0..count as usize {
            let holder = *conflicts.add(index);
            if holder.procNumber < 0 {
                holders.prepared += 1;
                continue;
            }
            let process = pg_sys::ProcNumberGetProc(holder.procNumber);
            if process.is_null() || (*process).pid == 0 {
                continue;
            }
            // What was prepared keeps the number of the session that it was prepared in, which has gone on.
            if (*process).vxid.lxid == holder.localTransactionId {
                holders.pids.push((*process).pid);
            } else {
                holders.prepared += 1;
            }
        }
    }
    holders
}

/// What names a relation in the lock table: SET_LOCKTAG_RELATION, which is a macro.
fn tag(relation: u32) -> pg_sys::LOCKTAG {
    // SAFETY: plain reads of backend state.
    let database = unsafe {
        let shared = pg_sys::IsSharedRelation(pg_sys::Oid::from(relation));
        if shared {
            0
        } else {
            pg_sys::MyDatabaseId.to_u32()
        }
    };
    pg_sys::LOCKTAG {
        locktag_field1: database,
        locktag_field2: relation,
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_RELATION as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    }
}

/// Pids of the sessions that keep the process `pid` waiting for a lock at this moment; empty if it does not wait.
pub fn blocking(pid: i32) -> Vec<i32> {
    // SAFETY: a strict built-in function of one integer that answers an array of integers without NULLs.
    let pids = unsafe {
        pgrx::direct_function_call::<pgrx::Array<i32>>(pg_sys::pg_blocking_pids, &[pgrx::IntoDatum::into_datum(pid)])
    };
    // Prepared transactions are reported as 0: nobody who waits for anything.
    pids.map_or_else(Vec::new, |pids| pids.iter().flatten().filter(|pid| *pid != 0).collect())
}

/// Whether `asker` is one of `blockers`, or blocks one of them through any number of others.
pub fn circle(asker: i32, blockers: Vec<i32>) -> bool {
    let mut seen: HashSet<i32> = HashSet::new();
    let mut open = blockers;
    while let Some(pid) = open.pop() {
        if pid == asker {
            return true;
        }
        if seen.insert(pid) {
            open.extend(blocking(pid));
        }
    }
    false
}
