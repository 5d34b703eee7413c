//! Databases with a live worker come and go, and are used as templates.

use trickle_regress::oracle::Oracle;
use trickle_regress::session::wait_until;
use trickle_regress::Cluster;

fn with_stream_table(cluster: &Cluster, database: &str) {
    cluster.session().run(&format!("CREATE DATABASE {database}"));
    let mut session = cluster.session_as("postgres", database);
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT count(*) AS n FROM t', schedule => '1 ms')");
    session.run("INSERT INTO t VALUES (2)");
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
}

#[test]
fn h38_a_database_with_a_live_worker_can_be_dropped() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    for _ in 0..3 {
        with_stream_table(&cluster, "gone");
        wait_until("nobody but the worker is connected", || {
            session.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'gone' AND backend_type = 'client backend'",
            ) == "0"
        });
        session.run("DROP DATABASE gone");
    }
    // The harness itself knocks while the server starts.
    let fatal = |line: &str| line.contains("FATAL") && !line.contains("the database system is starting up");
    assert!(!cluster.log().lines().any(fatal), "no worker was started in a database that is gone");
}

#[test]
fn h38_a_database_is_renamed_and_copied_under_a_live_worker() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    with_stream_table(&cluster, "one");
    let alone = |session: &mut trickle_regress::Session, name: &str| {
        wait_until("nobody but the worker is connected", || {
            session.value(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
            )) == "0"
        });
    };
    alone(&mut session, "one");
    session.run("ALTER DATABASE one RENAME TO two");
    let mut inside = cluster.session_as("postgres", "two");
    inside.run("INSERT INTO t VALUES (3)");
    Oracle::new("st", "SELECT count(*) AS n FROM t").assert_equal(&mut inside);
    drop(inside);
    alone(&mut session, "two");
    session.run("CREATE DATABASE copy TEMPLATE two");
    session.wait(
        "the copy's worker",
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_trickle' AND datname = 'copy'",
    );
    assert!(!cluster.log().contains("FATAL:  database"), "no worker is started where nobody can connect yet");
    let mut inside = cluster.session_as("postgres", "two");
    inside.run("INSERT INTO t VALUES (4)");
    Oracle::new("st", "SELECT count(*) AS n FROM t").assert_equal(&mut inside);
    // While somebody is connected, it stays refused, and the worker comes back.
    let error = session.error("DROP DATABASE two");
    assert_eq!(error.sqlstate, "55006");
    inside.run("INSERT INTO t VALUES (5)");
    Oracle::new("st", "SELECT count(*) AS n FROM t").assert_equal(&mut inside);
}

const WORKER: &str = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_trickle' AND datname = 'one'";

/// The worker leaves for the command, and comes back though nobody knocks.
#[test]
fn h38_a_database_changes_its_tablespace_under_a_live_worker() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("SET allow_in_place_tablespaces = on");
    session.run("CREATE TABLESPACE other LOCATION ''");
    with_stream_table(&cluster, "one");
    session.wait("nobody but the worker to be connected", ALONE);
    let worker =
        session.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle' AND datname = 'one'");
    session.run("ALTER DATABASE one SET TABLESPACE other");
    session.wait("the worker to be back", WORKER);
    let again = session.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle' AND datname = 'one'");
    assert_ne!(worker, again, "it had to leave");
    let mut inside = cluster.session_as("postgres", "one");
    inside.run("INSERT INTO t VALUES (3)");
    inside.wait("the change to be followed", "SELECT n = 3 FROM st");
}

const ALONE: &str =
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'client backend'";

/// The worker has left when DROP DATABASE finds another session in its way, which fails it: the worker comes back though
/// nobody knocks.
#[test]
fn h38_a_drop_that_fails_gives_the_worker_back() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    with_stream_table(&cluster, "one");
    session.wait("nobody but the worker to be connected", ALONE);
    let mut inside = cluster.session_as("postgres", "one");
    for statement in ["DROP DATABASE one", "ALTER DATABASE one RENAME TO two", "CREATE DATABASE copy TEMPLATE one"] {
        let error = session.error(statement);
        assert_eq!(error.sqlstate, "55006", "{statement}: {error:?}");
        session.wait("the worker to be back", WORKER);
    }
    // Cancelled while it waits for the others to leave.
    session.run("SET statement_timeout = '300ms'");
    let error = session.error("DROP DATABASE one");
    assert_eq!(error.sqlstate, "57014", "{error:?}");
    session.run("RESET statement_timeout");
    session.wait("the worker to be back", WORKER);
    inside.run("INSERT INTO t VALUES (3)");
    inside.wait("the change to be followed", "SELECT n = 3 FROM st");
}

/// What a rolled back prepared transaction has counted is taken back, in whatever session and subtransaction it was.
#[test]
fn a_prepared_transaction_that_is_rolled_back_is_not_pending() {
    let cluster = Cluster::builder().set("max_prepared_transactions", "4").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (a int); CREATE TABLE u (a int)");
    session
        .run("SELECT pgtrickle.create_stream_table('st', 'SELECT t.a FROM t JOIN u ON t.a = u.a', schedule => '1 ms')");
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
    let pending = "SELECT string_agg(pending_rows || '/' || pending_bytes, ' ') FROM pgtrickle.change_buffer_status()";
    let begin = "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)";
    session.run(&format!("{begin}; PREPARE TRANSACTION 'p1'"));
    session.run(&format!("{begin}; ROLLBACK TO s; PREPARE TRANSACTION 'p2'"));
    assert_ne!(session.value(pending), "0/0 0/0");
    let mut other = cluster.session();
    other.run("ROLLBACK PREPARED 'p1'");
    other.run("COMMIT PREPARED 'p2'");
    other.error("ROLLBACK PREPARED 'p1'");
    other.run("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(session.value(pending), "0/0 0/0");
    session.run(&format!("{begin}; PREPARE TRANSACTION 'p1'"));
    let mut elsewhere = cluster.session_as("postgres", "template1");
    elsewhere.error("ROLLBACK PREPARED 'p1'");
    assert_ne!(session.value(pending), "0/0 0/0");
    other.run("COMMIT PREPARED 'p1'");
    other.run("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(session.value(pending), "0/0 0/0");
}

/// COMMIT PREPARED happens in a session that has written nothing.
#[test]
fn h16_prepared_transactions_are_seen_when_they_commit() {
    let cluster = Cluster::builder().set("max_prepared_transactions", "4").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (a int)");
    session.run(
        "SELECT pgtrickle.create_stream_table('st', 'SELECT a, count(*) AS n FROM t GROUP BY a', schedule => '1 ms')",
    );
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
    session.run("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p1'");
    session.run("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'p2'");
    session.run("INSERT INTO t VALUES (3)");
    let oracle = Oracle::new("st", "SELECT a, count(*) AS n FROM t GROUP BY a");
    oracle.assert_equal(&mut session);
    let mut other = cluster.session();
    other.run("COMMIT PREPARED 'p1'");
    // Nobody asks: the commit alone wakes the worker.
    session.wait("the prepared change to be visible", "SELECT EXISTS (SELECT FROM st WHERE a = 1)");
    other.run("ROLLBACK PREPARED 'p2'");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM st WHERE a = 2"), "0");
}

/// The last reader of a table gone, its writers pay nothing any more.
#[test]
fn capture_ends_with_its_last_reader() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int)");
    session.run("SELECT pgtrickle.create_stream_table('one', 'SELECT a FROM t', schedule => '1 ms')");
    session.run("SELECT pgtrickle.create_stream_table('two', 'SELECT count(*) FROM t', schedule => '1 ms')");
    session.run("SELECT pgtrickle.refresh_all()");
    let triggers = "SELECT count(*) > 0 FROM pg_trigger WHERE tgrelid = 't'::regclass";
    assert_eq!(session.value(triggers), "t");
    session.run("SELECT pgtrickle.drop_stream_table('one')");
    session.run("INSERT INTO t VALUES (1)");
    session.run("SELECT pgtrickle.refresh_stream_table('two')");
    assert_eq!(session.value("TABLE two"), "1");
    session.run("SELECT pgtrickle.drop_stream_table('two')");
    session.wait("capture to end", "SELECT count(*) = 0 FROM pg_trigger WHERE tgrelid = 't'::regclass");
}
