//! Attaching a stream table *by difference*: hydrate what its graph reads, subtract the table's present content from the
//! graph's, write the difference. It needs no history and no agreement between old and new state, so it serves creation,
//! restart, repair, changed definitions and everything that might have passed unseen.

use crate::catalog::{self, capture_grant, RefreshMode};
use crate::compile::{self, Options, StreamMode};
use crate::pg::txn::{self, Failure};
use crate::pg::{catalog_lookup, definition, lock, log, owner, process, sink};
use crate::worker::cycle::Cycle;
use crate::worker::database::Database;
use crate::worker::filling::Stage;
use crate::worker::late::Patience;
use crate::worker::table::{Full, Graph, Mode};
use std::sync::Arc;
use trickle_operators::plan::Plan;

impl Database {
    /// Attaches `table` at the cut of `cycle`. A failure of this table alone is recorded with it.
    pub fn attach(&mut self, cycle: &mut Cycle<'_>, table: u32) -> Result<(), Failure> {
        let upstream = self.upstream_of(table);
        self.collect(cycle, &upstream)?;
        if cycle.held.contains(&table) {
            return Ok(());
        }
        match &self.tables[&table].mode {
            Mode::Full(_) => self.attach_full(cycle, table),
            Mode::Incremental(graph) => {
                let plan = graph.plan.clone();
                self.attach_graph(cycle, table, plan)
            }
            // Decided before the cycle, when capture was installed.
            Mode::Undecided => {
                cycle.held.insert(table);
                Ok(())
            }
        }
    }

    fn attach_full(&mut self, cycle: &mut Cycle<'_>, table: u32) -> Result<(), Failure> {
        txn::make_own_writes_visible();
        self.refresh_full(cycle, table)?;
        self.tables.get_mut(&table).expect("visited tables exist").attached = true;
        Ok(())
    }

    fn attach_graph(&mut self, cycle: &mut Cycle<'_>, table: u32, plan: Arc<Plan>) -> Result<(), Failure> {
        txn::make_own_writes_visible();
        self.culprit = Some(table);
        // As strong as it will have to be from the beginning: who waits for more than he holds makes deadlocks (HAZARDS H44).
        lock::lock(table, lock::Mode::RowExclusive);
        // One that has been late was fed in the cycle before.
        if !(self.filled.contains(&table) && self.is_live_graph(table)) {
            if !self.fill_graph(table, plan)? {
                cycle.held.insert(table);
                self.culprit = None;
                return Ok(());
            }
            self.filled.insert(table);
        }
        let patience = Patience::new();
        loop {
            self.drain_events()?;
            self.note_reported();
            let through = self.complete.contains(&table) && !self.awaited.contains_key(&table);
            if !self.is_live_graph(table) || self.late.contains_key(&table) {
                cycle.held.insert(table);
                self.culprit = None;
                return Ok(());
            }
            if through {
                break;
            }
            cycle.held.extend(self.wait_for(&[table], &patience));
        }
        let (columns, name) = {
            let state = &self.tables[&table];
            (state.columns.clone(), state.definition.name.clone())
        };
        let state = self.tables.get_mut(&table).expect("visited tables exist");
        let pending = &mut state.pending;
        sink::read(table, &columns, &mut |row| pending.add(row.to_owned(), -1))?;
        state.attached = true;
        self.filled.remove(&table);
        log::debug(&format!("stream table {name} is attached, {} rows differ", state.pending.rows()));
        self.culprit = None;
        self.apply_pending(cycle, table)
    }

    /// Takes a graph's hydration as far as it goes in this cut; whether everything has been fed.
    fn fill_graph(&mut self, table: u32, plan: Arc<Plan>) -> Result<bool, Failure> {
        let stage = match self.filling.take_if(|filling| filling.table == table) {
            Some(filling) => {
                let stage = filling.stage;
                self.show_time(table);
                self.catch_up(filling)?;
                self.wait_for_filling.clear();
                stage
            }
            None => {
                self.complete.remove(&table);
                self.filled.remove(&table);
                self.late.remove(&table);
                let hydrations = self.engine.attach(table, plan);
                if !self.hydrate(table, Stage::Arrangements, hydrations)? {
                    return Ok(false);
                }
                Stage::Arrangements
            }
        };
        if stage == Stage::Inputs {
            return Ok(true);
        }
        if !self.engine.is_installable(table) {
            // It shares an arrangement with a table that still fills.
            self.detach_graph(table);
            self.wait_for_filling.insert(table);
            return Ok(false);
        }
        self.start_clock(table);
        let hydrations = self.engine.install(table);
        self.hydrate(table, Stage::Inputs, hydrations)
    }

    /// Compiles a table's definition as its owner, and decides its mode. Inside a transaction; the table is not attached yet.
    /// False: a stream table that it reads is to be decided first.
    pub fn decide(&mut self, table: u32) -> Result<bool, Failure> {
        let definition = self.tables[&table].definition.clone();
        let view = definition.view;
        let access = owner::as_owner(definition.owner, &definition.settings, || Ok(compile::access(view)))?;
        if let Some(denied) = access.denied {
            return Err(Failure {
                detail: Some(format!("Its owner may not read {}.", denied.name)),
                ..Failure::new(b"42501", format!("permission denied for the query of stream table {}", definition.name))
            });
        }
        if let Some(reason) = access.unsteady {
            return Err(
                Failure::new(b"0A000", "row-level security of a source depends on more than the owner").detail(reason)
            );
        }
        let kind = |oid: u32| {
            self.tables.get(&oid).map(|table| if table.is_full() { StreamMode::Full } else { StreamMode::Incremental })
        };
        let compiled = owner::as_owner(definition.owner, &definition.settings, || {
            let options = Options::new(&kind);
            compile::compile_view(view, &options).map_err(|error| Failure::new(&error.sqlstate, error.message))
        })?;
        let undecided = compiled.sources.iter().any(|source| {
            source.stream.is_some()
                && self.tables.get(&source.relation).is_some_and(|table| matches!(table.mode, Mode::Undecided))
        });
        if undecided {
            if let Some(circle) = catalog::sources::circle(table) {
                return Err(circle.failure());
            }
            // What holds it back is said of this one too.
            let streams = compiled.sources.iter().filter(|source| source.stream.is_some());
            let upstream: Vec<u32> = streams.map(|source| source.relation).collect();
            let state = self.tables.get_mut(&table).expect("tables are decided by their key");
            if state.upstream != upstream {
                state.upstream.clone_from(&upstream);
                // They may have failed for a reason that is gone with what this one read before.
                upstream.into_iter().for_each(|table| self.try_again(table));
            }
            return Ok(false);
        }
        let permitted = self.may_capture(definition.owner, &compiled);
        let state = self.tables.get_mut(&table).expect("tables are decided by their key");
        state.columns = compiled.columns.iter().map(|column| column.ty.clone()).collect();
        let (streams, bases): (Vec<_>, Vec<_>) = compiled.sources.into_iter().partition(|s| s.stream.is_some());
        state.sources = bases.into_iter().map(|source| (source.relation, source.columns)).collect();
        state.uncaptured = capture_grant::uncaptured(definition.owner, state.sources.iter().map(|source| source.0));
        state.upstream = streams.into_iter().map(|source| source.relation).collect();
        state.views = compiled.views.iter().map(|view| (*view, definition::rule_stamp(*view))).collect();
        state.row_security = access.row_security;
        let unsteady = compiled.unsteady;
        state.key = None;
        let relations = state.sources.iter().map(|source| source.0).chain(state.upstream.iter().copied());
        let keys = relations.map(|relation| (relation, catalog_lookup::key_facts(relation))).collect();
        let wanted = definition.refresh_mode;
        let incremental = match (compiled.plan, permitted, wanted) {
            (_, _, RefreshMode::Full) => Err(String::new()),
            (Err(not), _, _) => Err(not.detail),
            (Ok(_), Err(reason), _) => Err(reason),
            (Ok(plan), Ok(()), _) => Ok(plan),
        };
        let reason = incremental.as_ref().err().filter(|reason| !reason.is_empty()).cloned();
        state.mode = match incremental {
            Ok(plan) => {
                state.key.clone_from(&plan.key);
                let fragments = plan.fragments.iter().map(|_| None).collect();
                Mode::Incremental(Graph { plan: Arc::new(plan), fragments, stamps: compiled.stamps, keys })
            }
            Err(reason) if wanted == RefreshMode::Differential => {
                return Err(Failure {
                    detail: Some(reason),
                    hint: Some("Use refresh_mode => 'auto' or 'full'.".into()),
                    ..Failure::new(b"0A000", "the query can no longer be maintained incrementally")
                });
            }
            Err(_) => Mode::Full(Full { blind: unsteady, stamps: compiled.stamps }),
        };
        let mode = if state.is_full() { catalog::Mode::Full } else { catalog::Mode::Differential };
        if definition.mode != mode || definition.reason != reason {
            let how = match &reason {
                Some(reason) => format!("refreshed in full: {reason}"),
                None if state.is_full() => "refreshed in full".into(),
                None => "maintained incrementally".into(),
            };
            log::log(&format!("stream table {} is from now on {how}", definition.name));
            catalog::live_table::set_mode(table, mode, reason.as_deref());
            (state.definition.mode, state.definition.reason) = (mode, reason);
        }
        Ok(true)
    }

    /// Installs capture for what `table` reads, in transactions of its own. Full-mode tables want to hear only that
    /// something changed.
    pub fn ensure_capture(&mut self, table: u32) -> Result<(), Failure> {
        let state = &self.tables[&table];
        let full = state.is_full();
        let (sources, uncaptured) = (state.sources.clone(), state.uncaptured.clone());
        let mut blind = matches!(&state.mode, Mode::Full(full) if full.blind);
        for (source, columns) in sources {
            if uncaptured.contains(&source) {
                blind = true;
                continue;
            }
            let columns = if full { Vec::new() } else { columns };
            match self.capture_source(source, &columns, full) {
                Ok(()) => {}
                Err(_) if full => {
                    self.watch_source(source);
                    blind = true;
                }
                Err(failure) => return Err(failure),
            }
        }
        let now = process::now();
        let state = self.tables.get_mut(&table).expect("tables are captured by their key");
        if let Mode::Full(full) = &mut state.mode {
            full.blind |= blind;
        }
        state.dirty = true;
        state.pending_since.get_or_insert(now);
        Ok(())
    }
}
