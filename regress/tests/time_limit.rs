//! What an owner wrote may take for ever; the stream tables of others must not.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

/// In the worker this never ends.
const ENDLESS: &str = "DECLARE own text := (SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid());
    BEGIN LOOP EXIT WHEN own NOT LIKE 'pg_trickle%';
    PERFORM pg_sleep(0.01); END LOOP; RETURN 1; END";

fn refresh(session: &mut Session, name: &str) {
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

fn an_endless_one_is_given_up(volatility: &str, query: &str, again: &str) {
    let cluster = Cluster::builder().set("pg_trickle.query_timeout", "500ms").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE ROLE m; GRANT CREATE ON SCHEMA public TO m");
    session.run("GRANT pg_monitor TO m; CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let others = "SELECT a, count(*) AS n FROM t GROUP BY a";
    session.run(&format!("SELECT pgtrickle.create_stream_table('others', '{others}', schedule => '1 ms')"));
    session.run("SET ROLE m; CREATE TABLE own (a int); INSERT INTO own VALUES (1)");
    let function = |body: &str| {
        format!("CREATE OR REPLACE FUNCTION f(int) RETURNS int {volatility} LANGUAGE plpgsql AS $f$ {body} $f$")
    };
    session.run(&function(ENDLESS));
    session.run(&format!("SELECT pgtrickle.create_stream_table('endless', '{query}', schedule => '1 ms')"));
    session.run("INSERT INTO own VALUES (2)");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('endless')");
    assert_eq!(error.sqlstate, "57014", "{error:?}");
    session.run("RESET ROLE");
    session.wait(
        "it is given up",
        "SELECT status = 'suspended' FROM pgtrickle.stream_table_status() WHERE name = 'public.endless'",
    );
    for _ in 0..5 {
        session.run("INSERT INTO t VALUES (1), (2)");
        refresh(&mut session, "others");
    }
    Oracle::new("others", others).assert_equal_now(&mut session);
    // Mended, it goes on.
    session.run(&function("BEGIN RETURN $1; END"));
    session.run(again);
    refresh(&mut session, "endless");
    assert_eq!(session.value("SELECT count(*) FROM endless"), "2");
    // A limit that was not reached is forgotten, and no later work is cancelled by it.
    session.run("SELECT pg_sleep(1)");
    session.run("INSERT INTO own VALUES (3)");
    refresh(&mut session, "endless");
    assert_eq!(session.value("SELECT count(*) FROM endless"), "3");
}

#[test]
fn an_endless_full_refresh_is_given_up() {
    an_endless_one_is_given_up("VOLATILE", "SELECT f(a) AS f FROM own", "SELECT pgtrickle.rebuild('endless')");
}

#[test]
fn an_endless_function_of_changed_rows_is_given_up() {
    let again = "SELECT pgtrickle.alter_stream_table('endless', status => 'active')";
    an_endless_one_is_given_up("IMMUTABLE", "SELECT f(a) AS f FROM own", again);
}
