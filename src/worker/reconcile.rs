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
        // Upstream is not known before a table is compiled: tables are repeated until nothing changes.
        let mut not_ready: Vec<u32> = Vec::new();
        for _ in 0..=self.tables.len() {
            let mut again = false;
            not_ready.clear();
            for table in self.order() {
                match self.prepare_table(table) {
                    Some(true) => again = true,
                    Some(false) => not_ready.push(table),
                    None => {}
                }
            }
            let now = process::now();
            again |= not_ready.iter().flat_map(|table| self.upstream_of(*table)).any(|table| {
                self.tables
                    .get(&table)
                    .is_some_and(|above| !above.resting(now) && matches!(above.mode, Mode::Undecided))
            });
            if !again {
                break;
            }
        }
        for table in not_ready {
            self.table_failed(table, Failure::new(b"55P03", "waiting for a stream table that this one reads"));
            if let Some(state) = self.tables.get_mut(&table) {
                state.waits_for_upstream = state.trouble.is_some();
            }
        }
    }

    /// Whether the table has been decided now, or cannot be before one that it reads; `None` if there was nothing to do, or it
    /// failed.
    fn prepare_table(&mut self, table: u32) -> Option<bool> {
        let state = &self.tables[&table];
        if state.attached || state.resting(process::now()) || !matches!(state.mode, Mode::Undecided) {
            return None;
        }
        let outcome = txn::run(Isolation::ReadCommitted, || self.decide(table)).and_then(|decided| {
            if decided {
                self.give_up_key(table)?;
                self.ensure_capture(table)?;
            }
            Ok(decided)
        });
        match outcome {
            Ok(decided) => {
                if decided {
                    self.call_readers(table);
                }
                Some(decided)
            }
            Err(failure) => {
                if let Some(state) = self.tables.get_mut(&table) {
                    state.mode = Mode::Undecided;
                    log::debug(&format!("could not prepare stream table {}: {failure}", state.definition.name));
                }
                self.table_failed(table, failure);
                None
            }
        }
    }

    /// Tables that have waited for this one do not rest any longer.
    fn call_readers(&mut self, table: u32) {
        for reader in self.direct_readers(table) {
            if let Some(state) = self.tables.get_mut(&reader).filter(|state| state.waits_for_upstream) {
                state.waits_for_upstream = false;
                state.trouble = None;
            }
        }
    }

    /// Records that something went wrong with a table alone; unless it is only that it, or its definition, is not there any
    /// more: then the catalog is read, and says what is.
    pub fn table_failed(&mut self, table: u32, failure: Failure) {
        let Some(state) = self.tables.get(&table) else { return };
        let now = txn::run(Isolation::ReadCommitted, || Ok(catalog::definition::find(table)));
        if now.is_ok_and(|now| now.as_ref() != Some(&state.definition)) {
            self.catalog_stale = true;
            return;
        }
        if let Some(state) = self.tables.get_mut(&table) {
            state.fail(failure, process::now());
        }
    }
}
