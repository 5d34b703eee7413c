//! `verify()`: has a stream table compared with its query by a process of its own, and waits for what that finds.

use super::arguments::{definition, require_owner};
use super::requests::{in_the_way, reach_worker, refuse_if_hopeless, running_worker, LOOK_MILLISECONDS};
use super::require_preloaded;
use crate::catalog::Definition;
use crate::pg::background::{self, Bound, Start, State};
use crate::pg::txn::Failure;
use crate::pg::{lock, parcel, process, wait};
use crate::worker::verifier::{Answer, Difference};
use pgrx::prelude::*;

#[pg_extern]
fn verify(
    name: &str,
) -> TableIterator<'static, (name!(difference, String), name!(occurrences, i64), name!(row_text, String))> {
    require_preloaded();
    let definition = definition(name);
    // Shows rows of the sources, so it takes more than SELECT on the result (HAZARDS H52).
    require_owner(definition.table);
    let differences = compare(&definition).unwrap_or_else(|failure| failure.raise());
    TableIterator::new(differences.into_iter().map(|Difference { missing, occurrences, row_text }| {
        let kind = if missing { "missing" } else { "unexpected" };
        (kind.to_string(), occurrences, row_text)
    }))
}

fn compare(definition: &Definition) -> Answer {
    let (shared, database) = reach_worker();
    refuse_if_hopeless(definition);
    let claim = shared.verifiers.claim(definition.table, process::pid(), process::alive)?;
    // Ends with this call, however that ends.
    let verifier = match background::start_verifier(process::database(), claim.task()) {
        Start::Started(handle) => Bound::new(handle),
        Start::NoSlot => {
            return Err(Failure::new(b"53000", "no background worker slot is free to verify a stream table")
                .hint("Increase \"max_worker_processes\"."))
        }
    };
    loop {
        // Asked in this order: one that has ended may have answered just before.
        let ended = verifier.state() == State::Ended;
        if let Some(parcel) = claim.answer() {
            let bytes = parcel::open(parcel)?;
            verifier.release();
            return bincode::deserialize(&bytes)
                .map_err(|error| Failure::new(b"XX000", format!("could not decode an answer: {error}")))?;
        }
        if ended {
            let text = format!("the process that was to verify stream table {} has ended", definition.name);
            return Err(Failure::new(b"55000", text).hint("See the server log."));
        }
        if database.worker_pid().is_none() {
            running_worker(shared);
        }
        let waiting = [verifier.pid(), database.worker_pid()];
        if waiting.into_iter().flatten().any(|pid| lock::circle(process::pid(), lock::blocking(pid))) {
            in_the_way(definition);
        }
        wait::on_latch(LOOK_MILLISECONDS);
    }
}
