//! What the worker does around the dataflow: hydration in slices, functions that change, circles of waiting.

use trickle_regress::oracle::Oracle;
use trickle_regress::session::wait_until;
use trickle_regress::Cluster;

/// A source too big to be read inside one cut fills between the refreshes of another table, which stays on schedule, while
/// both are written to.
#[test]
fn e05_a_big_table_fills_while_others_are_refreshed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE small (a int); CREATE TABLE big (id int PRIMARY KEY, g int, v numeric, pad text)");
    session.run("CREATE TABLE dim (g int PRIMARY KEY, name text)");
    session.run("INSERT INTO dim SELECT g, 'group ' || g FROM generate_series(0, 99) g");
    session.run("INSERT INTO big SELECT i, i % 100, i * 0.25, repeat('x', 200) FROM generate_series(1, 200000) i");
    session.run("SELECT pgtrickle.create_stream_table('s', 'SELECT count(*) AS n FROM small', schedule => '1 ms')");
    session.run("SELECT pgtrickle.refresh_stream_table('s')");
    let query = "SELECT d.name, count(*) AS n, sum(b.v) AS total FROM big b JOIN dim d USING (g) GROUP BY d.name";
    session.run(&format!("SELECT pgtrickle.create_stream_table('b', $${query}$$, schedule => '1 ms')"));
    // Written to while it fills; the other table is refreshed meanwhile.
    for round in 0..20 {
        session.run(&format!(
            "BEGIN; UPDATE big SET v = v + 1 WHERE id % 1000 = {round}; DELETE FROM big WHERE id = {}; \
             INSERT INTO big VALUES ({}, 5, 1.50, 'new'); COMMIT",
            round + 1,
            1_000_000 + round
        ));
        session.run("INSERT INTO small VALUES (1)");
        session.run("SELECT pgtrickle.refresh_stream_table('s')");
        assert_eq!(session.value("SELECT n FROM s"), (round + 1).to_string());
    }
    Oracle::new("b", query).assert_equal(&mut session);
    assert!(cluster.log().contains("stream table public.b fills from"), "it was read in slices");
    session.run("DELETE FROM big WHERE g = 7");
    Oracle::new("b", query).assert_equal(&mut session);
}

/// One table fills at a time; after a restart the more important are first, however old the others are.
#[test]
fn the_more_important_fill_first() {
    let mut cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let tiers = ["background", "standard", "critical"];
    for tier in tiers {
        session.run(&format!("CREATE TABLE of_{tier} (id int, pad text)"));
        session.run(&format!("INSERT INTO of_{tier} SELECT i, repeat('x', 200) FROM generate_series(1, 80000) i"));
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{tier}', 'SELECT count(*) AS n FROM of_{tier}', sla_tier => '{tier}')"
        ));
    }
    session.run("SELECT pgtrickle.refresh_all()");
    cluster.restart();
    let mut session = cluster.session();
    session.run("SELECT pgtrickle.refresh_all()");
    let log = cluster.log();
    let restarted = log.rfind("starting PostgreSQL").expect("the server says so");
    let filled: Vec<&str> = log[restarted..]
        .lines()
        .filter_map(|line| line.split_once("stream table public.")?.1.split_once(" fills from"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(filled, ["critical", "standard", "background"]);
}

/// What changes with time is run again on a beat, and whenever it is asked for.
#[test]
fn results_that_change_by_themselves_are_refreshed_by_the_clock() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    session.run("CREATE FUNCTION f() RETURNS timestamptz STABLE LANGUAGE sql RETURN statement_timestamp()");
    for (name, expression, schedule) in [
        ("soon", "now()", "20 ms"),
        ("called", "f()", "20 ms"),
        ("late", "clock_timestamp()", "1 hour"),
        ("yearly", "localtimestamp", "0 0 1 1 *"),
    ] {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{name}', 'SELECT a, {expression}::timestamptz AS at FROM t', \
             schedule => '{schedule}')"
        ));
        session.run(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
        session.run(&format!("CREATE TABLE {name}_then AS SELECT at FROM {name}"));
    }
    for name in ["soon", "called"] {
        let later = format!("SELECT {name}.at > {name}_then.at FROM {name}, {name}_then");
        session.wait("the clock to refresh it", &later);
    }
    for name in ["late", "yearly"] {
        let later = format!("SELECT {name}.at > {name}_then.at FROM {name}, {name}_then");
        assert_eq!(session.value(&later), "f", "{name}");
        session.run(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
        assert_eq!(session.value(&later), "t", "{name}");
    }
}

/// A commit wakes the worker, which has nothing to do before the schedule says so: one cut then serves all of them.
#[test]
fn changes_wait_in_the_change_buffer_until_they_are_due() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int)");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT count(*) AS n FROM t', schedule => '1 hour')");
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
    let (mut cuts, mut before) = (0, 0);
    for row in 0..200 {
        session.run(&format!("INSERT INTO t VALUES ({row})"));
        let waiting = session.value("SELECT pending_rows FROM pgtrickle.change_buffer_status()");
        let waiting: i64 = waiting.parse().expect("a number");
        cuts += i32::from(waiting <= before);
        before = waiting;
    }
    // The housekeeping may look now and then.
    assert!(cuts < 20, "{cuts} cuts for 200 commits");
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(session.value("SELECT pending_rows FROM pgtrickle.change_buffer_status()"), "0");
    assert_eq!(session.value("SELECT n FROM st"), "200");
}

/// TRUNCATE between two slices: the snapshot that is held does not protect against it.
#[test]
fn e07_truncate_while_a_table_fills() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE big (id int, pad text)");
    session.run("INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 200000) i");
    let query = "SELECT id % 10 AS g, count(*) AS n FROM big GROUP BY 1";
    session.run(&format!("SELECT pgtrickle.create_stream_table('b', $${query}$$, schedule => '1 ms')"));
    wait_until("the table to fill", || cluster.log().contains("stream table public.b fills from"));
    session.run("TRUNCATE big");
    session.run("INSERT INTO big SELECT i, 'y' FROM generate_series(1, 25) i");
    Oracle::new("b", query).assert_equal(&mut session);
}

/// What a composite type is made of shows in the texts and in the equality of values that are there already.
#[test]
fn e16_an_altered_composite_type_rebuilds_what_was_computed_with_it() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TYPE pair AS (a int, b text)");
    session.run("CREATE TABLE t (id int PRIMARY KEY, p pair, ps pair[])");
    session.run("INSERT INTO t SELECT i, (i % 2, 'x'::text)::pair, ARRAY[(i % 2, 'x'::text)::pair] FROM generate_series(1, 3) i");
    let queries = [
        ("groups", "SELECT p, count(*) AS n FROM t GROUP BY p"),
        ("texts", "SELECT id, p::text AS x FROM t"),
        ("elements", "SELECT ps::text AS x, count(*) AS n FROM t GROUP BY ps"),
        ("documents", "SELECT to_jsonb(p) AS x, count(*) AS n FROM t GROUP BY 1"),
        ("whole", "SELECT id, p::text AS x, row_number() OVER (ORDER BY id) AS n FROM t LIMIT 1000000"),
    ];
    for (name, query) in queries {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', '{query}', schedule => '1 ms')"));
    }
    let steps = [
        "ALTER TYPE pair ADD ATTRIBUTE c int",
        "INSERT INTO t VALUES (4, (1, 'x', NULL), NULL), (5, (1, 'x', 7), NULL)",
        "ALTER TYPE pair RENAME ATTRIBUTE a TO first",
        "DELETE FROM t WHERE id = 1",
        "ALTER TYPE pair DROP ATTRIBUTE b",
        "INSERT INTO t VALUES (6, (1, NULL), ARRAY[(1, NULL)::pair])",
        "UPDATE t SET p = (1, NULL) WHERE id = 2",
    ];
    for step in steps {
        session.run(step);
        for (name, query) in queries {
            Oracle::new(name, query).assert_equal(&mut session);
        }
    }
}

/// The sum of a function that changes its mind must not mix old and new results.
#[test]
fn e16_a_replaced_function_rebuilds_what_was_computed_with_it() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)");
    session.run("CREATE FUNCTION inner_f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN a + 1; END'");
    session.run(
        "CREATE FUNCTION f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.inner_f(a); END'",
    );
    let query = "SELECT a % 3 AS g, sum(f(a)) AS s FROM t GROUP BY 1";
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $${query}$$, schedule => '1 ms')"));
    Oracle::new("st", query).assert_equal(&mut session);
    session.run(
        "CREATE OR REPLACE FUNCTION f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN a * 2; END'; \
         DELETE FROM t WHERE a > 50",
    );
    Oracle::new("st", query).assert_equal(&mut session);
    // Not even a function that only the function calls.
    session.run(
        "CREATE OR REPLACE FUNCTION f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.inner_f(a); END'",
    );
    Oracle::new("st", query).assert_equal(&mut session);
    session.run(
        "CREATE OR REPLACE FUNCTION inner_f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN -a; END'; \
         DELETE FROM t WHERE a > 40",
    );
    Oracle::new("st", query).assert_equal(&mut session);
}

/// A waiting session whose own lock, or that of one that waits for it, keeps the worker from serving it.
#[test]
fn h48_a_circle_through_the_worker_is_an_error() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); CREATE TABLE other (a int); INSERT INTO t VALUES (1)");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t', schedule => '1 ms')");
    session.run("SELECT pgtrickle.refresh_stream_table('st')");
    // Own locks: on the source, on the stream table, on a row of it.
    for lock in ["LOCK TABLE t", "LOCK TABLE st", "CREATE INDEX ON st (a)", "SELECT FROM st FOR UPDATE"] {
        session.run("BEGIN");
        session.run("DELETE FROM t; INSERT INTO t VALUES (2)");
        session.run("COMMIT; BEGIN");
        session.run(lock);
        if lock.contains("FOR UPDATE") {
            let mut second = cluster.session();
            second.run("UPDATE t SET a = a + 1");
        }
        let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
        assert_eq!(error.sqlstate, "55P03", "{lock}: {error:?}");
        session.run("ROLLBACK; SELECT pgtrickle.refresh_stream_table('st')");
    }
    // Through a third session: it holds the source and waits for us.
    session.run("BEGIN; LOCK TABLE other");
    let folder = cluster.folder().to_path_buf();
    let third = std::thread::spawn(move || {
        let mut third = trickle_regress::Session::connect(&folder, "postgres", "postgres").expect("a session");
        third.run("BEGIN; LOCK TABLE t; LOCK TABLE other; COMMIT");
    });
    let mut watch = cluster.session();
    wait_until("the third session to wait", || {
        watch.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'other'::regclass") == "1"
    });
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "55P03", "{error:?}");
    session.run("ROLLBACK");
    third.join().expect("the third session ends well");
    Oracle::new("st", "SELECT a FROM t").assert_equal(&mut session);
}

/// Without changes the content is current, however long ago the last one was; with one it is as old as that.
#[test]
fn staleness_of_a_quiet_table_does_not_grow() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); CREATE TABLE other (a int); INSERT INTO t VALUES (1)");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t', schedule => '1 hour')");
    session.run("SELECT pgtrickle.create_stream_table('over', 'SELECT count(*) AS n FROM st', schedule => '1 hour')");
    session.rows("SELECT pgtrickle.refresh_all()");
    session.run("CREATE TABLE clock AS SELECT clock_timestamp() AS began");
    session.wait("a second to pass", "SELECT clock_timestamp() - began > '1 s' FROM clock");
    let staleness = "SELECT max(staleness_secs) FROM pgtrickle.stream_table_status()";
    assert_eq!(session.value(staleness), "0");
    session.run("INSERT INTO other VALUES (1)");
    assert_eq!(session.value(staleness), "0");
    session.run("INSERT INTO t VALUES (2)");
    session.wait("both to be stale", "SELECT min(staleness_secs) > 0.1 FROM pgtrickle.stream_table_status()");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    session.wait("one to be current", "SELECT min(staleness_secs) = 0 FROM pgtrickle.stream_table_status()");
    session.rows("SELECT pgtrickle.refresh_all()");
    session.wait("both to be current", "SELECT max(staleness_secs) = 0 FROM pgtrickle.stream_table_status()");
}

/// More changes at once than memory may hold, and more that wait for a locked table: rebuilt, not hoarded.
#[test]
fn e06_more_changes_than_memory_holds() {
    let cluster = Cluster::builder().set("pg_trickle.memory_limit_mb", "64").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE t (g int, w text); CREATE TABLE names (g int, name text)");
    session.run("INSERT INTO names SELECT g, 'n' || g FROM generate_series(0, 9) g");
    let query = "SELECT n.name, count(*) AS n, max(length(t.w)) AS l FROM t JOIN names n USING (g) GROUP BY n.name";
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    let oracle = Oracle::new("st", query);
    oracle.assert_equal(&mut session);
    session.run("INSERT INTO t SELECT i % 10, repeat('x', 200 + i % 3) FROM generate_series(1, 150000) i");
    session.run("DELETE FROM t WHERE g > 2");
    oracle.assert_equal(&mut session);
    assert!(cluster.log().contains("of changes at once"), "{}", cluster.log_tail());

    let mut blocker = cluster.session();
    blocker.run("BEGIN; LOCK TABLE names");
    let mut rounds = 0;
    while !cluster.log().contains("of changes wait for a locked table") {
        session.run("INSERT INTO t SELECT i % 10, repeat('y', 200) FROM generate_series(1, 15000) i");
        session.run("DELETE FROM t WHERE ctid IN (SELECT ctid FROM t LIMIT 14000)");
        rounds += 1;
        assert!(rounds < 100, "{}", cluster.log_tail());
    }
    // Nobody reads the table now: its changes are passed by all the same, and the change buffer does not grow.
    session.run("INSERT INTO t SELECT 1, repeat('z', 200) FROM generate_series(1, 100000) i");
    session.wait("the changes to be passed by", "SELECT coalesce(sum(pending_rows), 0) < 1000 FROM pgtrickle.change_buffer_status() WHERE source_table = 't'::regclass");
    blocker.run("COMMIT");
    oracle.assert_equal(&mut session);
}

/// A stream table of constants never changes, so its graph never reports; its readers do not wait for that.
#[test]
fn constants_are_never_waited_for() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (k int); INSERT INTO t VALUES (1), (2)");
    session.run("SET statement_timeout = '20s'");
    let queries = [
        ("whole", "SELECT k, row_number() OVER (ORDER BY k) AS n FROM t LIMIT 1000000"),
        ("constants", "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (k, name)"),
        ("reader", "SELECT t.k, w.n, c.name FROM t JOIN whole w ON w.k = t.k JOIN constants c ON c.k = t.k"),
        ("last", "SELECT n, count(*) OVER () AS all FROM reader LIMIT 1000000"),
    ];
    for (name, query) in &queries {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 hour')"));
    }
    for _ in 0..3 {
        for (name, query) in &queries {
            session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
            Oracle::new(name, query).assert_equal(&mut session);
        }
        session.run("INSERT INTO t SELECT max(k) + 1 FROM t");
    }
}

/// What fails is said in the end: it keeps none of the others from being refreshed, those in full mode included.
#[test]
fn refresh_all_refreshes_what_can_be() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int)");
    for (name, query, mode) in [
        ("a_bad", "SELECT 1 / a AS x FROM t", "auto"),
        ("b_good", "SELECT a FROM t WHERE a <> 0", "auto"),
        ("c_worse", "SELECT 10 / a AS x FROM t", "auto"),
        ("d_full", "SELECT count(*) AS n FROM t", "full"),
    ] {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('{name}', '{query}', schedule => '1 hour', refresh_mode => '{mode}')"
        ));
    }
    session.run("INSERT INTO t VALUES (0), (2)");
    let error = session.error("SELECT pgtrickle.refresh_all()");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    assert_eq!(error.message, "could not refresh 2 of 4 stream tables");
    let detail = error.detail.unwrap_or_default();
    assert_eq!(detail.lines().count(), 2, "{detail}");
    assert!(detail.contains("stream table public.a_bad") && detail.contains("division by zero"), "{detail}");
    assert_eq!(session.value("SELECT string_agg(a::text, ',') FROM b_good"), "2");
    assert_eq!(session.value("SELECT n FROM d_full"), "2");
    // What somebody has suspended is left alone, with what reads it.
    session.run("SELECT pgtrickle.create_stream_table('e_above', 'SELECT x FROM c_worse', schedule => '1 hour')");
    session.run("SELECT pgtrickle.alter_stream_table('c_worse', status => 'suspended')");
    let error = session.error("SELECT pgtrickle.refresh_all()");
    assert!(error.message.contains("stream table public.a_bad is not refreshed"), "{error:?}");
    session.run("SELECT pgtrickle.drop_stream_table('c_worse', cascade => true)");
    let error = session.error("SELECT pgtrickle.refresh_all()");
    assert!(error.message.contains("stream table public.a_bad is not refreshed"), "{error:?}");
    session.run("DELETE FROM t WHERE a = 0");
    session.run("SELECT pgtrickle.refresh_all()");
    assert_eq!(session.value("SELECT x FROM a_bad"), "0");
}
