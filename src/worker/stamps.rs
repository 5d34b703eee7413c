//! Functions, operators and types that PostgreSQL evaluates a graph's expressions with must stay what they were: the engine
//! retracts what it once computed, and never computes the past again (HAZARDS E16). A graph whose stamps differ is built
//! anew, by difference; a cycle in which something changed on the way publishes nothing.

use crate::pg::invalidation;
use crate::pg::txn::Failure;
use crate::worker::database::Database;
use crate::worker::table::Mode;
use hashbrown::HashSet;

impl Database {
    /// At the beginning of a cut: detaches graphs whose functions are not what they were.
    pub fn check_stamps(&mut self) -> HashSet<u32> {
        let changed = invalidation::take_evaluation();
        let row_types = invalidation::take_row_types_changed();
        if !changed.any && !row_types {
            return HashSet::new();
        }
        if changed.functions || changed.labels || row_types {
            // Which functions and types a query that is run as a whole uses is not known: it is run again.
            self.mark_dirty(|_| true);
        }
        let stale: HashSet<u32> = self
            .tables
            .iter()
            .filter(|(_, table)| match &table.mode {
                Mode::Incremental(graph) => {
                    ((changed.functions || row_types) && graph.stamps.interpreted)
                        || (changed.labels && !graph.plan.fragments.is_empty())
                        || graph.stamps.changed()
                }
                Mode::Full(full) => full.stamps.changed(),
                Mode::Undecided => false,
            })
            .map(|(oid, _)| *oid)
            .collect();
        let mut gone = self.readers_of(&stale);
        gone.extend(&stale);
        for table in stale {
            self.detach_and_forget(table);
        }
        for table in &gone {
            if let Some(state) = self.tables.get_mut(table).filter(|state| state.is_full()) {
                state.dirty = true;
            }
        }
        gone
    }

    /// Before anything is published: nothing may have changed since the cut began.
    pub fn recheck_stamps(&self) -> Result<(), Failure> {
        invalidation::accept();
        let changed = invalidation::evaluation();
        let concerned = self.tables.values().any(|table| match &table.mode {
            Mode::Incremental(graph) => {
                (changed.functions && graph.stamps.interpreted)
                    || (changed.labels && !graph.plan.fragments.is_empty())
                    || (changed.any && graph.stamps.changed())
            }
            _ => false,
        });
        if concerned {
            return Err(Failure::new(b"40001", "a function, operator or type changed while it was in use"));
        }
        Ok(())
    }
}
