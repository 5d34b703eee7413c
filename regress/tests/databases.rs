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
    let mut inside = cluster.session_as("postgres", "two");
    inside.run("INSERT INTO t VALUES (4)");
    Oracle::new("st", "SELECT count(*) AS n FROM t").assert_equal(&mut inside);
    // While somebody is connected, it stays refused, and the worker comes back.
    let error = session.error("DROP DATABASE two");
    assert_eq!(error.sqlstate, "55006");
    inside.run("INSERT INTO t VALUES (5)");
    Oracle::new("st", "SELECT count(*) AS n FROM t").assert_equal(&mut inside);
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
