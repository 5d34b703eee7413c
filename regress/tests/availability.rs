//! What sessions are told where stream tables cannot be kept: in recovery, while it is switched off, without a worker; and
//! that all goes on where it stopped once they can.

use trickle_regress::oracle::Oracle;
use trickle_regress::session::wait_until;
use trickle_regress::Cluster;

const QUERY: &str = "SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g";

fn create(cluster: &Cluster) {
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (g int, v int); INSERT INTO t VALUES (1, 1), (2, 2)");
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', '{QUERY}', schedule => '1 ms')"));
    Oracle::new("st", QUERY).assert_equal(&mut session);
}

/// A standby shows what was published; promoted, it finds what was not.
#[test]
fn a_standby_shows_and_a_promoted_one_follows() {
    let mut cluster = Cluster::builder().set("hot_standby", "on").start();
    create(&cluster);
    for round in 0..2 {
        let mut session = cluster.session();
        // Committed, and perhaps never seen by the worker.
        session.run(&format!("INSERT INTO t SELECT i % 3, {round} FROM generate_series(1, 100) i"));
        session.run("BEGIN; UPDATE t SET v = v + 1; DELETE FROM t WHERE g = 2 AND v > 5");
        let mut other = cluster.session();
        other.run("INSERT INTO t VALUES (7, 7)");
        cluster.stop_immediately();
        std::fs::write(cluster.folder().join("data/standby.signal"), "").expect("the data folder can be written");
        cluster.start();
        let mut session = cluster.session();
        assert_eq!(session.value("SELECT pg_is_in_recovery()"), "t");
        assert_eq!(session.value("SELECT count(*) > 0 FROM st"), "t");
        assert_eq!(session.value("SELECT count(*) FROM pgtrickle.stream_table_status()"), "1");
        let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
        assert_eq!(
            (error.sqlstate.as_str(), error.message.as_str()),
            ("55000", "stream tables cannot be refreshed during recovery")
        );
        let error = session.error("SELECT pgtrickle.create_stream_table('no', 'SELECT g FROM t')");
        assert_eq!(error.sqlstate, "25006", "{error:?}");
        session.run("SELECT pg_promote()");
        wait_until("the standby is promoted", || cluster.session().value("SELECT pg_is_in_recovery()") == "f");
        let mut session = cluster.session();
        Oracle::new("st", QUERY).assert_equal(&mut session);
        session.run("INSERT INTO t VALUES (1, 100), (9, NULL)");
        Oracle::new("st", QUERY).assert_equal(&mut session);
    }
}

#[test]
fn nothing_is_lost_while_it_is_switched_off() {
    let cluster = Cluster::builder().start();
    create(&cluster);
    let mut session = cluster.session();
    session.run("ALTER SYSTEM SET pg_trickle.enabled = off");
    session.run("SELECT pg_reload_conf()");
    session.wait("the setting has arrived", "SELECT current_setting('pg_trickle.enabled') = 'off'");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("55000", "stream tables are not maintained while \"pg_trickle.enabled\" is off")
    );
    session.run("INSERT INTO t SELECT i % 4, i FROM generate_series(1, 1000) i");
    session.run("UPDATE t SET g = g + 1 WHERE v < 100");
    session.run("ALTER SYSTEM RESET pg_trickle.enabled");
    session.run("SELECT pg_reload_conf()");
    session.wait("the setting has arrived", "SELECT current_setting('pg_trickle.enabled') = 'on'");
    Oracle::new("st", QUERY).assert_equal(&mut session);
}

/// Without a slot for the worker a session that waits is told, and writers are not in its way.
#[test]
fn a_database_without_a_worker_says_so() {
    let mut cluster = Cluster::builder().start();
    create(&cluster);
    // One is taken by logical replication's launcher, the other by pg_trickle's.
    cluster.session().run("ALTER SYSTEM SET max_worker_processes = 2");
    cluster.restart();
    let mut session = cluster.session();
    session.run("INSERT INTO t VALUES (5, 5)");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("55000", "the worker of pg_trickle for this database is not running")
    );
    session.run("ALTER SYSTEM RESET max_worker_processes");
    cluster.restart();
    let mut session = cluster.session();
    Oracle::new("st", QUERY).assert_equal(&mut session);
}
