//! Every way in which rows of an ordinary table change is captured.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

fn follow(session: &mut Session, name: &str, query: &str) -> Oracle {
    session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms')"));
    let oracle = Oracle::new(name, query);
    oracle.assert_equal(session);
    oracle
}

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
    let parent = follow(&mut session, "sp", "SELECT id, v FROM parent");
    let child =
        follow(&mut session, "sc", "SELECT p, count(*) AS n, count(q) AS nq, sum(d) AS d FROM child GROUP BY p");
    let plain = follow(&mut session, "sl", "SELECT id, v FROM plain");
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
    let oracle = follow(&mut source, "st", "SELECT v, count(*) AS n FROM t GROUP BY v");
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
    let oracle = follow(&mut session, "st", "SELECT id, big, small FROM t");
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
