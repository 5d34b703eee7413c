//! verify(): the content of a stream table, and what is pending for it, against its query under the cut's snapshot. Nothing
//! is changed. Columns that the content of the sources does not determine are left out (HAZARDS E20).

use crate::catalog::verification::{self, Difference};
use crate::pg::txn::{self, Failure};
use crate::pg::{executor, owner, sink, text};
use crate::worker::database::Database;
use crate::worker::delta::Pending;
use crate::worker::table::Mode;
use trickle_operators::value::{Row, RowRef};

/// Differing rows that are shown.
const SHOWN: usize = 1000;

impl Database {
    /// Compares `table` with its query inside the cycle's transaction.
    pub fn verify(&mut self, request: u64, table: u32) -> Result<(), Failure> {
        self.culprit = Some(table);
        txn::make_own_writes_visible();
        let state = &self.tables[&table];
        let determined: Option<Vec<bool>> = match &state.mode {
            Mode::Incremental(graph) => Some(graph.plan.columns.iter().map(|column| column.determined).collect()),
            _ => None,
        };
        let shown = |row: RowRef<'_>| match &determined {
            Some(determined) => Row::from_columns(
                row.columns().zip(determined).filter(|(_, determined)| **determined).map(|(image, _)| image),
            ),
            None => row.to_owned(),
        };
        let columns = state.columns.clone();
        let mut difference = Pending::default();
        sink::read(table, &columns, &mut |row| difference.add(shown(row), -1))?;
        // A full-mode table's pending changes are found by evaluating it, so only a graph's count.
        if matches!(state.mode, Mode::Incremental(_)) {
            for (row, diff) in state.pending.iter() {
                difference.add(shown(row.as_ref()), -diff);
            }
        }
        let definition = &state.definition;
        owner::as_owner(definition.owner, &definition.settings, || {
            executor::run_view(definition.view, &mut |row| difference.add(shown(row), 1))
        })?;
        let types: Vec<_> = match &determined {
            Some(determined) => columns
                .iter()
                .zip(determined)
                .filter(|(_, determined)| **determined)
                .map(|(ty, _)| ty.clone())
                .collect(),
            None => columns,
        };
        let shown = difference.iter().take(SHOWN).map(|(row, diff)| Difference {
            missing: diff > 0,
            occurrences: diff.abs(),
            row_text: text::row(row.as_ref(), &types),
        });
        verification::put(request, &shown.collect::<Vec<_>>())?;
        self.culprit = None;
        Ok(())
    }
}
