//! DDL on stream tables by several sessions at once, beside the worker: errors say what happened, and nobody is a deadlock's
//! victim.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Barrier;
use std::time::{Duration, Instant};
use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

const QUERY: &str = "SELECT g, count(*) AS n FROM t GROUP BY g";
const TIME: Duration = Duration::from_secs(6);

fn prepare(cluster: &Cluster) -> Session {
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE t (id int PRIMARY KEY, g int); INSERT INTO t SELECT i, i % 7 FROM generate_series(1, 500) i",
    );
    session
}

fn create(query: &str) -> String {
    format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')")
}

/// Runs `statements` in turn until the time is up, each in a session of its own kind; the errors that came.
fn hammer(cluster: &Cluster, over: &AtomicBool, statements: &[String]) -> BTreeSet<String> {
    let mut session = cluster.session();
    let mut errors = BTreeSet::new();
    while !over.load(Ordering::Relaxed) {
        for statement in statements {
            if let Err(error) = session.attempt(statement) {
                errors.insert(format!("{} {}", error.sqlstate, generic(&error.message)));
            }
        }
    }
    errors
}

/// Without what differs from one time to the next.
fn generic(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn run_for(time: Duration, over: &AtomicBool, body: impl FnOnce() + Send) {
    let clock = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(body);
        while clock.elapsed() < time {
            std::thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Several hammers at once; the errors of each.
fn hammers(cluster: &Cluster, all: &[Vec<String>]) -> Vec<BTreeSet<String>> {
    let over = AtomicBool::new(false);
    let mut found = Vec::new();
    let results = &mut found;
    run_for(TIME, &over, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                all.iter().map(|statements| scope.spawn(|| hammer(cluster, &over, statements))).collect();
            results.extend(threads.into_iter().map(|thread| thread.join().expect("a hammer ends well")));
        });
    });
    found
}

/// A stream table that is dropped while somebody waits for it does not exist; nothing else is said.
#[test]
fn a_refresh_races_drop_and_create() {
    let cluster = Cluster::with_extension();
    let mut session = prepare(&cluster);
    let refresh = vec!["SELECT pgtrickle.refresh_stream_table('st')".to_string()];
    let write = vec!["UPDATE t SET g = (g + 1) % 7 WHERE id = 1 + (random() * 400)::int".to_string()];
    let full = "SELECT g, count(*) AS n, random() < 2 AS r FROM t GROUP BY g";
    let drop = vec![
        create(QUERY),
        "SELECT pg_sleep(0.05)".into(),
        "DROP TABLE st".into(),
        create(full),
        "SELECT pg_sleep(0.05)".into(),
        "SELECT pgtrickle.drop_stream_table('st')".into(),
    ];
    let found = hammers(&cluster, &[refresh.clone(), refresh.clone(), refresh, write, drop]);
    for errors in &found[..3] {
        assert!(errors.iter().all(|error| error.starts_with("42P01 ")), "{found:#?}");
    }
    assert!(found[3].is_empty() && found[4].is_empty(), "{found:#?}");
    session.run(&create(QUERY));
    Oracle::new("st", QUERY).assert_equal(&mut session);
}

/// The query is changed while the worker writes, by two sessions at once, and while others wait.
#[test]
fn h44_alter_and_the_worker_take_locks_in_one_order() {
    let cluster = Cluster::builder().set("deadlock_timeout", "200ms").start();
    cluster.session().run("CREATE EXTENSION pg_trickle");
    let mut session = prepare(&cluster);
    session.run(&create(QUERY));
    let alter = |query: &str| format!("SELECT pgtrickle.alter_stream_table('st', query => $q${query}$q$)");
    let other = "SELECT g, sum(id) AS n FROM t GROUP BY g";
    let keyless = "SELECT g, id::bigint AS n FROM t";
    let full = "SELECT g, count(*) + (random() * 0)::int AS n FROM t GROUP BY g";
    let found = hammers(
        &cluster,
        &[
            vec!["SELECT pgtrickle.refresh_stream_table('st')".to_string()],
            vec!["UPDATE t SET g = (g + 1) % 7 WHERE id = 1 + (random() * 400)::int".to_string()],
            vec![alter(other), alter(keyless), alter(QUERY), alter(full)],
            vec![alter(QUERY), alter(full), alter(other)],
            vec!["SELECT count(*) FROM st".to_string()],
        ],
    );
    assert!(found.iter().all(BTreeSet::is_empty), "{found:#?}\n{}", cluster.log_tail());
    session.run(&alter(QUERY));
    Oracle::new("st", QUERY).assert_equal(&mut session);
}

/// One creates, the others are told that it is there.
#[test]
fn if_not_exists_from_eight_sessions_at_once() {
    let cluster = Cluster::with_extension();
    let mut session = prepare(&cluster);
    let functions = [
        "SELECT pgtrickle.create_stream_table('st', $q$SELECT g, count(*) AS n FROM t GROUP BY g$q$, if_not_exists => true)",
        "SELECT pgtrickle.create_or_replace_stream_table('st', $q$SELECT g, count(*) AS n FROM t GROUP BY g$q$)",
    ];
    for function in functions {
        for _ in 0..5 {
            let barrier = Barrier::new(8);
            let notices: Vec<Vec<String>> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut session = cluster.session();
                            barrier.wait();
                            session.run(function);
                            session.notices()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no session fails")).collect()
            });
            if function.contains("if_not_exists") {
                let skipped = notices.iter().flatten().filter(|notice| notice.contains("already exists, skipping"));
                assert_eq!(skipped.count(), 7, "{notices:?}");
            }
            Oracle::new("st", QUERY).assert_equal(&mut session);
            session.run("SELECT pgtrickle.drop_stream_table('st')");
        }
    }
}
