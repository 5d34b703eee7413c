//! Keys, groups and what they show: equality of values that are stored differently, representatives, what the content does
//! not determine, aggregates after retractions.

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

fn create(session: &mut Session, name: &str, query: &str) {
    session.run(&format!(
        "SELECT pgtrickle.create_stream_table('{name}', $query${query}$query$, refresh_mode => 'differential', \
         schedule => '1 ms')"
    ));
}

const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE inner_row AS (n numeric, t text);
    CREATE TYPE outer_row AS (f float8, r inner_row, a interval[], gone int, b char(4));
    ALTER TYPE outer_row DROP ATTRIBUTE gone;
    CREATE DOMAIN document AS jsonb CHECK (VALUE <> 'null');
    CREATE DOMAIN amounts AS numeric[];
    CREATE TYPE floats AS RANGE (subtype = float8);
    CREATE TYPE texts AS RANGE (subtype = text, collation = \"C\");";

/// A value of a type as an expression, of few enough that many are equal, in many ways of writing.
fn value(random: &mut Random, ty: &str) -> String {
    if let Some(element) = ty.strip_suffix("[]") {
        return match random.below(8) {
            0 => format!("'{{}}'::{ty}"),
            1 => format!("('[0:1]={{NULL,NULL}}'::{ty})"),
            2 => format!("ARRAY[ARRAY[{}], ARRAY[{}]]::{ty}", part(random, element), part(random, element)),
            _ => {
                let parts: Vec<String> = (0..1 + random.below(3)).map(|_| part(random, element)).collect();
                format!("ARRAY[{}]::{ty}", parts.join(", "))
            }
        };
    }
    let literals: &[&str] = match ty {
        "numeric" => {
            &["0", "0.00", "1", "1.0", "1.00", "10", "1e1", "-1", "NaN", "Infinity", "100000", "1e5", "0.10", "0.1"]
        }
        "float8" | "float4" => &["0", "-0", "1", "1.5", "NaN", "Infinity", "-Infinity"],
        "interval" => &["1 day", "24:00", "1 mon", "30 days", "-1 day", "0", "1 mon -30 days", "infinity"],
        "bpchar" => &["a", "a ", "a   ", "", " ", "b", " a"],
        "char(4)" => &["a", "ab", ""],
        "text" => &["", "a", "a ", "A", "ä", "ab"],
        "timetz" => &["10:00+00", "11:00+01", "10:00+01", "24:00+00", "00:00+00"],
        "timestamptz" => &["2024-01-01 10:00+00", "2024-01-01 11:00+01", "infinity"],
        "mood" => &["sad", "ok"],
        "inet" => &["10.0.0.1", "10.0.0.1/32", "10.0.0.1/24", "::1"],
        "varbit" => &["", "0", "00", "1"],
        "xid" => &["1", "2"],
        "jsonb" | "document" => &[
            "1",
            "1.0",
            "1.00",
            "10",
            "1e1",
            "\"1\"",
            "true",
            "false",
            "[]",
            "{}",
            "[1]",
            "[1.0]",
            "[[1]]",
            "[[]]",
            "\"\"",
            "{\"a\": 1}",
            "{\"a\": 1.00}",
            "{\"a\": 1, \"b\": 2}",
            "{\"b\": 2.0, \"a\": 1}",
            "{\"a\": {\"a\": 1}}",
            "{\"a\": []}",
            "{\"a\": {}}",
            "{\"a\": null}",
            "[null]",
            "[true, \"true\"]",
            "\"a\"",
            "[\"a\"]",
            "[\"ab\", \"c\"]",
            "[\"a\", \"bc\"]",
            "[[1], 2]",
            "[[1, 2]]",
            "[1, 2]",
            "{\"aa\": 1}",
            "{\"ab\": \"\", \"c\": \"b\"}",
        ],
        "numrange" => &[
            "empty",
            "[1,1]",
            "[1.0,1.00]",
            "(1,1)",
            "[1,2)",
            "[1.0,2)",
            "[1,2]",
            "(,)",
            "(,1)",
            "[1,)",
            "(1,)",
            "(,1]",
        ],
        "int4range" => &["empty", "[1,2)", "[1,1]", "(0,2)", "(,)", "[1,)", "(0,)"],
        "floats" => &["[0,1)", "[-0,1)", "(0,1)", "[NaN,NaN]", "empty"],
        "texts" => &["[a,b)", "[a,b]", "empty", "(,a)"],
        "nummultirange" => {
            &["{}", "{[1,2),[2,3)}", "{[1.0,3)}", "{[1,2),[5,6]}", "{[1,2),[5.0,6.00]}", "{(,)}", "{[1,2)}"]
        }
        "inner_row" => {
            return match random.below(6) {
                0 => "ROW(NULL, NULL)::inner_row".into(),
                _ => format!("ROW({}, {})::inner_row", part(random, "numeric"), part(random, "text")),
            }
        }
        "outer_row" if random.chance(60) => {
            return format!(
                "ROW({}, ROW({}, 'a'), ARRAY[{}]::interval[], {})::outer_row",
                random.pick(&["0", "'-0'"]),
                random.pick(&["1", "1.00"]),
                random.pick(&["'1 day'", "'24:00'"]),
                random.pick(&["'a'", "'b'"])
            )
        }
        "outer_row" => {
            return format!(
                "ROW({}, {}, {}, {})::outer_row",
                part(random, "float8"),
                part(random, "inner_row"),
                part(random, "interval[]"),
                part(random, "char(4)")
            )
        }
        "amounts" => return format!("{}::amounts", value(random, "numeric[]")),
        other => panic!("no values of {other}"),
    };
    format!("'{}'::{ty}", random.pick(literals))
}

fn part(random: &mut Random, ty: &str) -> String {
    if random.chance(15) {
        format!("NULL::{ty}")
    } else {
        value(random, ty)
    }
}

/// Every kind of type that has a canonical image.
const CANONICAL: &[&str] = &[
    "jsonb",
    "document",
    "numeric[]",
    "float8[]",
    "float4[]",
    "interval[]",
    "bpchar[]",
    "char(4)[]",
    "text[]",
    "timetz[]",
    "timestamptz[]",
    "mood[]",
    "inet[]",
    "varbit[]",
    "xid[]",
    "jsonb[]",
    "document[]",
    "numrange",
    "int4range",
    "floats",
    "texts",
    "numrange[]",
    "nummultirange",
    "nummultirange[]",
    "inner_row",
    "outer_row",
    "inner_row[]",
    "outer_row[]",
    "amounts",
    "amounts[]",
    "numeric",
    "float8",
    "interval",
    "bpchar",
    "text",
    "xid",
];

/// Values are equal exactly if their canonical images are: every pair of values of every type.
#[test]
fn e22_equal_values_have_one_canonical_image() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let seed = Random::seed("canonical images");
    let mut random = Random::new(seed);
    session.run(TYPES);
    for ty in CANONICAL {
        let values: Vec<String> = (0..70).map(|_| value(&mut random, ty)).collect();
        let copies = values.iter().take(10).chain(&values);
        let values: Vec<String> = copies.enumerate().map(|(at, value)| format!("({at}, {value})")).collect();
        // Stored, so that values are as a table has them.
        session.run(&format!("CREATE TABLE pool (id int, v {ty})"));
        session.run(&format!("INSERT INTO pool VALUES {}", values.join(", ")));
        let equal = session.value("SELECT count(*) FROM pool a, pool b WHERE a.v = b.v AND a.id < b.id");
        // At least the copies of each.
        assert_ne!(equal, "0", "{ty}: pairs of equal values, seed {seed}");
        let differing = session.rows(
            "SELECT a.v::text, b.v::text, a.v = b.v FROM pool a, pool b
              WHERE (a.v = b.v) <> (pgtrickle.canonical_image(a.v) = pgtrickle.canonical_image(b.v)) LIMIT 5",
        );
        assert!(differing.is_empty(), "{ty}, seed {seed}: {differing:?}");
        session.run("DROP TABLE pool");
    }
}

/// Groups, distinct rows, unions and joins by values that are equal and stored differently, while they change.
#[test]
fn e22_keys_of_every_type_are_followed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let seed = Random::seed("keys of every type");
    let mut random = Random::new(seed);
    session.run(TYPES);
    let some =
        ["jsonb", "document", "numeric[]", "bpchar[]", "numrange", "nummultirange", "outer_row", "amounts", "text[]"];
    let mut oracles = Vec::new();
    for (number, ty) in some.iter().enumerate() {
        session.run(&format!("CREATE TABLE t{number} (id serial PRIMARY KEY, k {ty}, v int)"));
        // What is shown of a group does not show which of its members it is.
        let queries = [
            format!("SELECT count(*) AS n, sum(v) AS s, min(id) AS id, k IS NULL AS none FROM t{number} GROUP BY k"),
            format!("SELECT count(*) AS n FROM (SELECT DISTINCT k, v FROM t{number}) d"),
            format!("SELECT a.id, b.id AS other FROM t{number} a JOIN t{number} b ON a.k = b.k AND a.v = b.v"),
            format!("SELECT count(*) AS n FROM (SELECT k FROM t{number} UNION SELECT k FROM t{number} WHERE v > 1) u"),
            format!("SELECT v, count(DISTINCT k) AS n, count(DISTINCT k) FILTER (WHERE id % 2 = 0) AS e FROM t{number} GROUP BY v"),
            format!("SELECT a.id, b.id AS other FROM t{number} a JOIN t{number} b ON a.k IS NOT DISTINCT FROM b.k WHERE a.id < b.id"),
        ];
        for (at, query) in queries.iter().enumerate() {
            let name = format!("s{number}_{at}");
            create(&mut session, &name, query);
            oracles.push(Oracle::new(&name, query));
        }
    }
    for _ in 0..4 {
        for (number, ty) in some.iter().enumerate() {
            let rows: Vec<String> =
                (0..12).map(|_| format!("({}, {})", part(&mut random, ty), random.below(3))).collect();
            session.run(&format!("INSERT INTO t{number} (k, v) VALUES {}", rows.join(", ")));
            let other = part(&mut random, ty);
            session.run(&format!("UPDATE t{number} SET k = {other} WHERE id % 5 = {}", random.below(5)));
            session.run(&format!("DELETE FROM t{number} WHERE id % 4 = {}", random.below(4)));
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        for oracle in &oracles {
            oracle.assert_equal_now(&mut session);
            let differing = session.rows(&format!("SELECT * FROM pgtrickle.verify('{}')", oracle.name));
            assert!(differing.is_empty(), "{}, seed {seed}: {differing:?}", oracle.name);
        }
    }
}

/// Types of extensions, with values that are equal and written differently among them. The extensions are in a schema that
/// is on no path.
const EXTENSION_TYPES: &[(&str, &[&str])] = &[
    ("x.citext", &["", "a", "A", "ab", "aB", "AB", "Ä", "ä", "ǅ", "a ", "Straße", "STRASSE", "İ", "i̇", "İstanbul"]),
    (
        "x.hstore",
        &["", "a=>1", "a=>1,b=>2", "b=>2,a=>1", "a=>1,a=>2", "a=>NULL", "a=>\"NULL\"", "ab=>c", "a=>bc", "a=>\"\""],
    ),
    ("x.ltree", &["", "a", "a.b", "ab", "a.b.c", "aaaaaa", "aaaaaaa.b", "aaaaaa.bb", "A"]),
    (
        "x.cube",
        &[
            "(1)",
            "(1),(1)",
            "(1),(2)",
            "(2),(1)",
            "(0)",
            "(-0)",
            "(1,0)",
            "(1,2)",
            "(1,2),(1,2)",
            "(1,4),(3,2)",
            "(3,2),(1,4)",
            "(1,2),(3,4)",
            "()",
        ],
    ),
    (
        "x.seg",
        &[
            "1",
            "1.0",
            "1.00",
            "~1",
            "<1",
            ">1",
            "1 .. 2",
            "1 .. 2.0",
            "1(+-)0.5",
            "0.5 .. 1.5",
            "-0",
            "0",
            "5 ..",
            ".. 5",
        ],
    ),
    ("x.vector", &["[0]", "[-0]", "[1]", "[1.0]", "[1,0]", "[1,-0]", "[1,2]", "[0.1]", "[1e-1]"]),
    ("x.halfvec", &["[0]", "[-0]", "[1]", "[1,0]", "[1,-0]", "[0.1]", "[0.10001]"]),
    ("x.sparsevec", &["{}/3", "{}/4", "{1:1}/3", "{1:1.0}/3", "{1:1,2:0}/3", "{2:1}/3", "{1:1,3:2}/3", "{1:1}/4"]),
    ("x.isbn13", &["978-0-393-04002-9", "9780393040029", "978-0-306-40615-7", "0-306-40615-2"]),
    ("x.issn", &["1436-4522", "14364522", "0317-8471"]),
    ("tsvector", &["", "a b", "b a", "a:1 b:2", "a:1 b:2A", "a:1,2", "a:2,1", "a:1B", "ab", "'a b'", "a:2A"]),
    (
        "tsquery",
        &[
            "",
            "a",
            "a:A",
            "a:*",
            "a & b",
            "b & a",
            "a | b",
            "!a",
            "a <-> b",
            "a <2> b",
            "(a & b) & c",
            "a & (b & c)",
            "'ab'",
            "a:B & b",
        ],
    ),
];

/// `x.citext` and what contains it.
const EXTENSION_CONTAINERS: &[&str] = &["x.citext[]", "shop", "shop[]", "name_of", "names", "name_of[]", "patterns"];

fn extension_value(random: &mut Random, ty: &str) -> String {
    if let Some(element) = ty.strip_suffix("[]") {
        let parts: Vec<String> = (0..1 + random.below(2)).map(|_| extension_value(random, element)).collect();
        return format!("ARRAY[{}]::{ty}", parts.join(", "));
    }
    match ty {
        "shop" => {
            let parts = [extension_value(random, "x.citext"), extension_value(random, "x.hstore")];
            format!("ROW({})::shop", parts.join(", "))
        }
        "name_of" => format!("{}::name_of", extension_value(random, "x.citext")),
        "names" => format!("'{}'::names", random.pick(&["[a,b)", "[A,b)", "[A,B]", "[a,b]", "(,a)", "(,A)", "empty"])),
        "patterns" => format!("'{}'::patterns", random.pick(&["[a,b)", "[A,b)", "[a,b]", "(,a)", "empty"])),
        _ => {
            let values = EXTENSION_TYPES.iter().find(|known| known.0 == ty).expect("a type with values").1;
            format!("'{}'::{ty}", random.pick(values).replace('\'', "''"))
        }
    }
}

fn create_extensions(session: &mut Session) {
    session.run("CREATE SCHEMA x");
    for extension in ["citext", "hstore", "ltree", "cube", "seg", "isn", "vector"] {
        session.run(&format!("CREATE EXTENSION {extension} SCHEMA x"));
    }
    session.run(
        "CREATE TYPE shop AS (name x.citext, attributes x.hstore);
         CREATE DOMAIN name_of AS x.citext CHECK (lower(VALUE::text) <> 'nobody');
         CREATE TYPE names AS RANGE (subtype = x.citext);
         CREATE TYPE patterns AS RANGE (subtype = text, subtype_opclass = text_pattern_ops)",
    );
}

/// As for the server's own types, of extensions': every pair of values, exactly the equal ones have one image.
#[test]
fn e22_equal_values_of_extensions_have_one_canonical_image() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let seed = Random::seed("canonical images of extensions");
    let mut random = Random::new(seed);
    create_extensions(&mut session);
    session.run("SET search_path = public, x");
    for ty in EXTENSION_TYPES.iter().map(|known| known.0).chain(EXTENSION_CONTAINERS.iter().copied()) {
        let all = EXTENSION_TYPES.iter().find(|known| known.0 == ty).map_or(&[][..], |known| known.1);
        let all = all.iter().map(|value| format!("'{}'::{ty}", value.replace('\'', "''")));
        let values: Vec<String> = all.chain((0..40).map(|_| extension_value(&mut random, ty))).collect();
        let values: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("({at}, {value})")).collect();
        session.run(&format!("CREATE TABLE pool (id int, v {ty})"));
        session.run(&format!("INSERT INTO pool VALUES {}", values.join(", ")));
        let equal = session.value("SELECT count(*) FROM pool a, pool b WHERE a.v = b.v AND a.id < b.id");
        assert_ne!(equal, "0", "{ty}: pairs of equal values, seed {seed}");
        let differing = session.rows(
            "SELECT a.v::text, b.v::text, a.v = b.v FROM pool a, pool b
              WHERE (a.v = b.v) <> (pgtrickle.canonical_image(a.v) = pgtrickle.canonical_image(b.v)) LIMIT 5",
        );
        assert!(differing.is_empty(), "{ty}, seed {seed}: {differing:?}");
        session.run("DROP TABLE pool");
    }
}

/// Groups, distinct rows, unions and joins by values of extensions' types, while they change, and distances between them.
#[test]
fn e22_keys_of_extensions_are_followed() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let seed = Random::seed("keys of extensions");
    let mut random = Random::new(seed);
    create_extensions(&mut session);
    session.run("SET search_path = public, x");
    let types: Vec<&str> = EXTENSION_TYPES
        .iter()
        .map(|known| known.0)
        .chain(["x.citext[]", "shop", "name_of", "names", "patterns"])
        .collect();
    let mut oracles = Vec::new();
    for (number, ty) in types.iter().enumerate() {
        session.run(&format!("CREATE TABLE t{number} (id serial PRIMARY KEY, k {ty}, v int)"));
        let mut queries = vec![
            format!("SELECT count(*) AS n, sum(v) AS s, min(id) AS id, k IS NULL AS none FROM t{number} GROUP BY k"),
            format!("SELECT count(*) AS n FROM (SELECT k FROM t{number} UNION SELECT k FROM t{number} WHERE v > 1) u"),
            format!("SELECT a.id, b.id AS other FROM t{number} a JOIN t{number} b ON a.k = b.k AND a.v = b.v"),
        ];
        match *ty {
            "x.citext" => queries.extend([
                format!("SELECT v, count(DISTINCT k) AS n, max(k) = 'AB' AS m FROM t{number} GROUP BY v"),
                format!("SELECT id FROM t{number} WHERE k IN (SELECT k FROM t{number} WHERE v = 1)"),
                format!("SELECT count(*) AS n FROM (SELECT k FROM t{number} WHERE v < 2 EXCEPT SELECT k FROM t{number} WHERE v = 2) e"),
                format!("SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) AS n FROM t{number}"),
                format!("SELECT a.id, b.id AS other FROM t{number} a LEFT JOIN t{number} b ON a.k = b.k AND b.v = 1"),
            ]),
            "x.vector" => queries.extend([
                format!("SELECT id, round((k <-> '[1,1]')::numeric, 6) AS d FROM t{number} WHERE vector_dims(k) = 2"),
                format!("SELECT a.id, b.id AS near FROM t{number} a JOIN t{number} b ON a.id < b.id AND vector_dims(a.k) = vector_dims(b.k) AND a.k <-> b.k < 0.5"),
                format!("SELECT id FROM t{number} WHERE vector_dims(k) = 1 ORDER BY k <-> '[0.3]', id LIMIT 3"),
            ]),
            "x.cube" => queries.push(format!("SELECT id FROM t{number} ORDER BY k <-> '(1,1)', id LIMIT 4")),
            _ => {}
        }
        for (at, query) in queries.iter().enumerate() {
            let name = format!("s{number}_{at}");
            create(&mut session, &name, query);
            oracles.push(Oracle::new(&name, query));
        }
    }
    for _ in 0..3 {
        for (number, ty) in types.iter().enumerate() {
            let rows: Vec<String> = (0..12)
                .map(|_| match random.chance(10) {
                    true => "(NULL, 1)".to_string(),
                    false => format!("({}, {})", extension_value(&mut random, ty), random.below(3)),
                })
                .collect();
            session.run(&format!("INSERT INTO t{number} (k, v) VALUES {}", rows.join(", ")));
            let other = extension_value(&mut random, ty);
            session.run(&format!("UPDATE t{number} SET k = {other} WHERE id % 5 = {}", random.below(5)));
            session.run(&format!("DELETE FROM t{number} WHERE id % 4 = {}", random.below(4)));
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        for oracle in &oracles {
            oracle.assert_equal_now(&mut session);
            let differing = session.rows(&format!("SELECT * FROM pgtrickle.verify('{}')", oracle.name));
            assert!(differing.is_empty(), "{}, seed {seed}: {differing:?}", oracle.name);
        }
    }
}

/// Values that are longer than an entry of an index.
#[test]
fn e22_keys_of_any_length() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TYPE page AS (number int, content text)");
    session.run("CREATE TABLE t (id int PRIMARY KEY, k jsonb, a text[], p page)");
    let query = "SELECT k, a, p, count(*) AS n FROM t GROUP BY k, a, p";
    create(&mut session, "st", query);
    session.run(
        "INSERT INTO t SELECT i, jsonb_agg(md5(x::text)), array_agg(md5(x::text)),
                (1, repeat('p', 100000 + i % 2))::page
             FROM generate_series(1, 6) i, generate_series(1, 2000 + i % 2) x GROUP BY i",
    );
    Oracle::new("st", query).assert_equal(&mut session);
    session.run("DELETE FROM t WHERE id < 4");
    Oracle::new("st", query).assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM st"), "2");
}

/// What has an equality of its own is not taken for something else.
#[test]
fn e22_a_type_with_its_own_equality_has_no_image() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    // A copy of text with an operator class that says nothing of images.
    session.run(
        "CREATE TYPE own;
         CREATE FUNCTION own_in(cstring) RETURNS own IMMUTABLE STRICT LANGUAGE internal AS 'textin';
         CREATE FUNCTION own_out(own) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
         CREATE TYPE own (INPUT = own_in, OUTPUT = own_out, LIKE = text);
         CREATE FUNCTION own_cmp(own, own) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS
             'SELECT btvarstrequalimage(25)::int - 1 + bttextcmp(lower($1::text), lower($2::text))';
         CREATE FUNCTION own_eq(own, own) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT own_cmp($1, $2) = 0';
         CREATE FUNCTION own_lt(own, own) RETURNS bool IMMUTABLE STRICT LANGUAGE sql AS 'SELECT own_cmp($1, $2) < 0';
         CREATE OPERATOR = (FUNCTION = own_eq, LEFTARG = own, RIGHTARG = own, MERGES);
         CREATE OPERATOR < (FUNCTION = own_lt, LEFTARG = own, RIGHTARG = own);
         CREATE OPERATOR CLASS own_ops DEFAULT FOR TYPE own USING btree AS
             OPERATOR 1 <, OPERATOR 3 =, FUNCTION 1 own_cmp(own, own);
         CREATE TYPE owned AS (a int, o own);
         CREATE TABLE t (o own, os own[], r owned)",
    );
    for (key, ty) in [("o", "own"), ("os", "own[]"), ("r", "owned")] {
        let error = session.error(&format!(
            "SELECT pgtrickle.create_stream_table('st', 'SELECT count(*) FROM t GROUP BY {key}', refresh_mode => 'differential')"
        ));
        assert_eq!(error.sqlstate, "0A000", "{error:?}");
        let detail = error.detail.unwrap_or_default();
        assert!(detail.contains(&format!("Equal values of type {ty}")), "{detail}");
        let error = session.error(&format!("SELECT pgtrickle.canonical_image({key}) FROM (VALUES (NULL::own, NULL::own[], '(1,a)'::owned), ('a', '{{a}}', '(1,a)')) v (o, os, r)"));
        assert_eq!(error.sqlstate, "42883", "{error:?}");
    }
}

/// What a group shows is one of its members, and another once that is gone.
#[test]
fn e21_a_group_shows_one_of_its_members() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, n numeric, j jsonb, f float8)");
    create(&mut session, "by_n", "SELECT n, count(*) AS c FROM t GROUP BY n");
    create(&mut session, "by_j", "SELECT j, count(*) AS c FROM t GROUP BY j");
    create(&mut session, "distinct_n", "SELECT DISTINCT n FROM t");
    create(&mut session, "union_j", "SELECT j FROM t WHERE id < 3 UNION SELECT j FROM t WHERE id > 1");
    session.run(
        "INSERT INTO t VALUES (1, 1.0, '{\"a\": 1.0}', 0), (2, 1.00, '{\"a\": 1}', '-0'), (3, 1.000, '{\"a\": 1.000}', 0)",
    );
    for id in 1..=3 {
        session.rows("SELECT pgtrickle.refresh_all()");
        for (table, column) in [("by_n", "n"), ("distinct_n", "n"), ("by_j", "j"), ("union_j", "j")] {
            let shown = session.rows(&format!("SELECT {column}::text FROM {table}"));
            assert_eq!(shown.len(), 1, "{table}: {shown:?}");
            let members = session.rows(&format!("SELECT {column}::text FROM t"));
            assert!(members.contains(&shown[0]), "{table} shows {shown:?}, the members are {members:?}");
        }
        session.run(&format!("DELETE FROM t WHERE id = {id}"));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    assert_eq!(session.value("SELECT count(*) FROM by_j"), "0");
}

/// Columns that the content does not determine are left out of verify(), and nothing else is.
#[test]
fn e20_verify_compares_what_the_content_determines() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, f float8, n numeric, j jsonb, r float4)");
    // The query, and those of its columns that are not determined.
    let queries = [
        ("float_sum", "s, a", "SELECT g, sum(f) AS s, avg(r) AS a, count(f) AS c, sum(n) AS n FROM t GROUP BY g"),
        ("float_statistics", "s, k", "SELECT g, stddev(f) AS s, corr(f, r) AS k, stddev(n) AS d FROM t GROUP BY g"),
        (
            "any_order",
            "ids, ns, j",
            "SELECT g, array_agg(id) AS ids, string_agg(n::text, ',') AS ns, json_agg(f) AS j FROM t GROUP BY g",
        ),
        ("one_order", "", "SELECT g, array_agg(id ORDER BY id) AS ids, array_agg(DISTINCT g) AS gs FROM t GROUP BY g"),
        ("any_member", "i", "SELECT any_value(id) AS i, g, max(id) AS m FROM t GROUP BY g"),
        ("equals", "n", "SELECT n, count(*) AS c FROM t GROUP BY n"),
        ("documents", "j, twice", "SELECT j, count(*) AS c, j || j AS twice FROM t GROUP BY j"),
        ("distinct_documents", "j, n", "SELECT DISTINCT j, n, g FROM t"),
        ("unions", "j", "SELECT j, g FROM t UNION SELECT j, id FROM t"),
        ("least", "n, f, a", "SELECT g, min(n) AS n, max(f) AS f, min(ARRAY[n]) AS a, min(id) AS i FROM t GROUP BY g"),
        ("over_a_sum", "twice", "SELECT g, s * 2 AS twice FROM (SELECT g, sum(f) AS s FROM t GROUP BY g) x"),
        ("all_rows", "", "SELECT * FROM t"),
        // Which rows there are depends on a sum's last digits.
        ("over_a_condition", "g", "SELECT g FROM (SELECT g, sum(f) AS s FROM t GROUP BY g) x WHERE s > 1"),
        ("counted_over", "n", "SELECT count(*) AS n FROM (SELECT g, sum(f) AS s FROM t GROUP BY g) x WHERE s > 1"),
        ("having", "g, c", "SELECT g, count(*) AS c FROM t GROUP BY g HAVING sum(f) > 1"),
        ("by_a_sum", "s, n", "SELECT s, count(*) AS n FROM (SELECT g, sum(f) AS s FROM t GROUP BY g) x GROUP BY s"),
        ("exists", "id, e", "SELECT id, EXISTS (SELECT FROM (SELECT sum(f) AS s FROM t) x WHERE s > 1) AS e FROM t"),
        ("in_sums", "id", "SELECT id FROM t WHERE f IN (SELECT sum(f) FROM t GROUP BY g)"),
        (
            "outer_by_sums",
            "id, s",
            "SELECT t.id, x.s FROM t LEFT JOIN (SELECT sum(f) AS s FROM t GROUP BY g) x ON t.f = x.s",
        ),
        ("except_sums", "g, s", "SELECT g, f AS s FROM t EXCEPT SELECT g, sum(f) FROM t GROUP BY g"),
        ("first_by_sum", "g, s", "SELECT g, sum(f) AS s FROM t GROUP BY g ORDER BY s, g LIMIT 1"),
        // How a value is written does not decide.
        ("written", "n", "SELECT n, count(*) AS c FROM t GROUP BY n HAVING n > 0"),
    ];
    for (name, loose, query) in &queries {
        create(&mut session, name, query);
        let line = session.rows(&format!(
            "SELECT split_part(line, ': ', 2) FROM pgtrickle.explain($query${query}$query$) AS line \
              WHERE line LIKE '%Not Determined by Content: %'"
        ));
        let found = line.first().and_then(|row| row[0].clone()).unwrap_or_default();
        assert_eq!(found, *loose, "{query}");
    }
    // Sums that depend on the order of addition, and rows whose order in the table changes with every update.
    session.run(
        "INSERT INTO t SELECT i, i % 3, (ARRAY[1e16, 1, -1e16, 0.1])[1 + i % 4], 1, '1', i FROM generate_series(1, 60) i",
    );
    for round in 0..6 {
        session.run(&format!(
            "UPDATE t SET f = f * 3, n = (ARRAY[1, 1.0, 1.00])[1 + (id + {round}) % 3],
                          j = (ARRAY['1', '1.0', '{{\"a\": 2}}', '{{\"a\": 2.00}}'])[1 + (id + {round}) % 4]::jsonb
              WHERE id % 6 = {round}"
        ));
        session.rows("SELECT pgtrickle.refresh_all()");
        for (name, ..) in &queries {
            let differing = session.rows(&format!("SELECT * FROM pgtrickle.verify('{name}')"));
            assert!(differing.is_empty(), "{name}: {differing:?}");
        }
    }
}

/// Aggregates are what they would be without the rows that are gone: scales, NaN and infinities, values beyond a type's
/// range on the way to one within it.
#[test]
fn e23_aggregates_forget_what_is_deleted() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, n numeric, f float8, i int8, s int2)");
    let query =
        "SELECT g, sum(n) AS n, avg(n) AS a, sum(f) AS f, sum(i) AS i, avg(i) AS ai, sum(s) AS s, count(n) AS c,
                        count(*) AS rows FROM t GROUP BY g";
    create(&mut session, "st", query);
    let oracle = Oracle::new("st", query).approximate(&["f"]);
    let edges = [
        "(1, 0, 1.5, 1, 1, 1), (2, 0, 2.25, 2, 2, 2), (3, 1, NULL, NULL, NULL, NULL)",
        "(4, 0, 1e100, 1e308, 9223372036854775807, 32767), (5, 0, 1e-50, 1e-300, 9223372036854775807, 32767)",
        "(6, 0, 'NaN', 'NaN', 0, 0), (7, 0, 'Infinity', 'Infinity', 1, 1), (8, 1, '-Infinity', '-Infinity', -1, -1)",
        "(9, 1, 'Infinity', 5, -9223372036854775808, -32768), (10, 1, 0.000, '-0', 0, 0)",
    ];
    for rows in edges {
        session.run(&format!("INSERT INTO t VALUES {rows}"));
        oracle.assert_equal(&mut session);
    }
    for id in [6, 4, 9, 7, 8, 5, 10, 1] {
        session.run(&format!("DELETE FROM t WHERE id = {id}"));
        oracle.assert_equal(&mut session);
    }
    assert_eq!(session.rows("SELECT n, c, rows FROM st ORDER BY g")[0][0].as_deref(), Some("2.25"));
    assert_eq!(session.value("SELECT coalesce(n::text, 'none') || c || rows FROM st WHERE g = 1"), "none01");
}

/// Beyond the range of the result's type: an error of the group as it is, and no longer once it is not.
#[test]
fn e23_overflow_is_judged_at_the_result() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, g int, m money, i int4)");
    let query = "SELECT g, sum(i) AS s, sum(i)::int4 AS narrow FROM t GROUP BY g";
    create(&mut session, "st", query);
    session.run("INSERT INTO t SELECT i, i % 2, NULL, 2000000000 FROM generate_series(1, 4) i");
    session.attempt("SELECT pgtrickle.refresh_stream_table('st')").ok();
    session.wait("the error", "SELECT EXISTS (SELECT FROM pgtrickle.errors('st') WHERE sqlstate = '22003')");
    // The partial sums on the way are beyond the range, the result is not.
    session.run("UPDATE t SET i = CASE WHEN id > 2 THEN -i ELSE i END");
    Oracle::new("st", query).assert_equal(&mut session);
    assert_eq!(session.value("SELECT count(*) FROM pgtrickle.errors('st')"), "0");
}

/// A text that is read as a date or a time is not a function of its row.
#[test]
fn h27_a_text_read_as_a_date_reads_the_clock() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("SET timezone = 'Europe/Berlin'");
    session.run(
        "CREATE TYPE stay AS (guest text, arrival date);
         CREATE DOMAIN day AS date;
         CREATE TYPE times AS RANGE (subtype = time);
         CREATE TABLE t (id int PRIMARY KEY, c text, j jsonb, tm time, ttz timetz, cs text[], r regclass[])",
    );
    session.run(
        "INSERT INTO t VALUES (1, '2024-01-01', '{\"arrival\": \"2024-01-01\"}', '10:00', '10:00+01', '{2024-01-01}')",
    );
    let clock = [
        "c::date",
        "c::timestamp",
        "c::timestamptz",
        "c::time",
        "c::timetz",
        "c::date[]",
        "c::stay",
        "c::day",
        "c::daterange",
        "c::datemultirange",
        "c::stay[]",
        "cs::date[]",
        "c::tstzrange",
        "(c::stay).guest",
        "date_in(textout(c))",
        "array_in(textout(c), 1082, -1)::text",
        "jsonb_populate_record(NULL::stay, j)",
        "jsonb_populate_record_valid(NULL::stay, j)",
        "json_populate_record(NULL::stay, j::json)",
        "tm::timetz",
        "ttz AT TIME ZONE 'Europe/Berlin'",
        "ttz AT LOCAL",
        "JSON_VALUE(j, '$.arrival' RETURNING date)",
        "JSON_EXISTS(j, '$.a ? (@.time_tz() > \"10:00\".time())')",
        "jsonb_path_exists_tz(j, '$.a.time_tz()')",
    ];
    for expression in clock {
        let error = session.error(&format!(
            "SELECT pgtrickle.create_stream_table('st', $$SELECT id, {expression} AS x FROM t$$, refresh_mode => 'differential')"
        ));
        assert_eq!(error.sqlstate, "0A000", "{expression}: {error:?}");
        assert!(error.detail.as_deref().is_some_and(|text| text.contains("clock")), "{expression}: {error:?}");
    }
    // Names of the catalogs, in a container.
    for expression in ["r::text", "format('%s', r)", "to_jsonb(r)", "c::regclass[]"] {
        let error = session.error(&format!(
            "SELECT pgtrickle.create_stream_table('st', $$SELECT id, {expression} AS x FROM t$$, refresh_mode => 'differential')"
        ));
        assert!(error.detail.as_deref().is_some_and(|text| text.contains("is stable")), "{expression}: {error:?}");
    }
    let fixed = [
        "to_date(c, 'YYYY-MM-DD')",
        "to_timestamp(c, 'YYYY-MM-DD')",
        "date '2024-02-01'",
        "concat(id, ' days')::interval",
        "concat('{', c, '}')::text[]",
        "JSON_VALUE(j, '$.arrival')",
        "ttz AT TIME ZONE interval '1 hour'",
        "tm::text",
        "jsonb_path_exists(j, '$.arrival')",
    ];
    let columns: Vec<String> = fixed.iter().enumerate().map(|(at, text)| format!("{text} AS x{at}")).collect();
    let query = format!("SELECT id, {} FROM t", columns.join(", "));
    create(&mut session, "fixed", &query);
    Oracle::new("fixed", &query).assert_equal(&mut session);
    // In full mode they are what they are at each refresh.
    let query = "SELECT id, c::date AS d FROM t";
    session.run(&format!("SELECT pgtrickle.create_stream_table('days', '{query}', schedule => '1 ms')"));
    let reason = session.value("SELECT mode_reason FROM pgtrickle.stream_table_status() WHERE name = 'public.days'");
    assert!(reason.contains("is read as type date: for values like 'today'"), "{reason}");
    session.run("INSERT INTO t (id, c) VALUES (2, 'today')");
    Oracle::new("days", query).assert_equal(&mut session);
}

/// NOT NULL that is NOT VALID says nothing of the rows that were there before.
#[test]
fn a_constraint_that_is_not_valid_is_not_relied_on() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "CREATE TABLE r (a int PRIMARY KEY);
         CREATE TABLE s (id int PRIMARY KEY, b int, c int);
         INSERT INTO r VALUES (1), (2);
         INSERT INTO s VALUES (1, 1, NULL), (2, NULL, NULL);
         CREATE UNIQUE INDEX ON s (c);
         ALTER TABLE s ADD CONSTRAINT b_there NOT NULL b NOT VALID;
         ALTER TABLE s ADD CONSTRAINT c_there NOT NULL c NOT VALID",
    );
    let queries = [
        ("none_of", "SELECT a FROM r WHERE a NOT IN (SELECT b FROM s)"),
        ("not_equal", "SELECT a, a <> ALL (SELECT b FROM s) AS e FROM r"),
        // Two rows whose unique column is NULL.
        ("by_key", "SELECT c FROM s"),
        ("joined", "SELECT r.a, s.c FROM r, s"),
    ];
    for (name, query) in queries {
        create(&mut session, name, query);
    }
    for statement in
        ["UPDATE r SET a = a + 1 WHERE a = 2", "DELETE FROM s WHERE b IS NULL", "INSERT INTO r VALUES (1000)"]
    {
        for (name, query) in queries {
            Oracle::new(name, query).assert_equal(&mut session);
        }
        session.run(statement);
    }
    for (name, query) in queries {
        Oracle::new(name, query).assert_equal(&mut session);
    }
}

/// Values of one type of which several are equal to one of another are no key for it: local times that the clocks skip.
#[test]
fn e22_equal_to_one_value_of_another_type_is_not_the_same() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run(
        "SET TimeZone = 'Europe/Berlin';
         CREATE TABLE a (ts timestamp PRIMARY KEY);
         CREATE TABLE b (tz timestamptz PRIMARY KEY);
         CREATE TABLE w (i int8 PRIMARY KEY);
         CREATE TABLE n (s int2 PRIMARY KEY);
         INSERT INTO a VALUES ('2024-03-31 02:30'), ('2024-03-31 03:30'), ('2024-01-01');
         INSERT INTO b VALUES ('2024-03-31 03:30+02'), ('2024-01-01 00:00+01');
         INSERT INTO w VALUES (1), (2), (70000);
         INSERT INTO n VALUES (1), (2)",
    );
    let queries = [
        ("instants", "SELECT b.tz FROM a JOIN b ON a.ts = b.tz"),
        ("integers", "SELECT n.s FROM w JOIN n ON w.i = n.s"),
    ];
    for (name, query) in queries {
        create(&mut session, name, query);
        Oracle::new(name, query).assert_equal(&mut session);
    }
    // Integers are: that one is a key is not lost.
    let keys = |session: &mut Session, query: &str| {
        session.value(&format!(
            "SELECT count(*) FROM pgtrickle.explain('{query}') line WHERE line LIKE '%Key: %' AND line NOT LIKE '%->%'"
        ))
    };
    assert_ne!(keys(&mut session, queries[1].1), "0");
    session.run("DELETE FROM a WHERE ts = '2024-03-31 03:30'");
    Oracle::new("instants", queries[0].1).assert_equal(&mut session);
    session.run("INSERT INTO a VALUES ('2024-03-31 03:30'); UPDATE w SET i = 3 WHERE i = 1");
    for (name, query) in queries {
        Oracle::new(name, query).assert_equal(&mut session);
    }
}

/// Two strings that a collation takes for equal are one key. Such collations come with ICU only.
#[test]
fn e22_strings_that_a_collation_takes_for_equal() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let collation = "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    if let Err(error) = session.attempt(collation) {
        trickle_regress::skipped(&format!("nondeterministic collations: {}", error.message));
        return;
    }
    session.run("CREATE TABLE t (id int PRIMARY KEY, c text COLLATE blind, a text[] COLLATE blind, v int)");
    let queries = [
        ("groups", "SELECT count(*) AS n, min(id) AS id FROM t GROUP BY c"),
        ("arrays", "SELECT count(*) AS n, min(id) AS id FROM t GROUP BY a"),
        ("counts", "SELECT v, count(DISTINCT c) AS n FROM t GROUP BY v"),
        ("joins", "SELECT x.id, y.id AS other FROM t x JOIN t y ON x.c = y.c"),
    ];
    for (name, query) in queries {
        create(&mut session, name, query);
    }
    session.run("INSERT INTO t SELECT i, (ARRAY['a', 'A', 'ab', 'AB', 'Ab', ''])[i % 6 + 1], ARRAY['x', (ARRAY['y', 'Y'])[i % 2 + 1]], i % 3 FROM generate_series(1, 40) i");
    session.run("DELETE FROM t WHERE id % 5 = 0");
    for (name, query) in queries {
        Oracle::new(name, query).assert_equal(&mut session);
    }
}
