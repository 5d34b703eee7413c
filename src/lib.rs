//! pg_trickle.
::pgrx::pg_module_magic!();

mod capture;
mod catalog;
mod compile;
mod pg;
mod schedule;
mod settings;
mod shm;
mod worker;
