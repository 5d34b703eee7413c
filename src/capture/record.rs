//! What a capture trigger does: pack the affected rows and write them to the active segment.
//!
//! The user's statement must not fail for anything foreseeable (HAZARDS H25): where the rows cannot be described, a
//! *break* row is written instead, and whoever reads the source is built anew. Memory is bounded: a batch is written when
//! it fills a page, so that a change row stays inline unless a single row is larger (H29).

use crate::capture::layout::Captured;
use crate::capture::{payload, segments, Kind};
use crate::pg::process;
use crate::pg::segment::{self, Change};
use crate::pg::trigger::{Event, Firing};
use crate::pg::xact::{self, End};
use crate::shm::{self, Database};
use std::cell::RefCell;
use trickle_operators::value::RowRef;

/// What this transaction has written: for the counters, if it or a part of it is rolled back, and for the wake-up.
#[derive(Clone, Copy)]
struct Written {
    source: u32,
    subtransaction: u32,
    rows: u64,
    bytes: u64,
    first_at: i64,
}

thread_local! {
    static WRITTEN: RefCell<Vec<Written>> = const { RefCell::new(Vec::new()) };
}

/// Called for each firing of a capture trigger.
pub fn fired(firing: &Firing<'_>) {
    let Some(shared) = shm::shared() else {
        // Without the library in shared_preload_libraries no worker runs that could miss anything: its next start finds
        // everything by difference.
        return;
    };
    let Some(database) = shared.databases.claim(process::database()) else {
        return;
    };
    let mut batch = Batch::new(firing.source(), database);
    let Some(captured) = Captured::parse(firing.arguments()) else {
        return batch.write_mark(Kind::Break, 0);
    };
    batch.layout = captured.layout;
    match firing.event() {
        Event::Truncate => batch.write_mark(Kind::Break, 0),
        _ if !firing.any() => {}
        _ if captured.columns.is_empty() => batch.write_mark(Kind::Dirty, 1),
        _ if !firing.has(&captured.columns) => batch.write_mark(Kind::Break, 0),
        _ => {
            // An UPDATE that leaves every captured column as it was is no change of them.
            let mut other = false;
            firing.rows(&captured.columns, &mut |old, new| {
                if old != new {
                    batch.add(old, true);
                    batch.add(new, false);
                } else {
                    other = true;
                }
            });
            batch.flush();
            if other && captured.every_change {
                batch.write_mark(Kind::Dirty, 1);
            }
        }
    }
}

/// A change row under construction.
struct Batch<'a> {
    source: u32,
    layout: i32,
    database: &'a Database,
    captured_at: i64,
    rows: i32,
    /// Four bytes for the length word, then the payload.
    buffer: Vec<u8>,
    /// A break was written: what follows needs no description.
    broken: bool,
}

impl<'a> Batch<'a> {
    fn new(source: u32, database: &'a Database) -> Self {
        let buffer = Vec::with_capacity(256);
        Batch { source, layout: 0, database, captured_at: process::now(), rows: 0, buffer, broken: false }
    }

    fn add(&mut self, row: Option<RowRef<'_>>, removed: bool) {
        let Some(row) = row else { return };
        if self.broken {
            return;
        }
        if self.rows > 0 && self.buffer.len() - 4 + payload::size(row) > segment::INLINE_PAYLOAD {
            self.flush();
        }
        if payload::size(row) > segment::LONGEST_PAYLOAD {
            self.broken = true;
            return self.write_mark(Kind::Break, 0);
        }
        if self.rows == 0 {
            self.buffer.clear();
            self.buffer.extend_from_slice(&[0; 4]);
        }
        payload::push(&mut self.buffer, row, removed);
        self.rows += 1;
    }

    fn flush(&mut self) {
        if self.rows > 0 {
            let rows = std::mem::take(&mut self.rows);
            self.write(Kind::Changes, rows);
        }
    }

    fn write_mark(&mut self, kind: Kind, rows: i32) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; 4]);
        self.rows = 0;
        self.write(kind, rows);
    }

    fn write(&mut self, kind: Kind, rows: i32) {
        let xid = xact::top_xid();
        let written = segments::place(self.database, &mut |segment| {
            let change = Change {
                xid,
                source: self.source,
                layout: self.layout,
                rows,
                captured_at: self.captured_at,
                kind: kind.code(),
                payload: &[],
            };
            segment::insert(segment, &change, &mut self.buffer)
        });
        let Some(lane) = written else {
            // No segment at all: the extension is being dropped, or its tables were tampered with.
            return note_unrecorded();
        };
        let bytes = self.buffer.len() as u64;
        if let Some(lane) = lane {
            self.database.note_written(lane, bytes);
        }
        note(self.database, self.source, rows.max(0) as u64, bytes, self.captured_at);
    }
}

/// The source of what could not be written anywhere.
const UNRECORDED: u32 = 0;

/// Everything is rebuilt when this transaction has committed: what is rebuilt before does not see it.
fn note_unrecorded() {
    xact::observe(ended);
    let entry = Written { source: UNRECORDED, subtransaction: xact::subtransaction(), rows: 0, bytes: 0, first_at: 0 };
    WRITTEN.with_borrow_mut(|written| written.push(entry));
}

fn note(database: &Database, source: u32, rows: u64, bytes: u64, at: i64) {
    xact::observe(ended);
    let subtransaction = xact::subtransaction();
    WRITTEN.with_borrow_mut(|written| match written.last_mut() {
        Some(last) if last.source == source && last.subtransaction == subtransaction => {
            last.rows += rows;
            last.bytes += bytes;
        }
        _ => written.push(Written { source, subtransaction, rows, bytes, first_at: at }),
    });
    if let Some(counters) = shm::shared().and_then(|shared| shared.sources.claim(database.oid(), source)) {
        counters.note_captured(rows, bytes);
    }
}

/// Called at the end of each (sub)transaction of a process that has captured something.
fn ended(end: End) {
    let mut ended: Vec<Written> = WRITTEN.with_borrow_mut(|written| match end {
        End::Commit | End::Abort | End::Prepare => std::mem::take(written),
        // What was written in it is at the end: numbers only grow, and its own and its children's are not below its own.
        End::SubAbort(number) => {
            let kept = written.iter().rposition(|entry| entry.subtransaction < number).map_or(0, |last| last + 1);
            written.split_off(kept)
        }
    });
    if ended.is_empty() {
        return;
    }
    if end == End::Prepare {
        ended = by_source(ended);
    }
    let Some(shared) = shm::shared() else { return };
    let Some(database) = shared.databases.find(process::database()) else { return };
    for entry in &ended {
        let counters = shared.sources.find(database.oid(), entry.source);
        match (end, counters) {
            (End::Commit, _) if entry.source == UNRECORDED => database.mark_lost(),
            (End::Commit, Some(counters)) => counters.note_committed(entry.first_at),
            (End::Commit, None) => database.note_unattributed(entry.first_at),
            // What becomes of it is decided by another session: one that commits it announces it as unattributed, one that
            // rolls it back takes this back.
            (End::Prepare, _) => {
                database.note_prepared();
                if let Some(xid) = xact::top_xid_if_any() {
                    shared.prepared.note(xid, database.oid(), entry.source, entry.rows, entry.bytes);
                }
            }
            (End::Abort | End::SubAbort(_), Some(counters)) => counters.take_back(entry.rows, entry.bytes),
            (End::Abort | End::SubAbort(_), None) => {}
        }
    }
    if matches!(end, End::Commit | End::Prepare) {
        database.wake();
    }
}

/// One entry a source, whatever subtransaction wrote.
fn by_source(mut written: Vec<Written>) -> Vec<Written> {
    written.sort_by_key(|entry| entry.source);
    written.dedup_by(|next, first| {
        let same = next.source == first.source;
        if same {
            first.rows += next.rows;
            first.bytes += next.bytes;
        }
        same
    });
    written
}
