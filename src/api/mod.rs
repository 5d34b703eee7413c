//! The SQL-callable functions, thin: arguments are checked here, everything else has a room of its own.

mod alter;
mod arguments;
mod capture;
pub mod commands;
mod create;
mod drop;
mod inspect;
mod mode;
mod requests;
mod status;
mod verify;

pub use mode::{incremental_plan, Reason};

use crate::pg::role;
use crate::pg::txn::Failure;
use crate::shm::{self, wake_worker_at_commit};
use pgrx::prelude::*;

/// Part of the installation script.
#[pg_extern]
fn assert_preloaded() {
    require_preloaded();
    wake_worker_at_commit();
}

#[pg_extern]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Raises unless the server has loaded the library at its start: there is no worker otherwise, and nothing would follow.
pub fn require_preloaded() {
    if shm::shared().is_none() {
        Failure::new(b"55000", "pg_trickle must be loaded via \"shared_preload_libraries\"")
            .hint("Add pg_trickle to shared_preload_libraries, and restart the server.")
            .raise();
    }
}

/// When the library is loaded later than the server: fine, unless it is for CREATE EXTENSION.
pub fn loaded_late() {
    if role::creating_extension() {
        require_preloaded();
    }
}
