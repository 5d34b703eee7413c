//! Who may have a table's changes captured (HAZARDS H49): its writers pay for it, so SELECT alone is not enough.

use crate::pg::hooks;
use crate::pg::role::{self, as_extension};
use crate::pg::spi;
use pgrx::pg_sys;

/// Whether stream tables of `role` may capture `table`: ownership, TRIGGER, MAINTAIN, or a grant by the table's owner that
/// still holds. Asked at creation, and again each time capture is installed.
pub fn may_capture(role: u32, table: u32) -> bool {
    role::owns(role, table)
        || role::has_privilege(role, table, pg_sys::ACL_TRIGGER | pg_sys::ACL_MAINTAIN)
        || granted(table)
}

/// Those of `tables` that it may not capture.
pub fn uncaptured(role: u32, tables: impl Iterator<Item = u32>) -> Vec<u32> {
    tables.filter(|table| !may_capture(role, *table)).collect()
}

/// Whether the table's present owner has allowed it; a grant does not outlive a change of owner.
pub fn granted(table: u32) -> bool {
    let owner = role::owner(table).to_string();
    let rows = as_extension(|| {
        spi::query(
            "SELECT FROM pgtrickle.capture_grant WHERE relid = $1::oid AND granted_by = $2::oid",
            &[Some(&table.to_string()), Some(&owner)],
        )
    });
    !rows.is_empty()
}

/// Stores a grant by the table's owner.
pub fn allow(table: u32) {
    let owner = role::owner(table).to_string();
    as_extension(|| {
        spi::execute(
            "INSERT INTO pgtrickle.capture_grant (relid, granted_by) VALUES ($1::oid, $2::oid)
             ON CONFLICT (relid) DO UPDATE SET granted_by = EXCLUDED.granted_by",
            &[Some(&table.to_string()), Some(&owner)],
        )
    });
    hooks::announce(table);
}

/// Takes a grant back.
pub fn forbid(table: u32) {
    as_extension(|| {
        spi::execute("DELETE FROM pgtrickle.capture_grant WHERE relid = $1::oid", &[Some(&table.to_string())])
    });
    hooks::announce(table);
}
