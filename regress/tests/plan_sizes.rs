//! Queries with much in them: how large their plans become, how long planning takes, and that it can be cancelled.

use std::time::{Duration, Instant};

use trickle_regress::{Cluster, Session};

/// Joined one after the other, each with the one before.
fn chain(kind: &str, count: usize) -> String {
    let joins = (1..count).map(|at| format!(" {kind} JOIN t t{at} ON t{at}.id = t{}.a", at - 1));
    format!("SELECT t0.id, t{}.b FROM t t0{}", count - 1, joins.collect::<String>())
}

/// Each refers to the one before, and to the first.
fn laterals(count: usize) -> String {
    let items = (1..count).map(|at| {
        let before = at - 1;
        format!(" LEFT JOIN LATERAL (SELECT max(u.b) AS a FROM u WHERE u.a < t{before}.a AND u.b <> t0.b) t{at} ON t{at}.a > t{before}.a")
    });
    format!("SELECT t0.id, t{}.a FROM t t0{}", count - 1, items.collect::<String>())
}

/// One inside of the other, each with references to all around it.
fn nested_scalars(depth: usize) -> String {
    let mut inner = "1".to_string();
    for at in (1..=depth).rev() {
        let around: Vec<String> = (1..at).map(|outer| format!(" AND u{at}.b <> u{outer}.b")).collect();
        inner = format!("(SELECT count(*) FROM u u{at} WHERE u{at}.a < t.a + {inner}{})", around.concat());
    }
    format!("SELECT id, {inner} AS n FROM t")
}

fn nested_not_in(depth: usize) -> String {
    let inner =
        (1..=depth).fold("SELECT a FROM u".to_string(), |inner, _| format!("SELECT b FROM u WHERE a NOT IN ({inner})"));
    format!("SELECT id FROM t WHERE a NOT IN ({inner})")
}

/// Each reads the one before twice.
fn tables(count: usize) -> String {
    let with = (1..count)
        .map(|at| format!(", c{at} AS (SELECT x.id, y.a FROM c{} x LEFT JOIN c{} y ON y.id = x.a)", at - 1, at - 1));
    format!("WITH c0 AS (SELECT id, a FROM t WHERE b > 0){} SELECT id, a FROM c{}", with.collect::<String>(), count - 1)
}

/// Joins whose conditions have subqueries.
fn conditions(count: usize) -> String {
    let joins = (1..count).map(|at| {
        let before = at - 1;
        format!(" LEFT JOIN t t{at} ON t{at}.id = t{before}.a AND EXISTS (SELECT FROM u WHERE u.a < t{at}.b OR u.b < t{before}.b)")
    });
    format!("SELECT t0.id, t{}.b FROM t t0{}", count - 1, joins.collect::<String>())
}

fn session(cluster: &Cluster) -> Session {
    let mut session = cluster.session();
    session.run("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, a int, b int)");
    session.run("CREATE TABLE IF NOT EXISTS u (a int, b int)");
    session
}

#[test]
fn plans_grow_with_their_queries() {
    let cluster = Cluster::with_extension();
    let mut session = session(&cluster);
    session.run("INSERT INTO t SELECT g, (g * 7) % 10, g % 5 FROM generate_series(0, 9) g");
    session.run("INSERT INTO u SELECT g % 4, g % 6 FROM generate_series(0, 11) g");
    let queries = [
        ("left", chain("LEFT", 25)),
        ("right", chain("RIGHT", 25)),
        ("whole", chain("FULL", 20)),
        ("laterals", laterals(20)),
        ("scalars", nested_scalars(9)),
        ("not_in", nested_not_in(10)),
        ("tables", tables(9)),
        ("conditions", conditions(15)),
    ];
    for (name, query) in &queries {
        let clock = Instant::now();
        let lines = session.rows(&format!("SELECT * FROM pgtrickle.explain($q${query}$q$)")).len();
        let took = clock.elapsed();
        println!("{name}: {lines} lines in {took:.1?}");
        let verdict = session.rows(&format!("SELECT incremental, reason FROM pgtrickle.validate_query($q${query}$q$)"));
        assert_eq!(verdict, [[Some("t".to_string()), None]], "{name}");
        assert!(lines < 4000, "{name}: {lines} lines");
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
    }
    // And they can be run.
    for (name, query) in queries.iter().filter(|(name, _)| ["left", "whole", "not_in", "tables"].contains(name)) {
        session.run(&format!("SELECT pgtrickle.create_stream_table('st_{name}', $q${query}$q$, schedule => '1 hour')"));
    }
    for change in [
        "UPDATE t SET a = (a + 3) % 10 WHERE id % 2 = 0",
        "DELETE FROM t WHERE id > 6",
        "UPDATE u SET a = 9 WHERE b = 2",
    ] {
        session.run(change);
        session.run("SELECT pgtrickle.refresh_all()");
        for (name, query) in queries.iter().filter(|(name, _)| ["left", "whole", "not_in", "tables"].contains(name)) {
            let differs = format!(
                "(SELECT * FROM st_{name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL SELECT * FROM st_{name})"
            );
            assert_eq!(session.value(&format!("SELECT count(*) FROM ({differs}) x")), "0", "{name} after {change}");
        }
    }
}

/// Planning serves interrupts, however much there is to plan.
#[test]
fn planning_can_be_cancelled() {
    let cluster = Cluster::with_extension();
    let mut session = session(&cluster);
    session.run("SET statement_timeout = '50 ms'");
    let clock = Instant::now();
    let query = format!("SELECT * FROM pgtrickle.validate_query($q${}$q$)", nested_scalars(90));
    match session.try_rows(&query) {
        Err(error) => assert_eq!(error.sqlstate, "57014"),
        Ok(_) => panic!("planned within {:?}", clock.elapsed()),
    }
    assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
    session.run("RESET statement_timeout");
    assert_eq!(session.value("SELECT incremental FROM pgtrickle.validate_query('SELECT id FROM t')"), "t");
}
