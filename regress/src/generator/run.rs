//! Runs a case on a server and says what is wrong with it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::case::{Case, Stream, Table, View};
use super::functions::Certainty;
use super::query::reads_clock;
use super::types;
use crate::oracle::Oracle;
use crate::session::{wait_until, ServerError, Session, TextRow};
use crate::Cluster;

/// A property that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is the same while a case is made smaller.
    pub kind: String,
    pub text: String,
}

impl Failure {
    /// Whether a statement took longer than anyone waits.
    pub fn is_hang(&self) -> bool {
        self.kind.ends_with("57014")
    }
}

/// What a case came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub streams: usize,
    pub incremental: usize,
    /// Streams whose query failed on the data in some round.
    pub failing: usize,
    pub compared: usize,
    /// Comparisons after which the content was another than before.
    pub changed: usize,
    pub rejected: usize,
    /// Cases that were given up because the worker has too much to do.
    pub slow: usize,
    /// Stream tables that took too long to be made.
    pub unplanned: usize,
    /// Comparisons with a clock's reading, by verify().
    pub clocked: usize,
    /// Refreshes that failed on rows which no plan of PostgreSQL looked at.
    pub stricter: usize,
    /// Refreshes that did not fail where every plan of PostgreSQL did.
    pub laxer: usize,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.streams += other.streams;
        self.incremental += other.incremental;
        self.failing += other.failing;
        self.compared += other.compared;
        self.changed += other.changed;
        self.rejected += other.rejected;
        self.slow += other.slow;
        self.unplanned += other.unplanned;
        self.clocked += other.clocked;
        self.stricter += other.stricter;
        self.laxer += other.laxer;
    }
}

/// Why a generated query may be maintained by running it again: parts of the reasons, one a rule of README's list. All
/// others are failures.
const REFUSALS: &[&str] = &["The plan would read relations"];

/// Memory is looked at after so many cases.
const CASES_OF_BASE: usize = 20;

/// What the engine's caches and its allocator's remainders may add up to between cases.
const MEMORY_BETWEEN: u64 = 8 << 20;

/// A server for cases, each in a schema of its own.
pub struct Runner<'c> {
    cluster: &'c Cluster,
    session: Session,
    cases: usize,
    worker: String,
    logged: u64,
    /// How long a statement may take.
    patience: Duration,
    /// The worker's memory after the first cases, when they were gone.
    base: Option<u64>,
}

/// A stream table of the case at hand.
struct Followed<'s> {
    stream: &'s Stream,
    query: String,
    oracle: Oracle,
    content: String,
    full: bool,
    failing: bool,
    /// What it shows depends on the clock: verify() knows its reading.
    clocked: bool,
}

impl<'c> Runner<'c> {
    /// A server with the extension is expected.
    pub fn new(cluster: &'c Cluster) -> Runner<'c> {
        let worker = cluster.worker_pid("postgres").to_string();
        let patience = Duration::from_secs(30);
        Runner { cluster, session: cluster.session(), cases: 0, worker, logged: 0, patience, base: None }
    }

    /// Runs a case, and takes away what it made.
    pub fn run(&mut self, case: &Case) -> Result<Tally, Failure> {
        self.cases += 1;
        let schema = format!("case_{}", self.cases);
        self.session.run(&format!("CREATE SCHEMA {schema}"));
        self.session.run(&format!("SET search_path = {schema}"));
        self.patience();
        let result = self.run_in(case);
        let noticed = self.noticed();
        let result = result.and_then(|tally| noticed.map_or(Ok(tally), Err));
        self.session.run("SET client_min_messages = warning");
        self.session.run("SET statement_timeout = '60s'");
        let drop = format!("DROP SCHEMA {schema} CASCADE");
        let stuck = result.as_ref().is_err_and(Failure::is_hang);
        if stuck || self.session.attempt(&drop).is_err() {
            // The next case shall not suffer from it.
            let worker = std::mem::take(&mut self.worker);
            self.session.run(&format!("SELECT pg_terminate_backend({worker})"));
            wait_until("the worker has ended", || self.worker_pid() != worker);
            self.session.run("SET statement_timeout = 0");
            self.session.run(&drop);
            self.worker = self.cluster.worker_pid("postgres").to_string();
            self.base = None;
            return result;
        }
        self.session.run("SET statement_timeout = 0");
        let left = self.memory_left();
        result.and_then(|tally| left.map_or(Ok(tally), Err))
    }

    /// With its stream tables gone, the worker uses no more memory than it did after the first cases.
    fn memory_left(&mut self) -> Option<Failure> {
        if !self.cases.is_multiple_of(CASES_OF_BASE) {
            return None;
        }
        let mut used = self.memory();
        let Some(base) = self.base else {
            self.base = Some(used);
            return None;
        };
        let limit = base + MEMORY_BETWEEN;
        let end = Instant::now() + self.patience;
        while used > limit && Instant::now() < end {
            used = self.memory();
        }
        (used > limit).then(|| Failure {
            kind: "memory".into(),
            text: format!("the worker holds {used} bytes after case {}, {base} after the first", self.cases),
        })
    }

    /// The worker's memory, after it has looked at what was dropped.
    fn memory(&mut self) -> u64 {
        self.session.rows("SELECT pgtrickle.refresh_all()");
        let used = self.session.value("SELECT max(memory_bytes) FROM pgtrickle.scheduler_status()");
        used.parse().unwrap_or_default()
    }

    /// How long a statement may take.
    fn patience(&mut self) {
        let seconds = self.patience.as_secs();
        self.session.run(&format!("SET statement_timeout = '{seconds}s'"));
    }

    fn worker_pid(&mut self) -> String {
        self.session.value(
            "SELECT max(pid) FROM pg_stat_activity WHERE backend_type = 'pg_trickle'
                AND datname = current_database()",
        )
    }

    /// What the worker says of itself: it shall neither end nor repair what it computed.
    fn noticed(&mut self) -> Option<Failure> {
        let new = self.cluster.log_from(self.logged);
        self.logged += new.len() as u64;
        let signs = ["is rebuilt: operator", "quarantined", "panicked", "was terminated by signal"];
        let line = new.lines().find(|line| signs.iter().any(|sign| line.contains(sign)));
        let worker = self.worker_pid();
        let ended = worker != self.worker;
        self.worker = worker;
        let text = match line {
            Some(line) => line.to_string(),
            None if ended => "the worker ended".into(),
            None => return None,
        };
        Some(Failure { kind: "worker".into(), text })
    }

    fn run_in(&mut self, case: &Case) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let tables = case.tables.iter().flat_map(|table| [Some(Table::definition(table)), table.filled()]);
        for statement in [Some(types::DEFINITIONS.to_string())].into_iter().chain(tables).flatten() {
            if self.session.attempt(&statement).is_err() {
                return Ok(tally);
            }
        }
        for view in case.views.iter().map(View::definition) {
            tally.rejected += usize::from(self.session.attempt(&view).is_err());
        }
        let clocked = clocked(case);
        let mut followed = Vec::new();
        for stream in &case.streams {
            tally.streams += 1;
            match self.create(stream, clocked.contains(stream.name.as_str()), &mut tally)? {
                Some(created) => followed.push(created),
                None => tally.rejected += 1,
            }
        }
        tally.incremental = followed.iter().filter(|table| !table.full).count();
        let mut goes_on = self.check(&mut followed, case.wild, &mut tally)?;
        for round in &case.rounds {
            if !goes_on {
                break;
            }
            for transaction in round {
                // A statement may fail as it likes, and its transaction with it.
                for statement in transaction.script() {
                    let _ = self.session.attempt(&statement);
                }
            }
            goes_on = self.check(&mut followed, case.wild, &mut tally)?;
        }
        tally.failing = followed.iter().filter(|table| table.failing).count();
        Ok(tally)
    }

    /// Creates a stream table; None if the server does not want its query, or fails on it.
    fn create<'s>(
        &mut self,
        stream: &'s Stream,
        clocked: bool,
        tally: &mut Tally,
    ) -> Result<Option<Followed<'s>>, Failure> {
        let query = stream.query.render();
        match self.count(&query) {
            Ok(0..=5000) => {}
            Ok(_) => return Ok(None),
            Err(error) => {
                if std::env::var_os("TRICKLE_REJECTED").is_some() {
                    println!("rejected: {} {}", error.sqlstate, error.message);
                }
                return Ok(None);
            }
        }
        self.session.run("SET statement_timeout = '5s'");
        let created = self.session.attempt(&stream.definition());
        self.patience();
        match created {
            // A plan that grows beyond all bounds is given up, which costs its maker time, but nobody else.
            Err(error) if error.sqlstate == "57014" => {
                tally.unplanned += 1;
                println!("takes more than 5 s to be made: {query}");
                return Ok(None);
            }
            result => result.map_err(|error| failure("create", stream, &query, &error))?,
        }
        let status = self.session.rows(&format!(
            "SELECT effective_mode, mode_reason FROM pgtrickle.stream_table_status()
              WHERE name = current_schema || '.{}'",
            stream.name
        ));
        let (mode, reason) = match status.as_slice() {
            [row] => (row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default()),
            other => panic!("one row of status expected, got {other:?}"),
        };
        let full = mode == "full";
        if full && stream.refresh_mode != "full" && !REFUSALS.iter().any(|known| reason.contains(known)) {
            let text = format!("{} is full: {reason}\n  {query}", stream.name);
            return Err(Failure { kind: format!("mode: {reason}"), text });
        }
        let undetermined = if full { self.generated(stream) } else { self.explained(&query) };
        let (number, other): (Vec<_>, Vec<_>) = undetermined
            .into_iter()
            .partition(|name| stream.columns.iter().any(|column| column.name == *name && is_number(column.ty)));
        let oracle = Oracle { name: stream.name.clone(), query: query.clone(), approximate: number, ignored: other };
        Ok(Some(Followed { stream, query, oracle, content: String::new(), full, failing: false, clocked }))
    }

    /// The columns that the query's generator knows to be undetermined.
    fn generated(&self, stream: &Stream) -> Vec<String> {
        let loose = stream.columns.iter().filter(|column| column.certainty > Certainty::Exact);
        loose.map(|column| column.name.clone()).collect()
    }

    /// The columns that the plan has as undetermined.
    fn explained(&mut self, query: &str) -> Vec<String> {
        let lines = self.session.rows(&format!("SELECT pgtrickle.explain($q${query}$q$)"));
        let mut lines = lines.into_iter().filter_map(|row| row.into_iter().next().flatten());
        let named = lines.find_map(|line| line.trim().strip_prefix("Not Determined by Content: ").map(str::to_string));
        named.iter().flat_map(|names| names.split(", ")).map(str::to_string).collect()
    }

    /// The number of rows, if the query can be run.
    fn count(&mut self, query: &str) -> Result<u64, ServerError> {
        self.session.run("SET statement_timeout = '3s'");
        // With the rows, not only their number: the target list shall be computed.
        let counted = self.session.try_rows(&format!("SELECT count(q::text), count(*) FROM ({query}) AS q"));
        self.patience();
        let counted = counted?;
        let number = counted.first().and_then(|row| row.last()?.as_ref()?.parse().ok());
        Ok(number.unwrap_or(u64::MAX))
    }

    /// Refreshes all stream tables, then compares each. False if the case cannot go on.
    fn check(&mut self, followed: &mut [Followed<'_>], wild: bool, tally: &mut Tally) -> Result<bool, Failure> {
        let mut stale: HashSet<String> = HashSet::new();
        let mut refreshed = Vec::new();
        for table in followed.iter() {
            let result = self.session.attempt(&table.stream.refresh());
            match result {
                // A product of many inputs takes its time: not a failure, but what comes after it would wait too.
                Err(error) if error.sqlstate == "57014" && busy(&self.worker) => {
                    tally.slow += 1;
                    return Ok(false);
                }
                Err(error) if error.sqlstate == "57014" => {
                    return Err(failure("refresh", table.stream, &table.query, &error));
                }
                result => refreshed.push(result),
            }
        }
        for (table, refreshed) in followed.iter_mut().zip(refreshed) {
            let Followed { stream, query, .. } = &*table;
            if stale.iter().any(|name| query.contains(&format!("{name} AS t"))) {
                // What it reads has no content of now.
                stale.insert(stream.name.clone());
                continue;
            }
            if table.clocked {
                if refreshed.is_err() {
                    // What it failed on may have passed by.
                    stale.insert(stream.name.clone());
                } else if !table.full {
                    self.verify(stream, query)?;
                    tally.clocked += 1;
                }
                continue;
            }
            let expected = self.session.try_rows(&format!("SELECT q::text FROM ({query}) AS q"));
            let content = self.content(stream);
            match (expected, refreshed) {
                (Ok(_), Ok(())) => {
                    if let Some(difference) = table.oracle.difference(&mut self.session) {
                        let text = format!("{} is not its query\n{difference}\n  {query}", stream.name);
                        return Err(Failure { kind: "difference".into(), text });
                    }
                    tally.compared += 1;
                    tally.changed += usize::from(table.content != content && !table.content.is_empty());
                    table.content = content;
                }
                (Err(error), Err(_)) if error.sqlstate != "57014" => {
                    stale.insert(stream.name.clone());
                    if content != table.content && !table.content.is_empty() {
                        let text = format!("{} changed while its query fails\n  {query}", stream.name);
                        return Err(Failure { kind: "content".into(), text });
                    }
                    table.failing = true;
                }
                (Err(error), Ok(())) => match table.oracle.difference_by_any_plan(&mut self.session) {
                    Ok(None) => table.content = content,
                    Ok(Some(difference)) => {
                        let text = format!("{} is not its query\n{difference}\n  {query}", stream.name);
                        return Err(Failure { kind: "difference".into(), text });
                    }
                    // PostgreSQL filters before it joins: the engine never gets to rows that are joined with nothing.
                    Err(_) if wild && is_of_data(&error) && joins(query) => {
                        tally.laxer += 1;
                        stale.insert(stream.name.clone());
                    }
                    Err(_) => return Err(failure("missed error", stream, query, &error)),
                },
                // Rows that a plan of PostgreSQL need not look at: an input joined to nothing, a condition after another.
                (Ok(_), Err(error)) if wild && is_of_data(&error) => {
                    if !table.oracle.fails_by_some_plan(&mut self.session) {
                        tally.stricter += 1;
                    }
                    stale.insert(stream.name.clone());
                }
                (_, Err(error)) => {
                    let errors = self.errors(stream);
                    let mut failure = failure("refresh", stream, query, &error);
                    failure.text.push_str(&format!("\n  {errors:?}"));
                    return Err(failure);
                }
            }
        }
        Ok(true)
    }

    fn errors(&mut self, stream: &Stream) -> Vec<TextRow> {
        let errors = self.session.try_rows(&format!("SELECT errors::text FROM pgtrickle.errors('{}')", stream.name));
        errors.unwrap_or_default()
    }

    /// Compares by verify(), which reads the clock as the content did.
    fn verify(&mut self, stream: &Stream, query: &str) -> Result<(), Failure> {
        let verified = self.session.try_rows(&format!("SELECT * FROM pgtrickle.verify('{}')", stream.name));
        match verified {
            Ok(rows) if rows.is_empty() => Ok(()),
            Ok(rows) => {
                let text = format!("{} is not its query, by verify(): {rows:?}\n  {query}", stream.name);
                Err(Failure { kind: "verify".into(), text })
            }
            // By now a row has come in on which it fails.
            Err(error) if is_of_data(&error) => Ok(()),
            Err(error) => Err(failure("verify", stream, query, &error)),
        }
    }

    fn content(&mut self, stream: &Stream) -> String {
        let rows = self.session.rows(&format!("SELECT s::text FROM {} AS s ORDER BY 1", stream.name));
        format!("{rows:?}")
    }
}

/// The stream tables and views whose queries read the clock, or read one that does.
fn clocked(case: &Case) -> HashSet<&str> {
    let views = case.views.iter().map(|view| (view.name.as_str(), view.query.render()));
    let streams = case.streams.iter().map(|stream| (stream.name.as_str(), stream.query.render()));
    let mut found: HashSet<&str> = HashSet::new();
    // Each reads those before it.
    for (name, query) in views.chain(streams) {
        if reads_clock(&query) || found.iter().any(|read| query.contains(&format!("{read} AS "))) {
            found.insert(name);
        }
    }
    found
}

/// Whether a process computes: its processor time grows.
fn busy(process: &str) -> bool {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    ticks() > before + 10
}

/// Whether an error is about a value: raised by evaluating, or the failing row's that the engine has noted.
fn is_of_data(error: &ServerError) -> bool {
    error.sqlstate.starts_with("22") || ["55000", "23514", "21000"].contains(&error.sqlstate.as_str())
}

/// Whether a query joins anything, subqueries included.
fn joins(query: &str) -> bool {
    query.contains(" JOIN ") || query.contains("(SELECT") || query.contains(", ")
}

fn is_number(ty: types::Type) -> bool {
    use types::Type::*;
    matches!(ty, Numeric | Price | Float4 | Float8)
}

fn failure(kind: &str, stream: &Stream, query: &str, error: &ServerError) -> Failure {
    let ServerError { sqlstate, message, detail, .. } = error;
    let text = format!("{}: {kind}: {sqlstate} {message} {detail:?}\n  {query}", stream.name);
    Failure { kind: format!("{kind} {sqlstate}"), text }
}
