//! Typed access to the `pgtrickle.*` tables.
//!
//! Statements run as the extension and see the latest committed state, whatever the caller's role and isolation level are;
//! who may do what is decided before, by the caller's own rights.

pub mod capture_grant;
pub mod definition;
pub mod error_row;
pub mod frontier;
pub mod key;
pub mod live_table;
pub mod refresh_log;
pub mod sources;

pub use definition::{Definition, Mode, RefreshMode, Tier};

use crate::pg::hooks::{self, Listener, Names};
use crate::pg::role::as_extension;
use crate::pg::spi;
use crate::shm;

/// Has the catalog follow what other commands do to stream tables. In _PG_init only.
pub fn follow_commands() {
    hooks::install(Listener {
        dropped,
        altered,
        schema_renamed,
        extension_dropped: shm::wake_worker_at_commit,
        surroundings_changed: shm::wake_worker_at_commit,
    });
}

/// A stream table's row goes with it, in the same transaction.
fn dropped(relation: u32) {
    shm::wake_worker_at_commit();
    let relation = relation.to_string();
    let rows =
        spi::query("DELETE FROM pgtrickle.live_table WHERE relid = $1::oid RETURNING id::text", &[Some(&relation)]);
    for row in rows {
        spi::execute("DELETE FROM pgtrickle.stream_table WHERE id = $1::uuid", &[row[0].as_deref()]);
    }
    for table in ["frontier", "refresh_log", "error_row"] {
        spi::execute(&format!("DELETE FROM pgtrickle.{table} WHERE relid = $1::oid"), &[Some(&relation)]);
    }
}

fn altered(relation: u32, view: u32, names: &Names) {
    shm::wake_worker_at_commit();
    spi::execute(
        "UPDATE pgtrickle.stream_table s SET table_schema = $2::name, table_name = $3::name
           FROM pgtrickle.live_table l
          WHERE l.relid = $1::oid AND s.id = l.id
            AND (s.table_schema, s.table_name) IS DISTINCT FROM ($2::name, $3::name)",
        &[Some(&relation.to_string()), Some(&names.schema), Some(&names.name)],
    );
    // No view: alter_stream_table() is just replacing it, for the same owner.
    if crate::pg::role::owner_if_any(view).is_some_and(|owner| owner != names.owner) {
        hooks::change_owner(view, names.owner);
        spi::execute(
            "UPDATE pgtrickle.live_table SET generation = generation + 1 WHERE relid = $1::oid",
            &[Some(&relation.to_string())],
        );
    }
}

/// Names of all stream tables, as they are now; schemas are renamed seldom.
pub fn schema_renamed() {
    shm::wake_worker_at_commit();
    as_extension(|| {
        spi::execute(
            "UPDATE pgtrickle.stream_table s SET table_schema = n.nspname, table_name = c.relname
               FROM pgtrickle.live_table l, pg_catalog.pg_class c, pg_catalog.pg_namespace n
              WHERE s.id = l.id AND c.oid = l.relid AND n.oid = c.relnamespace
                AND (s.table_schema, s.table_name) IS DISTINCT FROM (n.nspname, c.relname)",
            &[],
        )
    });
}
