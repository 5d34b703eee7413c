//! The 22 queries of TPC-H as stream tables, each incremental, through refresh streams, updates of all eight tables and
//! changes of single rows. TRICKLE_SCALE is the scale factor.

use std::time::Instant;

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{cases, tpch, Cluster, Session};

fn scale() -> f64 {
    std::env::var("TRICKLE_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(0.01)
}

/// Each stream table must be its query after the change.
fn compare(session: &mut Session, oracles: &[Oracle], after: &str) {
    let clock = Instant::now();
    session.rows("SELECT pgtrickle.refresh_all()");
    let refreshed = clock.elapsed();
    let wrong: Vec<String> = oracles
        .iter()
        .filter_map(|oracle| Some(format!("{}:\n{}", oracle.name, oracle.difference(session)?)))
        .collect();
    println!("{after}: refreshed in {refreshed:.1?}, compared in {:.1?}", clock.elapsed() - refreshed);
    assert!(wrong.is_empty(), "after {after}:\n{}", wrong.join("\n"));
}

#[test]
fn the_queries_of_tpch_follow() {
    let mut random = Random::new(Random::seed("TPC-H"));
    let cluster = Cluster::builder()
        .purpose("tpch")
        .set("shared_buffers", "512MB")
        .set("work_mem", "64MB")
        .set("pg_trickle.memory_limit_mb", "6144")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    let clock = Instant::now();
    tpch::load(&mut session, scale());
    println!("loaded in {:.1?}", clock.elapsed());
    let queries = tpch::queries();
    assert_eq!(queries.len(), 22);
    let clock = Instant::now();
    for query in &queries {
        query.create(&mut session, "1 hour").unwrap_or_else(|error| panic!("{error}"));
    }
    println!("created in {:.1?}", clock.elapsed());
    let oracles: Vec<Oracle> = queries.iter().map(cases::Case::oracle).collect();
    compare(&mut session, &oracles, "creation");
    let otherwise = cases::otherwise(&mut session, &queries);
    assert!(otherwise.is_empty(), "modes that are not as marked:\n{}", otherwise.join("\n"));

    for stream in 1..=2 {
        tpch::insert_orders(&mut session, stream, 100);
        compare(&mut session, &oracles, &format!("RF1 of stream {stream}"));
        tpch::delete_orders(&mut session, stream, 100);
        compare(&mut session, &oracles, &format!("RF2 of stream {stream}"));
        for round in 0..5 {
            for _ in 0..6 {
                session.run(&tpch::change(&mut random));
            }
            compare(&mut session, &oracles, &format!("updates of stream {stream}, {round}"));
        }
    }
    for change in tpch::single_changes() {
        session.run(&change);
    }
    compare(&mut session, &oracles, "changes of single rows");
    // All goes, and comes back.
    session.run("BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM orders; DELETE FROM orders; COMMIT");
    compare(&mut session, &oracles, "the end of all orders");
    session.run("INSERT INTO orders SELECT * FROM kept");
    compare(&mut session, &oracles, "their return");
}
