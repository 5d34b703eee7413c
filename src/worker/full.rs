//! Full mode: the definition is run as a whole, as the owner, and compared with the content; only what differs is written,
//! so readers are never blocked and unchanged rows are not touched.

use crate::pg::txn::Failure;
use crate::pg::{executor, lock, owner, sink, time_limit};
use crate::worker::cycle::Cycle;
use crate::worker::database::Database;
use crate::worker::delta::Pending;
use crate::worker::table::Mode;
use trickle_operators::value::Row;

impl Database {
    /// Evaluates a full-mode table under the cut's snapshot (own writes visible), writes the difference, and feeds it to the
    /// graphs that read the table.
    pub fn refresh_full(&mut self, cycle: &mut Cycle<'_>, table: u32) -> Result<(), Failure> {
        self.culprit = Some(table);
        // The table before its view, as DROP TABLE and alter_stream_table() lock them (HAZARDS H44).
        lock::lock(table, lock::Mode::RowExclusive);
        let state = &self.tables[&table];
        let (view, owner) = (state.definition.view, state.definition.owner);
        let (columns, settings) = (state.columns.clone(), state.definition.settings.clone());
        let mut difference = Pending::default();
        time_limit::within(|| {
            owner::as_owner(owner, &settings, || {
                executor::run_view(view, None, &mut |row| difference.add(row.to_owned(), 1))
            })
        })?;
        sink::read(table, &columns, &mut |row| difference.add(row.to_owned(), -1))?;
        let changes: Vec<(Row, i64)> = difference.iter().map(|(row, diff)| (row.clone(), diff)).collect();
        let state = self.tables.get_mut(&table).expect("visited tables exist");
        state.pending = difference;
        self.apply_pending(cycle, table)?;
        if !changes.is_empty() && !self.direct_readers(table).is_empty() {
            let all: Vec<i16> = (1..=columns.len() as i16).collect();
            self.engine.feed(cycle.time, table, &all, changes);
            self.fed.push(table);
        }
        self.culprit = None;
        Ok(())
    }

    /// Whether only the clock says that a full-mode table may have changed.
    pub fn is_blind(&self, table: u32) -> bool {
        matches!(&self.tables[&table].mode, Mode::Full(full) if full.blind)
    }
}
