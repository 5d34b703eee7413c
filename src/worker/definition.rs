//! A stream table's definition as the catalog has it, in the form that the worker works with.

use crate::schedule::Schedule;

/// Importance under pressure; ordered, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    Critical,
    Standard,
    Background,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshMode {
    Auto,
    Differential,
    Full,
}

/// One row of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub table: u32,
    pub view: u32,
    pub owner: u32,
    /// Schema-qualified, quoted where needed: for messages.
    pub name: String,
    pub schedule: Schedule,
    pub refresh_mode: RefreshMode,
    pub tier: Tier,
    pub suspended: bool,
    /// Settings pinned at creation.
    pub settings: Vec<(String, String)>,
    /// Changes with each change of the definition: then the table is attached anew.
    pub generation: i64,
}
