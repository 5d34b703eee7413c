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
            self.run(statement);
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
