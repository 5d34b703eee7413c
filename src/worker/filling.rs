//! Hydrating a stream table from tables that are too big to be read inside one cut: slice by slice between the cycles of
//! the other stream tables (HAZARDS E5).
//!
//! Each source, with all of its partitions and children, is read under a snapshot of its own, held by another process ([`crate::pg::holder`]); its slices go into
//! the engine at times of their own, where only what hydrates sees them. When all sources of a stage are read, the next
//! cut feeds what was committed since each one's snapshot as one catch-up, and they go live. There are two stages: the
//! shared arrangements, then the graph's own inputs, which run through the arrangements. Stream tables that the query
//! reads are read in the cut itself, where they are at one time with their graphs.
//!
//! One table fills at a time; others that would need to wait their turn.

use crate::capture::layout::{self, Layout, Place};
use crate::capture::{self, Kind};
use crate::pg::holder::{self, Held};
use crate::pg::lock::{self, Mode};
use crate::pg::scan;
use crate::pg::snapshot::Frontier;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{log, process};
use crate::shm;
use crate::worker::database::Database;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{Hydration, HydrationSource};
use trickle_operators::value::Row;

/// Sources up to this many bytes together are read inside the cut.
pub const SMALL_BYTES: u64 = 16 << 20;
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

/// A source that is being read, one table after the other of those that hold its rows, all under one snapshot.
struct Reading {
    hydration: Hydration,
    held: Held,
    /// Those that are left, with the columns that are read.
    members: VecDeque<(u32, Vec<i16>)>,
    /// Known from the first slice on: what the snapshot covers.
    begun: Option<Frontier>,
    /// Known from a table's first slice on: how many blocks it has.
    blocks: Option<u32>,
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

    /// Whether it reads a base table.
    pub fn reads(&self, source: u32) -> bool {
        let reading = self.reading.iter().map(|reading| &reading.hydration);
        let read = self.read.iter().map(|(hydration, _)| hydration);
        self.tables.iter().chain(reading).chain(read).any(|hydration| table_of(hydration) == source)
    }

    /// The oldest frontier from which changes will be read again, given the one that everything else starts from; `None`
    /// while a snapshot is being taken and nobody knows.
    pub fn oldest(&self, consumed: &Frontier) -> Option<Frontier> {
        let mut oldest = consumed.clone();
        let reading = self.reading.iter().map(|reading| reading.begun.as_ref());
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
        let members = hydrations.iter().filter(big).flat_map(|h| self.sources.members(table_of(h)));
        let blocks: u64 = members.filter_map(|member| scan::blocks_of(member.relation)).map(u64::from).sum();
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
        for (table, columns) in self.parts(hydration)? {
            let engine = &mut self.engine;
            scan::scan(table, &columns, None, &mut |row| {
                chunk.push((row.to_owned(), 1));
                if chunk.len() == CHUNK_ROWS {
                    engine.hydrate(hydration.id, std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS)));
                }
            })?;
        }
        if !chunk.is_empty() {
            self.engine.hydrate(hydration.id, chunk);
        }
        self.engine.hydrated(hydration.id);
        self.drain_events()
    }

    /// The tables that hold the rows of what is hydrated, with the numbers that each has for the columns.
    fn parts(&self, hydration: &Hydration) -> Result<VecDeque<(u32, Vec<i16>)>, Failure> {
        let members = self.sources.members(table_of(hydration)).into_iter();
        members
            .map(|member| {
                let own = hydration.columns.iter().map(|column| member.own(*column));
                match own.collect::<Option<Vec<i16>>>() {
                    Some(columns) => Ok((member.relation, columns)),
                    None => Err(Failure::new(b"55000", "a partition lacks a column of its source")),
                }
            })
            .collect()
    }

    /// In a cut whose changes have been fed: what was committed since each source's snapshot, as one catch-up; from then on
    /// the sources are live.
    pub fn catch_up(&mut self, filling: Filling) -> Result<(), Failure> {
        for (hydration, since) in filling.read {
            let members: HashMap<u32, Vec<i16>> = self.parts(&hydration)?.into_iter().collect();
            let mut rows: Vec<(Row, i64)> = Vec::with_capacity(CHUNK_ROWS);
            let engine = &mut self.engine;
            capture::cut::read(&since, false, &mut |change| {
                let Some(columns) = members.get(&change.source).filter(|_| change.kind != Kind::Dirty) else {
                    return Ok(());
                };
                if change.kind == Kind::Break {
                    return Err(Failure::new(b"55000", "a source table was rewritten while it was read"));
                }
                let layout = Layout::load(change.layout)?;
                let place = |own: &i16| {
                    let place = layout.place(*own);
                    place.ok_or_else(|| Failure::new(b"55000", "changes of a source table lack a column"))
                };
                let places = columns.iter().map(place).collect::<Result<Vec<Place>, Failure>>()?;
                capture::payload::decode(change.payload, &mut |row, diff| {
                    rows.push((layout::arranged(row, change.source, places.iter().copied()), diff));
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
            let members = self.parts(&hydration)?;
            filling.reading = Some(Reading { hydration, held, members, begun: None, blocks: None, next_block: 0 });
        }
        let busy = self.engine.queued_bytes() > QUEUED_BYTES;
        let reading = filling.reading.as_mut().expect("just made");
        let name = reading.held.name()?.map(str::to_owned);
        let source = table_of(&reading.hydration);
        let table = reading.members.front().map_or(source, |(table, _)| *table);
        let mut wait = None;
        self.failed_evaluation = None;
        let sliced = txn::run(Isolation::RepeatableRead, || {
            let locked = lock::try_lock(table, Mode::AccessShare);
            let Some(name) = name.filter(|_| locked && !busy) else {
                txn::push_transaction_snapshot();
                self.drain_events()?;
                // A holder and the engine ring; who gives back a lock does not.
                wait = (!locked).then_some(LOCKED);
                return Ok(true);
            };
            holder::import(&name)?;
            // Whether it still is a part of the source is seen by the next cut, which does not go on with this then.
            if !self.sources.holds(source, table) {
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
        if reading.members.is_empty() {
            if let Some(Reading { hydration, begun: Some(since), .. }) = filling.reading.take() {
                filling.read.push((hydration, since));
            }
        }
        self.filling = Some(filling);
        Ok(wait)
    }

    /// Reads on in the first of the tables that are left, which is locked.
    fn read_slice(&mut self, reading: &mut Reading) -> Result<(), Failure> {
        let clock = Instant::now();
        reading.begun.get_or_insert_with(Frontier::take);
        let Some((table, columns)) = reading.members.front() else { return Ok(()) };
        let Some(now) = scan::blocks_of(*table) else {
            return Err(Failure::new(b"0A000", "the table's access method cannot read ranges of blocks"));
        };
        let blocks = *reading.blocks.get_or_insert(now);
        let id = reading.hydration.id;
        let mut chunk: Vec<(Row, i64)> = Vec::with_capacity(CHUNK_ROWS);
        while reading.next_block < blocks && clock.elapsed() < SLICE {
            let last = (reading.next_block + STEP_BLOCKS).min(blocks) - 1;
            let range = reading.next_block..=last;
            let engine = &mut self.engine;
            scan::scan(*table, columns, Some(range), &mut |row| {
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
        if reading.next_block >= blocks {
            reading.members.pop_front();
            (reading.blocks, reading.next_block) = (None, 0);
        }
        Ok(())
    }
}
