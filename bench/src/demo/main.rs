//! The demo: a year of New York's flights as transactions, eleven stream tables that follow them, and the proof at the end.
//!
//! `demo` takes about a minute, `demo --fast` as little as it can; `demo --stop` stops the server that a demo has left.

mod display;
mod replay;
mod server;
mod tables;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use display::Display;
use replay::{Progress, Timetable, SESSIONS};
use tables::STREAM_TABLES;
use trickle_bench::{grouped, millis, Times};
use trickle_regress::installation::project;
use trickle_regress::{Cluster, Session};

const DATABASE: &str = "flights";

fn main() -> ExitCode {
    let mut time = Some(Duration::from_secs(60));
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--fast" => time = None,
            "--stop" => return server::stop(),
            other => {
                eprintln!("demo: unknown argument {other}: --fast and --stop are known");
                return ExitCode::FAILURE;
            }
        }
    }
    if server::running() {
        println!("demo: the server of the last demo still runs: stopping it");
        server::stop();
    }
    let cluster = Cluster::builder().purpose("demo").set("fsync", "on").set("shared_buffers", "256MB").start();
    cluster.session().run(&format!("CREATE DATABASE {DATABASE}"));
    let mut session = cluster.session_as("postgres", DATABASE);
    session.run("CREATE EXTENSION pg_trickle");
    load(&mut session);
    create(&mut session);
    let timetable = Timetable::read(&mut session);
    println!(
        "{} changes of {SESSIONS} sessions, {}",
        grouped(timetable.len() as u64),
        time.map_or("as fast as they go".into(), |time| format!("in {} seconds", time.as_secs()))
    );
    let right = run(&cluster, &mut session, &timetable, time);
    drop(session);
    server::leave(cluster, DATABASE);
    if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The tables of the airline, and what is going to happen to its flights.
fn load(session: &mut Session) {
    let started = Instant::now();
    session.run(include_str!("schema.sql"));
    let data = project().join("build/flights");
    if std::env::var("FLIGHTS").as_deref() != Ok("none") && data.join("flights.csv").exists() {
        for (table, file) in [
            ("airlines", "airlines.csv"),
            ("airports", "airports.csv"),
            ("planes", "planes.csv"),
            ("weather", "weather.csv"),
            ("replay.raw", "flights.csv"),
        ] {
            copy(session, table, &data.join(file));
        }
    } else {
        session.run(include_str!("generated.sql"));
    }
    session.run(&format!(
        "INSERT INTO ticks SELECT i, 0 FROM generate_series(0, {}) i; ANALYZE airlines, airports, planes, weather",
        SESSIONS - 1
    ));
    for statement in include_str!("timetable.sql").split(";\n") {
        session.run(statement);
    }
    println!("loaded {} in {}", counts(session), millis(started.elapsed()));
}

fn counts(session: &mut Session) -> String {
    let counts = session.rows(
        "SELECT (SELECT count(*) FROM airlines), (SELECT count(*) FROM airports), (SELECT count(*) FROM planes),
                (SELECT count(*) FROM weather), (SELECT count(*) FROM replay.timetable)",
    );
    let number = |at: usize| counts[0][at].as_deref().and_then(|text| text.parse().ok()).map_or(String::new(), grouped);
    format!(
        "{} airlines, {} airports, {} planes, {} hours of weather, a timetable of {} flights",
        number(0),
        number(1),
        number(2),
        number(3),
        number(4)
    )
}

fn copy(session: &mut Session, table: &str, file: &Path) {
    let done = (|| -> Result<(), Box<dyn std::error::Error>> {
        let mut source = std::fs::File::open(file)?;
        let mut target =
            session.client().copy_in(&format!("COPY {table} FROM STDIN (FORMAT csv, HEADER, NULL 'NA')"))?;
        std::io::copy(&mut source, &mut target)?;
        target.finish()?;
        Ok(())
    })();
    done.unwrap_or_else(|error| panic!("could not load {}: {error}", file.display()));
}

fn create(session: &mut Session) {
    for table in STREAM_TABLES {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{}', $query${}$query$, schedule => '10 ms', sla_tier => '{}',
                                                  refresh_mode => 'differential')",
            table.name, table.query, table.tier
        ));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    println!(
        "created {} stream tables: {}",
        STREAM_TABLES.len(),
        STREAM_TABLES.iter().map(|t| t.name).collect::<Vec<_>>().join(", ")
    );
}

/// Raises a flag when it goes, by a panic too.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replays, shows, verifies and reports; false if a stream table is not its query.
fn run(cluster: &Cluster, session: &mut Session, timetable: &Timetable, time: Option<Duration>) -> bool {
    let progress = Progress::default();
    let over = AtomicBool::new(false);
    let latencies = std::sync::Mutex::new(Times::default());
    let started = Instant::now();
    let (mut written, mut current) = (Duration::ZERO, Duration::ZERO);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let mut session = cluster.session_as("postgres", DATABASE);
                let progress = &progress;
                scope.spawn(move || replay::replay(&mut session, number, timetable, time, progress))
            })
            .collect();
        // However this ends, the probe ends too: the scope waits for it.
        let ends = OnDrop(&over);
        let mut probe = cluster.session_as("postgres", DATABASE);
        let (watched, until, into) = (&progress, &over, &latencies);
        let watching = scope.spawn(move || watch(&mut probe, watched, until, into));
        let mut display = Display::new();
        let mut next = Instant::now() + display.pause();
        while !writers.iter().all(|writer| writer.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if Instant::now() >= next {
                let recent = std::mem::take(&mut *latencies.lock().expect("no panic in between"));
                display.draw(session, &progress, &recent);
                next = Instant::now() + display.pause();
            }
        }
        written = started.elapsed();
        session.rows("SELECT pgtrickle.refresh_all()");
        current = started.elapsed();
        drop(ends);
        let all = watching.join().expect("the probe ends well");
        report(session, &progress, &all, written, current);
    });
    verify(session)
}

/// Looks all the time which transactions are visible in a stream table, and notes how long each took.
fn watch(probe: &mut Session, progress: &Progress, over: &AtomicBool, recent: &std::sync::Mutex<Times>) -> Times {
    let statement = probe.client().prepare("SELECT session, tick FROM visible").expect("a table of two columns");
    let mut seen = [0usize; SESSIONS];
    let mut all = Times::default();
    loop {
        let last = over.load(Ordering::Relaxed);
        let rows = probe.client().query(&statement, &[]).expect("a stream table can always be read");
        let now = Instant::now();
        for row in rows {
            let (number, tick) = (row.get::<_, i32>(0) as usize, row.get::<_, i32>(1) as usize);
            let commits = progress.commits[number].lock().expect("no panic in between");
            // Visible before the writer has been told of its own commit: it has not taken any time.
            let told = tick.min(commits.len());
            let times: Vec<Duration> = commits[seen[number].min(told)..told].iter().map(|at| now - *at).collect();
            seen[number] = seen[number].max(told);
            all.extend(times.iter().copied());
            recent.lock().expect("no panic in between").extend(times);
        }
        if last {
            return all;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn report(session: &mut Session, progress: &Progress, latencies: &Times, written: Duration, current: Duration) {
    let rows = progress.rows.load(Ordering::Relaxed);
    println!(
        "\nwrote {} rows in {} transactions in {}: {} rows/s; all stream tables were current {} later",
        grouped(rows),
        grouped(progress.transactions.load(Ordering::Relaxed)),
        millis(written),
        grouped((rows as f64 / written.as_secs_f64()) as u64),
        millis(current - written)
    );
    println!(
        "commit to visible: p50 {}, p99 {}, longest {} ({} transactions, looked for every ms)",
        millis(latencies.percentile(50)),
        millis(latencies.percentile(99)),
        millis(latencies.percentile(100)),
        grouped(latencies.len() as u64)
    );
    let cost = session.rows(
        "SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms)::numeric(12, 2),
                percentile_disc(0.99) WITHIN GROUP (ORDER BY duration_ms)::numeric(12, 2), sum(rows_changed)
           FROM pgtrickle.refresh_history()",
    );
    let text = |at: usize| cost[0][at].as_deref().unwrap_or("0");
    println!(
        "refreshes of one table: {}, p50 {} ms, p99 {} ms; {} rows changed in stream tables",
        text(0),
        text(1),
        text(2),
        text(3)
    );
}

/// Every stream table against its query, at one snapshot each.
fn verify(session: &mut Session) -> bool {
    let mut right = true;
    for table in STREAM_TABLES {
        let differences = session.rows(&format!("SELECT * FROM pgtrickle.verify('{}')", table.name));
        let rows = session.value(&format!("SELECT count(*) FROM {}", table.name));
        let rows = grouped(rows.parse().unwrap_or(0));
        if differences.is_empty() {
            println!("verified {:16} {rows:>8} rows, equal to its query", table.name);
        } else {
            println!("WRONG    {:16} {rows:>8} rows, {} differ", table.name, differences.len());
            for row in differences.iter().take(5) {
                println!("           {row:?}");
            }
            right = false;
        }
    }
    right
}
