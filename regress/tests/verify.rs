//! verify(): right under load, loud where something is wrong, in nobody's way, and gone when its caller is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use trickle_regress::random::Random;
use trickle_regress::session::{wait_until, ServerError, TextRow};
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str, more: &str) {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms'{more})"));
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

fn call(name: &str) -> String {
    format!("SELECT difference, occurrences, row_text FROM pgtrickle.verify('{name}')")
}

fn verify(session: &mut Session, name: &str) -> Vec<String> {
    let line = |row: TextRow| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(" ");
    session.rows(&call(name)).into_iter().map(line).collect()
}

/// Verifies in a session of its own, which first runs `before`.
fn verify_beside(cluster: &Cluster, before: &str, name: &str) -> JoinHandle<Result<Vec<TextRow>, ServerError>> {
    let mut session = cluster.session();
    session.run(before);
    let call = call(name);
    std::thread::spawn(move || session.try_rows(&call))
}

const VERIFIERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_trickle verifier'";

fn wait_for_verifiers(session: &mut Session, count: &str) {
    wait_until(&format!("there are {count} verifiers"), || session.value(VERIFIERS) == count);
}

/// Makes a function that never returns in a verifier, and is the identity everywhere else.
fn create_trap(session: &mut Session) {
    session.run(
        "CREATE FUNCTION trap(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $f$ BEGIN
            IF (SELECT backend_type = 'pg_trickle verifier' FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()) a)
            THEN PERFORM pg_advisory_lock_shared(42); LOOP END LOOP; END IF;
            RETURN n; END $f$",
    );
}

/// In the worker such a query would hold up all stream tables of the database, and nobody could cancel it.
#[test]
fn an_endless_query_holds_up_nobody_and_ends_with_its_caller() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE other (a int)");
    create_trap(&mut session);
    create(&mut session, "endless", "SELECT trap(a) AS a FROM t", "");
    create(&mut session, "over", "SELECT sum(a) AS s FROM endless", "");
    create(&mut session, "others", "SELECT count(*) AS n FROM other", "");

    let waiting = verify_beside(&cluster, "SET application_name = 'asks'", "endless");
    session.wait("the verifier to run the query", "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory'");
    for round in 1..=5 {
        session.run("INSERT INTO other VALUES (1)");
        session.run("INSERT INTO t VALUES (1)");
        session.rows("SELECT pgtrickle.refresh_all()");
        assert_eq!(session.value("SELECT n FROM others"), round.to_string());
        assert_eq!(session.value("SELECT s FROM over"), (round + 1).to_string());
    }
    // Others can be verified beside it.
    assert!(verify(&mut session, "others").is_empty());
    assert!(verify(&mut session, "over").is_empty());
    assert!(!waiting.is_finished());
    wait_for_verifiers(&mut session, "1");
    session.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'asks'");
    let error = waiting.join().expect("a thread").expect_err("it was cancelled");
    assert_eq!(error.sqlstate, "57014", "{error:?}");
    wait_for_verifiers(&mut session, "0");

    // By time, inside a block that catches it, and by the end of the session.
    session.run("SET statement_timeout = '300 ms'");
    assert_eq!(session.error(&call("endless")).sqlstate, "57014");
    session.run("RESET statement_timeout");
    wait_for_verifiers(&mut session, "0");
    let waiting = verify_beside(&cluster, "SET application_name = 'asks'", "endless");
    wait_for_verifiers(&mut session, "1");
    session.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'asks'");
    let error = waiting.join().expect("a thread").expect_err("it was terminated");
    assert!(matches!(error.sqlstate.as_str(), "57P01" | "08006"), "{error:?}");
    wait_for_verifiers(&mut session, "0");

    // Whoever ends the verifier itself.
    let waiting = verify_beside(&cluster, "", "endless");
    wait_for_verifiers(&mut session, "1");
    session.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_trickle verifier'");
    let error = waiting.join().expect("a thread").expect_err("it was ended");
    assert_eq!(error.sqlstate, "55000", "{error:?}");

    // Its place is free again, and the table is none the worse.
    session.run("CREATE OR REPLACE FUNCTION trap(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n'");
    assert!(verify(&mut session, "endless").is_empty());
    wait_for_verifiers(&mut session, "0");
}

/// Content and query are compared at a moment that no snapshot of PostgreSQL's shows: the sources at the cut, the stream
/// tables as the cycle wrote them.
#[test]
fn h12_right_under_eight_writers() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, v numeric); CREATE TABLE dim (g int PRIMARY KEY, w int)");
    session.run("INSERT INTO dim SELECT g, g FROM generate_series(0, 9) g");
    session.run("INSERT INTO t SELECT i, i % 10, i FROM generate_series(1, 80) i");
    create(&mut session, "sums", "SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g", "");
    create(&mut session, "joined", "SELECT t.id, t.v, s.n, d.w FROM t JOIN sums s USING (g) JOIN dim d USING (g)", "");
    create(&mut session, "whole", "SELECT count(*) AS n, sum(v) AS s FROM t", ", refresh_mode => 'full'");
    create(
        &mut session,
        "mixed",
        "SELECT t.g, sum(t.v) - min(s.s) AS zero, min(w.n) AS n FROM t JOIN sums s USING (g), \
            whole w GROUP BY t.g",
        "",
    );
    create(
        &mut session,
        "left_join",
        "SELECT t.id, s.s, w.s AS total FROM t LEFT JOIN sums s USING (g), whole w",
        ", refresh_mode => 'full'",
    );

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..8u64 {
            let (cluster, stop) = (&cluster, &stop);
            scope.spawn(move || {
                let mut session = cluster.session();
                let mut random = Random::new(writer);
                while !stop.load(Ordering::Relaxed) {
                    // Each to its own rows, so that nobody deadlocks; each third change in a subtransaction that goes back.
                    let own = |n: u64| n * 8 + writer;
                    let id = own(random.below(10) as u64);
                    let fresh = own(1000 + random.below(10) as u64);
                    let (g, change) = (random.below(10), random.below(1000));
                    let end = if random.below(3) == 0 { "ROLLBACK TO s" } else { "RELEASE s" };
                    session.run(&format!(
                        "BEGIN; UPDATE t SET v = v + {change}, g = {g} WHERE id = {id}; \
                         SAVEPOINT s; DELETE FROM t WHERE id = {fresh}; \
                         INSERT INTO t VALUES ({fresh}, {g}, {change}.50); UPDATE dim SET w = {change} WHERE g = {writer}; {end}; \
                         SAVEPOINT r; DELETE FROM t WHERE id = {} ; RELEASE r; COMMIT",
                        own(1000 + random.below(10) as u64)
                    ));
                    // As fast as the stream tables follow, or the test takes for ever where there are few processors.
                    if random.below(10) == 0 {
                        session.rows("SELECT pgtrickle.wait_for('sums')");
                    }
                }
            });
        }
        let mut session = cluster.session();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..30 {
                for name in ["sums", "joined", "whole", "mixed", "left_join"] {
                    let differences = verify(&mut session, name);
                    assert!(differences.is_empty(), "{name}: {differences:?}");
                }
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = checked {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(!cluster.log().contains("could not refresh"), "{}", cluster.log_tail());
}

/// A superuser who goes behind everyone's back.
fn tamper(cluster: &Cluster, change: &str) {
    let mut session = cluster.session();
    session.run(&format!(
        "BEGIN; ALTER TABLE pgtrickle.live_table RENAME TO hidden; {change}; \
         ALTER TABLE pgtrickle.hidden RENAME TO live_table; COMMIT"
    ));
}

#[test]
fn a_planted_difference_is_found() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b, c'), (3, NULL)");
    for (name, mode) in [("incremental", "differential"), ("whole", "full")] {
        create(&mut session, name, "SELECT k, v FROM t", &format!(", refresh_mode => '{mode}'"));
        assert!(verify(&mut session, name).is_empty());
        tamper(&cluster, &format!("DELETE FROM {name} WHERE k = 3; UPDATE {name} SET v = 'x' WHERE k = 2"));
        let expected = ["missing 1 (2, 'b, c')", "missing 1 (3, NULL)", "unexpected 1 (2, x)"];
        assert_eq!(verify(&mut session, name), expected);
        // Looking changes nothing.
        assert_eq!(verify(&mut session, name), expected);
        session.rows(&format!("SELECT pgtrickle.rebuild('{name}')"));
        assert!(verify(&mut session, name).is_empty());
    }
    // Several times the same row.
    session.run("CREATE TABLE bag (a int); INSERT INTO bag SELECT 7 FROM generate_series(1, 5)");
    create(&mut session, "bagged", "SELECT a FROM bag", "");
    tamper(
        &cluster,
        "DELETE FROM bagged WHERE ctid IN (SELECT ctid FROM bagged LIMIT 2); INSERT INTO bagged VALUES (8)",
    );
    assert_eq!(verify(&mut session, "bagged"), ["missing 2 (7)", "unexpected 1 (8)"]);
    // One that a stream table over it does not have.
    create(&mut session, "over", "SELECT count(*) AS n FROM bagged", "");
    assert_eq!(verify(&mut session, "over"), [] as [String; 0]);
}

/// Which of several equal numerics an aggregate takes shows in its scale, and depends on where the rows lie.
#[test]
fn e20_what_the_content_does_not_determine_is_no_difference() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int, n numeric, f float8, pad int DEFAULT 0)");
    session
        .run("INSERT INTO t VALUES (1, 1.0, 0.1), (2, 1.00, 0.2), (3, 1.000, 0.3), (4, 2.5, 1e30), (5, 2.50, -1e30)");
    create(
        &mut session,
        "st",
        "SELECT sum(DISTINCT n) AS s, avg(DISTINCT n) AS a, max(n) AS h, min(DISTINCT n) AS l, sum(f) AS f, \
                percentile_disc(0.5) WITHIN GROUP (ORDER BY n) AS p, mode() WITHIN GROUP (ORDER BY n) AS m, \
                sum(n) AS exact FROM t",
        ", refresh_mode => 'differential'",
    );
    for round in 0..8 {
        // Moves rows, and changes nothing that the query reads.
        session.run(&format!("UPDATE t SET pad = pad + 1 WHERE id = {}", round % 5 + 1));
        let differences = verify(&mut session, "st");
        assert!(differences.is_empty(), "{differences:?}");
    }
    tamper(&cluster, "UPDATE st SET exact = exact + 1");
    assert_eq!(verify(&mut session, "st").len(), 2);
}

/// What cannot be verified says why, at once; another table's failure is nobody else's answer.
#[test]
fn a_failing_table_answers_with_its_error() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE owner_of_st; GRANT ALL ON SCHEMA public TO owner_of_st");
    session.run("CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 1), (2, 1); GRANT ALL ON t TO owner_of_st");
    create(&mut session, "good", "SELECT a FROM t", "");
    session.run("SET ROLE owner_of_st");
    create(&mut session, "st", "SELECT a FROM t", "");
    create(&mut session, "over", "SELECT count(*) AS n FROM st", "");
    session.run("RESET ROLE; REVOKE ALL ON t FROM owner_of_st");
    for name in ["st", "over"] {
        let error = session.error(&call(name));
        // What reads it says what holds back the one that it reads.
        assert_eq!(error.sqlstate, "42501", "{error:?}");
        assert!(error.message.contains("stream table public.st"), "{error:?}");
    }
    assert!(verify(&mut session, "good").is_empty());
    session.run("GRANT SELECT ON t TO owner_of_st");
    assert!(verify(&mut session, "over").is_empty());

    // One that can never be written.
    create(&mut session, "unique", "SELECT b FROM t WHERE a < 2", "");
    session.run("CREATE UNIQUE INDEX ON \"unique\" (b)");
    session.run("INSERT INTO t VALUES (0, 1)");
    for _ in 0..30 {
        session.run("INSERT INTO t VALUES (9, 9)");
        assert!(verify(&mut session, "good").is_empty());
        let error = session.error(&call("unique"));
        assert_eq!(error.sqlstate, "23505", "{error:?}");
        assert!(error.detail.as_deref().is_some_and(|detail| detail.contains("duplicate key")), "{error:?}");
    }
    session.run("DROP TABLE \"unique\"");

    // Rows that the query fails on.
    create(&mut session, "quotient", "SELECT a, 10 / b AS q FROM t", "");
    create(&mut session, "total", "SELECT sum(q) AS s FROM quotient", "");
    session.run("INSERT INTO t VALUES (5, 0)");
    for name in ["quotient", "total"] {
        let error = session.error(&call(name));
        assert_eq!(error.sqlstate, "55000", "{error:?}");
        assert!(error.hint.is_some_and(|hint| hint.contains("pgtrickle.errors()")), "{:?}", error.message);
    }
    assert!(verify(&mut session, "good").is_empty());
    session.run("DELETE FROM t WHERE b = 0");
    assert!(verify(&mut session, "total").is_empty());
    session.run("SELECT pgtrickle.alter_stream_table('good', status => 'suspended')");
    assert_eq!(session.error(&call("good")).sqlstate, "55000");
    wait_for_verifiers(&mut session, "0");
}

/// An error that only the verifier meets, with all that it says.
#[test]
fn an_error_of_the_query_is_the_callers() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    session.run(
        "CREATE FUNCTION fails_there(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $f$ BEGIN
            IF (SELECT backend_type = 'pg_trickle verifier' FROM pg_catalog.pg_stat_get_activity(pg_backend_pid()) a)
            THEN RAISE EXCEPTION 'it fails' USING ERRCODE = '22P06', DETAIL = 'The detail.', HINT = 'The hint.'; END IF;
            RETURN n; END $f$",
    );
    create(&mut session, "st", "SELECT fails_there(a) AS a FROM t", "");
    for _ in 0..3 {
        let error = session.error(&call("st"));
        let said = (error.sqlstate.as_str(), error.message.as_str(), error.detail.as_deref(), error.hint.as_deref());
        assert_eq!(said, ("22P06", "it fails", Some("The detail."), Some("The hint.")));
    }
    session.run("INSERT INTO t VALUES (2)");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(session.value("SELECT count(*) FROM st"), "2");
    assert_eq!(session.value("SELECT status FROM pgtrickle.stream_table_status()"), "active");
}

/// Whatever the caller's transaction has done, sees and may not do.
#[test]
fn in_whose_transaction_it_is_asked() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE someone; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    create(&mut session, "st", "SELECT a FROM t", "");
    create(&mut session, "sum", "SELECT sum(a) AS s FROM st", "");
    session.run("BEGIN; INSERT INTO t VALUES (3); DELETE FROM t WHERE a = 1");
    assert!(verify(&mut session, "st").is_empty());
    assert!(verify(&mut session, "sum").is_empty());
    session.run("COMMIT");
    assert!(verify(&mut session, "sum").is_empty());
    for mode in ["ISOLATION LEVEL SERIALIZABLE", "READ ONLY", "ISOLATION LEVEL REPEATABLE READ READ ONLY"] {
        session.run(&format!("BEGIN {mode}; SELECT count(*) FROM st"));
        let mut writer = cluster.session();
        writer.run("UPDATE t SET a = a + 100");
        assert!(verify(&mut session, "sum").is_empty(), "{mode}");
        session.run("COMMIT");
    }
    // An error that is caught ends the verifier too.
    session.run(
        "DO $$ BEGIN FOR i IN 1..5 LOOP BEGIN PERFORM pgtrickle.verify('st'); RAISE division_by_zero; \
                 EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$",
    );
    wait_for_verifiers(&mut session, "0");
    session.run("SET ROLE someone");
    let error = session.error(&call("st"));
    assert_eq!((error.sqlstate.as_str(), error.message.as_str()), ("42501", "must be owner of stream table st"));
}

/// A locked source is waited for, as by a refresh, and the circles of waiting are found.
#[test]
fn h48_locks_are_waited_for_and_circles_are_errors() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); CREATE TABLE other (a int); INSERT INTO t VALUES (1)");
    create(&mut session, "st", "SELECT a FROM t", "");
    create(&mut session, "over", "SELECT count(*) AS n FROM st", "");
    let mut locker = cluster.session();
    locker.run("BEGIN; LOCK TABLE t; INSERT INTO t VALUES (2)");
    let waiting = [verify_beside(&cluster, "", "st"), verify_beside(&cluster, "", "over")];
    wait_for_verifiers(&mut session, "2");
    locker.run("COMMIT");
    for waiting in waiting {
        assert_eq!(waiting.join().expect("a thread").expect("no error").len(), 0);
    }
    for lock in ["LOCK TABLE t", "LOCK TABLE st", "LOCK TABLE st IN SHARE MODE"] {
        session.run(&format!("BEGIN; {lock}"));
        assert_eq!(session.error(&call("st")).sqlstate, "55P03", "{lock}");
        session.run("ROLLBACK");
    }
    session.run("BEGIN; SELECT FROM st FOR UPDATE");
    cluster.session().run("UPDATE t SET a = a + 1");
    assert_eq!(session.error(&call("st")).sqlstate, "55P03");
    session.run("ROLLBACK");
    // Through a third session: it holds the source and waits for us.
    session.run("BEGIN; LOCK TABLE other");
    let mut third = cluster.session();
    let third = std::thread::spawn(move || third.run("BEGIN; LOCK TABLE t; LOCK TABLE other; COMMIT"));
    let mut watch = cluster.session();
    watch.wait(
        "the third session to wait",
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'other'::regclass)",
    );
    assert_eq!(session.error(&call("st")).sqlstate, "55P03");
    session.run("ROLLBACK");
    third.join().expect("the third session ends well");
    // While the verifier waits for the worker, and the worker for a row, DDL passes by both.
    locker.run("BEGIN; SELECT FROM st FOR UPDATE");
    session.run("UPDATE t SET a = a + 1");
    let waiting = verify_beside(&cluster, "", "st");
    wait_for_verifiers(&mut session, "1");
    for column in 0..5 {
        session.run(&format!("SET statement_timeout = '60 s'; ALTER TABLE t ADD COLUMN extra{column} int"));
    }
    assert!(!waiting.is_finished());
    // The next worker hears of the request too.
    let worker = cluster.worker_pid("postgres").to_string();
    session.run(&format!("SELECT pg_terminate_backend({worker})"));
    wait_until("the next worker runs", || cluster.worker_pid("postgres").to_string() != worker);
    locker.run("COMMIT");
    assert_eq!(waiting.join().expect("a thread").expect("no error").len(), 0);
}

#[test]
fn without_a_free_process_it_says_so() {
    let cluster = Cluster::builder().set("max_worker_processes", "3").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (a int)");
    create(&mut session, "st", "SELECT a FROM t", "");
    let error = session.error(&call("st"));
    assert_eq!(error.sqlstate, "53000", "{error:?}");
    assert!(error.hint.is_some_and(|hint| hint.contains("max_worker_processes")));
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
}

/// A view is replaced so that a stream table reads itself.
#[test]
fn a_stream_table_that_reads_itself_is_an_error() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT a FROM t");
    create(&mut session, "st", "SELECT a FROM v", "");
    create(&mut session, "over", "SELECT a FROM st", "");
    for upstream in ["st", "over"] {
        if session.attempt(&format!("CREATE OR REPLACE VIEW v AS SELECT a FROM {upstream}")).is_err() {
            continue;
        }
        for call in [call("st"), "SELECT pgtrickle.refresh_stream_table('st')".into(), call("over")] {
            session.error(&call);
        }
    }
    session.run("CREATE OR REPLACE VIEW v AS SELECT a FROM t");
    assert!(verify(&mut session, "over").is_empty());
    assert!(!cluster.log().contains("terminated by signal"), "{}", cluster.log_tail());
}
