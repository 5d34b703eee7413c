//! Reconciliation: the catalog says which stream tables there are, the worker makes it so. SQL functions only write the
//! catalog; whatever was missed while the worker was away is found the same way.

use crate::catalog;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{log, process};
use crate::shm;
use crate::worker::database::Database;
use crate::worker::table::{Mode, StreamTable};
use hashbrown::HashMap;

impl Database {
    /// Compares the catalog with what runs; drops, adds and resets tables until they agree.
    pub fn reconcile(&mut self) -> Result<(), Failure> {
        let definitions = txn::run(Isolation::ReadCommitted, || Ok(catalog::definition::all()))?;
        let mut wanted: HashMap<u32, _> = definitions.into_iter().map(|d| (d.table, d)).collect();
        let gone: Vec<u32> = self.tables.keys().copied().filter(|table| !wanted.contains_key(table)).collect();
        for table in gone {
            self.detach_and_forget(table);
            self.tables.remove(&table);
        }
        let known: Vec<u32> = self.tables.keys().copied().collect();
        for table in known {
            let Some(definition) = wanted.remove(&table) else { continue };
            let state = self.tables.get_mut(&table).expect("known tables exist");
            let anew = state.definition.generation != definition.generation
                || state.definition.view != definition.view
                || state.definition.owner != definition.owner
                || state.definition.refresh_mode != definition.refresh_mode
                || (definition.suspended && !state.definition.suspended);
            if state.definition != definition {
                // Whatever was wrong may be mended.
                state.trouble = None;
            }
            state.definition = definition;
            if anew {
                self.detach_and_forget(table);
            }
        }
        for (table, definition) in wanted {
            self.tables.insert(table, StreamTable::new(definition));
            self.quarantine(table);
        }
        if let Some(shared) = shm::shared() {
            shared.statuses.retain(self.oid, |table| self.tables.contains_key(&table));
        }
        Ok(())
    }

    /// Decides the mode of tables that have none, and has their sources captured; each in transactions of its own, upstream
    /// first. What fails rests and is tried again.
    pub fn prepare(&mut self) {
        let now = process::now();
        // Upstream is not known before a table is compiled: tables are repeated until nothing changes.
        for table in self.order() {
            let state = &self.tables[&table];
            if state.attached || state.resting(now) || !matches!(state.mode, Mode::Undecided) {
                continue;
            }
            let outcome =
                txn::run(Isolation::ReadCommitted, || self.decide(table)).and_then(|()| self.ensure_capture(table));
            if let Err(failure) = outcome {
                let state = self.tables.get_mut(&table).expect("ordered tables exist");
                state.mode = Mode::Undecided;
                log::debug(&format!("could not prepare stream table {}: {failure}", state.definition.name));
                state.fail(failure, process::now());
            }
        }
    }
}
