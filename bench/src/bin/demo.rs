//! `make demo`: a year of flights replayed as transactions, with stream tables that follow them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use trickle_bench::events;
use trickle_bench::flights::{self, Data, Table};
use trickle_bench::percentiles::Percentiles;
use trickle_bench::screen::Screen;
use trickle_regress::installation::project;
use trickle_regress::{Cluster, Session};

/// How long the replay takes unless told otherwise.
const DEFAULT_SECONDS: u64 = 60;
/// Transactions in a replay: each covers this share of the year.
const TRANSACTIONS: usize = 12_000;
/// The display changes this often.
const DISPLAY: Duration = Duration::from_millis(500);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut seconds = Some(DEFAULT_SECONDS);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--stop" => return stop(),
            "--fast" => seconds = None,
            "--seconds" => match rest.next().and_then(|text| text.parse().ok()) {
                Some(number) => seconds = Some(number),
                None => usage(),
            },
            _ => usage(),
        }
    }
    stop();
    run(seconds);
}

fn usage() -> ! {
    eprintln!("usage: demo [--fast | --seconds N | --stop]");
    std::process::exit(2);
}

/// Where the running server is remembered: its pid and folder.
fn note() -> PathBuf {
    project().join("build/demo.server")
}

/// Stops the server that an earlier demo left running.
fn stop() {
    let Ok(text) = std::fs::read_to_string(note()) else { return };
    let mut lines = text.lines();
    let (Some(pid), Some(folder)) = (lines.next().and_then(|pid| pid.parse().ok()), lines.next()) else { return };
    // The pid may be somebody else's by now: only a postmaster of that folder is ours.
    let running = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if running.contains(folder) {
        trickle_regress::cluster::signal(pid, "INT");
        let proc = PathBuf::from(format!("/proc/{pid}"));
        trickle_regress::session::wait_until("the demo's server has stopped", || !proc.exists());
        println!("demo: stopped the server");
    }
    for path in [PathBuf::from(folder), note()] {
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        if let Err(error) = removed {
            if error.kind() != std::io::ErrorKind::NotFound {
                eprintln!("demo: could not remove {}: {error}", path.display());
            }
        }
    }
}

/// (name, query) of each stream table.
fn stream_tables() -> Vec<(String, String)> {
    let text = include_str!("../../sql/stream_tables.sql");
    text.split("-- name: ")
        .skip(1)
        .filter_map(|part| {
            let (name, query) = part.split_once('\n')?;
            Some((name.trim().to_string(), query.trim().to_string()))
        })
        .collect()
}

fn copy(session: &mut Session, table: &Table) {
    let escape = |value: &Option<String>| match value {
        None => "\\N".to_string(),
        Some(text) => text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"),
    };
    let text: String =
        table.rows.iter().map(|row| row.iter().map(escape).collect::<Vec<_>>().join("\t") + "\n").collect();
    let statement = format!("COPY {} ({}) FROM STDIN", table.name, table.columns.join(", "));
    let mut writer = session.client().copy_in(&statement).expect("COPY begins");
    std::io::Write::write_all(&mut writer, text.as_bytes()).expect("rows can be sent");
    writer.finish().expect("COPY ends");
}

fn run(seconds: Option<u64>) {
    let Data { source, dimensions, flights } = flights::load(&project().join("build/flights"));
    let cluster = Cluster::builder()
        .purpose("demo")
        .set("shared_buffers", "512MB")
        .set("max_wal_size", "4GB")
        .set("synchronous_commit", "off")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run(include_str!("../../sql/schema.sql"));
    for table in &dimensions {
        copy(&mut session, table);
    }
    println!("demo: {source}, {} flights; dimensions loaded", flights.len());
    let tables = stream_tables();
    for (name, query) in &tables {
        session
            .run(&format!("SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms')"));
    }
    for row in session.rows("SELECT name, effective_mode FROM pgtrickle.stream_table_status() ORDER BY name") {
        println!("demo: stream table {:<28} {}", row[0].as_deref().unwrap_or(""), row[1].as_deref().unwrap_or(""));
    }
    session.run("SELECT pgtrickle.refresh_all()");

    let events = events::of(&flights);
    let share = events.len().div_ceil(TRANSACTIONS);
    let chunks: Vec<_> = events.chunks(share).collect();
    let pause = seconds.map(|seconds| Duration::from_secs(seconds) / chunks.len() as u32);

    // The probe asks over and over until the stream table shows what a sampled commit has made of it.
    let (sender, commits) = mpsc::channel::<(i64, Instant)>();
    let mut prober = cluster.session();
    let probe = std::thread::spawn(move || {
        let mut latencies = Percentiles::default();
        let statement = prober.client().prepare("SELECT coalesce(max(tick), 0) FROM latest_tick").expect("a query");
        for (expected, committed) in commits {
            loop {
                let seen: i64 = prober.client().query_one(&statement, &[]).expect("a row").get(0);
                if seen >= expected {
                    latencies.add(committed.elapsed());
                    break;
                }
            }
        }
        latencies
    });

    let done = Arc::new(AtomicBool::new(false));
    let rows_done = Arc::new(AtomicI64::new(0));
    let minute = Arc::new(AtomicI64::new(0));
    let display = {
        let (done, rows_done, minute) = (Arc::clone(&done), Arc::clone(&rows_done), Arc::clone(&minute));
        let session = cluster.session();
        std::thread::spawn(move || show(session, &done, &rows_done, &minute))
    };

    let began = Instant::now();
    for (number, chunk) in chunks.iter().enumerate() {
        let (statements, rows) = events::statements(&flights, chunk);
        session.run(&format!("BEGIN; {}; UPDATE ticks SET tick = tick + 1; COMMIT", statements.join("; ")));
        let committed = Instant::now();
        rows_done.fetch_add(rows as i64, Ordering::Relaxed);
        minute.store(chunk.last().map_or(0, |(minute, _)| *minute), Ordering::Relaxed);
        if let Some(pause) = pause {
            // One in ten is sampled; unpaced, the next commit would overtake the look.
            if number % 10 == 0 && sender.send((number as i64 + 1, committed)).is_err() {
                break;
            }
            let due = began + pause * (number as u32 + 1);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    let replayed = began.elapsed();
    drop(sender);
    session.run("SELECT pgtrickle.refresh_all()");
    let caught_up = began.elapsed();
    done.store(true, Ordering::Relaxed);
    display.join().expect("the display ends well");
    let latencies = probe.join().expect("the probe ends well");

    let mut wrong = 0;
    for (name, _) in &tables {
        let differences = session.rows(&format!("SELECT * FROM pgtrickle.verify('{name}')"));
        let verdict = if differences.is_empty() { "equals its query" } else { "DIFFERS from its query" };
        wrong += differences.len();
        let rows = session.value(&format!("SELECT count(*) FROM {name}"));
        println!("demo: {name:<20} {rows:>7} rows, {verdict}");
    }
    let rows = rows_done.load(Ordering::Relaxed);
    println!(
        "demo: {rows} rows changed in {} transactions in {:.1} s ({:.0} rows/s); all caught up after {:.1} s",
        chunks.len(),
        replayed.as_secs_f64(),
        rows as f64 / replayed.as_secs_f64(),
        caught_up.as_secs_f64()
    );
    if !latencies.is_empty() {
        println!("demo: from commit to visible in the stream table: {}", latencies.summary());
    }
    let psql = cluster.installation().bindir().join("psql");
    let folder = cluster.folder().to_path_buf();
    // It outlives this process on purpose.
    #[allow(clippy::zombie_processes)]
    let server = cluster.leave_running();
    if let Err(error) = std::fs::write(note(), format!("{}\n{}\n", server.id(), folder.display())) {
        eprintln!("demo: could not note the server: {error}");
    }
    println!(
        "demo: the server runs; look around with\n  {} -h {} -U postgres postgres",
        psql.display(),
        folder.display()
    );
    println!("demo: `make demo-stop` stops it");
    if wrong > 0 {
        std::process::exit(1);
    }
}

/// Shows what the stream tables do until `done`.
fn show(mut session: Session, done: &AtomicBool, rows_done: &AtomicI64, minute: &AtomicI64) {
    let mut screen = Screen::default();
    let every = if screen.is_terminal() { DISPLAY } else { DISPLAY * 10 };
    let mut last: HashMap<String, i64> = HashMap::new();
    let (mut then, mut rows_then) = (Instant::now(), 0);
    loop {
        let ends = done.load(Ordering::Relaxed);
        let rows = rows_done.load(Ordering::Relaxed);
        let rate = (rows - rows_then) as f64 / then.elapsed().as_secs_f64().max(0.001);
        (then, rows_then) = (Instant::now(), rows);
        let status = session.rows(
            "SELECT name, refreshes, avg_refresh_ms::numeric(10,2), staleness_secs::numeric(10,3), rows_changed_last_cycle \
               FROM pgtrickle.stream_table_status() ORDER BY name",
        );
        let headline = session.rows("SELECT flights, landed, round(mean_delay, 1) FROM totals");
        let cell = |row: &[Option<String>], at: usize| row[at].clone().unwrap_or_default();
        let mut block = vec![match headline.first() {
            Some(row) => format!(
                "{}  {:>9} rows changed  {:>7.0} rows/s   flights {} landed {} mean delay {} min",
                flights::timestamp(minute.load(Ordering::Relaxed)),
                rows,
                rate,
                cell(row, 0),
                cell(row, 1),
                cell(row, 2)
            ),
            None => "starting".into(),
        }];
        block.push(format!(
            "{:<28}{:>10}{:>12}{:>14}{:>12}",
            "stream table", "refreshes", "per second", "refresh ms", "behind s"
        ));
        for row in &status {
            let refreshes: i64 = cell(row, 1).parse().unwrap_or(0);
            let name = cell(row, 0);
            let before = last.insert(name.clone(), refreshes).unwrap_or(refreshes);
            let per_second = (refreshes - before) as f64 / every.as_secs_f64();
            block.push(format!("{name:<28}{refreshes:>10}{per_second:>12.0}{:>14}{:>12}", cell(row, 2), cell(row, 3)));
        }
        screen.show(&block);
        if ends {
            return;
        }
        let wake = Instant::now() + every;
        while Instant::now() < wake && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
