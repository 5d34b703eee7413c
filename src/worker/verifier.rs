//! A verifier: a process that compares one stream table with its query, for one session, while the database's worker goes on.
//!
//! It locks what the query reads, takes a snapshot, which only holds back VACUUM, and asks the worker for a moment at which
//! the table must equal its query: see [`crate::worker::verify`]. The worker's cut comes after the snapshot and the locks, so
//! neither VACUUM nor a TRUNCATE or rewrite can have taken anything from what it shows (HAZARDS H4). Then the verifier has
//! its transaction see that moment and runs the query. It is ended when the session that waits for it is.

use crate::catalog::{self, Definition, Mode};
use crate::compile::{self, Compiled, Options, StreamMode};
use crate::pg::inheritance;
use crate::pg::lock::{self, Mode as LockMode};
use crate::pg::parcel::Parcel;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{executor, owner, process, role, sink, spi, text, wait};
use crate::shm::requests::Kind;
use crate::shm::verifiers::Task;
use crate::shm::{self, Shared};
use crate::worker::delta::Pending;
use crate::worker::verify::Moment;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use trickle_operators::plan::Plan;
use trickle_operators::value::{Row, RowRef};

/// Differing rows that are shown.
const SHOWN: usize = 1000;

/// While the verifier waits for the worker, it looks this often whether someone waits for its locks; answers come by latch.
const LOOK_MILLISECONDS: i64 = 100;
/// While it waits for its answer to be read, it looks this often whether it is still wanted; that comes by latch too.
const LINGER_MILLISECONDS: i64 = 1_000;

/// A row in which content and query differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In the query and not in the table, or the other way round.
    pub missing: bool,
    pub occurrences: i64,
    pub row_text: String,
}

/// What the session is told.
pub type Answer = Result<Vec<Difference>, Failure>;

/// The verifier's main function.
pub fn run(database: u32, task: u32) -> Result<(), Failure> {
    let Some(shared) = shm::shared() else { return Ok(()) };
    let Some(task) = shared.verifiers.begin(task) else { return Ok(()) };
    let answer = compare(shared, database, &task);
    let bytes = bincode::serialize(&answer)
        .map_err(|error| Failure::new(b"XX000", format!("could not encode an answer: {error}")))?;
    let parcel = txn::run(Isolation::ReadCommitted, || Ok(Parcel::pack(&bytes)))?;
    if task.answer(parcel.number()) {
        process::wake(task.session);
        while task.wanted() {
            wait::on_latch(LINGER_MILLISECONDS);
        }
    }
    Ok(())
}

fn compare(shared: &Shared, database: u32, task: &Task<'_>) -> Answer {
    while task.wanted() {
        match attempt(shared, database, task) {
            Ok(Some(differences)) => return Ok(differences),
            // Someone waits for what this process had locked, or what it read first had changed: anew, with all locks given
            // back in between.
            Ok(None) => {}
            // Waiting goes on, as anywhere in PostgreSQL; but never so long that others' deadlock detection sees it (H44).
            Err(failure) if failure.sqlstate == *b"55P03" => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Vec::new())
}

/// What the verifier needs to know of a stream table.
struct Subject {
    definition: Definition,
    compiled: Compiled,
}

impl Subject {
    fn read(table: u32) -> Result<Subject, Failure> {
        let gone = || Failure::new(b"42P01", "the stream table does not exist, or is not committed yet");
        let definition = catalog::definition::find(table).ok_or_else(gone)?;
        let modes: HashMap<u32, Mode> =
            catalog::definition::all().into_iter().map(|one| (one.table, one.mode)).collect();
        let kind = |relation: u32| {
            modes.get(&relation).map(|mode| match mode {
                Mode::Full => StreamMode::Full,
                Mode::Differential => StreamMode::Incremental,
            })
        };
        let compiled = owner::as_owner(definition.owner, &definition.settings, || {
            let options = Options::new(&kind);
            compile::compile_view(definition.view, &options)
                .map_err(|error| Failure::new(&error.sqlstate, error.message))
        })?;
        Ok(Subject { definition, compiled })
    }

    /// Everything that reading the table and running its query locks, in OID order.
    fn relations(&self) -> Vec<u32> {
        let mut all = vec![self.definition.table, self.definition.view];
        all.extend(&self.compiled.views);
        all.extend(self.compiled.sources.iter().flat_map(|source| inheritance::family(source.relation)));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// `None`: to be tried again.
fn attempt(shared: &Shared, database: u32, task: &Task<'_>) -> Result<Option<Vec<Difference>>, Failure> {
    let relations = txn::run(Isolation::ReadCommitted, || Ok(Subject::read(task.table)?.relations()))?;
    txn::run(Isolation::RepeatableRead, || {
        relations.iter().for_each(|relation| lock::lock(*relation, LockMode::AccessShare));
        txn::push_transaction_snapshot();
        let Some(moment) = ask(shared, database, task, &relations)? else { return Ok(None) };
        moment.outcome.adopt()?;
        // Under the locks nothing of it can change any more.
        let subject = Subject::read(task.table)?;
        if subject.relations() != relations {
            return Ok(None);
        }
        differences(&subject, &moment).map(Some)
    })
}

/// Asks the worker; `None` if someone waits for a lock of this process. That may be what the worker would need to queue
/// behind: it never waits for a source, so then it would never get to the answer.
fn ask(shared: &Shared, database: u32, task: &Task<'_>, locked: &[u32]) -> Result<Option<Moment>, Failure> {
    let entry = shared
        .databases
        .find(database)
        .ok_or_else(|| Failure::new(b"55000", "the worker of pg_trickle for this database is not running"))?;
    let ticket = shared.requests.submit(database, Kind::Verify, task.table, process::pid(), task.session)?;
    entry.wake();
    loop {
        if let Some(answer) = ticket.poll() {
            return answer.and_then(|bytes| Moment::decode(&bytes)).map(Some);
        }
        if !task.wanted() || others_wait(locked) {
            return Ok(None);
        }
        wait::on_latch(LOOK_MILLISECONDS);
    }
}

/// Whether someone waits for a lock that AccessShareLock on one of `relations` keeps from being granted.
fn others_wait(relations: &[u32]) -> bool {
    let relations: Vec<String> = relations.iter().map(u32::to_string).collect();
    let (_, database) = role::incarnation();
    // Not by LockHasWaiters(): it does not know of locks that were taken by the fast path.
    let found = role::as_extension(|| {
        spi::query(
            "SELECT FROM pg_catalog.pg_locks
              WHERE NOT granted AND locktype = 'relation' AND mode = 'AccessExclusiveLock'
                AND database = $1::oid AND relation = ANY ($2::oid[])",
            &[Some(&database), Some(&format!("{{{}}}", relations.join(",")))],
        )
    });
    !found.is_empty()
}

/// Compares content and query under the active snapshot, the query as of what the table's clock shows. Columns that the
/// content of the sources does not determine are left out if an engine made them (HAZARDS E20); where it may not determine
/// which rows there are, there is nothing to compare.
fn differences(subject: &Subject, moment: &Moment) -> Result<Vec<Difference>, Failure> {
    let Subject { definition, compiled } = subject;
    let determined = |plan: &Plan| plan.columns.is_empty() || plan.columns.iter().any(|column| column.settled);
    if moment.incremental && compiled.plan.as_ref().is_ok_and(|plan| !determined(plan)) {
        return Ok(Vec::new());
    }
    let compared: Vec<bool> = match &compiled.plan {
        Ok(plan) if moment.incremental => plan.columns.iter().map(|column| column.determined).collect(),
        _ => vec![true; compiled.columns.len()],
    };
    let shown = |row: RowRef<'_>| {
        Row::from_columns(row.columns().zip(&compared).filter(|(_, on)| **on).map(|(image, _)| image))
    };
    let columns: Vec<_> = compiled.columns.iter().map(|column| column.ty.clone()).collect();
    let mut difference = Pending::default();
    sink::read(definition.table, &columns, &mut |row| difference.add(shown(row), -1))?;
    owner::as_owner(definition.owner, &definition.settings, || {
        executor::run_view(definition.view, moment.clock, &mut |row| difference.add(shown(row), 1))
    })?;
    let types: Vec<_> = columns.into_iter().zip(&compared).filter(|(_, on)| **on).map(|(ty, _)| ty).collect();
    let described = difference.iter().take(SHOWN).map(|(row, diff)| Difference {
        missing: diff > 0,
        occurrences: diff.abs(),
        row_text: text::row(row.as_ref(), &types),
    });
    let mut described: Vec<_> = described.collect();
    described.sort_by(|a, b| (b.missing, &a.row_text).cmp(&(a.missing, &b.row_text)));
    Ok(described)
}
