//! The catalog as the database worker reads and writes it: definitions in; frontiers, history, error samples and answers to
//! verify() out. Runs as the worker's own role, inside the worker's transactions.

use crate::pg::snapshot::Frontier;
use crate::pg::spi;
use crate::pg::txn::Failure;
use crate::schedule::Schedule;
use crate::worker::definition::{Definition, RefreshMode, Tier};

/// One refresh, for the history.
#[derive(Clone, Copy, Debug)]
pub struct HistoryEntry {
    pub table: u32,
    /// Microseconds since 2000-01-01.
    pub at: i64,
    pub micros: u64,
    pub rows: u64,
    pub compute_micros: u64,
    pub apply_micros: u64,
}

/// An error row as `errors()` shows it.
pub struct ErrorSample {
    pub sqlstate: String,
    pub message: String,
    pub expression: String,
    pub row_text: Option<String>,
    pub occurrences: i64,
}

fn malformed(what: &str) -> Failure {
    Failure::new(b"XX001", format!("the catalog of pg_trickle has an unexpected {what}"))
}

/// All stream tables of this database whose table and definition view exist.
pub fn definitions() -> Result<Vec<Definition>, Failure> {
    let rows = spi::query(
        "SELECT l.relid::pg_catalog.text, l.view::pg_catalog.text, c.relowner::pg_catalog.oid::pg_catalog.text, \
                pg_catalog.format('%I.%I', n.nspname, c.relname), s.schedule, s.refresh_mode, s.sla_tier, \
                s.suspended::pg_catalog.text, pg_catalog.to_json(s.settings)::pg_catalog.text, \
                l.generation::pg_catalog.text \
         FROM pgtrickle.live_table l JOIN pgtrickle.stream_table s USING (id) \
         JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relid \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) l.view \
         WHERE l.database OPERATOR(pg_catalog.=) \
               (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())",
        &[],
    );
    rows.into_iter().map(definition).collect()
}

fn definition(row: Vec<Option<String>>) -> Result<Definition, Failure> {
    let [table, view, owner, name, schedule, mode, tier, suspended, settings, generation] =
        <[Option<String>; 10]>::try_from(row).map_err(|_| malformed("row"))?;
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).ok_or_else(|| malformed("number"));
    let pinned: Vec<String> = serde_json::from_str(settings.as_deref().unwrap_or("[]"))
        .map_err(|_| malformed("list of settings"))?;
    Ok(Definition {
        table: number(table)?,
        view: number(view)?,
        owner: number(owner)?,
        name: name.ok_or_else(|| malformed("name"))?,
        schedule: Schedule::parse(schedule.as_deref()).map_err(|_| malformed("schedule"))?,
        refresh_mode: match mode.as_deref() {
            Some("auto") => RefreshMode::Auto,
            Some("differential") => RefreshMode::Differential,
            Some("full") => RefreshMode::Full,
            _ => return Err(malformed("refresh mode")),
        },
        tier: match tier.as_deref() {
            Some("critical") => Tier::Critical,
            Some("standard") => Tier::Standard,
            Some("background") => Tier::Background,
            _ => return Err(malformed("tier")),
        },
        suspended: suspended.as_deref() == Some("true"),
        settings: pinned
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        generation: generation.and_then(|text| text.parse().ok()).ok_or_else(|| malformed("generation"))?,
    })
}

/// Records that the tables cover `frontier`: appended, never updated in place (HAZARDS H10).
pub fn append_frontiers(tables: &[u32], frontier: &Frontier) {
    let list = array(tables);
    spi::execute(
        "INSERT INTO pgtrickle.frontier (relid, frontier, applied_at) \
         SELECT t, $2, pg_catalog.clock_timestamp() FROM pg_catalog.unnest($1::pg_catalog.oid[]) t",
        &[Some(&list), Some(&frontier.to_string())],
    );
}

/// Leaves the newest frontier of each table that still exists.
pub fn compact_frontiers() {
    spi::execute(
        "DELETE FROM pgtrickle.frontier f \
         WHERE EXISTS (SELECT FROM pgtrickle.frontier g WHERE g.relid OPERATOR(pg_catalog.=) f.relid \
                       AND g.applied_at OPERATOR(pg_catalog.>) f.applied_at) \
            OR NOT EXISTS (SELECT FROM pgtrickle.live_table l WHERE l.relid OPERATOR(pg_catalog.=) f.relid)",
        &[],
    );
}

/// Appends to the history.
pub fn append_history(entries: &[HistoryEntry]) {
    let column = |of: &dyn Fn(&HistoryEntry) -> String| {
        format!("{{{}}}", entries.iter().map(of).collect::<Vec<_>>().join(","))
    };
    let millis = |micros: u64| format!("{:.3}", micros as f64 / 1000.0);
    spi::execute(
        "INSERT INTO pgtrickle.refresh_log \
                (relid, refreshed_at, duration_ms, rows_changed, delta_compute_ms, merge_apply_ms) \
         SELECT r, '2000-01-01 00:00:00+00'::pg_catalog.timestamptz \
                   OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => at::pg_catalog.float8 / 1000000), d, c, x, a \
         FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int8[]), \
              pg_catalog.unnest($3::pg_catalog.float8[]), pg_catalog.unnest($4::pg_catalog.int8[]), \
              pg_catalog.unnest($5::pg_catalog.float8[]), pg_catalog.unnest($6::pg_catalog.float8[])) \
              AS t (r, at, d, c, x, a)",
        &[
            Some(&column(&|e| e.table.to_string())),
            Some(&column(&|e| e.at.to_string())),
            Some(&column(&|e| millis(e.micros))),
            Some(&column(&|e| e.rows.to_string())),
            Some(&column(&|e| millis(e.compute_micros))),
            Some(&column(&|e| millis(e.apply_micros))),
        ],
    );
}

/// Removes history older than `seconds`, and that of tables that are gone.
pub fn trim_history(seconds: i64) {
    spi::execute(
        "DELETE FROM pgtrickle.refresh_log h \
         WHERE h.refreshed_at OPERATOR(pg_catalog.<) \
               (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $1::pg_catalog.float8)) \
            OR NOT EXISTS (SELECT FROM pgtrickle.live_table l WHERE l.relid OPERATOR(pg_catalog.=) h.relid)",
        &[Some(&seconds.to_string())],
    );
}

/// Replaces a table's error samples.
pub fn replace_errors(table: u32, samples: &[ErrorSample]) {
    let relid = table.to_string();
    spi::execute(
        "DELETE FROM pgtrickle.error_row WHERE relid OPERATOR(pg_catalog.=) $1::pg_catalog.oid",
        &[Some(&relid)],
    );
    for sample in samples {
        spi::execute(
            "INSERT INTO pgtrickle.error_row VALUES \
             ($1::pg_catalog.oid, $2, $3, $4, $5, $6::pg_catalog.int8, pg_catalog.clock_timestamp())",
            &[
                Some(&relid),
                Some(&sample.sqlstate),
                Some(&sample.message),
                Some(&sample.expression),
                sample.row_text.as_deref(),
                Some(&sample.occurrences.to_string()),
            ],
        );
    }
}

/// Stores the answer to a verify request: (row text, how many more times the query has it than the table).
pub fn store_verification(request: u64, differences: &[(String, i64)]) {
    let request = request.to_string();
    spi::execute(
        "DELETE FROM pgtrickle.verification WHERE request OPERATOR(pg_catalog.=) $1::pg_catalog.int8",
        &[Some(&request)],
    );
    for (text, count) in differences {
        let side = if *count > 0 { "missing" } else { "unexpected" };
        spi::execute(
            "INSERT INTO pgtrickle.verification VALUES ($1::pg_catalog.int8, $2, $3::pg_catalog.int8, $4)",
            &[Some(&request), Some(side), Some(&count.unsigned_abs().to_string()), Some(text)],
        );
    }
}

fn array(oids: &[u32]) -> String {
    format!("{{{}}}", oids.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}
