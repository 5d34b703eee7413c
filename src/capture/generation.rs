//! The capture generation of a source: everything whose change may have changed the source's content without a change row.
//!
//! A rewrite (ALTER TYPE, SET EXPRESSION), TRUNCATE and VACUUM FULL give new storage; DISABLE TRIGGER and ENABLE TRIGGER
//! write our triggers' catalog rows, twice, so that a gap is seen afterwards; INHERIT, NO INHERIT, ATTACH and DETACH write
//! pg_inherits; SET UNLOGGED changes the persistence; columns come, go and change type. It is compared at each cut, under
//! the lock and after the invalidations (HAZARDS H4, H22); a difference means: install capture again and build what
//! reads the source anew.

use crate::pg::relation::{self, Table};
use crate::pg::trigger::{self, Installed};

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    table: Option<Table>,
    triggers: Vec<Installed>,
}

/// The generation of a source as of now. The caller holds a lock on the source, at least AccessShare.
pub fn generation(source: u32) -> Generation {
    let triggers = trigger::function().map_or(Vec::new(), |function| trigger::installed(source, function));
    Generation { table: relation::table(source), triggers }
}
