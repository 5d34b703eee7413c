//! The background processes: the launcher, and one worker a database, which runs cycles: cut, compute, apply.

mod agenda;
mod apply;
mod attach;
mod blockers;
mod clock;
mod cycle;
mod database;
mod delta;
mod events;
mod filling;
mod full;
mod key;
mod late;
pub mod launcher;
mod members;
mod reconcile;
mod requests;
pub mod serve;
mod sources;
mod stamps;
mod table;
pub mod verifier;
mod verify;
mod visit;
