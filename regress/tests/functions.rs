//! Functions that return rows, rows as wholes, types: what must hold beyond the corpus.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) -> Oracle {
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, refresh_mode => 'differential', \
         schedule => '1 ms')"
    ));
    Oracle::new(name, query)
}

fn refresh(session: &mut Session, name: &str) {
    session.run(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

#[test]
fn e24_a_row_whose_function_fails_is_an_error_until_it_is_repaired() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, n int)");
    session.run("INSERT INTO t VALUES (1, 2), (2, 3)");
    let inner = create(&mut session, "inner_rows", "SELECT t.id, g FROM t, generate_series(1, 6 / t.n) g");
    let left =
        create(&mut session, "left_rows", "SELECT t.id, g FROM t LEFT JOIN generate_series(1, 6 / t.n) g ON g > 1");
    let listed = create(&mut session, "listed", "SELECT id, generate_series(1, 6 / n) AS g FROM t");
    session.run("INSERT INTO t VALUES (3, 0), (4, 1), (5, NULL)");
    for name in ["inner_rows", "left_rows", "listed"] {
        session.error(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
        let shown = format!("SELECT count(*) || ' ' || max(message) FROM pgtrickle.errors('{name}')");
        assert_eq!(session.value(&shown), "1 division by zero", "{name}");
        // The content is the last that was whole.
        assert_eq!(session.value(&format!("SELECT max(id) FROM {name}")), "2", "{name}");
    }
    session.run("UPDATE t SET n = 3 WHERE id = 3");
    for oracle in [inner, left, listed] {
        oracle.assert_equal(&mut session);
    }
}

#[test]
fn e16_a_replaced_function_of_rows_gives_its_new_rows() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, n int)");
    session.run("INSERT INTO t SELECT i, i % 4 FROM generate_series(1, 20) i");
    let function = |body: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION parts(int) RETURNS TABLE (a int, b text) IMMUTABLE LANGUAGE sql AS \
             'SELECT g, {body} FROM generate_series(1, $1) g'"
        )
    };
    session.run(&function("''old''::text"));
    let joined = create(&mut session, "joined", "SELECT t.id, p.* FROM t, parts(t.n) p");
    let padded = create(&mut session, "padded", "SELECT t.id, p::text AS p FROM t LEFT JOIN parts(t.n) p ON p.a > 1");
    let grouped = create(&mut session, "grouped", "SELECT (parts(n)).b AS b, count(*) AS n FROM t GROUP BY 1");
    session.run("DELETE FROM t WHERE id = 3");
    session.run(&function("g::text"));
    session.run("DELETE FROM t WHERE id = 7");
    session.run("UPDATE t SET n = n + 1 WHERE id > 15");
    for oracle in [&joined, &padded, &grouped] {
        oracle.assert_equal(&mut session);
    }
    assert_eq!(session.value("SELECT count(*) FROM joined WHERE b = 'old'"), "0");
}

#[test]
fn e11_a_function_of_too_many_rows_leaves_others_alone() {
    let cluster = Cluster::builder().set("pg_trickle.memory_limit_mb", "48").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE t (id int PRIMARY KEY, n int)");
    session.run("INSERT INTO t VALUES (1, 3)");
    let many = create(&mut session, "many", "SELECT id, generate_series(1, n) AS g FROM t");
    let counted = create(&mut session, "counted", "SELECT count(*) AS n, sum(n) AS s FROM t");
    session.run("UPDATE t SET n = 100000000");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('many')");
    assert_eq!(error.sqlstate, "53200", "{error:?}");
    session.run("INSERT INTO t VALUES (2, 1)");
    counted.assert_equal(&mut session);
    session.run("UPDATE t SET n = 5");
    session.run("SELECT pgtrickle.rebuild('many')");
    many.assert_equal(&mut session);
}

#[test]
fn h27_settings_that_change_after_creation_change_nothing() {
    let mut cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, f float8, b bytea, iv interval)");
    session.run("INSERT INTO t VALUES (1, '2024-03-30 23:30+00', 0.1, '\\x00ff', '1 day 2 hours')");
    session.run("SET TimeZone = 'Europe/Berlin'; SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'iso_8601'");
    session.run("SET extra_float_digits = 0; SET bytea_output = 'escape'");
    let query =
        "SELECT t.id, g AS step, to_char(g, 'HH24:MI TZ') AS clock, t.at::text AS at, extract(hour FROM t.at) AS hour,
        t.f::text AS f, t.b::text AS b, t.iv::text AS iv, to_jsonb(t)::text AS j, t::text AS whole
        FROM t, generate_series(t.at, t.at + interval '2 days', interval '1 day') g";
    create(&mut session, "shown", query);
    let expected = |session: &mut Session| {
        let all = "SELECT string_agg(x::text, ' ' ORDER BY step) FROM";
        let wanted = session.value(&format!("{all} ({query}) x"));
        assert_eq!(session.value(&format!("{all} shown x")), wanted);
    };
    expected(&mut session);
    let mut other = cluster.session();
    other.run("ALTER DATABASE postgres SET TimeZone = 'Asia/Tokyo'");
    other.run("ALTER DATABASE postgres SET DateStyle = 'German'");
    other.run("ALTER ROLE postgres SET extra_float_digits = 3; ALTER ROLE postgres SET IntervalStyle = 'sql_standard'");
    other.run("ALTER SYSTEM SET bytea_output = 'hex'");
    other.run("SELECT pg_reload_conf()");
    let mut third = cluster.session();
    assert_eq!(third.value("SHOW TimeZone"), "Asia/Tokyo");
    third.run("INSERT INTO t VALUES (2, '2024-06-01 12:00+00', 0.2, '\\x41', '-1 day')");
    third.run("DELETE FROM t WHERE id = 1");
    refresh(&mut session, "shown");
    expected(&mut session);
    // Nor does a worker that starts anew take others.
    cluster.restart();
    let mut session = cluster.session();
    session.run("SET TimeZone = 'Europe/Berlin'; SET DateStyle = 'ISO, DMY'; SET IntervalStyle = 'iso_8601'");
    session.run("SET extra_float_digits = 0; SET bytea_output = 'escape'");
    session.run("UPDATE t SET at = at + interval '1 hour', f = 0.3");
    refresh(&mut session, "shown");
    expected(&mut session);
}

#[test]
fn citext_and_composites_of_users_follow() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION citext");
    session.run("CREATE TYPE place AS (street citext, number int)");
    session.run("CREATE DOMAIN positive AS int CHECK (VALUE > 0)");
    session.run("CREATE TABLE t (id int PRIMARY KEY, c citext, home place, many place[], p positive)");
    session.run("INSERT INTO t VALUES (1, 'Abc', ('High', 1), ARRAY[('High', 1)::place, ('low', 2)::place], 3)");
    session.run("INSERT INTO t VALUES (2, 'aBC', ('HIGH', 1), '{}', NULL)");
    let queries = [
        ("compared", "SELECT id, c = 'abc' AS a, c LIKE 'AB%' AS b, c || '!' AS d, (home).street = 'high' AS e FROM t"),
        ("expanded", "SELECT t.id, m.street, m.number FROM t, unnest(t.many) m WHERE m.street <> 'LOW'"),
        ("whole", "SELECT id, t AS row, t.home AS home, row_to_json(t)::text AS j FROM t"),
        ("domains", "SELECT p, count(*) AS n, sum(p) AS s FROM t GROUP BY p"),
    ];
    let oracles: Vec<Oracle> = queries.iter().map(|(name, query)| create(&mut session, name, query)).collect();
    session.run("UPDATE t SET c = 'xyz', many = many || ('new', 9)::place, p = 4 WHERE id = 2");
    session.run("INSERT INTO t VALUES (3, NULL, NULL, NULL, 3), (4, 'ABC', ROW(NULL, NULL), ARRAY[NULL::place], 3)");
    for oracle in &oracles {
        oracle.assert_equal(&mut session);
    }
    session.run("DELETE FROM t WHERE id < 3");
    session.run("UPDATE t SET home = ('b', id)");
    for oracle in &oracles {
        oracle.assert_equal(&mut session);
    }
}

/// What a function raises is said of its row, whatever it calls it: nothing that it reads is in conflict with others.
#[test]
fn a_function_that_calls_its_error_a_conflict() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE t (a int);
         CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN IF $1 = 3 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF;
            IF $1 = 4 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END IF; RETURN $1; END $$",
    );
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT f(a) AS f FROM t', schedule => '1 hour')");
    for bad in [3, 4] {
        session.run(&format!("INSERT INTO t VALUES (1), ({bad})"));
        session.error("SELECT pgtrickle.refresh_stream_table('st')");
        session.run(&format!("DELETE FROM t WHERE a = {bad}"));
        session.run("SELECT pgtrickle.refresh_stream_table('st')");
    }
    assert_eq!(session.value("SELECT count(*) FROM st"), "2");
}
