//! Debian's sqlsmith against a database full of stream tables: whatever its queries are, the worker lives, and every stream
//! table is still refreshed and equal. Not part of `make test`: `make sqlsmith`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trickle_regress::generator::case::{Case, Stream, View};
use trickle_regress::generator::types;
use trickle_regress::nexmark::{self, Events};
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{cases, skipped, Cluster, Session};

/// How long sqlsmith runs: TRICKLE_ORACLE_SECONDS.
fn time() -> Duration {
    let seconds = std::env::var("TRICKLE_ORACLE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// Random stream tables, so that the database is full of them: each case in a schema of its own.
fn fill(session: &mut Session, seed: u64) {
    for number in 0..12 {
        let case = Case::random(&mut Random::new(seed + number));
        session.run(&format!("CREATE SCHEMA smith_{number}"));
        session.run(&format!("SET search_path = smith_{number}"));
        session.run(types::DEFINITIONS);
        let tables = case.tables.iter().flat_map(|table| [Some(table.definition()), table.filled()]).flatten();
        let views = case.views.iter().map(View::definition);
        session.run("SET statement_timeout = '5s'");
        for statement in tables.chain(views).chain(case.streams.iter().map(Stream::definition)) {
            // What the server does not want, or takes too long to plan, is not there.
            let _ = session.attempt(&statement);
        }
        session.run("SET statement_timeout = 0");
    }
    session.run("RESET search_path");
}

/// Whatever sqlsmith has written: each stream table is its query, or says on which rows it fails.
fn verify_all(session: &mut Session) {
    let names = session.rows("SELECT name, error_rows > 0 FROM pgtrickle.stream_table_status() ORDER BY name");
    let mut verified = 0;
    for row in names {
        let (name, fails) = (row[0].clone().unwrap_or_default(), row[1].as_deref() == Some("t"));
        match session.try_rows(&format!("SELECT * FROM pgtrickle.verify('{name}')")) {
            Ok(differences) => {
                assert!(differences.is_empty(), "{name} is not its query: {differences:?}");
                verified += 1;
            }
            Err(error) => assert!(fails || error.sqlstate.starts_with("22"), "{name}: {error:?}"),
        }
    }
    println!("sqlsmith: {verified} stream tables verified");
}

#[test]
#[ignore = "runs for as long as it is told: make sqlsmith"]
fn sqlsmith_does_not_disturb_the_worker() {
    let there = Command::new("sqlsmith").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return skipped("sqlsmith is not installed (Debian: apt-get install sqlsmith)");
    }
    let seed = Random::seed("sqlsmith");
    let cluster = Cluster::builder().purpose("sqlsmith").set("statement_timeout", "2s").start();
    let mut session = cluster.session();
    session.run("SET statement_timeout = 0; CREATE EXTENSION pg_trickle");
    session.run(nexmark::SCHEMA);
    let mut events = Events::new(Random::new(seed));
    events.run(&mut session, 1000);
    let queries = nexmark::queries();
    for query in &queries {
        query.create(&mut session, "10 ms").unwrap_or_else(|error| panic!("{error}"));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    let oracles: Vec<Oracle> = queries.iter().map(cases::Case::oracle).collect();
    fill(&mut session, seed);
    let worker = cluster.worker_pid("postgres");
    let target = format!("host={} port=5432 user=postgres dbname=postgres", cluster.folder().display());
    let (end, mut runs) = (Instant::now() + time(), 0);
    while Instant::now() < end {
        runs += 1;
        // Its own exit tells nothing: it ends with an error when a query of its own ends its session.
        let run = Command::new("sqlsmith")
            .arg(format!("--target={target}"))
            .arg(format!("--seed={}", seed + runs))
            .arg("--max-queries=300")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.expect("sqlsmith can be run");
        // It may drop or empty nothing that we compare by, but writes where it likes.
        events.run(&mut session, 100);
        session.rows("SELECT pgtrickle.refresh_all()");
        for oracle in &oracles {
            oracle.assert_equal_now(&mut session);
        }
        let log = cluster.log();
        assert!(!log.contains("was terminated by signal"), "a process died in run {runs}");
    }
    verify_all(&mut session);
    // Its queries are there: those that fail are in the log.
    let failed =
        cluster.log().lines().filter(|line| line.contains(" client backend ") && line.contains("ERROR:")).count();
    assert!(failed > 0, "sqlsmith has asked nothing");
    assert_eq!(worker, cluster.worker_pid("postgres"), "the worker has ended");
    println!("sqlsmith: {runs} runs, {failed} queries that failed");
}
