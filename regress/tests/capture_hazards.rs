//! Hazards of capture and of the cut, each by its number: settings and snapshots that are not ours, commits that nobody
//! announces, types that are gone, long snapshots, processes that end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trickle_regress::cluster::signal;
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::session::wait_until;
use trickle_regress::{Cluster, Session};

fn pid(session: &mut Session) -> u32 {
    session.value("SELECT pg_backend_pid()").parse().expect("a pid")
}

/// H9: change rows whose type is gone by the time they are read. The catalog is always newer than the cut.
#[test]
fn h09_types_that_are_gone_when_their_rows_are_read() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
         CREATE TYPE spans AS RANGE (subtype = float8); CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    );
    session.run("CREATE TABLE t (id int PRIMARY KEY, v int, m mood, p pair, s spans, d positive)");
    session.run("INSERT INTO t VALUES (1, 1, 'ok', (1, 'x'), '[1,2]', 1)");
    let kept = Oracle::follow(&mut session, "kept", "SELECT v, count(*) AS n FROM t GROUP BY v");
    Oracle::follow(&mut session, "gone", "SELECT id, m, p, s, d FROM t");
    let worker = cluster.worker_pid("postgres");
    signal(worker, "STOP");
    for id in 2..50 {
        session.run(&format!("INSERT INTO t VALUES ({id}, {id} % 5, 'sad', ({id}, 'y'), '[3,4]', {id})"));
    }
    session.run("UPDATE t SET m = 'ok', v = v + 1 WHERE id < 20; DELETE FROM t WHERE id BETWEEN 10 AND 15");
    session.run("DROP TYPE mood, pair, spans CASCADE; DROP DOMAIN positive CASCADE");
    assert_eq!(session.value("SELECT to_regclass('gone') IS NULL"), "t");
    session.run("INSERT INTO t VALUES (100, 3)");
    signal(worker, "CONT");
    kept.assert_equal(&mut session);
    assert!(!cluster.log().contains("cycle failed"), "a change row could not be read\n{}", cluster.log_tail());
    assert_eq!(cluster.worker_pid("postgres"), worker, "the worker has ended");
    session.run("UPDATE t SET v = v + 1");
    kept.assert_equal(&mut session);
}

/// H10: under a long snapshot nothing that is written every cycle may pile up as versions of one row, nor history grow with the
/// rate of commits.
#[test]
fn h10_a_long_snapshot_makes_no_catalog_grow() {
    const ROUNDS: usize = 400;
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int, v int); INSERT INTO t SELECT i % 5, i FROM generate_series(1, 50) i");
    let oracle = Oracle::follow(&mut session, "st", "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k");
    let mut long = cluster.session();
    long.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    // Of our catalogs only the ones that are appended to may grow.
    let sizes = "SELECT coalesce(sum(pg_relation_size(c.oid)), 0) FROM pg_class c
                  WHERE c.relnamespace = 'pgtrickle'::regnamespace AND relkind IN ('r', 'i', 't')
                    AND c.relname !~ '^(segment_|frontier|refresh_log)'";
    let (before, started) = (session.value(sizes), Instant::now());
    for round in 0..ROUNDS {
        session.run(&format!("INSERT INTO t VALUES ({}, 1)", round % 5));
        session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    }
    let cycles: usize =
        session.value("SELECT refreshes FROM pgtrickle.stream_table_status()").parse().expect("a number");
    assert!(cycles > ROUNDS / 2, "only {cycles} cycles wrote something: nothing is proven");
    assert_eq!(session.value(sizes), before, "a catalog table was updated in place");
    // The last batch of history is written within a second.
    let seconds = started.elapsed().as_secs() as usize + 2;
    session.wait(
        "the history to be written",
        &format!("SELECT sum(rows_changed) >= {ROUNDS} FROM pgtrickle.refresh_history('st')"),
    );
    let entries: usize =
        session.value("SELECT count(*) FROM pgtrickle.refresh_history('st')").parse().expect("a number");
    assert!(entries <= 8 * seconds && entries < cycles, "{entries} entries for {cycles} cycles in {seconds} s");
    // Frontiers are appended and, once they are many, written anew: the worker does so when it starts.
    let frontiers = "SELECT count(*) FROM pgtrickle.frontier";
    assert!(session.value(frontiers).parse::<usize>().expect("a number") > cycles / 2);
    let worker = cluster.worker_pid("postgres");
    session.rows(&format!("SELECT pg_terminate_backend({worker}, 60000)"));
    session.wait(
        "the frontiers to take one page, long snapshot or not",
        "SELECT pg_relation_size('pgtrickle.frontier') <= 8192",
    );
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(DISTINCT relid) FROM pgtrickle.frontier"), "1");
    long.run("COMMIT");
}

/// H11: "current" means a cut whose snapshot was taken after the request. Requests come in the middle of cycles that others
/// have asked for, whose snapshots are too old for them.
#[test]
fn h11_whoever_asks_sees_what_was_committed_before() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, w int)");
    let oracle = Oracle::follow(&mut session, "st", "SELECT id, w FROM t");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let mut session = cluster.session();
            scope.spawn(move || {
                for round in 0..80 {
                    let id = number * 1000 + round;
                    session.run(&format!("INSERT INTO t VALUES ({id}, {number})"));
                    let asked = if round % 2 == 0 { "refresh_stream_table" } else { "wait_for" };
                    session.rows(&format!("SELECT pgtrickle.{asked}('st')"));
                    let seen = session.value(&format!("SELECT count(*) FROM st WHERE id = {id}"));
                    assert_eq!(seen, "1", "{asked} has answered before row {id} was there");
                }
            });
        }
    });
    oracle.assert_equal(&mut session);
}

/// H11: the order of commit records is not that of visibility. A commit that waits for a standby is in the log and not
/// visible: whoever asks now is not made to wait for it, nor shown it.
#[test]
fn h11_a_commit_that_waits_for_a_standby_is_not_waited_for() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("SET synchronous_commit = local");
    session.run("CREATE TABLE t (id int)");
    let oracle = Oracle::follow(&mut session, "st", "SELECT id FROM t");
    session.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    session.rows("SELECT pg_reload_conf()");
    session.wait("the setting", "SELECT current_setting('synchronous_standby_names') = 'nobody'");
    let mut waiting = cluster.session();
    let pid = pid(&mut waiting);
    let waiter = std::thread::spawn(move || waiting.run("INSERT INTO t VALUES (1)"));
    session.wait(
        "the commit to wait for the standby",
        &format!("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}"),
    );
    session.run("INSERT INTO t VALUES (2)");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT pgtrickle.wait_for('st', '30 s')"), "t");
    assert_eq!(session.value("SELECT string_agg(id::text, ' ') FROM st"), "2");
    session.rows(&format!("SELECT pg_cancel_backend({pid})"));
    waiter.join().expect("the commit ends with a warning");
    // It wakes the worker like any other.
    session.wait("the change to arrive", "SELECT count(*) = 2 FROM st");
    oracle.assert_equal(&mut session);
}

/// H13: settings of the cluster, the database and the superuser that would end or change the worker's transactions.
#[test]
fn h13_the_worker_has_settings_of_its_own() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int, f float8, b bytea)");
    session.run("INSERT INTO t SELECT i, i % 3, i / 7.0, decode(md5(i::text), 'hex') FROM generate_series(1, 100) i");
    session.run(
        "CREATE FUNCTION slow(v int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN v; END'",
    );
    let hostile = [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_deferrable", "on"),
        ("transaction_timeout", "300ms"),
        ("statement_timeout", "200ms"),
        ("lock_timeout", "1ms"),
        ("idle_in_transaction_session_timeout", "10ms"),
        ("row_security", "on"),
        ("jit", "on"),
        ("jit_above_cost", "0"),
        ("search_path", "nowhere"),
        ("quote_all_identifiers", "on"),
        ("standard_conforming_strings", "off"),
        ("escape_string_warning", "on"),
        ("array_nulls", "off"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "-10"),
        ("DateStyle", "German, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("timezone", "Asia/Kathmandu"),
        ("transform_null_equals", "on"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("synchronous_commit", "remote_apply"),
    ];
    for (at, (name, value)) in hostile.iter().enumerate() {
        // Wherever an administrator may say so.
        let place = ["SYSTEM", "DATABASE postgres", "ROLE postgres", "ROLE postgres IN DATABASE postgres"][at % 4];
        session.run(&format!("ALTER {place} SET {name} = '{value}'"));
        session.run(&format!("ALTER SYSTEM SET {name} = '{value}'"));
    }
    session.rows("SELECT pg_reload_conf()");
    let worker = cluster.worker_pid("postgres");
    session.wait("the settings to be read", "SELECT current_setting('transaction_timeout') = '300ms'");
    // A session without them: what is asked for runs as anybody would run it.
    let plain = "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed';
                 SET transaction_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0;
                 SET default_transaction_deferrable = off; SET search_path = public;
                 SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = on; SET bytea_output = hex;
                 SET extra_float_digits = 1; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = postgres; SET timezone = UTC;
                 SET standard_conforming_strings = on; SET array_nulls = on";
    let plainly = |cluster: &Cluster| {
        let mut session = cluster.session();
        session.run(plain);
        session
    };
    let mut session = plainly(&cluster);
    for restart in [false, true] {
        if restart {
            session.rows(&format!("SELECT pg_terminate_backend({worker}, 60000)"));
            session = plainly(&cluster);
        }
        let suffix = if restart { "after" } else { "before" };
        let kept = Oracle::follow(
            &mut session,
            &format!("kept_{suffix}"),
            "SELECT k, count(*) AS n, array_agg(DISTINCT id) AS ids, min(b::text) AS b FROM t GROUP BY k",
        );
        // Three seconds of evaluation in one transaction of the worker.
        let slowly = Oracle::follow(&mut session, &format!("slow_{suffix}"), "SELECT id, slow(k) AS k FROM t");
        session.run("UPDATE t SET k = k + 1, f = f + 0.1");
        kept.assert_equal(&mut session);
        slowly.assert_equal(&mut session);
        session.run(&format!("SELECT pgtrickle.rebuild('slow_{suffix}')"));
        slowly.assert_equal(&mut session);
        let full = "SELECT id, slow(k) AS k, row_number() OVER (ORDER BY id) AS n, f::text AS f, b::text AS b,
                           make_interval(secs => id)::text AS i, '2026-01-02'::date::text || id AS d FROM t LIMIT 1000000";
        let full = Oracle::follow(&mut session, &format!("full_{suffix}"), full);
        session.run("DELETE FROM t WHERE id % 10 = 3; INSERT INTO t SELECT i, 1, i / 9.0, '\\x00ff' FROM generate_series(3, 93, 10) i");
        full.assert_equal(&mut session);
        assert_eq!(session.value(&format!("SELECT count(*) FROM pgtrickle.verify('slow_{suffix}')")), "0");
    }
    assert!(!cluster.log().contains("due to transaction timeout"), "{}", cluster.log_tail());
}

/// H14: transactions that end as prepared ones without any session's COMMIT PREPARED: the apply worker of a subscription with
/// two_phase commits them, and nobody rings.
#[test]
fn h14_a_subscription_commits_prepared_transactions() {
    let cluster = Cluster::with_extension();
    let mut source = cluster.session();
    source.run("CREATE DATABASE origin");
    let mut origin = cluster.session_as("postgres", "origin");
    origin.run("CREATE TABLE t (id int PRIMARY KEY)");
    origin.run("CREATE PUBLICATION p FOR TABLE t");
    origin.rows("SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, true)");
    source.run("CREATE TABLE t (id int PRIMARY KEY)");
    let oracle = Oracle::follow(&mut source, "st", "SELECT id FROM t");
    source.run(&format!(
        "CREATE SUBSCRIPTION sub CONNECTION 'host={} user=postgres dbname=origin' PUBLICATION p \
         WITH (create_slot = false, slot_name = 's', copy_data = false, two_phase = true)",
        cluster.folder().display()
    ));
    // Decoding in two phases begins once the subscription's tables are ready.
    source.wait("two phases", "SELECT subtwophasestate = 'e' FROM pg_subscription");
    for (id, end) in [(1, "COMMIT"), (2, "ROLLBACK"), (3, "COMMIT")] {
        origin.run(&format!("BEGIN; INSERT INTO t VALUES ({id}); PREPARE TRANSACTION 'p{id}'"));
        source.wait(
            "the transaction to be prepared here",
            "SELECT count(*) = 1 FROM pg_prepared_xacts WHERE database = 'postgres'",
        );
        oracle.assert_equal(&mut source);
        if id == 3 {
            // Known to a worker that has just started, too.
            let worker = cluster.worker_pid("postgres");
            source.rows(&format!("SELECT pg_terminate_backend({worker}, 60000)"));
            oracle.assert_equal(&mut source);
        }
        origin.run(&format!("{end} PREPARED 'p{id}'"));
        source.wait("its end to arrive", "SELECT count(*) = 0 FROM pg_prepared_xacts WHERE database = 'postgres'");
        if end == "COMMIT" {
            source.wait("the stream table to follow unasked", &format!("SELECT count(*) = 1 FROM st WHERE id = {id}"));
        }
        oracle.assert_equal(&mut source);
    }
    source.run("ALTER SUBSCRIPTION sub DISABLE");
    source.run("ALTER SUBSCRIPTION sub SET (slot_name = NONE)");
    source.run("DROP SUBSCRIPTION sub");
    origin.rows("SELECT pg_drop_replication_slot('s') FROM pg_replication_slots WHERE slot_name = 's' AND NOT active");
}

/// H18: a caller with an old snapshot gets content of now: the worker's first cut is newer than what the creator has seen.
#[test]
fn h18_created_under_an_old_snapshot() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut other = cluster.session();
    session
        .run("CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t SELECT i, i % 3 FROM generate_series(1, 30) i");
    let query = "SELECT k, count(*) AS n FROM t GROUP BY k";
    for (at, level) in ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"].iter().enumerate() {
        for mode in ["differential", "full"] {
            let name = format!("st_{at}_{mode}");
            session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
            let before = session.value("SELECT count(*) FROM t");
            other.run(&format!(
                "INSERT INTO t SELECT 1000 * {at} + (SELECT max(id) FROM t) + i, 7 FROM generate_series(1, 5) i"
            ));
            other.run("DELETE FROM t WHERE id = (SELECT min(id) FROM t)");
            // What the creator itself has written counts too.
            session.run(&format!("INSERT INTO t VALUES (-1 - {before}, 9)"));
            session.run(&format!(
                "SELECT pgtrickle.create_stream_table('{name}', '{query}', schedule => '1 ms', refresh_mode => '{mode}')"
            ));
            let filled = session.value(&format!("SELECT coalesce(sum(n), 0) FROM {name}"));
            let now: usize = other.value("SELECT count(*) FROM t").parse().expect("a number");
            assert_eq!(filled, (now + 1).to_string(), "{level}: the content is not that of the latest snapshot");
            session.run("COMMIT");
            Oracle::new(&name, query).assert_equal_now(&mut session);
            other.run("UPDATE t SET k = k + 1 WHERE id % 2 = 0");
            Oracle::new(&name, query).assert_equal(&mut session);
        }
    }
}

/// H26: rows that are older than a column's default, than the dropping of a column, and than its storage's change: their old
/// images are what was there when the content was computed.
#[test]
fn h26_rows_older_than_their_table() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, gone text, v int)");
    session.run("INSERT INTO t SELECT i, 'g', i FROM generate_series(1, 20) i");
    session.run("ALTER TABLE t ADD COLUMN added int DEFAULT 7, ADD COLUMN words text DEFAULT repeat('w', 5000)");
    session.run("ALTER TABLE t DROP COLUMN gone");
    session.run("ALTER TABLE t ADD COLUMN later numeric DEFAULT 1.50, ADD COLUMN empty int");
    session.run(
        "SELECT pgtrickle.create_stream_table('st', 'SELECT id, v, added, words, later, empty FROM t', schedule => '1 ms',
                                              refresh_mode => 'differential')",
    );
    let oracle = Oracle::new("st", "SELECT id, v, added, words, later, empty FROM t");
    oracle.assert_equal(&mut session);
    let groups = Oracle::follow(
        &mut session,
        "groups",
        "SELECT added, words, later, empty, count(*) AS n FROM t GROUP BY 1, 2, 3, 4",
    );
    for statement in [
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET v = v + 1 WHERE id = 2",
        "UPDATE t SET added = 8 WHERE id IN (3, 4)",
        "UPDATE t SET words = words WHERE id = 5",
        "UPDATE t SET words = repeat('w', 5000), later = 1.5 WHERE id = 6",
        "ALTER TABLE t ALTER words SET STORAGE EXTERNAL",
        "UPDATE t SET words = words || '' WHERE id BETWEEN 7 AND 9",
        "ALTER TABLE t ALTER words SET STORAGE PLAIN",
        "UPDATE t SET v = 0 WHERE id = 8",
        "DELETE FROM t WHERE id BETWEEN 2 AND 10",
        "ALTER TABLE t ALTER added SET DEFAULT 9",
        "INSERT INTO t (id) VALUES (100)",
        "DELETE FROM t WHERE id = 11 OR id = 100",
        "ALTER TABLE t ALTER words SET STORAGE EXTENDED",
        "ALTER TABLE t ALTER words SET COMPRESSION pglz",
        "UPDATE t SET words = repeat('z', 100000) WHERE id = 12",
        "UPDATE t SET v = v + 1 WHERE id = 12",
        "DELETE FROM t",
    ] {
        session.run(statement);
        for oracle in [&oracle, &groups] {
            session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{}')", oracle.name));
            if let Some(difference) = oracle.difference(&mut session) {
                panic!("after {statement}: {}\n{difference}", oracle.name);
            }
        }
    }
    assert!(!cluster.log().contains("is rebuilt"), "a row was not found by its old image\n{}", cluster.log_tail());
}

/// H55: a worker that is told to end in the middle of its work takes no other session with it, whatever its threads are at.
#[test]
fn h55_a_worker_that_ends_takes_nobody_with_it() {
    let seed = Random::seed("h55_worker_ends");
    let mut random = Random::new(seed);
    let cluster = Cluster::builder().set("pg_trickle.max_parallel_workers", "3").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (id int PRIMARY KEY, g int, v int)");
    session.run("INSERT INTO t SELECT i, i % 300, i FROM generate_series(1, 20000) i");
    let pairs = Oracle::follow(
        &mut session,
        "pairs",
        "SELECT a.g, count(*) AS n, sum(a.v * b.v::bigint) AS s FROM t a JOIN t b ON a.g = b.g GROUP BY a.g",
    );
    // The same session to the end: a crash would end it.
    let mut witness = cluster.session();
    let witness_pid = pid(&mut witness);
    for round in 0..3 {
        let worker = cluster.worker_pid("postgres");
        session.run(&format!("UPDATE t SET v = v + 1, g = (g + {round}) % 300"));
        std::thread::sleep(Duration::from_millis(random.below(400) as u64));
        witness.rows(&format!("SELECT pg_terminate_backend({worker}, 60000)"));
        assert_ne!(cluster.worker_pid("postgres"), worker);
        assert_eq!(pid(&mut witness), witness_pid);
    }
    pairs.assert_equal(&mut session);
    for sign in ["was terminated by signal", "terminating any other active server processes", "reinitializing"] {
        assert!(!cluster.log().contains(sign), "the server has crashed: {sign}\n{}", cluster.log_tail());
    }
}

/// Whoever asks while a worker ends waits for the next one, and is answered by it.
#[test]
fn h55_requests_outlive_the_worker() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int)");
    let oracle = Oracle::follow(&mut session, "st", "SELECT id FROM t");
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (over, served) = (&over, &served);
        for number in 0..3 {
            let mut asking = cluster.session();
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = number * 1_000_000 + round;
                    asking.run(&format!("INSERT INTO t VALUES ({id})"));
                    asking.rows("SELECT pgtrickle.refresh_stream_table('st')");
                    let seen = asking.value(&format!("SELECT count(*) FROM st WHERE id = {id}"));
                    assert_eq!(seen, "1", "answered before row {id} was there");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            let before = served.load(Ordering::Relaxed);
            wait_until("requests are served", || served.load(Ordering::Relaxed) > before + 30);
            let worker = cluster.worker_pid("postgres");
            session.rows(&format!("SELECT pg_terminate_backend({worker}, 60000)"));
        }
        let before = served.load(Ordering::Relaxed);
        wait_until("requests are served again", || served.load(Ordering::Relaxed) > before + 30);
        over.store(true, Ordering::Relaxed);
    });
    oracle.assert_equal(&mut session);
}
