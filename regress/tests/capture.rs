//! Every way in which rows of an ordinary table change is captured.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

#[test]
fn statements_of_all_kinds() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE parent (id int PRIMARY KEY, v int)");
    session.run(
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, \
         q int REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE, d int DEFAULT 5)",
    );
    session.run("CREATE TABLE plain (id int, v int)");
    session.run("CREATE VIEW writable AS SELECT id, v FROM plain WHERE id > 0");
    session.run(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN IF pg_trigger_depth() < 3 THEN INSERT INTO public.plain VALUES (NEW.id + 1000, NEW.v); END IF; RETURN NULL; END'",
    );
    let parent = Oracle::follow(&mut session, "sp", "SELECT id, v FROM parent");
    let child = Oracle::follow(
        &mut session,
        "sc",
        "SELECT p, count(*) AS n, count(q) AS nq, sum(d) AS d FROM child GROUP BY p",
    );
    let plain = Oracle::follow(&mut session, "sl", "SELECT id, v FROM plain");
    for statement in [
        "INSERT INTO parent SELECT i, i FROM generate_series(1, 20) i",
        "INSERT INTO child SELECT i, 1 + i % 20, 1 + i % 7 FROM generate_series(1, 60) i",
        "DELETE FROM parent WHERE id IN (2, 3)",
        "UPDATE parent SET id = id + 100 WHERE id = 5",
        "INSERT INTO parent VALUES (1, 99), (50, 50) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v + parent.v",
        "INSERT INTO parent VALUES (1, 0) ON CONFLICT DO NOTHING",
        "MERGE INTO plain USING parent ON plain.id = parent.id WHEN NOT MATCHED THEN INSERT VALUES (parent.id, parent.v)",
        "MERGE INTO plain USING parent ON plain.id = parent.id WHEN MATCHED AND parent.id < 10 THEN DELETE \
         WHEN MATCHED THEN UPDATE SET v = plain.v + 1 WHEN NOT MATCHED BY SOURCE THEN DELETE",
        "COPY plain FROM PROGRAM 'printf \"7\\t7\\n7\\t7\\n\\\\N\\t1\\n\"'",
        "WITH gone AS (DELETE FROM plain WHERE id > 15 RETURNING *) INSERT INTO plain SELECT id - 10, v FROM gone",
        "UPDATE plain SET v = parent.v FROM parent WHERE parent.id = plain.id",
        "DELETE FROM plain USING parent WHERE parent.id = plain.id AND parent.v < 8",
        "CREATE RULE also AS ON INSERT TO plain WHERE NEW.v = 42 DO ALSO INSERT INTO parent VALUES (4242, 42) ON CONFLICT DO NOTHING",
        "INSERT INTO writable VALUES (300, 1), (301, 42)",
        "UPDATE writable SET v = v + 1",
        "DROP RULE also ON plain",
        "CREATE TRIGGER m AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION more()",
        "INSERT INTO plain VALUES (400, 1), (401, 2)",
        "DO $$ BEGIN INSERT INTO plain VALUES (500, 1); BEGIN INSERT INTO plain VALUES (501, 1); RAISE EXCEPTION 'x'; \
         EXCEPTION WHEN OTHERS THEN INSERT INTO plain VALUES (502, 1); END; END $$",
        "TRUNCATE parent CASCADE",
        "UPDATE plain SET v = v WHERE id < 500",
    ] {
        session.run(statement);
        for oracle in [&parent, &child, &plain] {
            session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{}')", oracle.name));
            if let Some(difference) = oracle.difference(&mut session) {
                panic!("after {statement}: {}\n{difference}", oracle.name);
            }
        }
    }
}

#[test]
fn logical_replication_applies_into_a_source() {
    let cluster = Cluster::with_extension();
    let mut source = cluster.session();
    source.run("CREATE DATABASE origin");
    let mut origin = cluster.session_as("postgres", "origin");
    origin.run("CREATE TABLE t (id int PRIMARY KEY, v text)");
    origin.run("CREATE PUBLICATION p FOR TABLE t");
    origin.rows("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)");
    let oracle = Oracle::follow(&mut source, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
    source.run(&format!(
        "CREATE SUBSCRIPTION sub CONNECTION 'host={} user=postgres dbname=origin' PUBLICATION p \
         WITH (create_slot = false, slot_name = 's', copy_data = false)",
        cluster.folder().display()
    ));
    origin.run("INSERT INTO t SELECT i, 'v' || i % 5 FROM generate_series(1, 100) i");
    origin.run("UPDATE t SET v = 'changed' WHERE id % 3 = 0");
    origin.run("DELETE FROM t WHERE id > 90");
    source.wait("the changes to arrive", "SELECT count(*) = 90 FROM t");
    // Nobody has asked: the apply worker's commits alone wake ours.
    source.wait("the stream table to follow", "SELECT coalesce(sum(n), 0) = 90 FROM st");
    oracle.assert_equal(&mut source);
    origin.run("TRUNCATE t");
    source.wait("the truncation to arrive", "SELECT count(*) = 0 FROM t");
    oracle.assert_equal(&mut source);
    source.run("ALTER SUBSCRIPTION sub DISABLE");
    source.run("ALTER SUBSCRIPTION sub SET (slot_name = NONE)");
    source.run("DROP SUBSCRIPTION sub");
    origin.rows("SELECT pg_drop_replication_slot('s') FROM pg_replication_slots WHERE slot_name = 's' AND NOT active");
}

/// Values that are stored out of line are captured whole, changed or not.
#[test]
fn toasted_values() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, big text, small int)");
    session.run("ALTER TABLE t ALTER big SET STORAGE EXTERNAL");
    let oracle = Oracle::follow(&mut session, "st", "SELECT id, big, small FROM t");
    for statement in [
        "INSERT INTO t SELECT i, repeat('x' || i, 50000), i FROM generate_series(1, 5) i",
        "UPDATE t SET small = small + 1",
        "UPDATE t SET big = big || 'y' WHERE id = 2",
        "INSERT INTO t VALUES (9, repeat('z', 30000000), 1)",
        "UPDATE t SET small = 2 WHERE id = 9",
        "DELETE FROM t WHERE id IN (1, 9)",
        "VACUUM t",
        "UPDATE t SET big = NULL WHERE id = 3",
    ] {
        session.run(statement);
        oracle.assert_equal(&mut session);
    }
}

/// A row's old image is what its new image was, whatever the types: a DELETE finds what an INSERT has put there (H26).
#[test]
fn h26_columns_of_all_types() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text); \
         CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE spans AS RANGE (subtype = float8)",
    );
    let values = [
        ("bool", "true", "false"),
        ("int2", "-32768", "32767"),
        ("int4", "-1", "2147483647"),
        ("int8", "-9223372036854775808", "0"),
        ("float4", "'NaN'", "'-0'"),
        ("float8", "'-Infinity'", "0.1"),
        ("numeric", "1.00", "'NaN'"),
        ("numeric(40,10)", "123456789012345678901234567890.0000000001", "0"),
        ("money", "'1.50'", "'-2'"),
        ("text", "''", "repeat('long', 3000)"),
        ("varchar(5)", "'abc'", "'ab'"),
        ("char(5)", "'ab'", "'ab   '"),
        ("\"char\"", "'x'", "'y'"),
        ("name", "'n'", "repeat('n', 63)"),
        ("bytea", "'\\x00ff'", "'\\x'"),
        ("date", "'infinity'", "'4713-01-01 BC'"),
        ("time", "'24:00'", "'00:00:00.000001'"),
        ("timetz", "'12:00+02'", "'12:00-03:30'"),
        ("timestamp", "'-infinity'", "'2000-02-29 01:02:03.456789'"),
        ("timestamptz", "'infinity'", "'2026-03-29 02:30+01'"),
        ("interval", "'1 month -1 day'", "'30 days'"),
        ("uuid", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
        ("inet", "'::1/64'", "'10.0.0.1'"),
        ("cidr", "'10.0.0.0/8'", "'::/0'"),
        ("macaddr", "'08:00:2b:01:02:03'", "'00:00:00:00:00:00'"),
        ("macaddr8", "'08:00:2b:01:02:03:04:05'", "'00:00:00:00:00:00:00:00'"),
        ("bit(3)", "B'101'", "B'000'"),
        ("varbit", "B''", "B'1'"),
        ("json", "'{\"a\": 1,  \"a\":2}'", "'[]'"),
        ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"),
        ("xid8", "'1'", "'18446744073709551615'"),
        ("oid", "'4294967295'", "'0'"),
        ("regclass", "'pg_class'", "'pg_type'"),
        ("pg_lsn", "'0/1'", "'F/F'"),
        ("tsvector", "'a:1 b:2'", "''"),
        ("tsquery", "'a & b'", "'!a'"),
        ("point", "'(1,2)'", "'(0,-0)'"),
        ("box", "'(1,2),(3,4)'", "'(0,0),(0,0)'"),
        ("path", "'[(1,2),(3,4)]'", "'((1,2),(3,4))'"),
        ("polygon", "'((1,2),(3,4),(5,6))'", "'((0,0))'"),
        ("circle", "'<(1,2),3>'", "'<(0,0),0>'"),
        ("int4range", "'[1,5)'", "'empty'"),
        ("int4multirange", "'{[1,2),[5,9)}'", "'{}'"),
        ("int[]", "'{1,NULL,3}'", "'[0:1]={5,6}'"),
        ("text[]", "'{{a,b},{c,NULL}}'", "'{}'"),
        ("mood", "'sad'", "'ok'"),
        ("pair", "ROW(1, NULL)", "ROW(NULL, 'x')"),
        ("pair[]", "ARRAY[ROW(1, 'a')::pair]", "'{}'"),
        ("positive", "1", "2"),
        ("spans", "'[0.5,1.5]'", "'(,)'"),
    ];
    let columns: Vec<String> = values.iter().enumerate().map(|(at, (kind, ..))| format!("c{at} {kind}")).collect();
    session.run(&format!("CREATE TABLE t (id int, {})", columns.join(", ")));
    // By differences, or not at all: a refresh in full would find any image equal.
    session.run(
        "SELECT pgtrickle.create_stream_table('st', 'SELECT * FROM t', schedule => '1 ms', refresh_mode => 'differential')",
    );
    let oracle = Oracle::new("st", "SELECT * FROM t");
    oracle.assert_equal(&mut session);
    let row = |second: bool| -> String {
        values.iter().map(|&(_, one, two)| if second { two } else { one }).collect::<Vec<_>>().join(", ")
    };
    session.run(&format!("INSERT INTO t VALUES (1, {}), (2, {}); INSERT INTO t VALUES (3)", row(false), row(true)));
    oracle.assert_equal(&mut session);
    // From one value to another, to NULL, and back again; and to the same value, in which nothing changes.
    for (at, (kind, one, two)) in values.iter().enumerate() {
        for (id, value) in [(1, two), (2, &"NULL"), (3, one), (3, one), (2, one)] {
            session.run(&format!("UPDATE t SET c{at} = {value} WHERE id = {id}"));
        }
        session.rows("SELECT pgtrickle.refresh_stream_table('st')");
        if let Some(difference) = oracle.difference(&mut session) {
            panic!("column of type {kind}:\n{difference}");
        }
    }
    session.run("DELETE FROM t WHERE id = 1");
    oracle.assert_equal(&mut session);
    session.run("DELETE FROM t");
    oracle.assert_equal(&mut session);
}

/// TRUNCATE is captured under the replica role too, as an apply worker issues it: by the trigger itself, in its transaction.
#[test]
fn h21_truncate_under_the_replica_role() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    let oracle = Oracle::follow(&mut session, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
    let always =
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgtype & 32 <> 0 AND tgenabled = 'A'";
    assert_eq!(session.value(always), "1", "TRUNCATE is captured in every role");
    session.run("SET session_replication_role = replica");
    for statement in
        ["TRUNCATE t", "INSERT INTO t VALUES (3, 'c')", "BEGIN; TRUNCATE t; INSERT INTO t VALUES (4, 'd'); COMMIT"]
    {
        session.run(statement);
        // By itself: nobody asks, nothing else wakes the worker.
        let same = "SELECT NOT EXISTS (SELECT v, count(*) FROM t GROUP BY v EXCEPT SELECT v, n FROM st) \
                    AND NOT EXISTS (SELECT v, n FROM st EXCEPT SELECT v, count(*) FROM t GROUP BY v)";
        session.wait("the stream table to follow", same);
        oracle.assert_equal(&mut session);
    }
}

/// Nobody's dump has our triggers, and nobody sees them as his own.
#[test]
fn h23_capture_triggers_are_not_the_user_s() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
    let oracle = Oracle::follow(&mut session, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
    assert_ne!(session.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass"), "0");
    assert_eq!(
        session.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal"),
        "0"
    );
    let dump = cluster
        .installation()
        .client_command("pg_dump")
        .args(["-U", "postgres", "-h"])
        .arg(cluster.folder())
        .args(["--schema-only", "-t", "t", "postgres"])
        .output()
        .expect("pg_dump can be run");
    let text = String::from_utf8_lossy(&dump.stdout);
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    assert!(text.contains("CREATE TABLE public.t ") && !text.contains("pgtrickle"), "{text}");
    // Turning off the user's own triggers does not mean ours.
    let enabled =
        "SELECT string_agg(tgname::text || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 't'::regclass";
    let before = session.value(enabled);
    session.run("ALTER TABLE t DISABLE TRIGGER USER");
    assert_eq!(session.value(enabled), before);
    session.run("INSERT INTO t VALUES (2, 'b')");
    oracle.assert_equal(&mut session);
}

/// The change buffer is taken away under the writers' feet: their statements succeed, and nothing is lost.
#[test]
fn h25_capture_never_fails_a_statement() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
    let oracle = Oracle::follow(&mut session, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
    // Two writers: one with everything cached, one that begins now.
    session.run("INSERT INTO t VALUES (2, 'b')");
    let mut taker = cluster.session();
    taker.run(
        "DO $$ DECLARE r record; BEGIN \
           FOR r IN SELECT relation::regclass AS name, relation FROM pgtrickle.segment LOOP \
             EXECUTE format('ALTER EXTENSION pg_trickle DROP MATERIALIZED VIEW %s', r.name); \
             EXECUTE format('DROP MATERIALIZED VIEW %s', r.name); \
           END LOOP; DELETE FROM pgtrickle.segment; END $$",
    );
    session.run("INSERT INTO t VALUES (3, 'c')");
    session.run(
        "BEGIN; UPDATE t SET v = 'd' WHERE id = 1; SAVEPOINT s; DELETE FROM t WHERE id = 2; ROLLBACK TO s; COMMIT",
    );
    let mut late = cluster.session();
    late.run("INSERT INTO t VALUES (4, 'e'); DELETE FROM t WHERE id = 3");
    oracle.assert_equal(&mut session);
    session.run("INSERT INTO t VALUES (5, 'f')");
    oracle.assert_equal(&mut session);
}

/// A function that is not the function of its row that it says to be reads a table, the clock, or a setting: the first two are
/// looked at again by the clock, the third is pinned.
#[test]
fn h27_what_stable_functions_depend_on() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE TABLE hidden (x int)");
    session.run("INSERT INTO t VALUES (1, '2024-01-01 23:30+00'); INSERT INTO hidden VALUES (7)");
    session.run("CREATE FUNCTION look() RETURNS int STABLE LANGUAGE sql AS 'SELECT max(x) FROM public.hidden'");
    session.run(
        "CREATE FUNCTION peek() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(x) FROM public.hidden); END'",
    );
    let mode = |session: &mut Session, name: &str| {
        session
            .value(&format!("SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'public.{name}'"))
    };
    for (name, call) in [("a", "look()"), ("b", "peek()")] {
        let oracle = Oracle::follow(&mut session, name, &format!("SELECT id, public.{call} AS x FROM t"));
        assert_eq!(mode(&mut session, name), "full");
        session.run("UPDATE hidden SET x = x + 1");
        oracle.assert_equal(&mut session);
        session.run("UPDATE hidden SET x = x + 1");
        session.wait("the clock to look again", &format!("SELECT x = (SELECT max(x) FROM hidden) FROM {name}"));
    }
    // Not a comparison of a value with the clock, so not a temporal filter: run again by the clock.
    Oracle::follow(&mut session, "c", "SELECT id FROM t WHERE (at > now() - interval '1 hour') = true");
    assert_eq!(mode(&mut session, "c"), "full");
    session.run("INSERT INTO t VALUES (2, now() - interval '1 hour' + interval '300 ms')");
    session.run("SELECT pgtrickle.refresh_stream_table('c')");
    session.wait("the row to age out", "SELECT count(*) = 0 FROM c");
    // The setting of the creator counts, not that of the worker, nor of a writer.
    session.run("SET TimeZone = 'Asia/Tokyo'");
    let query = "SELECT id, date_trunc('day', at)::text AS day FROM t WHERE id = 1";
    Oracle::follow(&mut session, "d", query);
    assert_eq!(mode(&mut session, "d"), "differential");
    let mut other = cluster.session();
    other.run("SET TimeZone = 'America/New_York'; SET DateStyle = 'German'");
    other.run("UPDATE t SET at = at + interval '1 minute' WHERE id = 1");
    other.run("SELECT pgtrickle.rebuild('d')");
    assert_eq!(session.value("SELECT day FROM d"), "2024-01-02 00:00:00+09");
}
