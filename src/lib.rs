//! pg_trickle.
::pgrx::pg_module_magic!();

mod pg;
mod shm;
mod worker;
