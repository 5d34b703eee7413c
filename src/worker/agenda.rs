//! What is due, and when to look again.
//!
//! A schedule bounds staleness, it is no beat: a table is due when its oldest change that is not reflected is as old as its
//! bound. A table is refreshed at least as often as the stream tables that read it, and never without those that it reads.

use crate::pg::process;
use crate::schedule::Schedule;
use crate::shm;
use crate::worker::cycle::Agenda;
use crate::worker::database::Database;
use crate::worker::serve::memory_limit;
use crate::worker::table::{Mode, StreamTable, NEVER};
use hashbrown::{HashMap, HashSet};
use std::time::Duration;

impl Database {
    /// The agenda at this moment, and how long nothing else will be due (`None`: until someone rings).
    pub fn agenda(&self, requested: &HashSet<u32>, verify: Vec<(u64, u32)>, look: bool) -> (Agenda, Option<Duration>) {
        let now = process::now();
        let mut agenda = Agenda { verify, look, ..Agenda::default() };
        let mut next: Option<i64> = None;
        let mut later = |at: i64| next = Some(next.map_or(at, |next| next.min(at)));
        let bounds = self.bounds();
        let failing = self.waiting_for_repair();
        // A failed attempt takes with it what else its cycle would write: those who ask again and again may not bring it
        // about, and neither may those that read the table.
        let resting = |(oid, table): (&u32, &StreamTable)| table.rests(now, requested.contains(oid)).then_some(*oid);
        let resting: HashSet<u32> = self.tables.iter().filter_map(resting).collect();
        let behind_resting = self.readers_of(&resting);
        let stalled = self.stalled();
        for (&oid, table) in &self.tables {
            if table.definition.suspended {
                continue;
            }
            if resting.contains(&oid) {
                if let Some(trouble) = table.trouble.as_ref().filter(|trouble| trouble.retry_at != NEVER) {
                    later(trouble.retry_by(requested.contains(&oid)));
                }
                continue;
            }
            if behind_resting.contains(&oid) || stalled.contains(&oid) {
                continue;
            }
            if !table.attached {
                let fills = self.filling.as_ref().is_some_and(|filling| filling.table == oid && !filling.is_read());
                if !matches!(table.mode, Mode::Undecided) && !fills && !self.wait_for_filling.contains(&oid) {
                    agenda.attach.insert(oid);
                }
                continue;
            }
            let committed = self.oldest_committed(oid);
            // Rows that fail stay until somebody commits: to look again before that finds the same.
            let apt = !failing.contains(&oid) && table.behind();
            // But they may leave as time passes.
            let turns = self.turns_at(oid);
            let since = [table.pending_since.filter(|_| apt || self.missed), committed, turns];
            let since = since.into_iter().flatten().min();
            let full = !failing.contains(&oid) && table.pending.bytes() > memory_limit() / 8;
            let at = match (&table.mode, since) {
                // Output that waits for its schedule takes memory: the bound on staleness is no lower bound.
                _ if full => Some(now),
                (Mode::Full(full), _) if full.blind => Some(self.due_at(oid, table.refreshed_at, &bounds)),
                (_, Some(since)) => Some(self.due_at(oid, since, &bounds)),
                (_, None) => None,
            };
            if requested.contains(&oid) || at.is_some_and(|at| at <= now) {
                agenda.due.insert(oid);
            } else if let Some(at) = at {
                later(at);
            }
        }
        // Nothing is attached before what it reads.
        loop {
            let absent =
                |table: &u32| !agenda.attach.contains(table) && !self.tables.get(table).is_some_and(|t| t.attached);
            let early: Vec<u32> =
                agenda.attach.iter().copied().filter(|oid| self.upstream_of(*oid).iter().any(absent)).collect();
            if early.is_empty() {
                break;
            }
            for oid in early {
                agenda.attach.remove(&oid);
            }
        }
        // Nothing is published before what it reads: due and attached tables take their upstream with them.
        let mut queue: Vec<u32> = agenda.due.iter().chain(&agenda.attach).copied().collect();
        queue.extend(agenda.verify.iter().map(|(_, table)| *table));
        while let Some(oid) = queue.pop() {
            for upstream in self.upstream_of(oid) {
                if self.tables.get(&upstream).is_some_and(|table| table.attached) && agenda.due.insert(upstream) {
                    queue.push(upstream);
                }
            }
        }
        (agenda, next.map(|at| Duration::from_micros((at - now).max(0) as u64)))
    }

    /// Tables that rows on which an expression fails keep as they are, and those that read them.
    fn waiting_for_repair(&self) -> HashSet<u32> {
        let failing = self.tables.iter().filter(|(_, table)| !table.errors.is_empty()).map(|(oid, _)| *oid).collect();
        let mut all = self.readers_of(&failing);
        all.extend(failing);
        all
    }

    fn due_at(&self, table: u32, since: i64, bounds: &HashMap<u32, i64>) -> i64 {
        match &self.tables[&table].definition.schedule {
            Schedule::Cron(_) => {
                let own = self.tables[&table].definition.schedule.next_tick(since).unwrap_or(i64::MAX);
                own.min(since.saturating_add(bounds[&table]))
            }
            _ => since.saturating_add(bounds[&table]),
        }
    }

    /// The effective bound of every table in microseconds: its own, or that of a table that reads it if that is tighter.
    pub fn bounds(&self) -> HashMap<u32, i64> {
        let mut bounds: HashMap<u32, i64> = HashMap::with_capacity(self.tables.len());
        for &oid in self.order().iter().rev() {
            let readers = self.direct_readers(oid);
            let tightest = readers.iter().filter_map(|reader| bounds.get(reader)).copied().min();
            let own = match &self.tables[&oid].definition.schedule {
                Schedule::Every(micros) => Some(*micros),
                Schedule::Calculated => None,
                Schedule::Cron(_) => Some(i64::MAX),
                Schedule::Default => Some(crate::settings::default_schedule_micros()),
            };
            let bound = match (own, tightest) {
                (Some(own), Some(tightest)) => own.min(tightest),
                (Some(own), None) => own,
                (None, Some(tightest)) => tightest,
                (None, None) => crate::settings::default_schedule_micros(),
            };
            bounds.insert(oid, bound);
        }
        bounds
    }

    /// Commit time of the oldest change of any base table under `table` that no cut has consumed, if there is one.
    fn oldest_committed(&self, table: u32) -> Option<i64> {
        let shared = shm::shared()?;
        let attributed = self.base_tables_of(table);
        let attributed = attributed.iter().filter_map(|source| shared.sources.find(self.oid, *source)?.oldest());
        attributed.chain(shared.databases.find(self.oid)?.unattributed()).min()
    }
}
