//! Orders: of enums, whose labels come and go, and of rows that are equal in the order.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) -> Oracle {
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms', refresh_mode => 'differential')"
    ));
    Oracle::new(name, query)
}

fn plan(session: &mut Session, query: &str) -> String {
    let lines = session.rows(&format!("SELECT pgtrickle.explain($query${query}$query$)"));
    lines.iter().flatten().flatten().map(String::as_str).collect::<Vec<_>>().join("\n")
}

const BY_MOOD: [(&str, &str); 4] = [
    ("first", "SELECT id, m FROM t ORDER BY m, id LIMIT 5"),
    ("last", "SELECT id, m FROM t ORDER BY m DESC, id OFFSET 2 LIMIT 5"),
    ("one", "SELECT DISTINCT ON (k) k, m, id FROM t ORDER BY k, m DESC NULLS LAST, id"),
    ("ranked", "SELECT id, rank() OVER (PARTITION BY k ORDER BY m) AS r, lag(id) OVER (PARTITION BY k ORDER BY m, id) AS l FROM t"),
];

/// The engine sorts enums by the places of their labels; a label that comes between two others is between them.
#[test]
fn e37_enums_are_sorted_by_their_labels() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')");
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int, m mood)");
    session
        .run("INSERT INTO t SELECT i, i % 3, ('{sad,ok,happy}'::mood[])[1 + i * 7 % 3] FROM generate_series(1, 30) i");
    session.run("INSERT INTO t VALUES (31, 1, NULL), (32, 2, NULL)");
    let oracles = BY_MOOD.map(|(name, query)| create(&mut session, name, query));
    for (name, query) in BY_MOOD {
        let plan = plan(&mut session, query);
        assert!(!plan.contains("by PostgreSQL"), "{name}:\n{plan}");
    }
    let check = |session: &mut Session| oracles.iter().for_each(|oracle| oracle.assert_equal(session));
    check(&mut session);
    session.run("ALTER TYPE mood ADD VALUE 'meh' BEFORE 'ok'");
    session.run("INSERT INTO t VALUES (40, 0, 'meh'), (41, 1, 'meh'), (42, 2, 'sad'), (43, 0, 'ok')");
    check(&mut session);
    // Labels between the same two until their places are numbered anew.
    for number in 0..40 {
        session.run(&format!("ALTER TYPE mood ADD VALUE 'm{number}' BEFORE 'meh'"));
        session.run(&format!("INSERT INTO t VALUES ({}, {number} % 3, 'm{number}')", 100 + number));
        session.run("UPDATE t SET m = 'meh' WHERE id = 5");
        if number % 8 == 7 {
            check(&mut session);
        }
    }
    session.run("ALTER TYPE mood RENAME VALUE 'meh' TO 'so so'");
    session.run("DELETE FROM t WHERE id % 4 = 0");
    check(&mut session);
}

/// Text under a locale is sorted by PostgreSQL, which alone knows it.
#[test]
fn e37_text_under_a_locale_is_sorted_by_postgresql() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE COLLATION place (provider = libc, locale = 'C.utf8')");
    session.run("CREATE TABLE t (id int PRIMARY KEY, w text COLLATE place)");
    session.run("INSERT INTO t VALUES (1, 'b'), (2, 'B'), (3, 'a'), (4, 'ä'), (5, 'Z')");
    let limit = "SELECT id, w FROM t ORDER BY w, id LIMIT 3";
    let window = "SELECT id, row_number() OVER (ORDER BY w) AS n FROM t";
    let oracles = [create(&mut session, "first", limit), create(&mut session, "numbered", window)];
    for query in [limit, window] {
        let plan = plan(&mut session, query);
        assert!(plan.contains("Window by PostgreSQL"), "{plan}");
    }
    session.run("INSERT INTO t VALUES (6, 'A'), (7, 'z'), (8, 'á')");
    oracles.iter().for_each(|oracle| oracle.assert_equal(&mut session));
}

/// Which rows pass a condition on a number that ties leave open is open too: the two choices are no difference.
#[test]
fn e20_rows_chosen_by_a_number_among_equals_are_not_determined() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int, v int)");
    let query =
        "SELECT id, k, v FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v) AS n FROM t) q WHERE n <= 2";
    create(&mut session, "st", query);
    session.run("INSERT INTO t SELECT i, i % 3, i % 2 FROM generate_series(40, 1, -1) i");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    session.run("UPDATE t SET v = 1 - v WHERE id % 5 = 0");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(session.value("SELECT count(*) FROM st"), "6");
    assert_eq!(session.value("SELECT count(*) FROM pgtrickle.verify('st')"), "0");
    let plan = plan(&mut session, query);
    assert!(plan.contains("Not Determined by Content: id"), "{plan}");
}
