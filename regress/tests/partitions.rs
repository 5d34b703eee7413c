//! Partitioned tables, partitions and inheritance as sources: every way in which their rows change, and everything that may
//! be done to the tree (HAZARDS H19, H20).

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

/// Two trees. Columns of the members are in other places than those of their roots, and some were dropped.
const TREES: &str = "
    CREATE TABLE root (gone text, id int NOT NULL, region text NOT NULL, v int, note text, PRIMARY KEY (region, id))
      PARTITION BY LIST (region);
    ALTER TABLE root DROP COLUMN gone;
    CREATE TABLE eu (note text, junk int, v int, id int NOT NULL, more int, region text NOT NULL);
    ALTER TABLE eu DROP COLUMN junk; ALTER TABLE eu DROP COLUMN more;
    ALTER TABLE root ATTACH PARTITION eu FOR VALUES IN ('eu');
    CREATE TABLE us PARTITION OF root FOR VALUES IN ('us') PARTITION BY RANGE (id);
    CREATE TABLE us_low PARTITION OF us FOR VALUES FROM (MINVALUE) TO (50);
    CREATE TABLE us_high (v int, id int NOT NULL, note text, region text NOT NULL);
    ALTER TABLE us ATTACH PARTITION us_high FOR VALUES FROM (50) TO (MAXVALUE);
    CREATE TABLE other PARTITION OF root DEFAULT;
    CREATE TABLE parent (id int NOT NULL, v int, note text);
    CREATE TABLE child (more int, note text, id int NOT NULL, v int);
    ALTER TABLE child INHERIT parent;
    CREATE TABLE beside (id int NOT NULL, w int);
    CREATE TABLE grandchild (k int) INHERITS (child, beside);
    INSERT INTO root SELECT i, (ARRAY['eu', 'us', 'as'])[1 + i % 3], i % 7, 'n' || i FROM generate_series(1, 90) i;
    INSERT INTO parent SELECT i, i % 5, 'p' FROM generate_series(1, 20) i;
    INSERT INTO child (id, v, note, more) SELECT i, i % 5, 'c', i FROM generate_series(21, 40) i;
    INSERT INTO grandchild (id, v, note, w, k) SELECT i, i % 5, 'g', i, i FROM generate_series(41, 60) i";

const QUERIES: [(&str, &str); 11] = [
    ("of_root", "SELECT id, region, v, note FROM root"),
    ("groups", "SELECT region, count(*) AS n, sum(v) AS s, max(note) AS m FROM root GROUP BY region"),
    ("of_level", "SELECT v, count(*) AS n FROM us GROUP BY v"),
    ("of_leaf", "SELECT id, v, note FROM eu"),
    ("of_deep_leaf", "SELECT v, note, id FROM us_high WHERE v > 1"),
    ("of_parent", "SELECT id, v, note FROM parent"),
    ("of_only", "SELECT v, count(*) AS n, max(id) AS m FROM ONLY parent GROUP BY v"),
    ("of_child", "SELECT v, count(*) AS n, sum(more) AS s FROM child GROUP BY v"),
    ("of_beside", "SELECT id, w FROM beside"),
    ("told_apart", "SELECT tableoid AS t, count(*) AS n, sum(v) AS s FROM root GROUP BY tableoid"),
    (
        "joined",
        "SELECT r.region, p.id, o.v FROM root r JOIN parent p ON p.id = r.id LEFT JOIN ONLY parent o ON o.id = p.id",
    ),
];

struct Trees {
    cluster: Cluster,
    session: Session,
    oracles: Vec<Oracle>,
}

impl Trees {
    fn plant() -> Trees {
        let cluster = Cluster::builder().set("log_min_messages", "debug1").start();
        let mut session = cluster.session();
        session.run("CREATE EXTENSION pg_trickle");
        session.run(TREES);
        let oracles = QUERIES.map(|(name, query)| {
            session.run(&format!(
                "SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms', \
                 refresh_mode => 'differential')"
            ));
            Oracle::new(name, query)
        });
        let mut trees = Trees { cluster, session, oracles: oracles.to_vec() };
        trees.check("the creation");
        trees
    }

    fn run(&mut self, statement: &str) {
        self.session.run(statement);
        self.check(statement);
    }

    fn check(&mut self, after: &str) {
        for oracle in &self.oracles {
            self.session.rows(&format!("SELECT pgtrickle.refresh_stream_table('{}')", oracle.name));
            if let Some(difference) = oracle.difference(&mut self.session) {
                panic!("after {after}: {}\n{difference}", oracle.name);
            }
        }
    }

    /// How often a stream table was built from its sources.
    fn attached(&self) -> usize {
        self.cluster.log().matches("is attached").count()
    }

    /// Nothing of this may lead to anything being built anew.
    fn run_by_differences(&mut self, statements: &[&str]) {
        self.check("what was before");
        let before = self.attached();
        for statement in statements {
            // Each on its own: some cannot be part of a transaction of several.
            if statement.starts_with("BEGIN") || statement.starts_with("DO") {
                self.session.run(statement);
            } else {
                statement.split("; ").for_each(|one| self.session.run(one));
            }
            self.check(statement);
            assert_eq!(self.attached(), before, "{statement} was not followed row by row");
        }
    }
}

/// Every way to a row of a member, by differences alone.
#[test]
fn h20_rows_are_captured_however_they_are_reached() {
    let mut trees = Trees::plant();
    trees.run_by_differences(&[
        "INSERT INTO root SELECT i, 'eu', i % 7, 'x' FROM generate_series(100, 120) i",
        "INSERT INTO eu (id, region, v) VALUES (130, 'eu', 3), (131, 'eu', NULL)",
        "INSERT INTO us VALUES (132, 'us', 2, 'level'), (33, 'us', 2, 'level')",
        "INSERT INTO us_high (id, region, v) VALUES (133, 'us', 5)",
        "INSERT INTO other VALUES (134, 'af', 1, 'default')",
        "UPDATE root SET v = v + 1 WHERE id % 4 = 0",
        "UPDATE eu SET v = v + 1 WHERE id % 5 = 0",
        "UPDATE us SET note = 'changed' WHERE id % 3 = 0",
        // Rows that move: from one leaf to another, between levels, to the default and back.
        "UPDATE root SET region = 'us' WHERE region = 'eu' AND id % 2 = 0",
        "UPDATE us SET id = id + 2000 WHERE id BETWEEN 10 AND 30",
        "UPDATE root SET region = 'zz', v = -1 WHERE id < 20",
        "UPDATE root SET region = 'eu' WHERE region = 'zz' AND id < 10",
        "DELETE FROM root WHERE v = 4",
        "DELETE FROM us_low WHERE id % 2 = 1",
        "INSERT INTO root VALUES (130, 'eu', 77, 'c') ON CONFLICT (region, id) DO UPDATE SET v = EXCLUDED.v + root.v",
        "MERGE INTO root r USING parent p ON r.id = p.id WHEN MATCHED AND p.v = 1 THEN DELETE \
         WHEN MATCHED THEN UPDATE SET v = p.v, region = CASE WHEN p.v = 2 THEN 'us' ELSE region END \
         WHEN NOT MATCHED THEN INSERT VALUES (p.id, 'eu', p.v, p.note)",
        "COPY root (id, region, v) FROM PROGRAM 'printf \"200\\teu\\t1\\n201\\tus\\t2\\n202\\tqq\\t3\\n\"'",
        "COPY us_high (id, region, v) FROM PROGRAM 'printf \"203\\tus\\t1\\n\"'",
        "WITH gone AS (DELETE FROM eu WHERE id > 110 RETURNING *) INSERT INTO root SELECT id, 'us', v, note FROM gone \
         ON CONFLICT DO NOTHING",
        "INSERT INTO parent VALUES (70, 1, 'p')",
        "INSERT INTO child (id, v, more) VALUES (71, 2, 3)",
        "INSERT INTO grandchild (id, v, w) VALUES (72, 2, 3)",
        "UPDATE parent SET v = v + 1 WHERE id % 2 = 0",
        "UPDATE ONLY parent SET v = v + 1",
        "UPDATE child SET v = v - 1, more = more + 1",
        "UPDATE ONLY child SET note = 'only'",
        "UPDATE beside SET w = w + 1, id = id + 1000",
        "DELETE FROM ONLY parent WHERE id > 15",
        "DELETE FROM parent WHERE v = 2",
        "BEGIN; INSERT INTO root VALUES (300, 'eu', 1, 's'); SAVEPOINT a; UPDATE root SET region = 'us' WHERE id = 300; \
         SAVEPOINT b; DELETE FROM us WHERE id > 60; ROLLBACK TO b; INSERT INTO eu (id, region) VALUES (301, 'eu'); \
         ROLLBACK TO a; UPDATE eu SET v = 9 WHERE id = 300; COMMIT",
        "BEGIN; DELETE FROM root; ROLLBACK",
        "BEGIN; UPDATE root SET region = 'us' WHERE region = 'eu' AND id % 3 = 0; DELETE FROM child WHERE id % 3 = 0; \
         PREPARE TRANSACTION 'p'",
        "COMMIT PREPARED 'p'",
        "BEGIN; DELETE FROM root; PREPARE TRANSACTION 'q'",
        "ROLLBACK PREPARED 'q'",
        "DO $$ BEGIN INSERT INTO eu (id, region) VALUES (400, 'eu'); BEGIN INSERT INTO root VALUES (401, 'us', 1); \
         RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN INSERT INTO root VALUES (402, 'us', 1); END; END $$",
        "SET session_replication_role = replica; UPDATE root SET v = 8 WHERE id % 5 = 1; INSERT INTO child (id, v) VALUES (90, 9); \
         RESET session_replication_role",
        "UPDATE root SET v = v, note = note",
    ]);
}

/// Actions of foreign keys and of triggers between trees.
#[test]
fn h20_cascades_and_triggers() {
    let mut trees = Trees::plant();
    trees.run("ALTER TABLE root ADD UNIQUE (region, id, v)");
    trees.session.run(
        "CREATE TABLE refers (k int, region text, id int, FOREIGN KEY (region, id) REFERENCES root ON DELETE CASCADE \
         ON UPDATE CASCADE) PARTITION BY HASH (k)",
    );
    trees.session.run("CREATE TABLE refers_0 PARTITION OF refers FOR VALUES WITH (MODULUS 2, REMAINDER 0)");
    trees.session.run("CREATE TABLE refers_1 PARTITION OF refers FOR VALUES WITH (MODULUS 2, REMAINDER 1)");
    trees.session.run("INSERT INTO refers SELECT id, region, id FROM root");
    trees.session.run(
        "CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO public.child (id, v) VALUES (NEW.id + 1000, NEW.v); RETURN NULL; END'",
    );
    trees.session.run("CREATE TRIGGER also AFTER INSERT ON root FOR EACH ROW EXECUTE FUNCTION also()");
    let refers = Oracle::follow(
        &mut trees.session,
        "of_refers",
        "SELECT region, count(*) AS n, sum(k) FROM refers GROUP BY region",
    );
    trees.oracles.push(refers);
    trees.run_by_differences(&[
        "DELETE FROM root WHERE id % 10 = 0",
        "UPDATE root SET id = id + 500 WHERE id % 10 = 1",
        "UPDATE root SET region = 'eu' WHERE region = 'us' AND id < 40",
        "INSERT INTO root VALUES (900, 'eu', 1, 'fires'), (901, 'as', 2, 'fires')",
        "DELETE FROM eu WHERE id % 2 = 0",
    ]);
}

/// What the tree's DDL does to content shows, whether by differences or anew.
#[test]
fn h20_trees_change() {
    let mut trees = Trees::plant();
    for statement in [
        "TRUNCATE eu",
        "INSERT INTO root VALUES (1000, 'eu', 1, 'after')",
        "TRUNCATE us",
        "INSERT INTO us VALUES (7, 'us', 1, 'after'), (77, 'us', 1, 'after')",
        "TRUNCATE ONLY parent",
        "TRUNCATE child",
        "INSERT INTO grandchild (id, v, w) VALUES (1, 1, 1); INSERT INTO parent VALUES (7, 2, 'x')",
        "BEGIN; TRUNCATE root; INSERT INTO root SELECT i, 'us', i % 4, 't' FROM generate_series(1, 90) i; COMMIT",
        // Partitions come: empty, with rows, in the transaction that fills them.
        "CREATE TABLE sa PARTITION OF root FOR VALUES IN ('sa')",
        "INSERT INTO root VALUES (1, 'sa', 3, 'new')",
        "INSERT INTO sa VALUES (2, 'sa', 4, 'new')",
        "BEGIN; CREATE TABLE an PARTITION OF root FOR VALUES IN ('an'); INSERT INTO root VALUES (3, 'an', 1, 'x'); COMMIT",
        "CREATE TABLE au (v int, region text NOT NULL, note text, id int NOT NULL); INSERT INTO au VALUES (5, 'au', 'own', 5)",
        "ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au')",
        "UPDATE root SET region = 'au' WHERE region = 'us' AND id BETWEEN 6 AND 9",
        "UPDATE au SET v = 6",
        // They go: alone, concurrently, for good.
        "ALTER TABLE root DETACH PARTITION au",
        "UPDATE au SET v = 7; INSERT INTO au VALUES (9, 'au', 'apart', 99)",
        "ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au')",
        "DELETE FROM root WHERE id = 99",
        "DROP TABLE sa",
        "ALTER TABLE us DETACH PARTITION us_low",
        "INSERT INTO us_low (id, region) VALUES (8, 'us')",
        "DROP TABLE us_low",
        "BEGIN; ALTER TABLE root DETACH PARTITION eu; UPDATE eu SET v = 100; \
         ALTER TABLE root ATTACH PARTITION eu FOR VALUES IN ('eu'); COMMIT",
        "UPDATE root SET v = 1 WHERE region = 'eu'",
        // Children come and go.
        "CREATE TABLE second () INHERITS (parent)",
        "INSERT INTO second VALUES (500, 5, 'second')",
        "ALTER TABLE second NO INHERIT parent",
        "UPDATE second SET v = 6",
        "ALTER TABLE second INHERIT parent",
        "DELETE FROM parent WHERE id = 500",
        "INSERT INTO second VALUES (501, 5, 'second')",
        "DROP TABLE second",
        "CREATE TABLE below () INHERITS (grandchild)",
        "INSERT INTO below (id, v, w) VALUES (600, 6, 6)",
        "UPDATE parent SET v = v + 1",
        // Everything of the tree at once.
        "ALTER TABLE root ADD COLUMN extra int DEFAULT 5",
        "UPDATE root SET extra = 6, v = v + 1 WHERE id % 2 = 0",
        "ALTER TABLE parent RENAME COLUMN note TO remark; ALTER TABLE parent RENAME COLUMN remark TO note",
        "UPDATE child SET v = v + 1",
        "VACUUM FULL us_high",
        "UPDATE root SET v = v + 1",
        "ALTER TABLE eu DISABLE TRIGGER ALL; UPDATE eu SET v = 50; ALTER TABLE eu ENABLE TRIGGER ALL",
        "UPDATE root SET v = v + 1",
        "ALTER TABLE us RENAME TO us_renamed; ALTER TABLE us_renamed RENAME TO us",
        "INSERT INTO us VALUES (188, 'us', 1, 'renamed')",
    ] {
        trees.run(statement);
    }
    trees.session.run("ALTER TABLE root DETACH PARTITION other");
    trees.session.run("ALTER TABLE root DETACH PARTITION an CONCURRENTLY");
    trees.check("DETACH CONCURRENTLY");
    trees.run("UPDATE an SET v = 0; UPDATE other SET v = 0; INSERT INTO root VALUES (12, 'eu', 1, 'x')");
}

/// Members that come and go cost their own rows, where it can be proven what those are.
#[test]
fn h20_members_come_and_go_by_differences() {
    let mut trees = Trees::plant();
    // Its columns are in the places that the other partitions have them in.
    trees.session.run(
        "CREATE TABLE au (id int NOT NULL, region text NOT NULL, v int, note text);
         INSERT INTO au SELECT i, 'au', i % 4, 'a' FROM generate_series(1, 30) i;
         CREATE TABLE third (id int NOT NULL, v int, note text);
         INSERT INTO third SELECT i, i % 4, 't' FROM generate_series(1000, 1030) i",
    );
    trees.run_by_differences(&[
        "CREATE TABLE sa PARTITION OF root FOR VALUES IN ('sa')",
        "INSERT INTO root VALUES (1, 'sa', 3, 'new')",
        "UPDATE root SET region = 'sa' WHERE region = 'eu' AND id % 3 = 0",
        "BEGIN; CREATE TABLE an PARTITION OF root FOR VALUES IN ('an'); INSERT INTO root VALUES (3, 'an', 1, 'x'); COMMIT",
        "BEGIN; CREATE TABLE af PARTITION OF root FOR VALUES IN ('af'); INSERT INTO root VALUES (3, 'af', 1, 'x'); ROLLBACK",
        "CREATE TABLE oc PARTITION OF root FOR VALUES IN ('oc') PARTITION BY LIST (id)",
        "CREATE TABLE oc_1 PARTITION OF oc DEFAULT; INSERT INTO root VALUES (5, 'oc', 6, 'y'); DELETE FROM root WHERE id = 3",
        "ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au'); UPDATE au SET v = v + 1 WHERE id < 10",
        "UPDATE root SET v = v + 1 WHERE region = 'au'; INSERT INTO au VALUES (40, 'au', 1, 'z')",
        "DELETE FROM au WHERE id < 5; ALTER TABLE root DETACH PARTITION au; UPDATE au SET v = v + 1; DELETE FROM au WHERE id < 8",
        "INSERT INTO au VALUES (41, 'au', 1, 'apart')",
        "BEGIN; UPDATE au SET v = 70 WHERE id = 41; ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au'); \
         DELETE FROM root WHERE id = 20; SAVEPOINT s; DELETE FROM root; ROLLBACK TO s; COMMIT",
        "UPDATE root SET region = 'au' WHERE region = 'us' AND id BETWEEN 42 AND 60",
        "BEGIN; ALTER TABLE root DETACH PARTITION au; UPDATE au SET v = 100; \
         ALTER TABLE root ATTACH PARTITION au FOR VALUES IN ('au'); COMMIT",
        "ALTER TABLE us DETACH PARTITION us_low; INSERT INTO us_low (id, region) VALUES (8, 'us') ON CONFLICT DO NOTHING",
        "ALTER TABLE us ATTACH PARTITION us_low FOR VALUES FROM (MINVALUE) TO (50)",
        "CREATE TABLE second () INHERITS (parent); INSERT INTO second VALUES (500, 5, 'second')",
        "ALTER TABLE second NO INHERIT parent; UPDATE second SET v = 6",
        "ALTER TABLE second INHERIT parent; DELETE FROM parent WHERE id = 500; INSERT INTO second VALUES (501, 5, 'second')",
        "ALTER TABLE third INHERIT parent; UPDATE parent SET v = v + 1 WHERE id > 1010",
        "ALTER TABLE root DETACH PARTITION other; UPDATE other SET v = 0",
        "ALTER TABLE root DETACH PARTITION an CONCURRENTLY",
        "INSERT INTO an VALUES (7, 'an', 7, 'apart')",
    ]);
}

/// Nobody asks and nobody writes: a member that goes or comes is noticed by itself.
#[test]
fn h20_members_come_and_go_unasked() {
    let mut trees = Trees::plant();
    let session = &mut trees.session;
    let same = |what: &str| {
        format!(
            "SELECT NOT EXISTS (SELECT id, v FROM {what} EXCEPT SELECT id, v FROM of_{what}) \
                 AND NOT EXISTS (SELECT id, v FROM of_{what} EXCEPT SELECT id, v FROM {what})"
        )
    };
    for statement in [
        "ALTER TABLE root DETACH PARTITION other",
        "ALTER TABLE root ATTACH PARTITION other DEFAULT",
        "DROP TABLE other",
        "ALTER TABLE child NO INHERIT parent",
        "ALTER TABLE child INHERIT parent",
        "DROP TABLE us_low",
    ] {
        session.run(statement);
        session.wait(statement, &same("root"));
        session.wait(statement, &same("parent"));
    }
}

/// A table that is captured on its own becomes a part of a tree, or a parent: other triggers are needed then.
#[test]
fn h20_a_plain_table_becomes_a_member() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE a (id int NOT NULL, g int NOT NULL, v int); CREATE TABLE b (id int, v int)");
    session.run("CREATE TABLE root (id int NOT NULL, v int, g int NOT NULL) PARTITION BY LIST (g)");
    session.run("INSERT INTO a SELECT i, 1, i FROM generate_series(1, 10) i; INSERT INTO b SELECT i, i FROM generate_series(1, 10) i");
    let oracles = [
        Oracle::follow(&mut session, "of_a", "SELECT id, v FROM a"),
        Oracle::follow(&mut session, "of_b", "SELECT v, count(*) AS n FROM b GROUP BY v"),
        Oracle::follow(&mut session, "of_root", "SELECT id, v FROM root"),
    ];
    let kinds = |session: &mut Session, table: &str| {
        session.value(&format!(
            "SELECT string_agg(kind, ',' ORDER BY kind) FROM (SELECT CASE WHEN tgtype & 1 = 1 THEN 'row ' ELSE 'statement ' END \
             || tgenabled::text AS kind FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgname LIKE 'pgtrickle%')"
        ))
    };
    let check = |session: &mut Session, statements: &[&str]| {
        for statement in statements {
            session.run(statement);
            oracles.iter().for_each(|oracle| oracle.assert_equal(session));
        }
    };
    let (plain, member) = ("row R,statement A,statement O,statement O,statement O", "row A,statement A");
    assert_eq!(kinds(&mut session, "a"), plain);
    check(
        &mut session,
        &[
            "ALTER TABLE root ATTACH PARTITION a FOR VALUES IN (1)",
            "INSERT INTO root VALUES (20, 20, 1)",
            "UPDATE root SET v = v + 1",
            "DELETE FROM a WHERE id = 3",
        ],
    );
    assert_eq!(kinds(&mut session, "a"), member);
    assert_eq!(kinds(&mut session, "root"), "", "a partitioned table has no rows of its own");
    check(
        &mut session,
        &[
            "CREATE TABLE c () INHERITS (b)",
            "INSERT INTO c VALUES (30, 3)",
            "UPDATE b SET v = v + 1",
            "DELETE FROM ONLY b WHERE id = 2",
        ],
    );
    assert_eq!(kinds(&mut session, "b"), member);
    assert_eq!(kinds(&mut session, "c"), member);
    check(
        &mut session,
        &[
            "ALTER TABLE root DETACH PARTITION a",
            "INSERT INTO a VALUES (40, 1, 40)",
            "UPDATE a SET v = v + 1",
            "DROP TABLE c",
            "UPDATE b SET v = v + 1",
            "INSERT INTO b VALUES (50, 5)",
        ],
    );
    assert_eq!(kinds(&mut session, "a"), plain);
    assert_eq!(kinds(&mut session, "b"), plain);
    // A child of one session alone is nobody else's; but the statements of that session on the parent reach it.
    session.run("CREATE TEMPORARY TABLE mine () INHERITS (b); INSERT INTO mine VALUES (60, 6); UPDATE b SET v = v + 1");
    session.rows("SELECT pgtrickle.refresh_stream_table('of_b')");
    session.run("UPDATE b SET v = v + 1; DELETE FROM b WHERE id = 7");
    session.rows("SELECT pgtrickle.refresh_stream_table('of_b')");
    oracles[1].assert_equal(&mut cluster.session());
}

/// What cannot be captured in a tree is named.
#[test]
fn members_that_cannot_be_captured() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE root (id int, k int) PARTITION BY LIST (k);
         CREATE TABLE one PARTITION OF root FOR VALUES IN (1);
         CREATE UNLOGGED TABLE two PARTITION OF root FOR VALUES IN (2);
         CREATE TABLE parent (id int);
         INSERT INTO root VALUES (1, 1), (2, 2)",
    );
    let reason = |session: &mut Session| {
        session.value(
            "SELECT incremental || ': ' || coalesce(reason, '') \
             FROM pgtrickle.validate_query('SELECT k, count(*) FROM root GROUP BY k')",
        )
    };
    let query = "SELECT k, count(*) AS n FROM root GROUP BY k";
    let oracle = Oracle::follow(&mut session, "st", query);
    let mode = "SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'public.st'";
    assert_eq!(session.value(mode), "full");
    assert!(reason(&mut session).contains("two"), "{}", reason(&mut session));
    session.run("INSERT INTO two VALUES (3, 2)");
    oracle.assert_equal(&mut session);
    session.run("ALTER TABLE two SET LOGGED");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value(mode), "differential");
    session.run("INSERT INTO root VALUES (4, 2), (5, 1)");
    oracle.assert_equal(&mut session);
    session.run("CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw");
    session.run(
        "CREATE FOREIGN TABLE three PARTITION OF root FOR VALUES IN (3) SERVER files \
         OPTIONS (program 'printf \"7,3\\n\"', format 'csv')",
    );
    oracle.assert_equal(&mut session);
    assert_eq!(session.value(mode), "full");
    assert!(reason(&mut session).contains("three"), "{}", reason(&mut session));
    session.run("ALTER TABLE root DETACH PARTITION three; INSERT INTO one VALUES (9, 1)");
    oracle.assert_equal(&mut session);
    assert_eq!(session.value(mode), "differential");
}

/// A thousand partitions under PostgreSQL's default max_locks_per_transaction; new ones are followed as they come.
#[test]
fn h19_a_thousand_partitions() {
    let cluster = Cluster::builder().set("log_min_messages", "debug1").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE root (id int, k int, v int) PARTITION BY LIST (k)");
    let make = |session: &mut Session, from: usize, to: usize| {
        session.run(&format!(
            "DO $$ BEGIN FOR i IN {from}..{to} LOOP \
             EXECUTE format('CREATE TABLE leaf_%s PARTITION OF root FOR VALUES IN (%s)', i, i); END LOOP; END $$"
        ));
    };
    make(&mut session, 1, 900);
    session.run("INSERT INTO root SELECT i, 1 + i % 900, i % 10 FROM generate_series(1, 5000) i");
    let groups = Oracle::follow(&mut session, "groups", "SELECT v, count(*) AS n, sum(k) AS s FROM root GROUP BY v");
    let leaf = Oracle::follow(&mut session, "leaf", "SELECT id, v FROM leaf_77");
    let mode = "SELECT string_agg(effective_mode, ' ') FROM pgtrickle.stream_table_status()";
    assert_eq!(session.value(mode), "differential differential");
    let attached = || cluster.log().matches("is attached").count();
    for statement in [
        "UPDATE root SET v = v + 1 WHERE id % 7 = 0",
        "UPDATE root SET k = 1 + (k + 13) % 900 WHERE id % 11 = 0",
        "DELETE FROM root WHERE id % 5 = 0",
    ] {
        session.run(statement);
        groups.assert_equal(&mut session);
        leaf.assert_equal(&mut session);
    }
    // By now what the second stream table has changed about the capture of its source is over.
    let before = attached();
    make(&mut session, 901, 1000);
    session.run("INSERT INTO root SELECT i, 1 + i % 1000, i % 10 FROM generate_series(6000, 8000) i");
    groups.assert_equal(&mut session);
    assert_eq!(attached(), before, "the new partitions were not followed by their rows");
    session.run("DROP TABLE leaf_5, leaf_950");
    groups.assert_equal(&mut session);
}

/// More members than can be locked: that is said, and the others go on.
#[test]
fn h19_too_many_partitions_are_refreshed_in_full() {
    let cluster = Cluster::builder().set("max_locks_per_transaction", "10").start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle; CREATE TABLE root (id int, k int, v int) PARTITION BY LIST (k)");
    session.run("CREATE TABLE plain (id int, v int)");
    for chunk in 0..15 {
        session.run(&format!(
            "DO $$ BEGIN FOR i IN {}..{} LOOP \
             EXECUTE format('CREATE TABLE leaf_%s PARTITION OF root FOR VALUES IN (%s)', i, i); END LOOP; END $$",
            chunk * 30 + 1,
            chunk * 30 + 30
        ));
    }
    session.run("INSERT INTO root SELECT i, 1 + i % 450, i % 10 FROM generate_series(1, 1000) i");
    let plain = Oracle::follow(&mut session, "of_plain", "SELECT v, count(*) AS n FROM plain GROUP BY v");
    let groups = Oracle::follow(&mut session, "groups", "SELECT v, count(*) AS n FROM root GROUP BY v");
    let status =
        |what: &str| format!("SELECT {what} FROM pgtrickle.stream_table_status() WHERE name = 'public.groups'");
    assert_eq!(session.value(&status("effective_mode")), "full");
    let reason = session.value(&status("mode_reason"));
    assert!(reason.contains("450 partitions") && reason.contains("max_locks_per_transaction"), "{reason}");
    session
        .run("UPDATE root SET v = v + 1 WHERE k < 30; INSERT INTO plain SELECT i, i % 3 FROM generate_series(1, 10) i");
    groups.assert_equal(&mut session);
    plain.assert_equal(&mut session);
}

/// A tree too big to be read in one cut is read in slices, while rows move between its members and a new one comes.
#[test]
fn h46_a_big_tree_fills_while_its_rows_move() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE root (id int PRIMARY KEY, v int, pad text) PARTITION BY RANGE (id);
         CREATE TABLE p0 PARTITION OF root FOR VALUES FROM (0) TO (20000);
         CREATE TABLE p1 (pad text, v int, id int NOT NULL);
         ALTER TABLE root ATTACH PARTITION p1 FOR VALUES FROM (20000) TO (40000);
         CREATE TABLE p2 PARTITION OF root FOR VALUES FROM (40000) TO (60000)",
    );
    session.run("INSERT INTO root SELECT i, i % 100, repeat('x', 400) FROM generate_series(0, 49999) i");
    let query = "SELECT v, count(*) AS n, sum(id) AS s, sum(length(pad)) AS l FROM root GROUP BY v";
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('st', '{query}', schedule => '1 ms', refresh_mode => 'differential')"
    ));
    let mut rounds = 0;
    while !cluster.log().contains("fills from") || rounds < 60 {
        let low = (rounds * 331) % 9000;
        session.run(&format!("UPDATE root SET id = 59999 - id WHERE id BETWEEN {low} AND {low} + 15 AND id < 10000"));
        session.run(&format!("UPDATE p1 SET v = v + 1 WHERE id % 997 = {rounds} % 997"));
        session.run(&format!("DELETE FROM root WHERE id = 30000 + {rounds}"));
        if rounds == 20 {
            session.run("CREATE TABLE p3 PARTITION OF root FOR VALUES FROM (60000) TO (80000)");
        }
        if rounds > 20 {
            session.run(&format!("INSERT INTO root VALUES (60000 + {rounds}, 1, 'new')"));
        }
        rounds += 1;
    }
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("UPDATE root SET v = v + 1 WHERE id % 1000 = 1");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// A subscription applies its changes to the leaves, in its own role.
#[test]
fn h20_logical_replication_applies_into_a_tree() {
    let cluster = Cluster::with_extension();
    let mut source = cluster.session();
    source.run("CREATE DATABASE origin");
    let mut origin = cluster.session_as("postgres", "origin");
    origin.run("CREATE TABLE t (id int PRIMARY KEY, v int)");
    origin.run("INSERT INTO t SELECT i, i % 5 FROM generate_series(1, 50) i");
    origin.run("CREATE PUBLICATION p FOR TABLE t");
    origin.rows("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100);
         CREATE TABLE high (v int, id int NOT NULL);
         ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (1000)",
    );
    let of_root = Oracle::follow(&mut source, "of_root", "SELECT v, count(*) AS n FROM t GROUP BY v");
    let of_leaf = Oracle::follow(&mut source, "of_leaf", "SELECT id, v FROM high");
    source.run(&format!(
        "CREATE SUBSCRIPTION sub CONNECTION 'host={} user=postgres dbname=origin' PUBLICATION p \
         WITH (create_slot = false, slot_name = 's', copy_data = true)",
        cluster.folder().display()
    ));
    source.wait("the table to be copied", "SELECT count(*) = 50 FROM t");
    for (statement, arrived) in [
        ("INSERT INTO t SELECT i, i % 5 FROM generate_series(90, 120) i", "SELECT count(*) = 81 FROM t"),
        ("UPDATE t SET id = id + 200, v = 9 WHERE id BETWEEN 10 AND 20", "SELECT count(*) = 11 FROM t WHERE v = 9"),
        ("DELETE FROM t WHERE id % 3 = 0", "SELECT count(*) = 0 FROM t WHERE id % 3 = 0"),
        ("TRUNCATE t", "SELECT count(*) = 0 FROM t"),
    ] {
        origin.run(statement);
        source.wait(statement, arrived);
        of_root.assert_equal(&mut source);
        of_leaf.assert_equal(&mut source);
    }
    source.run("ALTER SUBSCRIPTION sub DISABLE");
    source.run("ALTER SUBSCRIPTION sub SET (slot_name = NONE)");
    source.run("DROP SUBSCRIPTION sub");
    origin.rows("SELECT pg_drop_replication_slot('s') FROM pg_replication_slots WHERE slot_name = 's' AND NOT active");
}

/// Rights and policies are those of the relation that the query names, as they are for the query.
#[test]
fn h49_rights_on_a_root_cover_its_members() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE ROLE al LOGIN; GRANT CREATE ON SCHEMA public TO al;
         CREATE TABLE root (id int, k int) PARTITION BY LIST (k);
         CREATE TABLE one PARTITION OF root FOR VALUES IN (1);
         CREATE TABLE two PARTITION OF root FOR VALUES IN (2);
         ALTER TABLE two ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON two USING (id > 2);
         INSERT INTO root SELECT i, 1 + i % 2 FROM generate_series(1, 10) i;
         GRANT SELECT ON root, two TO al; SELECT pgtrickle.allow_capture('root')",
    );
    let mut al = cluster.session_as("al", "postgres");
    al.run("SELECT pgtrickle.create_stream_table('of_root', 'SELECT k, count(*) AS n FROM root GROUP BY k', schedule => '1 ms')");
    al.run("SELECT pgtrickle.create_stream_table('of_two', 'SELECT id FROM two', schedule => '1 ms')");
    let mode =
        |name: &str| format!("SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'public.{name}'");
    assert_eq!(session.value(&mode("of_root")), "differential");
    assert_eq!(session.value(&mode("of_two")), "full");
    session.run("INSERT INTO root VALUES (1, 2), (20, 2), (21, 1)");
    for (name, query) in [("of_root", "SELECT k, count(*) AS n FROM root GROUP BY k"), ("of_two", "SELECT id FROM two")]
    {
        al.rows(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
        Oracle::new(name, query).assert_equal_now(&mut al);
    }
    // Who may not even use the extension's schema makes partitions as before, and they are captured from the first row on.
    session.run("CREATE ROLE bo LOGIN; GRANT CREATE ON SCHEMA public TO bo");
    // In one transaction: a grant does not outlive a change of owner.
    session.run("ALTER TABLE root OWNER TO bo; SET ROLE bo; SELECT pgtrickle.allow_capture('root'); RESET ROLE");
    al.rows("SELECT pgtrickle.refresh_stream_table('of_root')");
    session.wait("the new owner's grant", &format!("SELECT ({}) = 'differential'", mode("of_root")));
    session.run("REVOKE ALL ON SCHEMA pgtrickle FROM PUBLIC; GRANT USAGE ON SCHEMA pgtrickle TO al");
    let mut bo = cluster.session_as("bo", "postgres");
    bo.run("CREATE TABLE three PARTITION OF root FOR VALUES IN (3); INSERT INTO root VALUES (30, 3)");
    bo.run("CREATE TABLE four (id int, k int); INSERT INTO four VALUES (1, 4); ALTER TABLE root ATTACH PARTITION four FOR VALUES IN (4)");
    let made = "SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('three'::regclass, 'four'::regclass)";
    assert_eq!(session.value(made), "4");
    al.rows("SELECT pgtrickle.refresh_stream_table('of_root')");
    Oracle::new("of_root", "SELECT k, count(*) AS n FROM root GROUP BY k").assert_equal_now(&mut al);
    session.run("SELECT pgtrickle.forbid_capture('root')");
    session.wait("the right to be gone", &format!("SELECT ({}) = 'full'", mode("of_root")));
    let triggers = "SELECT count(*) = 0 FROM pg_trigger WHERE tgrelid IN ('one'::regclass, 'two'::regclass)";
    session.wait("nobody to pay for it", triggers);
}

/// Random statements, and now and then a change of the tree, in transactions with savepoints, prepared ones too.
#[test]
fn random_changes_of_rows_and_trees() {
    let seed = Random::seed("partitions");
    let mut random = Random::new(seed);
    let mut trees = Trees::plant();
    let rounds: usize = std::env::var("TRICKLE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for round in 0..rounds {
        let mut text = Vec::new();
        let block = random.chance(60);
        let mut depth = 0;
        for _ in 0..=random.below(if block { 6 } else { 1 }) {
            if block && random.chance(20) {
                text.push(format!("SAVEPOINT s{depth}"));
                depth += 1;
            }
            text.push(dml(&mut random));
            if depth > 0 && random.chance(20) {
                depth = random.below(depth);
                text.push(format!("ROLLBACK TO s{depth}"));
                depth += 1;
            }
        }
        if random.chance(15) {
            text.push(ddl(&mut random).to_string());
        }
        if block {
            text.insert(0, "BEGIN".into());
            text.push(match random.below(6) {
                0 => "ROLLBACK".into(),
                1 => format!("PREPARE TRANSACTION 'p{round}'"),
                _ => "COMMIT".into(),
            });
        }
        // Keys collide, partitions are missing or there already: then the rest of the transaction fails too, and that nothing of
        // it has happened is followed too.
        let failed =
            text.iter().map(|statement| trees.session.attempt(statement).is_err()).filter(|failed| *failed).count();
        if failed > 0 {
            let _ = trees.session.attempt("ROLLBACK");
        }
        for gid in trees.session.rows("SELECT gid FROM pg_prepared_xacts").concat().into_iter().flatten() {
            trees.session.run(&format!("{} PREPARED '{gid}'", random.pick(&["COMMIT", "ROLLBACK"])));
        }
        let text = text.join("; ");
        trees.check(&text);
    }
}

fn dml(random: &mut Random) -> String {
    let (id, other, v) = (random.below(200), random.below(60), random.below(8));
    let region = random.pick(&["eu", "us", "as", "af"]);
    let tables = ["root", "root", "us", "eu", "us_low", "us_high", "other"];
    let family = ["parent", "parent", "ONLY parent", "child", "ONLY child", "grandchild", "beside"];
    let (table, member) = (random.pick(&tables), random.pick(&family));
    match random.below(12) {
        0 | 1 => format!(
            "INSERT INTO root SELECT i, '{region}', {v}, 'r' FROM generate_series({id}, {id} + {other}) i ON CONFLICT DO NOTHING"
        ),
        2 => format!("INSERT INTO us (id, region, v) VALUES ({id}, 'us', {v}) ON CONFLICT (region, id) DO UPDATE SET v = us.v + 1"),
        3 => format!("UPDATE {table} SET v = v + 1 WHERE id BETWEEN {id} AND {id} + {other}"),
        4 => format!("UPDATE root SET region = '{region}' WHERE id = {id} AND region <> '{region}'"),
        5 => format!("UPDATE us SET id = id + 1000 WHERE id BETWEEN {other} AND {other} + 3"),
        6 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {id} + {v}"),
        7 => format!("INSERT INTO child (id, v, more) VALUES ({id}, {v}, {other})"),
        8 => format!("INSERT INTO grandchild (id, v, w) VALUES ({id}, {v}, {other})"),
        9 => format!("UPDATE {member} SET id = id + 1 WHERE id % 7 = {v}"),
        10 => format!("DELETE FROM {member} WHERE id BETWEEN {id} AND {id} + 3"),
        _ => format!("INSERT INTO parent VALUES ({id}, {v}, 'n')"),
    }
}

fn ddl(random: &mut Random) -> &'static str {
    let all = [
        "ALTER TABLE root DETACH PARTITION eu",
        "ALTER TABLE root ATTACH PARTITION eu FOR VALUES IN ('eu')",
        "CREATE TABLE af PARTITION OF root FOR VALUES IN ('af')",
        "DROP TABLE af",
        "ALTER TABLE us DETACH PARTITION us_high",
        "ALTER TABLE us ATTACH PARTITION us_high FOR VALUES FROM (50) TO (MAXVALUE)",
        "ALTER TABLE child NO INHERIT parent",
        "ALTER TABLE child INHERIT parent",
        "CREATE TABLE late (x int) INHERITS (parent); INSERT INTO late VALUES (1, 1, 'l')",
        "DROP TABLE late",
        "TRUNCATE eu",
        "TRUNCATE ONLY parent",
        "TRUNCATE us",
        "ALTER TABLE us_low ADD COLUMN z int",
    ];
    all[random.below(all.len())]
}
