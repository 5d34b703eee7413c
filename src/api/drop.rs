//! Dropping a stream table: as DROP TABLE does; the catalog follows by itself.

use super::arguments::{require_stream_table, required};
use super::{require_preloaded, wake_worker_at_commit};
use crate::pg::definition::{qualified_name, Name};
use crate::pg::txn::Failure;
use crate::pg::{role, spi};
use pgrx::prelude::*;

#[pg_extern]
fn drop_stream_table(name: Option<&str>, cascade: Option<bool>, if_exists: Option<bool>) {
    require_preloaded();
    role::require_write(c"drop_stream_table()");
    let name = Name::parse(required(name, "name"));
    let cascade = required(cascade, "cascade");
    let if_exists = required(if_exists, "if_exists");
    let Some(relation) = name.find() else {
        let text = format!("stream table \"{}\" does not exist", name.display());
        if !if_exists {
            Failure::new(b"42P01", text).raise();
        }
        return Failure::new(b"00000", format!("{text}, skipping")).notice();
    };
    require_stream_table(relation);
    let Some(qualified) = qualified_name(relation) else { return };
    let cascade = if cascade { " CASCADE" } else { "" };
    spi::execute(&format!("DROP TABLE {qualified}{cascade}"), &[]);
    wake_worker_at_commit();
}
