//! Hazards of decorrelation: what a subquery is joined back by, and the rows that it is evaluated for.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn session() -> (Cluster, Session) {
    let cluster = Cluster::with_extension();
    let session = cluster.session();
    (cluster, session)
}

fn create(session: &mut Session, name: &str, query: &str) -> Oracle {
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, refresh_mode => 'differential', \
         schedule => '1 ms')"
    ));
    Oracle::new(name, query)
}

fn explain(session: &mut Session, query: &str) -> String {
    let rows = session.rows(&format!("SELECT * FROM pgtrickle.explain($query${query}$query$)"));
    rows.into_iter().flat_map(|row| row[0].clone()).collect::<Vec<_>>().join("\n")
}

/// 1.0 and 1.00, 0 and -0, are equal and written differently: each row has the result of its own value. NULL too has one.
#[test]
fn e22_results_are_joined_back_by_image_and_nulls_are_met() {
    let (_cluster, mut session) = session();
    session.run("CREATE TABLE r (id int PRIMARY KEY, n numeric, f float8, j jsonb)");
    session.run("CREATE TABLE s (id int PRIMARY KEY, n numeric)");
    session.run(
        "INSERT INTO r VALUES (1, 1.0, 0, '1'), (2, 1.00, '-0', '1.0'), (3, NULL, NULL, NULL), (4, 1.0, 0, '1.00'), \
         (5, 'NaN', 'NaN', '{}')",
    );
    session.run("INSERT INTO s VALUES (1, 1), (2, 2), (3, NULL)");
    let queries = [
        "SELECT id, (SELECT max(r.n::text || '/' || s.id) FROM s WHERE s.n = r.n OR r.n IS NULL) AS x FROM r",
        "SELECT id, (SELECT max(r.f::text || '/' || s.id) FROM s WHERE s.n >= r.f::numeric) AS x FROM r",
        "SELECT id, (SELECT max(coalesce(r.j::text, 'none') || s.id) FROM s WHERE s.id > 1) AS x FROM r",
        "SELECT r.id, x.t FROM r, LATERAL (SELECT r.n::text || count(*) AS t FROM s WHERE s.n IS NOT DISTINCT FROM r.n) x",
        "SELECT r.id, x.t FROM r LEFT JOIN LATERAL (SELECT DISTINCT r.n::text || s.id AS t FROM s WHERE s.n = r.n) x ON true",
        "SELECT id FROM r WHERE EXISTS (SELECT r.n::text FROM s GROUP BY s.id HAVING count(*) FILTER (WHERE r.n::text || s.id = '1.001') = 1)",
    ];
    let oracles: Vec<Oracle> =
        queries.iter().enumerate().map(|(at, query)| create(&mut session, &format!("q{at}"), query)).collect();
    let writes = [
        "UPDATE r SET n = 1.000 WHERE id = 4",
        "UPDATE r SET f = 0 WHERE id = 2",
        "INSERT INTO s VALUES (4, 1.00), (5, 'NaN')",
        "INSERT INTO r VALUES (6, NULL, '-0', NULL)",
        "DELETE FROM s WHERE n IS NULL",
        "DELETE FROM r WHERE id IN (1, 3)",
    ];
    for write in writes {
        session.run(write);
        oracles.iter().for_each(|oracle| oracle.assert_equal(&mut session));
    }
}

/// A subquery that CASE, COALESCE, AND or OR keep a row from raises nothing for it; one that is reached does.
#[test]
fn e25_a_subquery_is_evaluated_for_the_rows_that_get_there() {
    let (_cluster, mut session) = session();
    session.run("CREATE TABLE r (id int PRIMARY KEY, a int, ok bool)");
    session.run("CREATE TABLE s (id int PRIMARY KEY, a int)");
    session.run("INSERT INTO r VALUES (1, 0, false), (2, 1, true), (3, 2, false), (4, 3, NULL)");
    session.run("INSERT INTO s VALUES (1, 1), (2, 2), (3, 2), (4, 0)");
    let two_rows = "(SELECT s.id FROM s WHERE s.a = r.a)";
    let division = "(SELECT count(*) FROM s WHERE s.a < 100 / r.a)";
    let queries = [
        format!("SELECT id, CASE WHEN ok THEN {two_rows} END AS x FROM r"),
        format!("SELECT id, CASE a WHEN 2 THEN -1 WHEN 3 THEN -2 ELSE {two_rows} END AS x FROM r"),
        format!("SELECT id, CASE WHEN a = 0 THEN 0 ELSE {division} END AS x FROM r"),
        format!("SELECT id, coalesce(CASE WHEN a = 2 THEN 7 END, {two_rows}) AS x FROM r"),
        format!("SELECT id, a <> 0 AND {division} > 1 AS x FROM r"),
        format!("SELECT id, a = 0 OR {division} > 1 AS x FROM r"),
        format!("SELECT id FROM r WHERE a <> 0 AND {division} > 1"),
        format!("SELECT id, CASE WHEN (SELECT count(*) FROM s WHERE s.a = r.a) < 2 THEN {two_rows} END AS x FROM r"),
        "SELECT a, CASE WHEN max(id) < 3 THEN (SELECT s.id FROM s WHERE s.a = r.a) END AS x FROM r GROUP BY a"
            .to_string(),
        "SELECT id, CASE WHEN ok THEN (SELECT s.id FROM s WHERE s.a = 2) END AS x FROM r WHERE a <> 1".to_string(),
    ];
    let oracles: Vec<Oracle> =
        queries.iter().enumerate().map(|(at, query)| create(&mut session, &format!("q{at}"), query)).collect();
    oracles.iter().for_each(|oracle| oracle.assert_equal(&mut session));
    session.run("INSERT INTO r VALUES (5, 0, NULL), (6, 2, false)");
    session.run("DELETE FROM r WHERE id = 1");
    oracles.iter().for_each(|oracle| oracle.assert_equal(&mut session));
    // The guard lets a row through: as in PostgreSQL, an error, until it is repaired.
    session.run("UPDATE r SET ok = true WHERE id = 3");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('q0')");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    assert_eq!(session.value("SELECT sqlstate FROM pgtrickle.errors('q0')"), "21000");
    session.error(&queries[0]);
    session.run("DELETE FROM s WHERE id = 3");
    oracles.iter().for_each(|oracle| oracle.assert_equal(&mut session));
}

/// No bindings where the comparison is with what the subquery is grouped by; no DISTINCT of bindings that have a key; and
/// only what is referred to is bound.
#[test]
fn e38_bindings_are_made_only_where_they_are_needed() {
    let (_cluster, mut session) = session();
    session.run("CREATE TABLE r (id int PRIMARY KEY, a int, b text)");
    session.run("CREATE TABLE s (id int PRIMARY KEY, a int)");
    let grouped = explain(&mut session, "SELECT id FROM r WHERE a > (SELECT avg(s.id) FROM s WHERE s.a = r.a)");
    assert_eq!(grouped.matches("Changes of public.r").count(), 1, "{grouped}");
    assert!(grouped.contains("Group Key: s.a"), "{grouped}");
    let keyed = explain(&mut session, "SELECT b, (SELECT max(s.id) FROM s WHERE s.a < r.id) AS x FROM r");
    assert!(!keyed.contains("Distinct"), "{keyed}");
    let bound = explain(&mut session, "SELECT b, (SELECT max(s.id) FROM s WHERE s.a < r.a) AS x FROM r");
    assert!(bound.contains("Distinct"), "{bound}");
    assert!(bound.contains("Group Key: r_1.a"), "{bound}");
    assert!(!bound.contains("Group Key: r_1.a, "), "{bound}");
    let dissolved = explain(&mut session, "SELECT r.b, x.id FROM r, LATERAL (SELECT s.id FROM s WHERE s.a = r.a) x");
    assert_eq!(dissolved.matches("Changes of public.r").count(), 1, "{dissolved}");
}
