//! A session that waits for the worker while the worker waits for a lock of that session, or of one that waits for it: no
//! deadlock detector sees such a circle, so it is looked for here, and broken by an error to who asked (HAZARDS H48).

use crate::pg::lock::{self, Mode};
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{definition, process};
use crate::worker::database::Database;
use hashbrown::HashSet;

impl Database {
    /// Whether `asker` stands in the way of a table that it waits for: the error that says so. Outside of a transaction.
    pub fn in_its_own_way(&self, asker: i32, table: u32) -> Option<Failure> {
        let mut relations: Vec<(u32, Mode)> = vec![(table, Mode::RowExclusive)];
        relations.extend(self.base_tables_of(table).into_iter().map(|source| (source, Mode::AccessShare)));
        let mut upstream = vec![table];
        while let Some(next) = upstream.pop() {
            for above in self.upstream_of(next) {
                relations.push((above, Mode::RowExclusive));
                upstream.push(above);
            }
        }
        let found = txn::run(Isolation::ReadCommitted, || {
            let blocking = relations.iter().find(|(relation, mode)| {
                let holders = lock::conflicting(*relation, *mode);
                circle(asker, holders.pids.into_iter().filter(|pid| *pid != process::pid()).collect())
            });
            Ok(blocking.map(|(relation, _)| definition::qualified_name(*relation).unwrap_or_default()))
        });
        let relation = found.ok().flatten()?;
        let name = &self.tables.get(&table)?.definition.name;
        Some(Failure {
            detail: Some(format!(
                "Its refresh waits for a lock on {relation} that is held by this transaction or by one that waits for it."
            )),
            hint: Some("End the transaction first.".into()),
            ..Failure::new(b"55P03", format!("cannot wait for stream table {name}"))
        })
    }
}

/// Whether `asker` is one of `blockers`, or blocks one of them through any number of others.
fn circle(asker: i32, blockers: Vec<i32>) -> bool {
    let mut seen: HashSet<i32> = HashSet::new();
    let mut open = blockers;
    while let Some(pid) = open.pop() {
        if pid == asker {
            return true;
        }
        if seen.insert(pid) {
            open.extend(lock::blocking(pid));
        }
    }
    false
}
