//! What the demo and the measurements share.

pub mod events;
pub mod flights;
pub mod percentiles;
pub mod screen;
pub mod split;
pub mod worker;
