//! The base tables under the stream tables: capture, layouts, and the net under every change that no trigger saw.
//!
//! The *capture generation* of a source is everything about it that decides whether its change rows tell the whole story.
//! It is compared at every cut whose source was invalidated, under the lock and before anything is published: a difference
//! means that rows may have changed unseen, so whatever reads the source is attached anew, by difference.

use crate::capture::generation::Generation;
use crate::capture::install::{self, Blocked};
use crate::capture::members::Member;
use crate::capture::segments;
use crate::catalog::capture_grant;
use crate::compile::{self, Compiled};
use crate::pg::inheritance;
use crate::pg::invalidation::{self, Invalidated};
use crate::pg::lock;
use crate::pg::relation::TABLE_OID;
use crate::pg::txn::{self, Failure, Isolation};
use crate::pg::{definition, log, owner, process};
use crate::settings;
use crate::shm;
use crate::worker::database::Database;
use crate::worker::members::{Growth, Regrown};
use crate::worker::table::{Mode, StreamTable};
use hashbrown::{HashMap, HashSet};

/// What the worker knows about one captured base table.
pub struct SourceState {
    /// `None`: must be read again before anything attaches.
    generation: Option<Generation>,
    /// The tables that hold its rows.
    members: Vec<Member>,
    /// Whether somebody reads which of them a row is of.
    told_apart: bool,
}

/// The captured base tables, and which of them a changed table is part of.
#[derive(Default)]
pub struct Sources {
    states: HashMap<u32, SourceState>,
    by_member: HashMap<u32, Vec<u32>>,
}

impl Sources {
    /// Its generation must be read again before anything attaches.
    fn give_up(&mut self, source: u32) {
        if let Some(state) = self.states.get_mut(&source) {
            state.generation = None;
        }
    }

    pub fn note(&mut self, source: u32, generation: Generation, told_apart: bool) {
        let members = Member::of(&generation);
        let told_apart = told_apart || self.are_told_apart(source);
        self.forget(source);
        for member in &members {
            self.by_member.entry(member.relation).or_default().push(source);
        }
        self.states.insert(source, SourceState { generation: Some(generation), members, told_apart });
    }

    fn forget(&mut self, source: u32) {
        let Some(state) = self.states.remove(&source) else { return };
        for member in state.members {
            if let Some(sources) = self.by_member.get_mut(&member.relation) {
                sources.retain(|one| *one != source);
                if sources.is_empty() {
                    self.by_member.remove(&member.relation);
                }
            }
        }
    }

    /// Forgets what is not read any more.
    fn retain(&mut self, read: &HashSet<u32>) {
        let unread: Vec<u32> = self.states.keys().copied().filter(|source| !read.contains(source)).collect();
        unread.into_iter().for_each(|source| self.forget(source));
    }

    /// The tables that hold a source's rows. What is not captured is taken to be a table of its own.
    pub fn members(&self, source: u32) -> Vec<Member> {
        self.states.get(&source).map_or_else(|| vec![Member::only(source)], |state| state.members.clone())
    }

    /// Whether somebody reads which member a row of the source is of.
    pub fn are_told_apart(&self, source: u32) -> bool {
        self.states.get(&source).is_some_and(|state| state.told_apart)
    }

    /// The relations that are locked to read a source, itself included.
    pub fn relations(&self, source: u32) -> impl Iterator<Item = u32> + '_ {
        let parts = self.states.get(&source).and_then(|state| state.generation.as_ref());
        let parts = parts.into_iter().flat_map(|generation| generation.parts().iter().map(|part| part.relation));
        let members = self.states.get(&source).into_iter().flat_map(|state| state.members.iter());
        std::iter::once(source).chain(parts).chain(members.map(|member| member.relation))
    }

    /// The sources that a table's changes belong to, each with the table's part in it.
    pub fn of_member(&self, relation: u32) -> impl Iterator<Item = (u32, &Member)> {
        let sources = self.by_member.get(&relation).into_iter().flatten();
        sources.filter_map(move |source| {
            let member = self.states[source].members.iter().find(|member| member.relation == relation)?;
            Some((*source, member))
        })
    }

    /// The relations, and the sources that they are part of.
    pub fn over(&self, relations: &HashSet<u32>) -> HashSet<u32> {
        let parts = |relation: &u32| self.by_member.get(relation).into_iter().flatten().copied();
        relations.iter().copied().chain(relations.iter().flat_map(parts)).collect()
    }

    /// Whether a table of the source is what it was when the source's capture was looked at.
    pub fn holds(&self, source: u32, member: u32) -> bool {
        let generation = self.states.get(&source).and_then(|state| state.generation.as_ref());
        generation.is_some_and(|generation| generation.holds(|relation| relation == member))
    }
}

impl Database {
    /// Makes sure that changes of `source` are captured with at least `columns`, in short transactions of its own: with
    /// many partitions, one for each (HAZARDS H19). `every_change`: those of other columns too, as something that changed.
    pub fn capture_source(&mut self, source: u32, columns: &[i16], every_change: bool) -> Result<(), Failure> {
        let ensure = |member: &Member| {
            let own = |column: &i16| {
                member.own(*column).ok_or_else(|| Failure::new(b"55000", "a partition lacks a column of its source"))
            };
            let stored = columns.iter().filter(|column| **column != TABLE_OID);
            let columns = stored.map(own).collect::<Result<Vec<i16>, Failure>>()?;
            install::ensure(member.relation, &columns, every_change).map_err(blocked).map(drop)
        };
        let (before, generation) = txn::run(Isolation::ReadCommitted, || {
            let before = locked_generation(source)?;
            // All or none: writers to a part pay for nothing if the whole cannot be captured.
            for part in before.parts() {
                install::capturable(part.relation).map_err(|reason| blocked(Blocked::Source(reason)))?;
            }
            match Member::of(&before).as_slice() {
                [member] => {
                    ensure(member)?;
                    Ok((before, Some(locked_generation(source)?)))
                }
                _ => Ok((before, None)),
            }
        })?;
        let generation = match generation {
            Some(generation) => generation,
            None => {
                for member in Member::of(&before) {
                    txn::run(Isolation::ReadCommitted, || ensure(&member))?;
                }
                txn::run(Isolation::ReadCommitted, || locked_generation(source))?
            }
        };
        if !generation.differs_in_triggers_only(&before) {
            return Err(Failure::new(b"55P03", "a source was altered while its capture began"));
        }
        // Widening changes the generation of a source that others read already, and they have missed nothing; but what had
        // changed before that, no cut would see any more.
        if self
            .sources
            .states
            .get(&source)
            .and_then(|state| state.generation.as_ref())
            .is_some_and(|had| *had != before)
        {
            let mut readers = self.readers_of(&HashSet::from([source]));
            readers.retain(|reader| self.tables[reader].attached);
            readers.into_iter().for_each(|reader| self.detach_and_forget(reader));
        }
        self.sources.note(source, generation, columns.contains(&TABLE_OID));
        Ok(())
    }

    /// Notes a source that cannot be captured as it is now, so that it is noticed when it is another.
    pub fn watch_source(&mut self, source: u32) {
        match txn::run(Isolation::ReadCommitted, || locked_generation(source)) {
            Ok(generation) => self.sources.note(source, generation, false),
            Err(failure) => log::debug(&format!("could not look at table with OID {source}: {failure}")),
        }
    }

    /// Sources whose generation differs from what was noted, by the snapshot or among those whose relcache entry was
    /// invalidated: their readers are detached, and returned. Those that have other members now, and nothing else, are
    /// returned with what leads there; where that cannot be looked at now, the source is refused.
    pub fn check_generations(
        &mut self,
        refused: &mut HashSet<u32>,
        invalidated: &Invalidated,
    ) -> Result<(HashSet<u32>, Vec<Regrown>), Failure> {
        let (mut broken, mut altered, mut regrown) = (HashSet::new(), HashSet::new(), Vec::new());
        for (oid, state) in &self.sources.states {
            if refused.contains(oid) {
                continue;
            }
            let Some(generation) = &state.generation else { continue };
            let concerned = generation.parts().iter().any(|member| invalidated.includes(member.relation));
            if !generation.is_whole() {
                altered.insert(*oid);
                match self.regrow(*oid, generation)? {
                    Growth::Known(one) => regrown.push(one),
                    Growth::Locked => drop(refused.insert(*oid)),
                    Growth::Unknown => drop(broken.insert(*oid)),
                }
            } else if concerned {
                altered.insert(*oid);
                if !generation.holds(|member| invalidated.includes(member)) {
                    broken.insert(*oid);
                }
            }
        }
        for source in &broken {
            self.sources.give_up(*source);
        }
        // A definition may mean something else without a change of any row: the expression of a virtual column, say.
        self.mark_dirty(|table| table.sources.iter().any(|(source, _)| altered.contains(source)));
        // Not looked at because they are locked: next time.
        let locked = refused.iter().flat_map(|source| self.sources.relations(*source));
        invalidation::put_back(locked.filter(|oid| invalidated.includes(*oid)));
        let mut held = self.break_readers(&broken);
        held.extend(self.readers_of(refused));
        held.extend(self.check_keys(refused, invalidated));
        Ok((held, regrown))
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
        let sources: HashSet<u32> = self.tables.values().flat_map(heard).collect();
        let read: HashSet<u32> = sources.iter().flat_map(|source| self.sources.relations(*source)).collect();
        // What is not decided yet may read anything.
        if self.tables.values().any(|table| matches!(table.mode, Mode::Undecided)) {
            return captured.iter().all(|source| read.contains(source));
        }
        self.sources.retain(&sources);
        let mut done = true;
        for source in captured.into_iter().filter(|source| !read.contains(source)) {
            match txn::run(Isolation::ReadCommitted, || install::remove(source).map_err(blocked)) {
                Ok(()) => {}
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

/// The generation of a source, all of whose members are locked first. Inside a transaction.
fn locked_generation(source: u32) -> Result<Generation, Failure> {
    for relation in inheritance::family(source) {
        if !lock::try_lock(relation, lock::Mode::AccessShare) {
            return Err(blocked(Blocked::Lock(lock::conflicting(relation, lock::Mode::AccessShare))));
        }
    }
    Ok(Generation::read(source))
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
