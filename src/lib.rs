//! pg_trickle.
::pgrx::pg_module_magic!();

mod capture;
mod pg;
mod shm;
mod worker;
