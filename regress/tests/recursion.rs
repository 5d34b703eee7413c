//! WITH RECURSIVE in a server: recursions that do not end, beside others that do.

use std::time::{Duration, Instant};
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

const PATHS: &str =
    "WITH RECURSIVE r AS (SELECT a, b FROM link UNION ALL SELECT r.a, l.b FROM r JOIN link l ON l.a = r.b) SELECT * FROM r";
const ROUTES: &str = "WITH RECURSIVE r AS (SELECT a, b, ARRAY[a] AS path FROM link \
    UNION ALL SELECT r.a, l.b, path || l.a FROM r JOIN link l ON l.a = r.b WHERE cardinality(path) < 50) SELECT * FROM r";

fn create(session: &mut Session, name: &str, query: &str) {
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms', initialize => false)"
    ));
}

fn status(session: &mut Session, name: &str) -> String {
    session.value(&format!("SELECT status FROM pgtrickle.stream_table_status() WHERE name = 'public.{name}'"))
}

fn refresh(session: &mut Session, name: &str) {
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

#[test]
fn e12_an_endless_recursion_is_in_error_holds_up_nobody_and_recovers_by_itself() {
    let cluster = Cluster::builder().set("pg_trickle.max_recursion", "200").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE link (a int, b int); CREATE TABLE t (v int)");
    session.run("INSERT INTO link SELECT i, i + 1 FROM generate_series(1, 20) i");
    create(&mut session, "paths", PATHS);
    create(&mut session, "sums", "SELECT sum(v) AS s FROM t");
    refresh(&mut session, "paths");
    let (paths, sums) = (Oracle::new("paths", PATHS), Oracle::new("sums", "SELECT sum(v) AS s FROM t"));
    paths.assert_equal(&mut session);
    // A circle, in which rows multiply too.
    session.run("INSERT INTO link VALUES (5, 3), (5, 3)");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('paths')");
    assert!(error.detail.as_deref().is_some_and(|detail| detail.contains("recursive query \"r\"")), "{error:?}");
    assert_eq!(status(&mut session, "paths").to_lowercase(), "error");
    assert_eq!(session.value("SELECT sqlstate FROM pgtrickle.errors('paths')"), "54000");
    assert_eq!(session.value("SELECT count(*) FROM paths"), "210");
    let began = Instant::now();
    for value in 0..5 {
        session.run(&format!("INSERT INTO t VALUES ({value})"));
        sums.assert_equal(&mut session);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    session.run("DELETE FROM link WHERE a = 5 AND b = 3");
    paths.assert_equal(&mut session);
    assert_eq!(status(&mut session, "paths").to_lowercase(), "active");
}

#[test]
fn e12_arrays_grow_along_random_walks() {
    let seed = std::env::var("TRICKLE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("TRICKLE_SEED={seed}");
    let mut random = Random::new(seed);
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE link (a int, b int)");
    create(&mut session, "routes", ROUTES);
    let routes = Oracle::new("routes", ROUTES);
    for _ in 0..25 {
        for _ in 0..=random.below(3) {
            let (a, b) = (random.below(9), random.below(9));
            // Upwards, so that there is no circle.
            match random.below(3) {
                0 => session.run(&format!("DELETE FROM link WHERE a = {a} OR b = {b}")),
                1 => session.run(&format!("UPDATE link SET b = b + 1 WHERE a = {a}")),
                _ => session.run(&format!("INSERT INTO link VALUES ({a}, {a} + 1 + {b} % 4), ({b}, {b} + 1)")),
            }
        }
        routes.assert_equal(&mut session);
    }
}

#[test]
fn e12_a_stream_table_can_be_dropped_while_its_recursion_runs() {
    let cluster = Cluster::builder().set("pg_trickle.max_recursion", "2000000000").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE link (a int, b int); CREATE TABLE t (v int)");
    session.run("INSERT INTO link VALUES (1, 2), (2, 1)");
    create(&mut session, "paths", PATHS);
    create(&mut session, "sums", "SELECT sum(v) AS s FROM t");
    let sums = Oracle::new("sums", "SELECT sum(v) AS s FROM t");
    session.run("SET statement_timeout = '2s'");
    assert_eq!(session.error("SELECT pgtrickle.refresh_stream_table('paths')").sqlstate, "57014");
    session.run("RESET statement_timeout");
    session.run("INSERT INTO t VALUES (1)");
    sums.assert_equal(&mut session);
    session.run("DROP TABLE paths");
    session.run("INSERT INTO t VALUES (2)");
    sums.assert_equal(&mut session);
    session.run("DELETE FROM link WHERE a = 2");
    create(&mut session, "paths", PATHS);
    Oracle::new("paths", PATHS).assert_equal(&mut session);
}

/// Nothing else ends it, so somebody must: the stream table rests, what shares its tables goes on.
#[test]
fn e12_a_recursion_that_takes_too_long_is_suspended_and_what_shares_its_tables_goes_on() {
    let cluster =
        Cluster::builder().set("pg_trickle.max_recursion", "2000000000").set("pg_trickle.query_timeout", "4s").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE link (a int, b int)");
    session.run("INSERT INTO link SELECT i, i + 1 FROM generate_series(1, 20) i");
    create(&mut session, "paths", PATHS);
    create(&mut session, "ends", "SELECT b, count(*) AS n FROM link GROUP BY b");
    create(&mut session, "lengths", "SELECT a, count(*) AS n FROM paths GROUP BY a");
    let (paths, ends) =
        (Oracle::new("paths", PATHS), Oracle::new("ends", "SELECT b, count(*) AS n FROM link GROUP BY b"));
    let lengths = Oracle::new("lengths", "SELECT a, count(*) AS n FROM paths GROUP BY a");
    paths.assert_equal(&mut session);
    lengths.assert_equal(&mut session);
    ends.assert_equal(&mut session);
    session.run("INSERT INTO link VALUES (5, 3)");
    // While it runs.
    let began = Instant::now();
    ends.assert_equal(&mut session);
    session.run("INSERT INTO link VALUES (100, 101)");
    ends.assert_equal(&mut session);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let error = session.error("SELECT pgtrickle.refresh_stream_table('paths')");
    assert_eq!(error.sqlstate, "57014", "{error:?}");
    assert!(error.detail.as_deref().is_some_and(|detail| detail.contains("query_timeout")), "{error:?}");
    assert_eq!(status(&mut session, "paths").to_lowercase(), "suspended");
    assert_eq!(session.value("SELECT count(*) FROM paths"), "210");
    // And after.
    session.run("INSERT INTO link VALUES (101, 102)");
    ends.assert_equal(&mut session);
    session.run("DELETE FROM link WHERE b = 3 AND a = 5");
    session.rows("SELECT pgtrickle.rebuild('paths')");
    paths.assert_equal(&mut session);
    lengths.assert_equal(&mut session);
    assert_eq!(status(&mut session, "paths").to_lowercase(), "active");
}

/// The worker ends at once, and what has been suspended by then is not begun again and again.
#[test]
fn e12_the_worker_ends_while_a_recursion_runs() {
    let mut cluster = Cluster::builder().set("pg_trickle.max_recursion", "2000000000").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE link (a int, b int)");
    session.run("INSERT INTO link VALUES (1, 2), (2, 1)");
    create(&mut session, "paths", PATHS);
    session.run("SET statement_timeout = '2s'");
    assert_eq!(session.error("SELECT pgtrickle.refresh_stream_table('paths')").sqlstate, "57014");
    let began = Instant::now();
    cluster.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    cluster.start();
    let mut session = cluster.session();
    session.run("DROP TABLE paths");
    session.run("DROP EXTENSION pg_trickle CASCADE");
}

/// Counts that a join outside multiplies beyond what can be counted are an error, no panic and no rebuild without end; the
/// stream table goes on when the data let it.
#[test]
fn e23_counts_beyond_all_bounds_are_an_error_of_the_data() {
    const PAIRS: &str = "WITH RECURSIVE r AS (SELECT a, b FROM link WHERE a = 0 \
        UNION ALL SELECT r.a, l.b FROM r JOIN link l ON l.a = r.b) SELECT count(*) AS n FROM r x, r y, r z";
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE link (a int, b int)");
    session.run("INSERT INTO link SELECT i, i + 1 FROM generate_series(0, 2) i");
    create(&mut session, "pairs", PAIRS);
    let pairs = Oracle::new("pairs", PAIRS);
    pairs.assert_equal(&mut session);
    let worker = cluster.worker_pid("postgres");
    // 2^27 ways to the end, about 2^84 triples.
    session.run("INSERT INTO link SELECT i, i + 1 FROM generate_series(3, 29) i, generate_series(1, 2)");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('pairs')");
    assert_eq!(error.sqlstate, "54000", "{error:?}");
    assert_eq!(status(&mut session, "pairs").to_lowercase(), "error");
    session.run("DELETE FROM link WHERE a > 4");
    pairs.assert_equal(&mut session);
    assert_eq!(cluster.worker_pid("postgres"), worker);
}
