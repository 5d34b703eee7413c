//! Prepared transactions, whose end nobody may announce.
//!
//! COMMIT PREPARED is another session's, which has captured nothing; the utility hook rings for it. But the apply worker of
//! a subscription with two_phase commits prepared transactions without any command. So while one is undecided the worker
//! looks now and then whether one has gone (HAZARDS H14). After a start it looks too: they outlive the server.

use crate::pg::role::as_extension;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{process, spi};
use crate::shm;
use crate::worker::database::Database;
use hashbrown::HashSet;
use std::time::Duration;

/// What the worker knows of prepared transactions.
#[derive(Default)]
pub struct Prepared {
    /// Those of this database that were undecided at the last look; `None` before the first.
    undecided: Option<HashSet<String>>,
    looked_at: i64,
}

impl Database {
    /// Looks whether a prepared transaction has ended, at most once in `every` and only while there is one; when to look
    /// again, if at all.
    pub fn watch_prepared(&mut self, entry: &shm::Database, every: Duration) -> Result<Option<Duration>, Failure> {
        let fresh = entry.take_prepared();
        let idle = self.prepared.undecided.as_ref().is_some_and(HashSet::is_empty);
        if idle && !fresh {
            return Ok(None);
        }
        let now = process::now();
        let rest = every.as_micros() as i64 - (now - self.prepared.looked_at);
        if rest > 0 && !fresh && self.prepared.undecided.is_some() {
            return Ok(Some(Duration::from_micros(rest as u64)));
        }
        let found = txn::run(Isolation::ReadCommitted, || Ok(undecided()))?;
        for gone in self.prepared.undecided.iter().flatten().filter(|one| !found.contains(*one)) {
            entry.note_unattributed(now);
            // Nobody else will, if no command has ended it.
            if let (Some(shared), Ok(xid)) = (shm::shared(), gone.parse()) {
                shared.prepared.take(xid, |_, _, _, _| {});
            }
        }
        self.prepared.looked_at = now;
        let waits = !found.is_empty();
        self.prepared.undecided = Some(found);
        Ok(waits.then_some(every))
    }
}

/// The xids of this database's prepared transactions.
fn undecided() -> HashSet<String> {
    let rows = as_extension(|| {
        spi::query(
            "SELECT transaction FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()",
            &[],
        )
    });
    rows.into_iter().flatten().flatten().collect()
}
