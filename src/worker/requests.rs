//! Requests of sessions: taken, put on the agenda, answered.
//!
//! "Everything committed before the call" means: a cut whose snapshot was taken after the request was (HAZARDS H11). A
//! request that is taken before a cycle begins is therefore served by that cycle, if its table was written or found current.

use crate::pg::process;
use crate::pg::txn::Failure;
use crate::shm;
use crate::shm::requests::Kind;
use crate::worker::database::{Asked, Database};
use crate::worker::table::{Trouble, NEVER};
use hashbrown::HashSet;

/// How often in a row a refresh may be in conflict with others before whoever waits for it is told.
const ATTEMPTS: u32 = 4;

impl Database {
    /// Takes new requests; refuses at once what cannot be served.
    pub fn take_requests(&mut self) {
        let Some(shared) = shm::shared() else { return };
        shared.requests.sweep(self.oid, false, process::alive);
        for request in shared.requests.take(self.oid) {
            if request.kind == Kind::Rebuild && self.tables.contains_key(&request.table) {
                self.detach_and_forget(request.table);
                if let Some(table) = self.tables.get_mut(&request.table) {
                    table.trouble = None;
                }
            }
            if request.kind != Kind::Wait {
                self.try_again(request.table);
            }
            self.asked.push(Asked { request, served: false });
        }
        let requests = &shared.requests;
        self.asked.retain(|asked| {
            // One that was terminated cannot say that it has stopped waiting.
            let waits = !requests.abandoned(&asked.request) && process::alive(asked.request.process);
            waits || {
                requests.answer(&asked.request, &Ok(Vec::new()));
                false
            }
        });
    }

    /// While switched off: who waits already would wait until it is on again.
    pub fn refuse_requests(&mut self) {
        self.take_requests();
        let off = "stream tables are not maintained while \"pg_trickle.enabled\" is off";
        for asked in std::mem::take(&mut self.asked) {
            self.answer(&asked.request, &Err(Failure::new(b"55000", off)));
        }
    }

    /// Whoever asks wants to know how it is now: what failed before is tried again at once, unless it was given up.
    pub fn try_again(&mut self, table: u32) {
        let mut open = if table == 0 { self.tables.keys().copied().collect() } else { vec![table] };
        let mut seen = HashSet::new();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            if let Some(state) = self.tables.get_mut(&next) {
                state.trouble.take_if(|trouble| trouble.retry_at != NEVER);
                open.extend(&state.upstream);
            }
        }
    }

    /// Tables that requests want up to date, tables to verify, and whether a cut is wanted at all.
    pub fn wanted(&self) -> (HashSet<u32>, Vec<(u64, u32)>, bool) {
        let mut refresh = HashSet::new();
        let mut verify = Vec::new();
        for Asked { request, .. } in &self.asked {
            match (request.kind, request.table) {
                (Kind::Refresh | Kind::Rebuild, 0) => refresh.extend(self.tables.keys().copied()),
                (Kind::Refresh | Kind::Rebuild, table) => {
                    refresh.insert(table);
                }
                (Kind::Verify, table) => {
                    // As good as a request to refresh it, so that its pending changes are written.
                    refresh.insert(table);
                    if self.tables.get(&table).is_some_and(|state| state.attached) {
                        verify.push((request.id, table));
                    }
                }
                (Kind::Wait, _) => {}
            }
        }
        (refresh, verify, !self.asked.is_empty())
    }

    /// After a cycle that began when all of `asked` had been taken: answers what it has served, and what cannot be.
    pub fn answer_requests(&mut self, committed: bool) {
        let asked = std::mem::take(&mut self.asked);
        let mut verified = std::mem::take(&mut self.verified);
        for mut entry in asked {
            entry.served |= committed;
            let moment = verified.remove(&entry.request.id).filter(|_| committed);
            let verdict = moment.or_else(|| self.verdict(&entry)).or_else(|| {
                let table = entry.request.table;
                self.locked(table).then(|| self.in_its_own_way(entry.request.session, table)).flatten().map(Err)
            });
            match verdict {
                Some(result) => self.answer(&entry.request, &result),
                None => self.asked.push(entry),
            }
        }
    }

    /// `None`: not yet.
    fn verdict(&self, asked: &Asked) -> Option<Result<Vec<u8>, Failure>> {
        let request = &asked.request;
        let verdict = self.refreshed(request.table, asked.served);
        match request.kind {
            // Not before a cycle has said at which moment; what fails, fails as a refresh does.
            Kind::Verify => verdict?.err().map(Err),
            Kind::Refresh | Kind::Wait | Kind::Rebuild => verdict.map(|verdict| verdict.map(|()| Vec::new())),
        }
    }

    fn refreshed(&self, table: u32, served: bool) -> Option<Result<(), Failure>> {
        if table == 0 {
            let all: Vec<_> = self.tables.keys().map(|table| self.table_verdict(*table, served)).collect();
            if all.iter().any(Option::is_none) {
                return None;
            }
            return Some(all.into_iter().flatten().find(Result::is_err).unwrap_or(Ok(())));
        }
        self.table_verdict(table, served)
    }

    /// Whether something keeps the table back that may be a lock.
    fn locked(&self, table: u32) -> bool {
        self.tables.get(&table).is_some_and(|state| state.held || state.trouble.is_some())
    }

    /// `None`: not yet.
    fn table_verdict(&self, table: u32, served: bool) -> Option<Result<(), Failure>> {
        let Some(state) = self.tables.get(&table) else { return Some(Err(unknown())) };
        let name = &state.definition.name;
        if state.definition.suspended {
            return Some(Err(Failure {
                hint: Some(format!(
                    "Use pgtrickle.alter_stream_table('{}', status => 'active').",
                    name.replace('\'', "''")
                )),
                ..Failure::new(b"55000", format!("stream table {name} is suspended"))
            }));
        }
        // Whoever waits for a lock waits, as anywhere in PostgreSQL; what failed because others were at work is tried again,
        // but not for ever: a function may say so each time.
        let passes = |trouble: &Trouble| match &trouble.failure.sqlstate {
            b"55P03" => true,
            state => state.starts_with(b"40") && trouble.attempts < ATTEMPTS,
        };
        if let Some(trouble) = state.trouble.as_ref().filter(|trouble| !passes(trouble)) {
            // What went wrong is the detail: it may show rows, which not every asker may see.
            let cause = &trouble.failure;
            let detail = match &cause.detail {
                Some(detail) => format!("{}: {detail}", cause.message),
                None => cause.message.clone(),
            };
            return Some(Err(Failure {
                message: format!("could not refresh stream table {name}"),
                detail: Some(detail),
                ..cause.clone()
            }));
        }
        // What holds back a table that it reads holds it back too.
        for upstream in &state.upstream {
            match self.table_verdict(*upstream, served) {
                Some(Ok(())) => {}
                other => return other,
            }
        }
        // What a late graph has said last is of a moment before.
        let late = self.late.contains_key(&table) || self.awaited.contains_key(&table);
        if !state.attached || !served || late || state.trouble.is_some() {
            return None;
        }
        if let Some(row) = state.errors.keys().min_by(|a, b| a.error.message.cmp(&b.error.message)) {
            let count = state.errors.len();
            let rows = if count == 1 { "row" } else { "rows" };
            return Some(Err(Failure {
                detail: Some(row.error.message.clone()),
                hint: Some(
                    "See pgtrickle.errors(); the stream table goes on when the rows are repaired or deleted.".into(),
                ),
                ..Failure::new(
                    b"55000",
                    format!("stream table {name} is not refreshed: its query fails on {count} {rows}"),
                )
            }));
        }
        (!state.behind()).then_some(Ok(()))
    }
}

fn unknown() -> Failure {
    Failure::new(b"42P01", "the stream table does not exist, or is not committed yet")
}
