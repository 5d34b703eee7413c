//! pg_trickle: stream tables, which follow their queries.
//!
//! This file says what happens when the library is loaded; everything else has a room of its own.

use pgrx::prelude::*;

mod api;
mod capture;
mod catalog;
mod compile;
mod explain;
mod pg;
mod schedule;
mod settings;
mod shm;
mod worker;

::pgrx::pg_module_magic!();

#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // With RUST_BACKTRACE in the server's environment pgrx would put a backtrace into every ERROR's DETAIL. This one turns
    // that off, and leaves panics theirs.
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        std::env::set_var("RUST_LIB_BACKTRACE", "0");
    }
    settings::define();
    catalog::follow_commands();
    capture::init();
    if pg::shmem::request() {
        api::commands::follow();
        pg::background::register_launcher();
    } else {
        api::loaded_late();
    }
}
