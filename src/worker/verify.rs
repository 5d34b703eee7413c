//! The worker's part of verify(): it tells a verifier the moment at which a stream table must equal its query. The table is
//! brought up to date in a cycle, so the moment is that cycle's outcome: the sources as the cut shows them, the stream tables
//! as the cycle has written them (HAZARDS H12). The comparing itself, which may take long, is the verifier's.

use crate::pg::outcome::Outcome;
use crate::pg::txn::Failure;
use crate::shm::requests::PAYLOAD_BYTES;
use crate::worker::cycle::Cycle;
use crate::worker::database::Database;
use bincode::Options;
use serde::{Deserialize, Serialize};
use trickle_operators::expr::clock::Instant;

/// What a verifier is told.
#[derive(Serialize, Deserialize)]
pub struct Moment {
    pub outcome: Outcome,
    /// Whether an engine's graph made the content: then columns that the sources do not determine may differ.
    pub incremental: bool,
    /// What the clock of the table's temporal filters shows, if it has any.
    pub clock: Option<Instant>,
}

impl Moment {
    fn encode(&self) -> Result<Vec<u8>, Failure> {
        let bytes = bincode::options()
            .serialize(self)
            .map_err(|error| Failure::new(b"XX000", format!("could not encode a snapshot: {error}")))?;
        if bytes.len() > PAYLOAD_BYTES {
            let failure = Failure::new(b"53000", "too many transactions are running to verify a stream table");
            return Err(failure.hint("Try again when fewer transactions write."));
        }
        Ok(bytes)
    }

    pub fn decode(bytes: &[u8]) -> Result<Moment, Failure> {
        bincode::options()
            .deserialize(bytes)
            .map_err(|error| Failure::new(b"XX000", format!("could not decode a snapshot: {error}")))
    }
}

impl Database {
    /// Answers requests to verify tables that this cycle has brought up to date, if it commits. When everything is written.
    pub fn note_for_verifiers(&mut self, cycle: &Cycle<'_>) {
        for (request, table) in &cycle.agenda.verify {
            if !cycle.written.iter().any(|written| written.table == *table) {
                continue;
            }
            let incremental = self.tables[table].is_incremental();
            let clock = self.engine.instant(*table);
            let moment = Moment { outcome: Outcome::so_far(&cycle.snapshot), incremental, clock };
            self.verified.insert(*request, moment.encode());
        }
    }
}
