//! Who acts: the calling role, and the extension itself when it writes its catalog for a caller who may not.

use super::txn::Failure;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// The current user.
pub fn current() -> u32 {
    // SAFETY: reads a backend variable.
    unsafe { pg_sys::GetUserId().to_u32() }
}

/// Runs `body` as the extension, with a search path that nobody can have prepared. For statements of ours over tables of
/// ours only (HAZARDS H54). An ERROR inside is not caught: the abort of the (sub)transaction restores role and settings.
pub fn as_extension<T>(body: impl FnOnce() -> T) -> T {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: plain reads and writes of backend state; what is changed is put back below, or by the abort.
    let nest = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let change = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
        pg_sys::SetUserIdAndSecContext(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), context | change as i32);
        let nest = pg_sys::NewGUCNestLevel();
        pg_sys::RestrictSearchPath();
        nest
    };
    let value = body();
    // SAFETY: as above.
    unsafe {
        pg_sys::AtEOXact_GUC(false, nest);
        pg_sys::SetUserIdAndSecContext(user, context);
    }
    value
}

/// Whether `role` owns a relation, by membership or as superuser; nobody owns one that is gone.
pub fn owns(role: u32, relation: u32) -> bool {
    // SAFETY: a catalog look-up.
    owner_if_any(relation)
        .is_some_and(|owner| unsafe { pg_sys::has_privs_of_role(pg_sys::Oid::from(role), pg_sys::Oid::from(owner)) })
}

/// Whether `role` has one of the privileges in `any` on a relation.
pub fn has_privilege(role: u32, relation: u32, any: u32) -> bool {
    // SAFETY: as above; pg_class_aclmask with ACLMASK_ANY is what pg_class_aclcheck asks.
    unsafe {
        pg_sys::pg_class_aclcheck(pg_sys::Oid::from(relation), pg_sys::Oid::from(role), any.into())
            == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// Whether the current user has the privileges of a role that monitors: sees counters of everyone.
pub fn monitors() -> bool {
    // SAFETY: catalog look-ups of fixed roles.
    unsafe {
        let user = pg_sys::GetUserId();
        pg_sys::has_privs_of_role(user, pg_sys::Oid::from(pg_sys::ROLE_PG_MONITOR))
            || pg_sys::has_privs_of_role(user, pg_sys::Oid::from(pg_sys::ROLE_PG_READ_ALL_STATS))
    }
}

/// The owner of a relation. An ERROR if there is none.
pub fn owner(relation: u32) -> u32 {
    owner_if_any(relation).unwrap_or_else(|| {
        Failure::new(b"42P01", format!("relation with OID {relation} does not exist")).raise();
    })
}

/// The owner of a relation, if it exists.
pub fn owner_if_any(relation: u32) -> Option<u32> {
    // SAFETY: a syscache look-up; the tuple is released before return, the form is not used after.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::RELOID as i32,
            pg_sys::Datum::from(pg_sys::Oid::from(relation)),
        );
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner.to_u32();
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// The value of a setting as SHOW prints it; `None` if there is no such setting.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: returns a static or palloc'd string, copied here.
    unsafe {
        let value = pg_sys::GetConfigOptionByName(name.as_ptr(), std::ptr::null_mut(), true);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

/// A string for PostgreSQL; an ERROR if it contains a zero byte, which no text of SQL can.
pub fn cstring(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| Failure::new(b"22021", "invalid byte value 0x00 in text").raise())
}

/// What tells this cluster and database from their copies: system identifier and database OID, as the catalog stores them.
pub fn incarnation() -> (String, String) {
    // SAFETY: plain reads of shared memory and of this backend's state.
    let (system, database) = unsafe { (pg_sys::GetSystemIdentifier(), pg_sys::MyDatabaseId) };
    ((system as i64).to_string(), database.to_u32().to_string())
}

/// Raises unless this transaction may write: not in recovery, not read-only.
pub fn require_write(command: &CStr) {
    // SAFETY: both raise or return.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(command.as_ptr());
        pg_sys::PreventCommandDuringRecovery(command.as_ptr());
    }
}

/// Whether CREATE EXTENSION or ALTER EXTENSION UPDATE is running its script.
pub fn creating_extension() -> bool {
    // SAFETY: a plain read.
    unsafe { pg_sys::creating_extension && !pg_sys::IsBinaryUpgrade }
}
