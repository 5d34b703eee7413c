//! Hydrating a stream table from tables that are too big to be read inside one cut: slice by slice between the cycles of
//! the other stream tables (HAZARDS E5).
//!
//! Each source is read under a snapshot of its own, held by another process ([`crate::pg::holder`]); its slices go into
//! the engine at times of their own, where only what hydrates sees them. When all sources of a stage are read, the next
//! cut feeds what was committed since each one's snapshot as one catch-up, and they go live. There are two stages: the
//! shared arrangements, then the graph's own inputs, which run through the arrangements. Stream tables that the query
//! reads are read in the cut itself, where they are at one time with their graphs.
//!
//! One table fills at a time; others that would need to wait their turn.

use crate::capture::generation::generation;
use crate::capture::layout::Layout;
use crate::capture::{self, Kind};
use crate::pg::holder::{self, Held};
use crate::pg::lock::{self, Mode};
use crate::pg::scan;
use crate::pg::snapshot::Frontier;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{log, process};
use crate::shm;
use crate::worker::database::Database;
use hashbrown::HashSet;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{Hydration, HydrationSource};
use trickle_operators::value::Row;

/// Sources up to this many bytes together are read inside the cut.
const SMALL_BYTES: u64 = 16 << 20;
/// A slice ends when it has taken this long.
const SLICE: Duration = Duration::from_millis(10);
/// Blocks that are read between two looks at the clock.
const STEP_BLOCKS: u32 = 32;
/// Rows in one chunk: a time of its own in the engine.
pub const CHUNK_ROWS: usize = 8192;
/// No further slice is read while the engine has not taken this much.
const QUEUED_BYTES: usize = 32 << 20;
/// A lock that is refused is asked for again after this.
const LOCKED: Duration = Duration::from_millis(20);

/// What is being hydrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Arrangements,
    Inputs,
}

/// A source that is being read.
struct Reading {
    hydration: Hydration,
    held: Held,
    /// Known from the first slice on: how many blocks there are, and what the snapshot covers.
    begun: Option<(u32, Frontier)>,
    next_block: u32,
}

/// A stream table that fills.
pub struct Filling {
    pub table: u32,
    pub stage: Stage,
    /// Base tables not read yet.
    tables: VecDeque<Hydration>,
    reading: Option<Reading>,
    /// Read, each with what its snapshot covers.
    read: Vec<(Hydration, Frontier)>,
    /// Stream tables, read in the cut.
    streams: Vec<Hydration>,
}

impl Filling {
    /// Whether the rest is to be done in a cut.
    pub fn is_read(&self) -> bool {
        self.tables.is_empty() && self.reading.is_none()
    }

    /// The oldest frontier from which changes will be read again, given the one that everything else starts from; `None`
    /// while a snapshot is being taken and nobody knows.
    pub fn oldest(&self, consumed: &Frontier) -> Option<Frontier> {
        let mut oldest = consumed.clone();
        let reading = self.reading.iter().map(|reading| reading.begun.as_ref().map(|(_, since)| since));
        for since in self.read.iter().map(|(_, since)| Some(since)).chain(reading) {
            let since = since?;
            if !since.covers(&oldest) {
                oldest = since.clone();
            }
        }
        Some(oldest)
    }
}

fn table_of(hydration: &Hydration) -> u32 {
    match hydration.from {
        HydrationSource::Table(table) | HydrationSource::StreamTable(table) => table,
    }
}

impl Database {
    /// Hydrates inside the cut if the sources are small; otherwise begins to fill. False: not done yet, the table waits.
    pub fn hydrate(&mut self, table: u32, stage: Stage, hydrations: Vec<Hydration>) -> Result<bool, Failure> {
        let big = |hydration: &&Hydration| matches!(hydration.from, HydrationSource::Table(_));
        let blocks: u64 =
            hydrations.iter().filter(big).filter_map(|h| scan::blocks_of(table_of(h))).map(u64::from).sum();
        if blocks * u64::from(crate::pg::scan::BLOCK_BYTES) <= SMALL_BYTES {
            for hydration in &hydrations {
                self.read_at_once(hydration)?;
            }
            return Ok(true);
        }
        if self.filling.is_some() {
            self.detach_graph(table);
            self.wait_for_filling.insert(table);
            return Ok(false);
        }
        let (tables, streams): (VecDeque<_>, Vec<_>) = {
            let (tables, streams): (Vec<_>, Vec<_>) = hydrations.into_iter().partition(|h| big(&h));
            (tables.into(), streams)
        };
        log::log(&format!("stream table {} fills from {blocks} blocks", self.tables[&table].definition.name));
        self.filling = Some(Filling { table, stage, tables, reading: None, read: Vec::new(), streams });
        Ok(false)
    }

    /// Feeds a table into what was just built, in chunks.
    fn read_at_once(&mut self, hydration: &Hydration) -> Result<(), Failure> {
        let mut chunk: Vec<(Row, i64)> = Vec::with_capacity(CHUNK_ROWS);
        let engine = &mut self.engine;
        scan::scan(table_of(hydration), &hydration.columns, None, &mut |row| {
            chunk.push((row.to_owned(), 1));
            if chunk.len() == CHUNK_ROWS {
                engine.hydrate(hydration.id, std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS)));
            }
        })?;
        if !chunk.is_empty() {
            self.engine.hydrate(hydration.id, chunk);
        }
        self.engine.hydrated(hydration.id);
        self.drain_events()
    }

    /// In a cut whose changes have been fed: what was committed since each source's snapshot, as one catch-up; from then on
    /// the sources are live.
    pub fn catch_up(&mut self, filling: Filling) -> Result<(), Failure> {
        for (hydration, since) in filling.read {
            let source = table_of(&hydration);
            let mut rows: Vec<(Row, i64)> = Vec::with_capacity(CHUNK_ROWS);
            let engine = &mut self.engine;
            capture::cut::read(&since, false, &mut |change| {
                if change.source != source || change.kind == Kind::Dirty {
                    return Ok(());
                }
                if change.kind == Kind::Break {
                    return Err(Failure::new(b"55000", "a source table was rewritten while it was read"));
                }
                let layout = Layout::load(change.layout)?;
                let place = |attnum: &i16| {
                    let at = layout.columns.iter().position(|(have, _)| have == attnum);
                    at.ok_or_else(|| Failure::new(b"55000", "changes of a source table lack a column"))
                };
                let places = hydration.columns.iter().map(place).collect::<Result<Vec<usize>, Failure>>()?;
                capture::payload::decode(change.payload, &mut |row, diff| {
                    rows.push((Row::from_columns(places.iter().map(|at| row.column(*at))), diff));
                    if rows.len() == CHUNK_ROWS {
                        engine.hydrate(hydration.id, std::mem::replace(&mut rows, Vec::with_capacity(CHUNK_ROWS)));
                    }
                })
            })?;
            if !rows.is_empty() {
                self.engine.hydrate(hydration.id, rows);
            }
            self.engine.hydrated(hydration.id);
        }
        for hydration in &filling.streams {
            self.read_at_once(hydration)?;
        }
        Ok(())
    }

    /// Ends the filling if its table is among `graphs`, which are gone.
    pub fn end_filling(&mut self, graphs: &[u32]) {
        if self.filling.take_if(|filling| graphs.contains(&filling.table)).is_some() {
            self.wait_for_filling.clear();
        }
    }

    /// One slice, outside of any cycle; how long until the next makes sense.
    pub fn fill(&mut self, entry: &'static shm::Database) -> Option<Duration> {
        let table = self.filling.as_ref().filter(|filling| !filling.is_read())?.table;
        let wait = match self.slice(entry) {
            Ok(wait) => wait,
            Err(failure) => {
                self.detach_and_forget(table);
                if let Some(state) = self.tables.get_mut(&table) {
                    log::log(&format!("could not fill stream table {}: {failure}", state.definition.name));
                    state.fail(failure, process::now());
                }
                self.publish_status();
                Some(Duration::ZERO)
            }
        };
        if self.filling.is_none() {
            self.wait_for_filling.clear();
        }
        wait
    }

    /// `None`: someone will ring.
    fn slice(&mut self, entry: &'static shm::Database) -> Result<Option<Duration>, Failure> {
        let Some(mut filling) = self.filling.take() else { return Ok(None) };
        if filling.reading.is_none() {
            let Some(hydration) = filling.tables.pop_front() else {
                self.filling = Some(filling);
                return Ok(Some(Duration::ZERO));
            };
            let held = Held::start(entry, table_of(&hydration))?;
            filling.reading = Some(Reading { hydration, held, begun: None, next_block: 0 });
        }
        let busy = self.engine.queued_bytes() > QUEUED_BYTES;
        let reading = filling.reading.as_mut().expect("just made");
        let name = reading.held.name()?.map(str::to_owned);
        let source = table_of(&reading.hydration);
        let mut wait = None;
        self.failed_evaluation = None;
        let sliced = txn::run(Isolation::RepeatableRead, || {
            let locked = lock::try_lock(source, Mode::AccessShare);
            let Some(name) = name.filter(|_| locked && !busy) else {
                txn::push_transaction_snapshot();
                self.drain_events()?;
                // A holder and the engine ring; who gives back a lock does not.
                wait = (!locked).then_some(LOCKED);
                return Ok(true);
            };
            holder::import(&name)?;
            if Some(generation(source)) != self.sources.get(&source).and_then(|state| state.generation.clone()) {
                return Ok(false);
            }
            self.read_slice(reading)?;
            self.drain_events()?;
            wait = Some(Duration::ZERO);
            Ok(true)
        });
        let sliced = match sliced {
            // Another table's expression: what was read of this one is in the engine, whatever becomes of the transaction.
            Err(_) if self.failed_evaluation.is_some_and(|failed| failed != filling.table) => true,
            sliced => sliced?,
        };
        if !self.engine.graphs().contains(&filling.table) {
            // Given up by the engine meanwhile.
            return Ok(Some(Duration::ZERO));
        }
        if !sliced {
            self.break_readers(&HashSet::from([source]));
            return Ok(Some(Duration::ZERO));
        }
        let done = reading.begun.as_ref().is_some_and(|(blocks, _)| reading.next_block >= *blocks);
        if done {
            if let Some(Reading { hydration, begun: Some((_, since)), .. }) = filling.reading.take() {
                filling.read.push((hydration, since));
            }
        }
        self.filling = Some(filling);
        Ok(wait)
    }

    fn read_slice(&mut self, reading: &mut Reading) -> Result<(), Failure> {
        let clock = Instant::now();
        let source = table_of(&reading.hydration);
        let Some(now) = scan::blocks_of(source) else {
            return Err(Failure::new(b"0A000", "the table's access method cannot read ranges of blocks"));
        };
        let blocks = reading.begun.get_or_insert_with(|| (now, Frontier::take())).0;
        let id = reading.hydration.id;
        let mut chunk: Vec<(Row, i64)> = Vec::with_capacity(CHUNK_ROWS);
        while reading.next_block < blocks && clock.elapsed() < SLICE {
            let last = (reading.next_block + STEP_BLOCKS).min(blocks) - 1;
            let range = reading.next_block..=last;
            let engine = &mut self.engine;
            scan::scan(source, &reading.hydration.columns, Some(range), &mut |row| {
                chunk.push((row.to_owned(), 1));
                if chunk.len() == CHUNK_ROWS {
                    engine.hydrate(id, std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS)));
                }
            })?;
            reading.next_block = last + 1;
        }
        if !chunk.is_empty() {
            self.engine.hydrate(id, chunk);
        }
        Ok(())
    }
}
