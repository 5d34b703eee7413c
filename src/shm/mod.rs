//! The shared-memory layout.

pub mod requests;
pub mod status;
