//! The base tables under the stream tables: capture, layouts, and the net under every change that no trigger saw.
//!
//! The *capture generation* of a source is everything about it that decides whether its change rows tell the whole story.
//! It is compared at every cut whose source was invalidated, under the lock and before anything is published: a difference
//! means that rows may have changed unseen, so whatever reads the source is attached anew, by difference.

use crate::capture;
use crate::capture::generation::Generation;
use crate::compile::Compiled;
use crate::pg::invalidation;
use crate::pg::txn::{self, Failure, Isolation};
use crate::worker::database::Database;
use hashbrown::{HashMap, HashSet};

/// What the worker knows about one captured base table.
pub struct SourceState {
    /// `None`: must be read again before anything attaches.
    pub generation: Option<Generation>,
    /// Columns that its capture writes.
    pub columns: Vec<i16>,
}

/// The column lists of layouts that were met; a layout never changes once it exists.
#[derive(Default)]
pub struct Layouts(HashMap<u32, Vec<i16>>);

impl Layouts {
    /// Attribute numbers of a layout, in the order in which its rows have them.
    pub fn columns(&mut self, layout: u32) -> Result<&[i16], Failure> {
        if !self.0.contains_key(&layout) {
            let columns = capture::layout::columns(layout)?;
            self.0.insert(layout, columns);
        }
        Ok(&self.0[&layout])
    }
}

impl Database {
    /// Makes sure that changes of `source` are captured with at least `columns`, in a short transaction of its own.
    pub fn capture_source(&mut self, source: u32, columns: &[i16]) -> Result<(), Failure> {
        let generation = txn::run(Isolation::ReadCommitted, || {
            capture::install::ensure(source, columns)?;
            capture::generation::of(source)
        })?;
        let state =
            self.sources.entry(source).or_insert_with(|| SourceState { generation: None, columns: Vec::new() });
        // Widening changes the generation of a source that others read already; they have missed nothing.
        state.generation = Some(generation);
        state.columns = columns.to_vec();
        Ok(())
    }

    /// Sources whose generation differs from what was noted, among those whose relcache entry was invalidated: their
    /// readers are detached, and returned.
    pub fn check_generations(&mut self, refused: &HashSet<u32>) -> HashSet<u32> {
        let invalidated = invalidation::take();
        let mut broken = HashSet::new();
        for (oid, state) in &mut self.sources {
            if refused.contains(oid) || !invalidated.includes(*oid) {
                continue;
            }
            let now = capture::generation::of(*oid).ok();
            if now.is_none() || now != state.generation {
                state.generation = None;
                broken.insert(*oid);
            }
        }
        // Not looked at because they are locked: next time.
        invalidation::put_back(refused.iter().copied().filter(|oid| invalidated.includes(*oid)));
        self.break_readers(&broken)
    }

    /// Detaches everything that reads `broken` sources.
    pub fn break_readers(&mut self, broken: &HashSet<u32>) -> HashSet<u32> {
        let readers = self.readers_of(broken);
        for reader in &readers {
            self.detach_and_forget(*reader);
        }
        readers
    }

    /// Whether `owner` may have every base table of a query captured (HAZARDS H49); the inner error is the reason.
    pub fn may_capture(&self, owner: u32, compiled: &Compiled) -> Result<Result<(), String>, Failure> {
        for source in compiled.sources.iter().filter(|source| !source.is_stream_table) {
            if let Err(reason) = capture::permitted(owner, source.oid)? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(()))
    }
}
