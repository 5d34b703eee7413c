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
