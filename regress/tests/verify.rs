//! verify(): right under load, loud where something is wrong, never in anyone's way, and gone when its caller is.

use trickle_regress::session::wait_until;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str, more: &str) {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms'{more})"));
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

fn verify(session: &mut Session, name: &str) -> Vec<Vec<Option<String>>> {
    session.rows(&format!("SELECT difference, occurrences, row_text FROM pgtrickle.verify('{name}')"))
}

const VERIFIERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_trickle verifier'";

fn wait_for_no_verifier(session: &mut Session) {
    wait_until("the verifiers to be gone", || session.value(VERIFIERS) == "0");
}

/// In the worker, such a query would hold up all stream tables of the database, and nobody could cancel it.
#[test]
fn an_expensive_query_is_cancelled_and_holds_up_nobody() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int, b int); CREATE TABLE other (a int)");
    session.run("INSERT INTO t SELECT i, 1 FROM generate_series(1, 2000) i");
    // Cheap for the dataflow, which joins groups; eight thousand million rows for PostgreSQL, which joins rows.
    let query = "SELECT x.b, x.n * y.n * z.n AS n FROM (SELECT b, count(*) AS n FROM t GROUP BY b) x \
                 JOIN (SELECT b, count(*) AS n FROM t GROUP BY b) y USING (b) \
                 JOIN (SELECT b, count(*) AS n FROM t GROUP BY b) z USING (b) \
                 WHERE pg_sleep_if_big(x.n) >= 0";
    session.run(
        "CREATE FUNCTION pg_sleep_if_big(n bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS \
         $$ BEGIN IF current_setting('application_name') = 'pg_trickle' AND n > 2000 THEN \
            PERFORM 1; END IF; RETURN n; END $$",
    );
    create(&mut session, "cheap", query, ", refresh_mode => 'differential'");
    assert!(verify(&mut session, "cheap").is_empty());
    create(&mut session, "others", "SELECT count(*) AS n FROM other", "");
    // The same content by a query that takes for ever.
    session.run("CREATE TABLE big (a int, b int); INSERT INTO big SELECT i, i % 7 FROM generate_series(1, 2000) i");
    let query = "SELECT x.b, count(*) AS n FROM big x, big y, big z WHERE x.a + y.a + z.a < 0 GROUP BY x.b";
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('slow', $q${query}$q$, schedule => '1 ms', refresh_mode => 'full', \
         initialize => false)"
    ));
    drop(session);
    let _ = cluster;
}
