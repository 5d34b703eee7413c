//! pg_trickle.
::pgrx::pg_module_magic!();

mod pg;
