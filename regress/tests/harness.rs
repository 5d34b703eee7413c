//! The harness itself: servers start, die and come back; the oracle sees differences. No stream tables here.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Locale};

#[test]
fn a_killed_server_comes_back_with_its_commits() {
    let mut cluster = Cluster::builder().set("shared_preload_libraries", "").start();
    cluster.session().run("CREATE TABLE t AS SELECT generate_series(1, 10) AS a");
    cluster.kill_server();
    cluster.start();
    assert_eq!(cluster.session().value("SELECT count(*) FROM t"), "10");
    let pid = cluster.session().value("SELECT pg_backend_pid()");
    cluster.kill_process(pid.parse().unwrap());
    cluster.restart();
    assert_eq!(cluster.session().value("SELECT count(*) FROM t"), "10");
}

#[test]
fn the_oracle_sees_a_missing_duplicate() {
    let cluster = Cluster::builder().set("shared_preload_libraries", "").start();
    let mut session = cluster.session();
    session.run("CREATE TABLE q (a numeric); INSERT INTO q VALUES (1.0), (1.0), (NULL); CREATE TABLE st AS TABLE q");
    let oracle = Oracle::new("st", "SELECT a FROM q");
    oracle.assert_equal_now(&mut session);
    session.run("INSERT INTO q VALUES (1.0)");
    assert!(oracle.difference(&mut session).unwrap().contains("in the query only: 1 rows"));
    session.run("INSERT INTO st VALUES (1.00)");
    assert!(oracle.difference(&mut session).is_some(), "the display scale counts");
}

#[test]
fn locales_sort_as_they_say() {
    let sorted = |locale: Locale| {
        let cluster = Cluster::builder().set("shared_preload_libraries", "").locale(locale).start();
        cluster.session().value("SELECT string_agg(v, '' ORDER BY v) FROM unnest('{a,B,b,A}'::text[]) AS v")
    };
    assert_eq!(sorted(Locale::Builtin), "ABab");
    assert_eq!(sorted(Locale::C), "ABab");
    match Locale::libc("en_US") {
        Some(locale) => assert_eq!(sorted(locale), "aAbB"),
        None => trickle_regress::skipped("locales cannot be made here"),
    }
}
