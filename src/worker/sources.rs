//! The base tables under the stream tables: capture, layouts, and the net under every change that no trigger saw.
//!
//! The *capture generation* of a source is everything about it that decides whether its change rows tell the whole story.
//! It is compared at every cut whose source was invalidated, under the lock and before anything is published: a difference
//! means that rows may have changed unseen, so whatever reads the source is attached anew, by difference.

use crate::capture::generation::{generation, Generation};
use crate::capture::install::{self, Blocked};
use crate::capture::segments;
use crate::catalog::capture_grant;
use crate::compile::{self, Compiled};
use crate::pg::invalidation::{self, Invalidated};
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{definition, log, owner, process};
use crate::settings;
use crate::shm;
use crate::worker::database::Database;
use crate::worker::table::{Mode, StreamTable};
use hashbrown::HashSet;

/// What the worker knows about one captured base table.
pub struct SourceState {
    /// `None`: must be read again before anything attaches.
    pub generation: Option<Generation>,
    /// Columns that its capture writes.
    pub columns: Vec<i16>,
}

impl Database {
    /// Makes sure that changes of `source` are captured with at least `columns`, in a short transaction of its own.
    /// `every_change`: those of other columns too, as something that changed.
    pub fn capture_source(&mut self, source: u32, columns: &[i16], every_change: bool) -> Result<(), Failure> {
        let generation = txn::run(Isolation::ReadCommitted, || {
            install::ensure(source, columns, every_change).map_err(blocked)?;
            Ok(generation(source))
        })?;
        let state = self.sources.entry(source).or_insert_with(|| SourceState { generation: None, columns: Vec::new() });
        // Widening changes the generation of a source that others read already; they have missed nothing.
        state.generation = Some(generation);
        state.columns = columns.to_vec();
        Ok(())
    }

    /// Sources whose generation differs from what was noted, among those whose relcache entry was invalidated: their
    /// readers are detached, and returned.
    pub fn check_generations(&mut self, refused: &HashSet<u32>, invalidated: &Invalidated) -> HashSet<u32> {
        let (mut broken, mut altered) = (HashSet::new(), HashSet::new());
        for (oid, state) in &mut self.sources {
            if refused.contains(oid) || !invalidated.includes(*oid) {
                continue;
            }
            altered.insert(*oid);
            if Some(generation(*oid)) != state.generation {
                state.generation = None;
                broken.insert(*oid);
            }
        }
        // A definition may mean something else without a change of any row: the expression of a virtual column, say.
        self.mark_dirty(|table| table.sources.iter().any(|(source, _)| altered.contains(source)));
        // Not looked at because they are locked: next time.
        invalidation::put_back(refused.iter().copied().filter(|oid| invalidated.includes(*oid)));
        let mut held = self.break_readers(&broken);
        held.extend(self.check_keys(refused, invalidated));
        held
    }

    /// Has full-mode tables run again although no row of theirs has changed.
    pub fn mark_dirty(&mut self, concerned: impl Fn(&StreamTable) -> bool) {
        let now = process::now();
        for table in self.tables.values_mut().filter(|table| table.is_full() && concerned(table)) {
            table.dirty = true;
            table.pending_since.get_or_insert(now);
        }
    }

    /// Tables whose definition reads a view that has been replaced are detached; returned with those whose view is locked,
    /// and with whatever reads any of them.
    pub fn check_views(&mut self, refused: &HashSet<u32>, invalidated: &Invalidated) -> HashSet<u32> {
        let (mut held, mut replaced) = (HashSet::new(), HashSet::new());
        for (oid, table) in &self.tables {
            for (view, stamp) in &table.views {
                if refused.contains(view) {
                    held.insert(*oid);
                } else if invalidated.includes(*view) && definition::rule_stamp(*view) != *stamp {
                    replaced.insert(*oid);
                }
            }
        }
        invalidation::put_back(refused.iter().copied().filter(|view| invalidated.includes(*view)));
        for table in &replaced {
            self.detach_and_forget(*table);
        }
        held.extend(replaced);
        held.extend(self.readers_of(&held));
        held
    }

    /// Tables whose owner may see something else than before are detached, to be decided anew, and returned with whatever
    /// reads them: privileges, row-level security, and the roles that they are about (HAZARDS H36). All but the roles
    /// invalidate the relation concerned. Tables in `held` are looked at when their locks are to be had.
    pub fn check_privileges(&mut self, held: &HashSet<u32>, invalidated: &Invalidated) -> HashSet<u32> {
        let roles = invalidation::roles_changed();
        let (mut differ, mut postponed) = (HashSet::new(), HashSet::new());
        let mut all_seen = true;
        for (oid, table) in self.tables.iter().filter(|(_, table)| table.attached) {
            let bases = table.sources.iter().map(|source| source.0);
            let reads = bases.chain(table.upstream.iter().copied()).chain(table.views.iter().map(|view| view.0));
            let altered: Vec<u32> = reads.filter(|relation| invalidated.includes(*relation)).collect();
            if !roles && altered.is_empty() {
                continue;
            }
            if held.contains(oid) {
                postponed.extend(altered);
                all_seen = false;
                continue;
            }
            let definition = &table.definition;
            // An ERROR, as of a policy that reads its own table, is this table's alone.
            let seen = txn::subtransaction(|| {
                let sources = table.sources.iter().map(|source| source.0);
                let uncaptured = capture_grant::uncaptured(definition.owner, sources);
                let access =
                    owner::as_owner(definition.owner, &definition.settings, || Ok(compile::access(definition.view)))?;
                Ok((access, uncaptured))
            });
            // Where row-level security applies, a policy may be another: the query is run again.
            let same = seen.is_ok_and(|(access, uncaptured)| {
                access.denied.is_none() && !access.row_security && uncaptured == table.uncaptured
            }) && !table.row_security;
            if !same {
                differ.insert(*oid);
            }
        }
        invalidation::put_back(postponed.into_iter());
        if all_seen {
            invalidation::roles_settled();
        }
        for table in &differ {
            self.detach_and_forget(*table);
        }
        let mut gone = self.readers_of(&differ);
        gone.extend(differ);
        gone
    }

    /// Detaches everything that reads `broken` sources.
    pub fn break_readers(&mut self, broken: &HashSet<u32>) -> HashSet<u32> {
        let readers = self.readers_of(broken);
        for reader in &readers {
            self.detach_and_forget(*reader);
        }
        readers
    }

    /// Whether `owner` may have every base table of a query captured (HAZARDS H49); the error is the reason.
    pub fn may_capture(&self, owner: u32, compiled: &Compiled) -> Result<(), String> {
        for source in compiled.sources.iter().filter(|source| source.stream.is_none()) {
            let relation = source.relation;
            let name = || definition::qualified_name(relation).unwrap_or_else(|| format!("with OID {relation}"));
            if let Err(reason) = install::capturable(relation) {
                return Err(format!("Changes of table {} cannot be captured. {reason}", name()));
            }
            if !capture_grant::may_capture(owner, relation) {
                return Err(format!(
                    "The owner of the stream table has no right to have changes of table {} captured.",
                    name()
                ));
            }
        }
        Ok(())
    }
}

impl Database {
    /// Ends the capture of tables that no stream table reads any more. A table that is locked keeps it until the next call;
    /// false if there is one.
    pub fn release_sources(&mut self) -> bool {
        let captured = txn::run(Isolation::ReadCommitted, || Ok(install::captured_tables()));
        let Ok(captured) = captured else { return false };
        let heard = |table: &StreamTable| {
            let sources = table.sources.iter().map(|source| source.0);
            sources.filter(|source| !table.uncaptured.contains(source)).collect::<Vec<u32>>()
        };
        let read: HashSet<u32> = self.tables.values().flat_map(heard).collect();
        // What is not decided yet may read anything.
        if self.tables.values().any(|table| matches!(table.mode, Mode::Undecided)) {
            return captured.iter().all(|source| read.contains(source));
        }
        let mut done = true;
        for source in captured.into_iter().filter(|source| !read.contains(source)) {
            match txn::run(Isolation::ReadCommitted, || install::remove(source).map_err(blocked)) {
                Ok(()) => drop(self.sources.remove(&source)),
                Err(failure) => {
                    log::debug(&format!("could not end the capture of table with OID {source}: {failure}"));
                    done = false;
                }
            }
        }
        done
    }
}

impl Database {
    /// Rotates, seals and frees segments of the change buffer, when one is full or a closed one waits. Everything that is
    /// consumed can go: graphs live in memory, and attach by difference after a restart.
    pub fn maintain_segments(&mut self, entry: &'static shm::Database, starts: bool) -> Result<(), Failure> {
        let size = settings::segment_bytes();
        if !starts && !self.segments_wait && !segments::full(entry, size) {
            return Ok(());
        }
        // Nothing is freed while a snapshot is being taken that changes will be read from.
        let consumed = match &self.filling {
            Some(filling) => self.consumed.as_ref().and_then(|consumed| filling.oldest(consumed)),
            None => self.consumed.clone(),
        };
        let done = txn::run(Isolation::ReadCommitted, || segments::maintain(entry, consumed.as_ref(), size))?;
        // What was rotated now is sealed at a later call, and freed at one after that.
        self.segments_wait = done.waiting > 0 || done.rotated > 0 || done.sealed > 0;
        if starts {
            txn::run(Isolation::ReadCommitted, || {
                segments::publish(entry);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Why capture could not be installed, as a failure that says whether it may work later.
fn blocked(blocked: Blocked) -> Failure {
    match blocked {
        Blocked::Failed(failure) => failure,
        Blocked::Source(reason) => Failure {
            detail: Some(reason.to_string()),
            ..Failure::new(b"0A000", "changes of a source cannot be captured")
        },
        Blocked::Lock(holders) => {
            let mut who: Vec<String> = holders.pids.iter().map(|pid| format!("process {pid}")).collect();
            if holders.prepared > 0 {
                who.push(format!("{} prepared transactions", holders.prepared));
            }
            Failure {
                detail: Some(format!("Held by {}.", who.join(", "))),
                ..Failure::new(b"55P03", "waiting for a lock on a source to begin capturing its changes")
            }
        }
    }
}
