//! A table's owner lets the stream tables of others capture it, or no longer.

use super::{require_preloaded, wake_worker_at_commit};
use crate::catalog::capture_grant;
use crate::pg::definition::relation_name;
use crate::pg::role;
use crate::pg::txn::Failure;
use pgrx::prelude::*;

#[pg_extern]
fn allow_capture(table: pg_sys::Oid) {
    let table = own_table(table, c"allow_capture()");
    capture_grant::allow(table);
    wake_worker_at_commit();
}

#[pg_extern]
fn forbid_capture(table: pg_sys::Oid) {
    let table = own_table(table, c"forbid_capture()");
    capture_grant::forbid(table);
    wake_worker_at_commit();
}

/// The query of every segment of the change buffer, which only looks like a materialized view.
#[pg_extern]
fn segment_content() -> bool {
    Failure::new(b"42809", "the change buffer of pg_trickle cannot be refreshed").raise()
}

fn own_table(table: pg_sys::Oid, command: &std::ffi::CStr) -> u32 {
    require_preloaded();
    role::require_write(command);
    let table = table.to_u32();
    // Also raises if there is no such relation.
    role::owner(table);
    if !role::owns(role::current(), table) {
        Failure::new(b"42501", format!("must be owner of table {}", relation_name(table))).raise()
    }
    table
}
