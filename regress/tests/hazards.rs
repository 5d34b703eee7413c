//! Ways to hurt a stream table from outside, each by its number: dependencies, publications, constraints, triggers, locks,
//! privileges.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, schedule => '1 ms')"));
    session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
}

/// A cluster with a table and a grouped stream table over it.
fn start() -> (Cluster, Session, Oracle) {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int, v int, spare int)");
    session.run("INSERT INTO t SELECT i, nullif(i % 4, 3), i FROM generate_series(1, 20) i");
    create(&mut session, "st", GROUPS);
    (cluster, session, Oracle::new("st", GROUPS))
}

const GROUPS: &str = "SELECT k, count(*) AS n, sum(v) AS s FROM t GROUP BY k";

#[test]
fn h34_a_source_knows_the_stream_tables_that_need_it() {
    let (_cluster, mut session, _) = start();
    create(&mut session, "over", "SELECT sum(n) AS n FROM st");
    for statement in ["DROP TABLE t", "ALTER TABLE t DROP COLUMN v"] {
        let error = session.error(statement);
        assert_eq!(error.sqlstate, "2BP01", "{error:?}");
        assert!(error.detail.as_deref().is_some_and(|detail| detail.contains("table st depends on")), "{error:?}");
    }
    session.run("ALTER TABLE t DROP COLUMN spare");
    session.run("INSERT INTO t VALUES (100, 1, 1)");
    Oracle::new("st", GROUPS).assert_equal(&mut session);
    session.run("DROP TABLE t CASCADE");
    assert_eq!(session.value("SELECT to_regclass('st') IS NULL AND to_regclass('over') IS NULL"), "t");
    assert_eq!(
        session.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'pgtrickle_definitions'::regnamespace"),
        "0"
    );
}

#[test]
fn h39_nothing_of_the_change_buffers_is_published() {
    let (_cluster, mut session, oracle) = start();
    session.run("CREATE PUBLICATION everything FOR ALL TABLES");
    let published = session.value(
        "SELECT count(*) FROM pg_publication_tables JOIN pgtrickle.segment
             ON relation = format('%I.%I', schemaname, tablename)::regclass",
    );
    assert_eq!(published, "0");
    // Our own tables can be published too, and then must say how their rows are told apart, or deletes are refused.
    let silent = session.value(
        "SELECT count(*) FROM pg_class c WHERE relnamespace = 'pgtrickle'::regnamespace AND relkind = 'r' AND relreplident = 'd' \
            AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)",
    );
    assert_eq!(silent, "0");
    session.run("UPDATE t SET v = v + 1");
    oracle.assert_equal(&mut session);
}

/// UPDATE and DELETE of a table without replica identity fail once it is published.
#[test]
fn h40_a_published_stream_table_without_a_key_is_refreshed() {
    let (_cluster, mut session, oracle) = start();
    create(&mut session, "rows", "SELECT k, v FROM t");
    session.run("CREATE PUBLICATION everything FOR ALL TABLES");
    session.run("UPDATE t SET v = v + 1; DELETE FROM t WHERE id < 4; INSERT INTO t VALUES (50, NULL, NULL)");
    oracle.assert_equal(&mut session);
    Oracle::new("rows", "SELECT k, v FROM t").assert_equal(&mut session);
}

/// Two rows swap a value that a user's own index keeps unique.
#[test]
fn h41_values_are_swapped_under_a_unique_index() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, place int)");
    session.run("INSERT INTO t SELECT i, i FROM generate_series(1, 10) i");
    create(&mut session, "st", "SELECT id, place FROM t");
    session.run("CREATE UNIQUE INDEX ON st (place)");
    let oracle = Oracle::new("st", "SELECT id, place FROM t");
    session.run("UPDATE t SET place = 11 - place");
    oracle.assert_equal(&mut session);
    session.run("UPDATE t SET place = place % 10 + 1");
    oracle.assert_equal(&mut session);
}

#[test]
fn h42_deferred_constraints_on_a_stream_table() {
    let (_cluster, mut session, oracle) = start();
    session.run("CREATE TABLE names (k int PRIMARY KEY); INSERT INTO names SELECT generate_series(0, 100)");
    session.run("ALTER TABLE st ADD FOREIGN KEY (k) REFERENCES names DEFERRABLE INITIALLY DEFERRED");
    session.run("UPDATE t SET k = k + 7; INSERT INTO t VALUES (60, 50, 1)");
    oracle.assert_equal(&mut session);
}

/// A trigger of a user's that drops or changes rows must not pass for a refresh that went well.
#[test]
fn h43_rows_that_a_trigger_swallows_are_noticed() {
    let (_cluster, mut session, oracle) = start();
    session.run("CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    session.run("CREATE TRIGGER swallow BEFORE INSERT ON st FOR EACH ROW EXECUTE FUNCTION swallow()");
    session.run("INSERT INTO t VALUES (70, 70, 70)");
    let refreshed = session.attempt("SELECT pgtrickle.refresh_stream_table('st')");
    assert!(
        refreshed.is_err() || oracle.difference(&mut session).is_none(),
        "a refresh that lost a row says that it went well"
    );
    session.run("DROP TRIGGER swallow ON st");
    session.attempt("SELECT pgtrickle.rebuild('st')").expect("it can be rebuilt");
    oracle.assert_equal(&mut session);
    for statement in ["INSERT INTO st VALUES (1, 1, 1)", "UPDATE st SET n = 0", "DELETE FROM st", "TRUNCATE st"] {
        let error = session.error(statement);
        assert!(error.hint.is_some(), "{statement}: {error:?}");
    }
    oracle.assert_equal_now(&mut session);
}

/// The worker never waits for a user so long that the user could be the one whom the deadlock's detection ends.
#[test]
fn h44_a_locked_stream_table_holds_up_itself_only() {
    let (cluster, mut session, oracle) = start();
    create(&mut session, "second", "SELECT count(*) AS n FROM t");
    let mut locker = cluster.session();
    locker.run("BEGIN; SELECT FROM st FOR UPDATE");
    session.run("UPDATE t SET k = 1, v = v + 1; INSERT INTO t VALUES (80, 1, 1)");
    session.rows("SELECT pgtrickle.refresh_stream_table('second')");
    Oracle::new("second", "SELECT count(*) AS n FROM t").assert_equal_now(&mut session);
    // Were the worker to hold rows of the second while it waits for the first, this would be a deadlock.
    locker.run("SELECT FROM second FOR UPDATE; COMMIT");
    oracle.assert_equal(&mut session);
}

#[test]
fn h45_groups_of_null_are_found() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int, b text, v int)");
    let query = "SELECT a, b, count(*) AS n, sum(v) AS s FROM t GROUP BY a, b";
    create(&mut session, "st", query);
    let oracle = Oracle::new("st", query);
    for _ in 0..3 {
        session.run("INSERT INTO t VALUES (NULL, NULL, 1), (NULL, 'x', 1), (1, NULL, NULL), (1, 'x', 1)");
        oracle.assert_equal(&mut session);
    }
    session.run("UPDATE t SET b = NULL WHERE a IS NULL");
    oracle.assert_equal(&mut session);
    session.run("DELETE FROM t WHERE a IS NULL");
    oracle.assert_equal(&mut session);
}

/// SELECT alone does not let a stranger's stream table slow a table's writers.
#[test]
fn h49_who_may_only_read_is_refreshed_in_full() {
    let (cluster, mut session, _) = start();
    session.run("CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader; GRANT CREATE ON SCHEMA public TO reader");
    let mut reader = cluster.session_as("reader", "postgres");
    let differential =
        "SELECT pgtrickle.create_stream_table('theirs', 'SELECT k FROM t', refresh_mode => 'differential')";
    let error = reader.error(differential);
    assert!(["42501", "0A000"].contains(&error.sqlstate.as_str()), "{error:?}");
    create(&mut reader, "theirs", "SELECT k FROM t");
    let mode = "SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name LIKE '%theirs'";
    assert_eq!(reader.value(mode), "full");
    reader.run("SELECT pgtrickle.drop_stream_table('theirs')");
    session.run("SELECT pgtrickle.allow_capture('t')");
    reader.run(differential);
    assert_eq!(reader.value(mode), "differential");
}

/// Not even the triggers that say that something has changed: the content follows by the clock.
#[test]
fn h49_who_may_only_read_costs_the_writers_nothing() {
    let (cluster, mut session, _) = start();
    session.run("CREATE TABLE u (a int); CREATE ROLE reader LOGIN; GRANT SELECT ON u TO reader");
    session.run("GRANT CREATE ON SCHEMA public TO reader");
    let mut reader = cluster.session_as("reader", "postgres");
    create(&mut reader, "theirs", "SELECT a FROM u");
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'u'::regclass";
    assert_eq!(session.value(triggers), "0");
    session.run("INSERT INTO u VALUES (1)");
    reader.wait("the clock to refresh it", "SELECT count(*) = 1 FROM theirs");
    session.run("INSERT INTO u VALUES (2)");
    Oracle::new("theirs", "SELECT a FROM u").assert_equal(&mut session);
    // What the owner's own stream table needs goes with it.
    create(&mut session, "ours", "SELECT a FROM u");
    assert_ne!(session.value(triggers), "0");
    session.run("SELECT pgtrickle.drop_stream_table('ours')");
    session.wait("the capture to end", &format!("SELECT ({triggers}) = 0"));
    session.run("INSERT INTO u VALUES (3)");
    reader.wait("the clock to refresh it", "SELECT count(*) = 3 FROM theirs");
}

/// What may be captured changes how it is followed, at once.
#[test]
fn h49_the_right_to_have_changes_captured_comes_and_goes() {
    let (cluster, mut session, _) = start();
    session.run("CREATE TABLE u (a int); CREATE ROLE reader LOGIN; GRANT SELECT ON u TO reader");
    session.run("GRANT CREATE ON SCHEMA public TO reader; CREATE ROLE team; GRANT TRIGGER ON u TO team");
    let mut reader = cluster.session_as("reader", "postgres");
    create(&mut reader, "theirs", "SELECT a FROM u");
    let mode = |is: &str| {
        format!("SELECT effective_mode = '{is}' FROM pgtrickle.stream_table_status() WHERE name = 'public.theirs'")
    };
    for (grant, revoke) in [
        ("GRANT MAINTAIN ON u TO reader", "REVOKE MAINTAIN ON u FROM reader"),
        ("SELECT pgtrickle.allow_capture('u')", "SELECT pgtrickle.forbid_capture('u')"),
        ("GRANT team TO reader", "REVOKE team FROM reader"),
    ] {
        for (change, is) in [(grant, "differential"), (revoke, "full")] {
            session.run(change);
            session.run("INSERT INTO u VALUES (1)");
            session.wait(change, &mode(is));
            Oracle::new("theirs", "SELECT a FROM u").assert_equal(&mut session);
        }
    }
}

#[test]
fn h51_nobody_else_can_run_the_capture_function() {
    let (cluster, mut session, oracle) = start();
    session.run("CREATE ROLE forger LOGIN; GRANT CREATE ON SCHEMA public TO forger");
    let mut forger = cluster.session_as("forger", "postgres");
    forger.run("CREATE TABLE own (id int, k int, v int, spare int)");
    let trigger = "CREATE TRIGGER forged AFTER INSERT ON own FOR EACH STATEMENT EXECUTE FUNCTION pgtrickle.capture()";
    assert_eq!(forger.error(trigger).sqlstate, "42501");
    // Not even a superuser by mistake.
    session.run(trigger);
    let forged = session.attempt("INSERT INTO own VALUES (1, 1, 1, 1)");
    assert!(forged.is_err() || session.value("SELECT count(*) FROM own") == "1");
    session.attempt("SELECT pgtrickle.capture()").expect_err("it is a trigger's");
    oracle.assert_equal(&mut session);
}

/// What PostgreSQL evaluates for a stream table runs as its owner, and cannot become anyone else.
#[test]
fn h53_expressions_run_as_the_owner() {
    let (cluster, mut session, _) = start();
    session.run("CREATE ROLE maker LOGIN; GRANT CREATE ON SCHEMA public TO maker");
    let mut maker = cluster.session_as("maker", "postgres");
    maker.run("CREATE TABLE own (a int); INSERT INTO own VALUES (1)");
    maker.run(
        "CREATE FUNCTION who(a int) RETURNS text IMMUTABLE LANGUAGE plpgsql
             AS 'BEGIN RETURN current_user || '':'' || session_user; END'",
    );
    create(&mut maker, "seen", "SELECT a, split_part(who(a), ':', 1) AS w FROM own");
    session.run("INSERT INTO own VALUES (2)");
    session.rows("SELECT pgtrickle.refresh_stream_table('seen')");
    assert_eq!(session.value("SELECT string_agg(DISTINCT w, ',') FROM seen"), "maker");
    maker.run(
        "CREATE OR REPLACE FUNCTION who(a int) RETURNS text IMMUTABLE LANGUAGE plpgsql
             AS 'BEGIN EXECUTE ''SET ROLE postgres''; RETURN current_user; END'",
    );
    session.run("INSERT INTO own VALUES (3)");
    session.attempt("SELECT pgtrickle.refresh_stream_table('seen')").expect_err("the role cannot be changed there");
    assert_eq!(session.value("SELECT count(*) FROM seen WHERE w = 'postgres'"), "0");
}

/// Rows of the sources are for who may read these; numbers for who monitors; the server's log has neither.
#[test]
fn h52_rows_are_shown_to_who_may_read_them() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE o; CREATE ROLE reads; CREATE ROLE sees; CREATE ROLE monitors IN ROLE pg_monitor");
    session.run("GRANT CREATE ON SCHEMA public TO o; SET ROLE o");
    session.run("CREATE TABLE t (a int, secret text); INSERT INTO t VALUES (1, 'fine')");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT 1 / a AS q, secret FROM t', schedule => '1 ms')");
    session.run("GRANT SELECT ON t, st TO reads; GRANT SELECT ON st TO sees");
    session.run("INSERT INTO t VALUES (0, 'hush')");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    let mut shown = |role: &str| {
        session.run(&format!("RESET ROLE; SET ROLE {role}"));
        let row = session.rows("SELECT row_text, message, occurrences FROM pgtrickle.errors('st')").remove(0);
        (row[0].as_ref().is_some_and(|text| text.contains("hush")), row[1].is_some(), row[2].is_some())
    };
    assert_eq!(shown("o"), (true, true, true));
    assert_eq!(shown("reads"), (true, true, true));
    assert_eq!(shown("monitors"), (false, false, true));
    assert_eq!(shown("sees"), (false, false, false));
    session.run("RESET ROLE; SET ROLE sees");
    for function in ["verify", "refresh_stream_table", "rebuild"] {
        let error = session.error(&format!("SELECT pgtrickle.{function}('st')"));
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
    assert!(!cluster.log().contains("hush"), "a row is in the log");
}
