//! The shared-memory layout: what sessions and workers tell each other without a transaction.
//!
//! Everything here is atomics that start as zeroes: there is no lock to be left behind by a process that dies, and after a
//! crash the server starts with all of it empty. So nothing that must not be lost lives here; what looks like state
//! (active segments) is a cache of a catalog table.

pub mod databases;
pub mod holder;
pub mod launcher;
pub mod prepared;
pub mod requests;
pub mod sources;
pub mod status;
pub mod verifiers;

pub use databases::Database;

/// All of it.
#[repr(C)]
pub struct Shared {
    pub launcher: launcher::Launcher,
    pub databases: databases::Databases,
    pub sources: sources::Sources,
    pub prepared: prepared::Prepared,
    pub requests: requests::Requests,
    pub statuses: status::Statuses,
    pub verifiers: verifiers::Verifiers,
}

/// The shared structure; `None` if the library was not preloaded.
pub fn shared() -> Option<&'static Shared> {
    crate::pg::shmem::shared()
}

/// Has the worker of this session's database look at the catalog once this transaction has committed.
pub fn wake_worker_at_commit() {
    crate::pg::xact::after_commit(|| {
        if let Some(database) = shared().and_then(|shared| shared.databases.claim(crate::pg::process::database())) {
            database.wake();
        }
    });
}
