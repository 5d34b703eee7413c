//! DDL of every kind on what a stream table reads: it may cost a rebuild or be refused, but the content is never wrong.

use trickle_regress::oracle::Oracle;
use trickle_regress::{Cluster, Session};

struct Stage {
    cluster: Cluster,
    session: Session,
}

const QUERY: &str = "SELECT g, count(*) AS n, sum(v) AS s, max(w) AS m FROM t GROUP BY g";

fn stage(query: &str) -> Stage {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, v numeric, w text, unused int, filler text)");
    session.run("INSERT INTO t SELECT i, i % 5, i * 0.5, 'w' || i, i, 'f' FROM generate_series(1, 200) i");
    session.run("CREATE VIEW low AS SELECT * FROM t WHERE g < 3");
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    Stage { cluster, session }
}

impl Stage {
    /// Runs each statement by itself, writes something, and compares.
    fn check(&mut self, what: &str, statements: &[&str], query: &str) {
        for statement in statements {
            self.session.run(statement);
        }
        let oracle = Oracle::new("st", query);
        self.session.rows("SELECT pgtrickle.refresh_stream_table('st')");
        if let Some(difference) = oracle.difference(&mut self.session) {
            panic!("after {what}:\n{difference}\n{}", self.cluster.log_tail());
        }
    }
}

const WRITES: [&str; 3] = [
    "INSERT INTO t (id, g, v, w) SELECT coalesce(max(id), 0) + 1, 1, 1.25, 'zz' FROM t",
    "UPDATE t SET v = v + 1 WHERE id % 10 = 3",
    "DELETE FROM t WHERE id IN (SELECT min(id) FROM t)",
];

fn with_writes<'a>(ddl: &[&'a str]) -> Vec<&'a str> {
    let mut all: Vec<&str> = WRITES.to_vec();
    all.extend(ddl);
    all.extend(WRITES);
    all
}

#[test]
fn columns_come_and_go() {
    let mut stage = stage(QUERY);
    for (what, ddl) in [
        ("ADD COLUMN", &["ALTER TABLE t ADD COLUMN extra int DEFAULT 5"][..]),
        ("DROP COLUMN", &["ALTER TABLE t DROP COLUMN extra"]),
        ("ALTER TYPE of a column not read", &["DROP VIEW low", "ALTER TABLE t ALTER unused TYPE bigint"]),
        ("RENAME COLUMN", &["ALTER TABLE t RENAME COLUMN unused TO used"]),
        ("SET DEFAULT", &["ALTER TABLE t ALTER v SET DEFAULT 7"]),
        ("SET NOT NULL", &["ALTER TABLE t ALTER id SET NOT NULL"]),
        ("ADD CHECK", &["ALTER TABLE t ADD CHECK (id > 0)"]),
        ("ADD GENERATED", &["ALTER TABLE t ADD COLUMN twice numeric GENERATED ALWAYS AS (v * 2) STORED"]),
        ("SET STORAGE", &["ALTER TABLE t ALTER filler SET STORAGE EXTERNAL"]),
    ] {
        stage.check(what, &with_writes(ddl), QUERY);
    }
}

#[test]
fn e07_storage_is_rewritten() {
    let mut stage = stage(QUERY);
    for (what, ddl) in [
        ("VACUUM FULL", &["VACUUM FULL t"][..]),
        ("CLUSTER", &["CLUSTER t USING t_pkey"]),
        ("TRUNCATE", &["TRUNCATE t"]),
        ("TRUNCATE with inserts", &["BEGIN; INSERT INTO t VALUES (901, 1, 2, 'a'); TRUNCATE t; INSERT INTO t VALUES (902, 2, 3, 'b'); COMMIT"]),
        ("TRUNCATE rolled back", &["BEGIN; INSERT INTO t VALUES (903, 1, 2, 'a'); TRUNCATE t; ROLLBACK"]),
        ("TRUNCATE in a savepoint", &["BEGIN; INSERT INTO t VALUES (904, 1, 2, 'a'); SAVEPOINT s; TRUNCATE t; ROLLBACK TO s; INSERT INTO t VALUES (905, 3, 4, 'c'); COMMIT"]),
        ("SET UNLOGGED and back", &["ALTER TABLE t SET UNLOGGED", "ALTER TABLE t SET LOGGED"]),
        ("SET ACCESS METHOD", &["ALTER TABLE t SET ACCESS METHOD heap"]),
        ("REINDEX", &["REINDEX TABLE t"]),
    ] {
        stage.check(what, &with_writes(ddl), QUERY);
    }
}

#[test]
fn h22_triggers_are_turned_off() {
    let mut stage = stage(QUERY);
    for (what, ddl) in [
        ("DISABLE TRIGGER ALL", &["ALTER TABLE t DISABLE TRIGGER ALL", "UPDATE t SET v = 100 WHERE id = 7", "ALTER TABLE t ENABLE TRIGGER ALL"][..]),
        ("DISABLE TRIGGER USER, left so", &["ALTER TABLE t DISABLE TRIGGER USER", "DELETE FROM t WHERE g = 2", "INSERT INTO t VALUES (1000, 9, 9, 'i')"]),
        ("all in one transaction", &["BEGIN; ALTER TABLE t DISABLE TRIGGER USER; UPDATE t SET g = 8 WHERE g = 1; ALTER TABLE t ENABLE TRIGGER USER; COMMIT"]),
    ] {
        stage.check(what, &with_writes(ddl), QUERY);
    }
    stage.check(
        "session_replication_role",
        &[
            "SET session_replication_role = replica",
            "UPDATE t SET v = 55 WHERE id % 7 = 0",
            "RESET session_replication_role",
        ],
        QUERY,
    );
    let dropped = "DO $$ DECLARE n name; BEGIN FOR n IN SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal \
                   LOOP EXECUTE format('DROP TRIGGER %I ON t', n); END LOOP; END $$";
    stage.check("DROP TRIGGER", &[dropped, "UPDATE t SET v = 77 WHERE id % 3 = 0"], QUERY);
    stage.check("writes after that", &WRITES, QUERY);
}

#[test]
fn inheritance_begins_and_ends() {
    let mut stage = stage(QUERY);
    stage.check(
        "a child",
        &["CREATE TABLE child () INHERITS (t)", "INSERT INTO child VALUES (5000, 1, 3, 'child')", WRITES[0]],
        QUERY,
    );
    stage.check("writes to the child", &["UPDATE child SET v = 4", WRITES[1]], QUERY);
    stage.check("NO INHERIT", &["ALTER TABLE child NO INHERIT t", WRITES[2]], QUERY);
    stage.check("INHERIT again", &["ALTER TABLE child INHERIT t"], QUERY);
    stage.check("the child is dropped", &["DROP TABLE child", WRITES[0]], QUERY);
}

#[test]
fn names_and_views_change() {
    let query = "SELECT g, count(*) AS n FROM low GROUP BY g";
    let mut stage = stage(query);
    stage.check(
        "REPLACE VIEW",
        &["CREATE OR REPLACE VIEW low AS SELECT id, g + 10 AS g, v, w, unused, filler FROM t WHERE g > 1", WRITES[0]],
        query,
    );
    stage.check(
        "RENAME TABLE",
        &["ALTER TABLE t RENAME TO renamed", "INSERT INTO renamed VALUES (7000, 4, 1, 'x')"],
        query,
    );
    stage.check(
        "SET SCHEMA",
        &[
            "CREATE SCHEMA elsewhere",
            "ALTER TABLE renamed SET SCHEMA elsewhere",
            "DELETE FROM elsewhere.renamed WHERE g = 3",
        ],
        query,
    );
    stage.check(
        "ATTACH PARTITION",
        &[
            "CREATE TABLE parent (LIKE elsewhere.renamed) PARTITION BY LIST (g)",
            "ALTER TABLE parent ATTACH PARTITION elsewhere.renamed DEFAULT",
            "INSERT INTO parent VALUES (8000, 2, 1, 'p')",
        ],
        query,
    );
    stage.check(
        "DETACH PARTITION",
        &["ALTER TABLE parent DETACH PARTITION elsewhere.renamed", "DELETE FROM elsewhere.renamed WHERE id = 8000"],
        query,
    );
}

#[test]
fn the_stream_table_itself_is_altered() {
    let mut stage = stage(QUERY);
    stage.check("an index", &with_writes(&["CREATE INDEX ON st (n)"]), QUERY);
    stage.check("another unique index", &with_writes(&["CREATE UNIQUE INDEX ON st (g, n)"]), QUERY);
    stage.check("VACUUM FULL", &with_writes(&["VACUUM FULL st"]), QUERY);
    stage.check(
        "an AFTER trigger",
        &with_writes(&[
            "CREATE TABLE audit (g int)",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit VALUES (NEW.g); RETURN NULL; END'",
            "CREATE TRIGGER a AFTER INSERT OR UPDATE ON st FOR EACH ROW EXECUTE FUNCTION note()",
        ]),
        QUERY,
    );
    assert_ne!(stage.session.value("SELECT count(*) FROM audit"), "0");
    stage.check(
        "DROP of the key",
        &with_writes(&["ALTER TABLE st DROP CONSTRAINT IF EXISTS st_pkey", "DROP INDEX IF EXISTS st_g_idx"]),
        QUERY,
    );
    // A constraint that its content violates: the stream table says so, and goes on when it is gone.
    stage.session.run("ALTER TABLE st ADD CONSTRAINT small CHECK (n < 1000)");
    stage.session.run("INSERT INTO t (id, g) SELECT i, 4 FROM generate_series(20000, 22000) i");
    let error = stage.session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "23514", "{error:?}");
    stage.check("the constraint is dropped", &["ALTER TABLE st DROP CONSTRAINT small"], QUERY);
}

#[test]
fn a_source_is_dropped_and_made_again() {
    let mut stage = stage(QUERY);
    let error = stage.session.error("DROP TABLE t");
    assert_eq!(error.sqlstate, "2BP01", "{error:?}");
    stage.session.run("DROP TABLE t CASCADE");
    assert_eq!(stage.session.value("SELECT to_regclass('st') IS NULL"), "t");
    stage.session.run("CREATE TABLE t (id int PRIMARY KEY, g int, v numeric, w text)");
    stage.session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${QUERY}$q$, schedule => '1 ms')"));
    stage.check("everything made again", &WRITES, QUERY);
}

#[test]
fn e24_rows_that_fail_come_and_go() {
    let query = "SELECT g, 100 / v AS q FROM t WHERE v <> 50";
    let mut stage = stage(query);
    stage.session.run("UPDATE t SET v = 0 WHERE id IN (3, 4)");
    let error = stage.session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    assert_eq!(
        stage.session.value("SELECT sum(occurrences) FROM pgtrickle.errors('st') WHERE sqlstate = '22012'"),
        "2"
    );
    stage.session.run("DELETE FROM t WHERE id = 3");
    stage.session.error("SELECT pgtrickle.refresh_stream_table('st')");
    stage.check("the rows are mended", &["UPDATE t SET v = 50 WHERE id = 4"], query);
    assert_eq!(stage.session.value("SELECT count(*) FROM pgtrickle.errors('st')"), "0");
}

/// H36: what its owner may not read any more, a stream table does not show any longer than it has to.
#[test]
fn h36_a_revoked_privilege_ends_the_following() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE reader; CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    session.run("GRANT SELECT, TRIGGER ON t TO reader; GRANT CREATE, USAGE ON SCHEMA public TO reader");
    session.run("SET ROLE reader");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t', schedule => '1 ms')");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    session.run("RESET ROLE");
    session.run("REVOKE SELECT ON t FROM reader");
    session.run("INSERT INTO t VALUES (2)");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "42501", "{error:?}");
    assert_eq!(session.value("SELECT count(*) FROM st"), "1");
    session.run("GRANT SELECT ON t TO reader");
    Oracle::new("st", "SELECT a FROM t").assert_equal(&mut session);
}

/// An aggregate that PostgreSQL evaluates and that raises over no rows at all.
#[test]
fn e15_an_aggregate_over_nothing_that_raises() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
    session.run("CREATE FUNCTION step(s int, a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT s + a'");
    session.run("CREATE FUNCTION finish(s int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 100 / s'");
    session.run("CREATE AGGREGATE inverse(int) (SFUNC = step, STYPE = int, INITCOND = '0', FINALFUNC = finish)");
    let query = "SELECT inverse(a) AS i, count(*) AS n FROM t";
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("DELETE FROM t");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "55000", "{error:?}");
    session.run("INSERT INTO t VALUES (4)");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// The unique constraint that made a column a key is dropped, and duplicates come: the stream table's key was pg_trickle's own
/// idea, and goes without a word. Nobody who reads is in the way for long, and nobody who reads is kept waiting.
#[test]
fn a_key_of_a_source_is_given_up() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 2)");
    session.run("CREATE TABLE d (id int UNIQUE NOT NULL, name text); INSERT INTO d VALUES (1, 'one'), (2, 'two')");
    let query = "SELECT t.id, d.name FROM t JOIN d ON d.id = t.a";
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    session.run("SELECT pgtrickle.create_stream_table('above', 'SELECT id, count(*) AS n FROM st GROUP BY id')");
    Oracle::new("st", query).assert_equal(&mut session);
    let mut reader = cluster.session();
    reader.run("BEGIN; SELECT * FROM st");
    session.run("ALTER TABLE d DROP CONSTRAINT d_id_key");
    session.run("INSERT INTO d VALUES (1, 'uno')");
    let folder = cluster.folder().to_path_buf();
    let waits = std::thread::spawn(move || {
        let mut third = Session::connect(&folder, "postgres", "postgres").expect("a session");
        third.run("SELECT pgtrickle.refresh_stream_table('st')");
    });
    session.wait(
        "the worker to wait for the reader",
        "SELECT last_error LIKE '%lock%' FROM pgtrickle.stream_table_status() WHERE name = 'public.st'",
    );
    assert_eq!(session.value("SELECT count(*) FROM st"), "2");
    reader.run("COMMIT");
    waits.join().expect("the refresh ends well");
    Oracle::new("st", query).assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM pg_index WHERE indrelid = 'st'::regclass AND indisunique"), "0");
    assert_eq!(
        session.value("SELECT attnotnull FROM pg_attribute WHERE attrelid = 'st'::regclass AND attname = 'id'"),
        "f"
    );
    session.run("DELETE FROM d WHERE name = 'one'");
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("INSERT INTO d VALUES (1, 'uno')");
    Oracle::new("above", "SELECT id, count(*) AS n FROM st GROUP BY id").assert_equal(&mut session);
    assert_eq!(session.value("SELECT string_agg(status, ' ') FROM pgtrickle.stream_table_status()"), "active active");
}

/// The same for a column that was never NULL, and for a table that is refreshed in full by now.
#[test]
fn keys_are_given_up_by_null_and_in_full_mode() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE d (id int UNIQUE NOT NULL, name text); INSERT INTO d VALUES (1, 'one'), (2, 'two')");
    let query = "SELECT id, name FROM d";
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("ALTER TABLE d ALTER id DROP NOT NULL");
    session.run("INSERT INTO d VALUES (NULL, 'none'), (NULL, 'nothing')");
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("UPDATE d SET id = 7 WHERE name = 'none'");
    Oracle::new("st", query).assert_equal(&mut session);

    session.run("CREATE TABLE e (id int PRIMARY KEY, name text); INSERT INTO e VALUES (1, 'one'), (2, 'two')");
    let query = "SELECT id, name FROM e";
    session.run(&format!("SELECT pgtrickle.create_stream_table('fu', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("fu", query).assert_equal(&mut session);
    session.run("SELECT pgtrickle.alter_stream_table('fu', refresh_mode => 'full')");
    session.run("ALTER TABLE e DROP CONSTRAINT e_pkey; INSERT INTO e VALUES (1, 'uno')");
    Oracle::new("fu", query).assert_equal(&mut session);
}

/// Values come that are too long for a unique index: the table goes on without a key. With such values it begins without one.
#[test]
fn keys_that_are_too_long_for_an_index_are_given_up() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'a')");
    let query = "SELECT v, count(*) AS n FROM t GROUP BY v";
    let long = |kilobytes: i32| {
        format!(
            "INSERT INTO t SELECT {kilobytes}, string_agg(sha512(i::text::bytea)::text, '') \
               FROM generate_series(1, {kilobytes} * 8) i"
        )
    };
    // One message names the index, the other does not.
    for (name, kilobytes) in [("four", 4), ("forty", 40)] {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms')"));
        let oracle = Oracle::new(name, query);
        oracle.assert_equal(&mut session);
        let unique = format!("SELECT count(*) FROM pg_index WHERE indrelid = '{name}'::regclass AND indisunique");
        assert_eq!(session.value(&unique), "1");
        session.run(&long(kilobytes));
        oracle.assert_equal(&mut session);
        assert_eq!(session.value(&unique), "0");
        session.run("INSERT INTO t SELECT id + 100, v FROM t WHERE id > 3 AND id < 100");
        oracle.assert_equal(&mut session);
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}_later', $q${query}$q$)"));
        Oracle::new(&format!("{name}_later"), query).assert_equal(&mut session);
        session.run("DELETE FROM t WHERE id > 3");
        oracle.assert_equal(&mut session);
        Oracle::new(&format!("{name}_later"), query).assert_equal(&mut session);
    }
}

/// An index of the user's that the content violates is named, and never touched.
#[test]
fn an_index_of_the_user_s_that_is_violated_is_named() {
    let mut stage = stage(QUERY);
    stage.session.run("CREATE UNIQUE INDEX mine ON st (s)");
    stage.session.run("UPDATE t SET v = 1");
    let error = stage.session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "23505", "{error:?}");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("mine")), "{error:?}");
    assert_eq!(stage.session.value("SELECT count(*) FROM pg_index WHERE indrelid = 'st'::regclass"), "2");
    stage.check("the index is dropped", &["DROP INDEX mine"], QUERY);
}

/// A view that a stream table reads is replaced by one that reads the stream table.
#[test]
fn a_circle_through_a_view_is_refused_and_named() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE VIEW vt AS SELECT a FROM t");
    session.run("SELECT pgtrickle.create_stream_table('stv', 'SELECT a FROM vt', schedule => '1 ms')");
    session.run("SELECT pgtrickle.create_stream_table('st2', 'SELECT a FROM stv', schedule => '1 ms')");
    for (statement, named) in [
        ("CREATE OR REPLACE VIEW vt AS SELECT a FROM stv", "public.stv"),
        ("CREATE OR REPLACE VIEW vt AS SELECT a FROM st2", "public.st2"),
        ("DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW vt AS SELECT a FROM st2'; END $$", "public.st2"),
    ] {
        let error = session.error(statement);
        assert_eq!(error.sqlstate, "42P17", "{error:?}");
        let words = format!("{} {:?}", error.message, error.detail);
        assert!(words.contains("public.vt") && words.contains(named), "{error:?}");
    }
    session.run("CREATE OR REPLACE VIEW vt AS SELECT a + 1 AS a FROM t");
    Oracle::new("st2", "SELECT a + 1 AS a FROM t").assert_equal(&mut session);
    // Each of two sessions replaces one view, and sees no circle: then the refresh says so.
    session.run("CREATE VIEW v1 AS SELECT a FROM t; CREATE VIEW v2 AS SELECT a FROM t");
    session.run("SELECT pgtrickle.create_stream_table('one', 'SELECT a FROM v1', schedule => '1 ms')");
    session.run("SELECT pgtrickle.create_stream_table('two', 'SELECT a FROM v2', schedule => '1 ms')");
    session.run("SELECT pgtrickle.refresh_all()");
    let mut other = cluster.session();
    other.run("BEGIN; CREATE OR REPLACE VIEW v1 AS SELECT a FROM two");
    session.run("CREATE OR REPLACE VIEW v2 AS SELECT a FROM one");
    other.run("COMMIT");
    for name in ["one", "two"] {
        let error = session.error(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
        assert_eq!(error.sqlstate, "42P17", "{error:?}");
        let words = format!("{} {:?}", error.message, error.detail);
        for part in ["public.v1", "public.v2", "public.one", "public.two"] {
            assert!(words.contains(part), "{part}: {error:?}");
        }
    }
    session.wait(
        "the status to say it",
        "SELECT bool_and(status = 'error' AND last_error LIKE '%reads itself through%')
           FROM pgtrickle.stream_table_status() WHERE name IN ('public.one', 'public.two')",
    );
    session.run("CREATE OR REPLACE VIEW v2 AS SELECT a FROM t");
    Oracle::new("one", "SELECT a FROM t").assert_equal(&mut session);
}

/// The columns are the query's: others are refused with a word about what to do.
#[test]
fn columns_of_a_stream_table_are_not_altered() {
    let mut stage = stage(QUERY);
    for statement in [
        "ALTER TABLE st ADD COLUMN extra int",
        "ALTER TABLE st DROP COLUMN n",
        "ALTER TABLE st ALTER n TYPE numeric",
        "DO $$ BEGIN ALTER TABLE st ADD COLUMN extra int; END $$",
    ] {
        let error = stage.session.error(statement);
        assert_eq!(error.sqlstate, "42809", "{error:?}");
        assert!(error.hint.is_some(), "{error:?}");
    }
    stage.check("refused changes", &WRITES, QUERY);
    stage.check("what is harmless", &with_writes(&["ALTER TABLE st ALTER n SET STATISTICS 10"]), QUERY);
    stage.session.run("CREATE TYPE pair AS (x int, y int); CREATE TABLE p (id int PRIMARY KEY, c pair)");
    stage.session.run("SELECT pgtrickle.create_stream_table('sp', 'SELECT id, c FROM p')");
    stage.session.run("DROP TYPE pair CASCADE");
    assert_eq!(stage.session.value("SELECT count(*) FROM pg_class WHERE relname = 'sp'"), "0");
}

/// The attributes of a composite type are not in its row: values that are there already read otherwise.
#[test]
fn e16_attributes_of_composite_types_change() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TYPE pair AS (x int, y int, z int)");
    session.run("CREATE TABLE q (id int PRIMARY KEY, p pair); CREATE TABLE empty (id int)");
    session.run("INSERT INTO q VALUES (1, '(1,2,3)'), (2, '(4,5,6)')");
    let queries = [
        ("inc", "SELECT id, p::text AS x, p FROM q"),
        ("part", "SELECT count(*) AS n, max(p::text) AS m FROM q"),
        ("fu", "SELECT q.id, q.p::text AS x FROM q LEFT JOIN empty e ON e.id = q.id LIMIT 1000"),
    ];
    for (name, query) in queries {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 ms')"));
        Oracle::new(name, query).assert_equal(&mut session);
    }
    for ddl in [
        "ALTER TYPE pair DROP ATTRIBUTE y CASCADE",
        "ALTER TYPE pair ADD ATTRIBUTE w text",
        "ALTER TYPE pair DROP ATTRIBUTE x CASCADE, ADD ATTRIBUTE v int",
    ] {
        session.run(ddl);
        for (name, query) in queries {
            Oracle::new(name, query).assert_equal(&mut session);
        }
        session.run("UPDATE q SET id = id + 10 WHERE id = 1");
        session.run("UPDATE q SET id = id - 10 WHERE id = 11");
        for (name, query) in queries {
            Oracle::new(name, query).assert_equal(&mut session);
        }
    }
    // An attribute's type, of a type that no table stores.
    session.run(
        "CREATE TYPE made AS (a int); CREATE TABLE r (id int PRIMARY KEY, t text); INSERT INTO r VALUES (1, '(007)')",
    );
    let query = "SELECT id, (t::made)::text AS x FROM r";
    session.run(&format!("SELECT pgtrickle.create_stream_table('sr', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("sr", query).assert_equal(&mut session);
    session.run("ALTER TYPE made ALTER ATTRIBUTE a TYPE text");
    Oracle::new("sr", query).assert_equal(&mut session);
}

/// A domain's constraint makes a query fail that did not, and the other way round.
#[test]
fn e16_constraints_of_domains_change() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE DOMAIN small AS int; CREATE TABLE q (id int PRIMARY KEY); INSERT INTO q VALUES (1), (200)");
    let query = "SELECT id::text::small AS s FROM q";
    session.run(&format!("SELECT pgtrickle.create_stream_table('inc', $q${query}$q$, schedule => '1 ms')"));
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('fu', $q${query}$q$, schedule => '1 ms', refresh_mode => 'full')"
    ));
    for name in ["inc", "fu"] {
        Oracle::new(name, query).assert_equal(&mut session);
    }
    session.run("ALTER DOMAIN small ADD CONSTRAINT below CHECK (VALUE < 100) NOT VALID");
    for name in ["inc", "fu"] {
        session.error(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"));
    }
    session.run("ALTER DOMAIN small DROP CONSTRAINT below");
    for name in ["inc", "fu"] {
        Oracle::new(name, query).assert_equal(&mut session);
    }
}

/// What is run as a whole is run again when it means something else, though no row has changed.
#[test]
fn e16_full_mode_follows_functions_and_virtual_columns() {
    let query = "SELECT q.a, public.f(q.a) AS x, q.v FROM q LEFT JOIN q z ON z.a = q.b";
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session
        .run("CREATE TABLE q (a int, b int, v int GENERATED ALWAYS AS (a * 3) VIRTUAL); INSERT INTO q VALUES (1, 1)");
    session.run("CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'");
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("CREATE OR REPLACE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 2'");
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("ALTER TABLE q ALTER v SET EXPRESSION AS (a * 30)");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// The text of an enum's value is another one when its label is renamed.
#[test]
fn e16_labels_of_enums_are_renamed() {
    let query = "SELECT id, m::text AS x FROM q";
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TYPE mood AS ENUM ('a', 'b')");
    session.run("CREATE TABLE q (id int PRIMARY KEY, m mood); INSERT INTO q VALUES (1, 'a'), (2, 'b')");
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $q${query}$q$, schedule => '1 ms')"));
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("ALTER TYPE mood RENAME VALUE 'b' TO 'zz'");
    session.run("DELETE FROM q WHERE id = 1");
    Oracle::new("st", query).assert_equal(&mut session);
}

/// H43: what is written through a parent fires no trigger of a child's.
#[test]
fn h43_a_stream_table_is_no_part_of_a_tree() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t VALUES (1, 1)");
    session.run("SELECT pgtrickle.create_stream_table('st', 'SELECT id, k FROM t', schedule => '1 ms')");
    session.run("CREATE TABLE parent (id int NOT NULL, k int); CREATE TABLE child () INHERITS (parent)");
    session.run("CREATE TABLE root (id int NOT NULL, k int) PARTITION BY LIST (id)");
    for statement in [
        "ALTER TABLE st INHERIT parent",
        "ALTER TABLE child INHERIT st",
        "CREATE TABLE other () INHERITS (st)",
        "ALTER TABLE root ATTACH PARTITION st DEFAULT",
    ] {
        let error = session.error(statement);
        assert_eq!(error.sqlstate, "42809", "{statement}: {error:?}");
        assert!(error.message.contains("inheritance tree"), "{statement}: {error:?}");
    }
    session.run("ALTER TABLE child NO INHERIT parent; ALTER TABLE child INHERIT parent");
}

/// A change row is made of columns: a table that has none is looked at as a whole.
#[test]
fn a_table_without_columns_is_followed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE none (); CREATE TABLE one (i int); INSERT INTO one VALUES (1)");
    for table in ["none", "one"] {
        session.run(&format!(
            "SELECT pgtrickle.create_stream_table('st_{table}', 'SELECT count(*) AS n FROM {table}', schedule => '1 hour')"
        ));
    }
    session.run("SELECT pgtrickle.refresh_all()");
    session.run("ALTER TABLE one DROP COLUMN i");
    for expected in ["2", "4"] {
        session.run("INSERT INTO none DEFAULT VALUES; INSERT INTO none DEFAULT VALUES");
        session.run("INSERT INTO one DEFAULT VALUES; INSERT INTO one DEFAULT VALUES");
        session.run("SELECT pgtrickle.refresh_all()");
        assert_eq!(session.value("SELECT n FROM st_none"), expected);
        assert_eq!(session.value("SELECT n - 1 FROM st_one"), expected);
    }
    session.run("TRUNCATE none; DELETE FROM one");
    session.run("SELECT pgtrickle.refresh_all()");
    assert_eq!(session.value("SELECT st_none.n + st_one.n FROM st_none, st_one"), "0");
}
