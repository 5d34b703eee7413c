//! What a hostile reader of the code found: failures in the middle of a cycle, and what the worker then believes; what a
//! long-lived process owes the server; what strangers can do to it.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms')"));
}

fn refresh(session: &mut Session, name: &str) {
    session.run("SET statement_timeout = '30s'");
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
    session.run("RESET statement_timeout");
}

/// Sleeps in the server.
fn pass(session: &mut Session, seconds: &str) {
    session.rows(&format!("SELECT pg_sleep({seconds})"));
}

/// The planner runs immutable functions of constants: as the owner too.
#[test]
fn h53_planning_an_expression_runs_as_the_owner() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE maker LOGIN; GRANT CREATE ON SCHEMA public TO maker");
    let mut maker = cluster.session_as("maker", "postgres");
    maker.run("CREATE TABLE own (a int); INSERT INTO own VALUES (1)");
    maker.run(
        "CREATE FUNCTION who(a int) RETURNS text IMMUTABLE LANGUAGE plpgsql
             AS 'BEGIN RETURN current_user::text; END'",
    );
    create(&mut maker, "seen", "SELECT a, who(1) AS w FROM own");
    maker.run("INSERT INTO own VALUES (2)");
    refresh(&mut session, "seen");
    assert_eq!(session.value("SELECT string_agg(DISTINCT w, ',') FROM seen"), "maker");
}

/// No tick of the clock is too far away to be added to.
#[test]
fn a_cron_schedule_over_what_cannot_be_captured() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)");
    session.run("CREATE TABLE t (a int)");
    create(&mut session, "st", "SELECT a FROM t");
    refresh(&mut session, "st");
    let worker = cluster.worker_pid("postgres");
    session.rows("SELECT pgtrickle.create_stream_table('nightly', 'SELECT a FROM p', schedule => '0 3 * * *')");
    refresh(&mut session, "nightly");
    pass(&mut session, "1");
    session.run("INSERT INTO t VALUES (1)");
    refresh(&mut session, "st");
    assert_eq!(worker, cluster.worker_pid("postgres"), "the worker has ended");
}

/// A function that raises what looks like a passing failure: its own table rests, the others go on.
#[test]
fn e15_an_evaluation_that_fails_for_a_while() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); CREATE TABLE u (x int); INSERT INTO t VALUES (1)");
    session.run(
        "CREATE FUNCTION f(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN IF x = 13 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '55000'; END IF; RETURN x; END $$",
    );
    let query = "SELECT f(x) AS x, count(*) AS n FROM t GROUP BY 1";
    create(&mut session, "st", query);
    create(&mut session, "other", "SELECT x FROM u");
    refresh(&mut session, "st");
    refresh(&mut session, "other");
    session.run("INSERT INTO t VALUES (13), (2)");
    pass(&mut session, "0.5");
    session.run("INSERT INTO t VALUES (3)");
    for _ in 0..3 {
        session.run("INSERT INTO u VALUES (1)");
        refresh(&mut session, "other");
        pass(&mut session, "0.3");
    }
    let error = session.error("SET statement_timeout = '10s'; SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    session.run("DELETE FROM t WHERE x = 13");
    session.run("SET statement_timeout = '30s'");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// An expression that cannot even be planned is its own table's trouble.
#[test]
fn e15_an_expression_that_cannot_be_planned() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); CREATE TABLE u (x int); INSERT INTO t VALUES (1)");
    let function = |body: &str| {
        format!("CREATE OR REPLACE FUNCTION f(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    };
    session.run(&function("RETURN x;"));
    let query = "SELECT f(7) + f(x) AS x FROM t";
    create(&mut session, "st", query);
    create(&mut session, "other", "SELECT x FROM u");
    refresh(&mut session, "st");
    refresh(&mut session, "other");
    session.run(&function("IF x = 7 THEN RAISE EXCEPTION 'seven'; END IF; RETURN x;"));
    session.run("INSERT INTO t VALUES (2)");
    pass(&mut session, "0.5");
    session.run("INSERT INTO t VALUES (3)");
    for _ in 0..3 {
        session.run("INSERT INTO u VALUES (1)");
        refresh(&mut session, "other");
        pass(&mut session, "0.3");
    }
    session.run(&function("RETURN x;"));
    session.run("SET statement_timeout = '60s'");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// A cut that fails before it has read anything is taken again, though nobody commits any more.
#[test]
fn a_cut_that_fails_is_taken_again() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    session.rows("SELECT pgtrickle.create_stream_table('st', 'SELECT x FROM t', schedule => '700 ms')");
    refresh(&mut session, "st");
    let segments = session.rows("SELECT relation::regclass FROM pgtrickle.segment");
    let mut locker = cluster.session();
    for round in 1..=3 {
        session.run("INSERT INTO t VALUES (1)");
        locker.run("BEGIN");
        for (at, segment) in segments.iter().enumerate() {
            let name = segment[0].as_deref().unwrap_or("");
            locker.run(&format!("ALTER MATERIALIZED VIEW {name} RENAME TO locked_{at}"));
        }
        pass(&mut locker, "1.5");
        locker.run("ROLLBACK");
        session.wait("the change to arrive", &format!("SELECT count(*) = {round} FROM st"));
    }
}

/// What a cut heard of changed tables is not forgotten when it fails before it has looked at them.
#[test]
fn h22_a_cut_that_fails_hears_again_what_changed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    let query = "SELECT x, count(*) AS n FROM t GROUP BY x";
    session.rows(&format!("SELECT pgtrickle.create_stream_table('st', '{query}', schedule => '700 ms')"));
    refresh(&mut session, "st");
    let mut locker = cluster.session();
    session.run("INSERT INTO t VALUES (1)");
    session.run(
        "BEGIN; ALTER TABLE t DISABLE TRIGGER ALL; INSERT INTO t VALUES (2); ALTER TABLE t ENABLE TRIGGER ALL; COMMIT",
    );
    locker.run("BEGIN; LOCK TABLE pg_catalog.pg_trigger IN ACCESS EXCLUSIVE MODE");
    pass(&mut locker, "1.5");
    locker.run("COMMIT");
    session.run("INSERT INTO t VALUES (3)");
    session.run("SET statement_timeout = '30s'");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// A cycle that fails half-way has fed the engine: nobody is told that a table is current before its output has come.
#[test]
fn what_a_failed_cycle_has_fed_is_waited_for() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); INSERT INTO t VALUES (0)");
    session.run(
        "CREATE FUNCTION slow(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(0.05); RETURN x; END $$",
    );
    create(&mut session, "first", "SELECT x FROM t");
    // Rounds of evaluation, one after the other.
    let rounds = "SELECT slow(n::int) AS x FROM (SELECT slow(x) AS k, slow(count(*)::int) AS n FROM t GROUP BY 1) a";
    create(&mut session, "st", rounds);
    let oracle = Oracle::new("st", "SELECT count(*)::int AS x FROM t GROUP BY x");
    oracle.assert_equal(&mut session);
    refresh(&mut session, "first");
    let mut locker = cluster.session();
    for round in 1..=5 {
        locker.run("BEGIN; LOCK TABLE first IN SHARE MODE");
        session.run(&format!("INSERT INTO t VALUES ({round}), ({round} * 10), ({round} * 100)"));
        refresh(&mut session, "st");
        let difference = oracle.difference(&mut session);
        locker.run("COMMIT");
        assert!(difference.is_none(), "round {round}: {difference:?}");
        refresh(&mut session, "first");
    }
}

/// What reads a full-mode table is not current before that is.
#[test]
fn h11_wait_for_waits_for_what_a_table_reads() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); INSERT INTO t VALUES (0)");
    session.rows("SELECT pgtrickle.create_stream_table('middle', 'SELECT x FROM t', '1 ms', 'full')");
    create(&mut session, "st", "SELECT m.x FROM middle m JOIN t USING (x)");
    let oracle = Oracle::new("st", "SELECT x FROM t");
    oracle.assert_equal(&mut session);
    let mut locker = cluster.session();
    for round in 1..=5 {
        locker.run("BEGIN; LOCK TABLE middle IN SHARE MODE");
        session.run(&format!("INSERT INTO t VALUES ({round})"));
        let current = session.value("SELECT pgtrickle.wait_for('st', '1 s')") == "t";
        let difference = oracle.difference(&mut session);
        locker.run("COMMIT");
        assert!(!current || difference.is_none(), "round {round}: {difference:?}");
        oracle.assert_equal(&mut session);
    }
}

/// The change buffer's relations only look like materialized views: a script that refreshes all of those empties none.
#[test]
fn segments_cannot_be_refreshed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    session.rows("SELECT pgtrickle.create_stream_table('st', 'SELECT x FROM t', schedule => '1 hour')");
    refresh(&mut session, "st");
    session.run("INSERT INTO t VALUES (1)");
    let views = session.rows("SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews");
    for view in views {
        let _refused = session.attempt(&format!("REFRESH MATERIALIZED VIEW {}", view[0].as_deref().unwrap_or("")));
    }
    session.run("SET statement_timeout = '30s'");
    Oracle::new("st", "SELECT x FROM t").assert_equal(&mut session);
    session.run("RESET statement_timeout");
    for command in ["VACUUM FULL", "INSERT INTO t VALUES (2)", "VACUUM FULL", "ANALYZE"] {
        session.run(command);
    }
    Oracle::new("st", "SELECT x FROM t").assert_equal(&mut session);
}

/// verify() compares, or says that it could not.
#[test]
fn verify_answers_only_what_it_has_compared() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); INSERT INTO t VALUES (1)");
    create(&mut session, "st", "SELECT x FROM t");
    refresh(&mut session, "st");
    let mut locker = cluster.session();
    session.run("BEGIN; SET LOCAL session_replication_role = replica; ALTER TABLE t DISABLE TRIGGER ALL; COMMIT");
    refresh(&mut session, "st");
    locker.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    let early = session.attempt("SET statement_timeout = '2s'; SELECT * FROM pgtrickle.verify('st')");
    locker.run("COMMIT");
    assert!(early.is_err(), "verify() has answered without a look at the locked table");
}

/// An extension that was dropped and made again behind the worker's back is another one.
#[test]
fn the_extension_is_made_anew_in_one_transaction() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int, b text, c int); INSERT INTO t VALUES (1, 'x', 1)");
    create(&mut session, "st", "SELECT a, b FROM t");
    refresh(&mut session, "st");
    session.run("INSERT INTO t VALUES (2, 'y', 2)");
    refresh(&mut session, "st");
    session.run("BEGIN; DROP EXTENSION pg_trickle CASCADE; CREATE EXTENSION pg_trickle; COMMIT");
    create(&mut session, "st", "SELECT c FROM t");
    refresh(&mut session, "st");
    let oracle = Oracle::new("st", "SELECT c FROM t");
    for i in 0..5 {
        session.run(&format!("INSERT INTO t VALUES ({i}, 'z', {i})"));
        oracle.assert_equal(&mut session);
    }
    let lost = cluster.log().matches("changes went unrecorded").count();
    assert_eq!(lost, 0);
}

/// The apply worker of a two-phase subscription commits what was prepared without a command that a hook could see.
#[test]
fn h14_a_subscription_commits_what_it_prepared() {
    let cluster = Cluster::with_extension();
    let mut source = cluster.session();
    source.run("CREATE DATABASE origin");
    let mut origin = cluster.session_as("postgres", "origin");
    origin.run("CREATE TABLE t (id int PRIMARY KEY, v text)");
    origin.run("CREATE PUBLICATION p FOR TABLE t");
    origin.rows("SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, true)");
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)");
    create(&mut source, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
    refresh(&mut source, "st");
    source.run(&format!(
        "CREATE SUBSCRIPTION sub CONNECTION 'host={} user=postgres dbname=origin' PUBLICATION p \
         WITH (create_slot = false, slot_name = 's', copy_data = false, two_phase = true)",
        cluster.folder().display()
    ));
    origin.run("BEGIN; INSERT INTO t VALUES (1, 'a'); PREPARE TRANSACTION 'one'");
    source.wait("it to be prepared", "SELECT count(*) = 1 FROM pg_prepared_xacts WHERE database = 'postgres'");
    pass(&mut source, "1.5");
    origin.run("COMMIT PREPARED 'one'");
    source.wait("the change to arrive", "SELECT count(*) = 1 FROM t");
    source.wait("the stream table to follow", "SELECT coalesce(sum(n), 0) = 1 FROM st");
    source.run("ALTER SUBSCRIPTION sub DISABLE");
    source.run("ALTER SUBSCRIPTION sub SET (slot_name = NONE)");
    source.run("DROP SUBSCRIPTION sub");
    origin.rows("SELECT pg_drop_replication_slot('s') FROM pg_replication_slots WHERE slot_name = 's' AND NOT active");
}

/// The worker never ends a session's command, so nobody else reports what it has written: autovacuum would never come.
#[test]
fn what_is_written_is_reported_to_autovacuum() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int, y int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i");
    create(&mut session, "st", "SELECT x, y FROM t");
    for _ in 0..3 {
        session.run("UPDATE t SET y = y + 1");
        refresh(&mut session, "st");
    }
    let reported = "SELECT n_tup_upd + n_tup_del = 3000 FROM pg_stat_user_tables WHERE relname = 'st'";
    session.wait("what was written to be known", reported);
}

/// A setting for the whole database that would make the worker somebody else.
#[test]
fn h13_the_worker_stays_who_it_is() {
    let cluster = Cluster::builder().set("session_replication_role", "origin").start();
    let mut session = cluster.session();
    session.run("CREATE ROLE nobody NOLOGIN");
    session.run("ALTER DATABASE postgres SET role = 'nobody'");
    session.run("ALTER DATABASE postgres SET lock_timeout = '1h'");
    session.run("ALTER DATABASE postgres SET default_transaction_read_only = on");
    session.run("ALTER DATABASE postgres SET statement_timeout = '1ms'");
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE t (x int)");
    create(&mut session, "st", "SELECT x FROM t");
    refresh(&mut session, "st");
    session.run("INSERT INTO t VALUES (1)");
    session.run("SET statement_timeout = '30s'");
    Oracle::new("st", "SELECT x FROM t").assert_equal(&mut session);
}

/// A superuser who changes somebody's stream table runs nothing of theirs.
#[test]
fn h53_altering_another_s_stream_table_runs_as_its_owner() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE maker LOGIN; GRANT CREATE ON SCHEMA public TO maker");
    let mut maker = cluster.session_as("maker", "postgres");
    maker.run("CREATE TABLE own (a int, b int); INSERT INTO own VALUES (1, 1); CREATE TABLE seen (who text)");
    maker.run("GRANT ALL ON seen TO PUBLIC");
    create(&mut maker, "theirs", "SELECT a FROM own");
    maker.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NULL; END'",
    );
    maker.run("CREATE TRIGGER note AFTER TRUNCATE ON theirs EXECUTE FUNCTION note()");
    refresh(&mut session, "theirs");
    session.run("SELECT pgtrickle.alter_stream_table('theirs', query => 'SELECT a, b FROM own')");
    assert_eq!(session.value("SELECT coalesce(string_agg(DISTINCT who, ','), '') FROM seen WHERE who <> 'maker'"), "");
}

/// A row that fails is not looked at again and again.
#[test]
fn e24_a_failing_row_costs_nothing_while_it_stays() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int); INSERT INTO t VALUES (1)");
    create(&mut session, "st", "SELECT 1 / x AS y FROM t");
    refresh(&mut session, "st");
    session.run("INSERT INTO t VALUES (0)");
    session.wait("the error to show", "SELECT count(*) = 1 FROM pgtrickle.errors('st')");
    let switches = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker lives");
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap_or("").to_string();
        line.split_whitespace().last().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    let worker = cluster.worker_pid("postgres");
    pass(&mut session, "1");
    let woken = switches(worker);
    pass(&mut session, "3");
    assert!(switches(worker) - woken < 60, "woken {} times in 3 seconds", switches(worker) - woken);
    session.run("DELETE FROM t WHERE x = 0; INSERT INTO t VALUES (1)");
    Oracle::new("st", "SELECT 1 / x AS y FROM t").assert_equal(&mut session);
}

/// A locked stream table, what reads it, and who waits for it: the others go on.
#[test]
fn h44_who_waits_for_a_locked_stream_table_holds_up_nobody() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    create(&mut session, "locked", "SELECT x FROM t");
    create(&mut session, "reader", "SELECT count(*) AS n FROM locked");
    create(&mut session, "other", "SELECT sum(x) AS s FROM t");
    session.rows("SELECT pgtrickle.refresh_all()");
    let mut locker = cluster.session();
    locker.run("BEGIN; LOCK TABLE locked IN SHARE MODE");
    session.run("INSERT INTO t VALUES (1)");
    let mut waiting = cluster.session();
    let waits = std::thread::spawn(move || waiting.attempt("SELECT pgtrickle.refresh_stream_table('locked')"));
    for round in 2..20 {
        session.run(&format!("INSERT INTO t VALUES ({round})"));
        refresh(&mut session, "other");
    }
    Oracle::new("other", "SELECT sum(x) AS s FROM t").assert_equal(&mut session);
    locker.run("COMMIT");
    waits.join().expect("the session lives").expect("the lock has gone");
    Oracle::new("reader", "SELECT count(*) AS n FROM t").assert_equal(&mut session);
}

/// A full-mode table whose write fails is no reason to build anew what reads it.
#[test]
fn a_locked_full_mode_table_keeps_its_readers() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    session.rows("SELECT pgtrickle.create_stream_table('middle', 'SELECT x FROM t', '1 ms', 'full')");
    create(&mut session, "st", "SELECT x, count(*) AS n FROM middle GROUP BY x");
    let oracle = Oracle::new("st", "SELECT x, count(*) AS n FROM t GROUP BY x");
    oracle.assert_equal(&mut session);
    let mut locker = cluster.session();
    for round in 1..=3 {
        locker.run("BEGIN; LOCK TABLE middle IN SHARE MODE");
        session.run(&format!("INSERT INTO t VALUES ({round})"));
        pass(&mut session, "0.7");
        let status = "SELECT status FROM pgtrickle.stream_table_status() WHERE name = 'public.st'";
        assert_ne!(session.value(status), "initializing");
        locker.run("COMMIT");
        oracle.assert_equal(&mut session);
    }
}

/// A function of somebody's leaves nothing behind in the process that serves all.
#[test]
fn h53_advisory_locks_do_not_outlive_a_refresh() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int)");
    session.run(
        "CREATE FUNCTION f() RETURNS int VOLATILE LANGUAGE plpgsql AS
         $$ BEGIN
              IF current_setting('application_name') = 'pg_trickle' THEN PERFORM pg_advisory_lock(42); END IF;
              RETURN 1;
            END $$",
    );
    session.rows("SELECT pgtrickle.create_stream_table('st', 'SELECT f() AS a FROM t', '1 ms', 'full')");
    session.run("INSERT INTO t VALUES (1)");
    refresh(&mut session, "st");
    session.rows("SELECT pgtrickle.drop_stream_table('st')");
    session.wait("nobody to hold the lock", "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'");
}

/// Who waits when maintenance is switched off is told so.
#[test]
fn h48_switched_off_while_somebody_waits() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (x int)");
    create(&mut session, "st", "SELECT x FROM t");
    refresh(&mut session, "st");
    let mut locker = cluster.session();
    locker.run("BEGIN; LOCK TABLE st IN SHARE MODE");
    session.run("INSERT INTO t VALUES (1)");
    let mut waiting = cluster.session();
    let ask = "SET statement_timeout = '60s'; SELECT pgtrickle.refresh_stream_table('st')";
    let waits = std::thread::spawn(move || waiting.attempt(ask));
    pass(&mut session, "0.5");
    session.run("ALTER SYSTEM SET pg_trickle.enabled = off");
    session.rows("SELECT pg_reload_conf()");
    let error = waits.join().expect("the session lives").expect_err("nobody refreshes");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    locker.run("COMMIT");
}

/// What a full-mode stream table reads is not known by column: an UPDATE that leaves the captured columns alone concerns it.
#[test]
fn an_update_of_columns_that_only_a_full_mode_table_reads() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int PRIMARY KEY, b int, c int); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)");
    let full = "SELECT pgtrickle.create_stream_table('whole', 'SELECT a, c FROM t', refresh_mode => 'full')";
    create(&mut session, "some", "SELECT a, b FROM t");
    refresh(&mut session, "some");
    session.run(full);
    let whole = Oracle::new("whole", "SELECT a, c FROM t");
    whole.assert_equal(&mut session);
    session.run("UPDATE t SET c = 3 WHERE a = 1");
    whole.assert_equal(&mut session);
    // Some rows change in what is captured, some do not.
    session.run("UPDATE t SET b = 7 * a, c = 10 * c WHERE a = 1 OR b = 14");
    session.run("UPDATE t SET b = 7, c = c + 1");
    whole.assert_equal(&mut session);
    // The other way round: the full-mode table was first.
    session.run("CREATE TABLE u (a int PRIMARY KEY, b int, c int); INSERT INTO u VALUES (1, 1, 1)");
    session.run(&full.replace("whole", "first").replace(" t'", " u'"));
    let first = Oracle::new("first", "SELECT a, c FROM u");
    first.assert_equal(&mut session);
    create(&mut session, "second", "SELECT a, b FROM u");
    refresh(&mut session, "second");
    session.run("UPDATE u SET c = 3");
    first.assert_equal(&mut session);
}
