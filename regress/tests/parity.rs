//! Every native function and form of expression against PostgreSQL's own, over edge values and random ones: the same result
//! to the byte of its text, the same error where there is one.

use std::collections::BTreeMap;

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

/// (pg_proc OID, argument kinds) of all native functions, as the engine's table lists them.
fn native_functions() -> Vec<(u32, Vec<String>)> {
    let table = include_str!("../../operators/src/expr/table.rs");
    let mut found = Vec::new();
    for line in table.lines().map(str::trim) {
        let Some((kind, rest)) = line.split_once('(').filter(|(kind, _)| ["unary", "binary"].contains(kind)) else {
            continue;
        };
        let oid = rest.split(',').next().and_then(|oid| oid.parse().ok()).expect("a line begins with an OID");
        let kinds: Vec<String> =
            rest.split("Kind::").skip(1).map(|part| part.split([',', ')']).next().unwrap_or("").to_string()).collect();
        let arguments = if kind == "unary" { 1 } else { 2 };
        found.push((oid, kinds[..arguments].to_vec()));
    }
    found
}

/// A kind's SQL type and edge values.
fn values(kind: &str) -> (&'static str, &'static [&'static str]) {
    match kind {
        "Bool" => ("bool", &["true", "false"]),
        "Int2" => ("int2", &["0", "1", "-1", "3", "32767", "-32768", "-7"]),
        "Int4" => ("int4", &["0", "1", "-1", "2", "7", "2147483647", "-2147483648", "-1000", "393222"]),
        "Int8" => {
            ("int8", &["0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808", "4294967296", "-40000"])
        }
        "Oid" => ("oid", &["0", "1", "4294967295"]),
        "Float4" => (
            "float4",
            &[
                "0",
                "-0",
                "1",
                "1.5",
                "2.5",
                "-3.25",
                "NaN",
                "Infinity",
                "-Infinity",
                "3.4e38",
                "1e-45",
                "0.1",
                "32767.5",
            ],
        ),
        "Float8" => (
            "float8",
            &[
                "0",
                "-0",
                "1",
                "0.5",
                "1.5",
                "2.5",
                "-3.25",
                "NaN",
                "Infinity",
                "-Infinity",
                "1.7e308",
                "5e-324",
                "0.1",
                "2147483647.5",
                "9.3e18",
                "1e40",
                "1e-50",
            ],
        ),
        "Numeric" => (
            "numeric",
            &[
                "0",
                "0.00",
                "1",
                "1.0",
                "-1.50",
                "2.5",
                "-2.5",
                "0.5",
                "NaN",
                "Infinity",
                "-Infinity",
                "123456789.123456789",
                "-99999999999999999999.9",
                "0.00000000000000000001",
                "1e30",
                "32767.5",
                "2147483648",
                "9223372036854775807.4",
                "3",
                "10000",
                "9999.9999",
                "1e-130",
                "7.000",
            ],
        ),
        // With characters that combine, and some beyond the basic plane.
        "Text" => {
            ("text", &["", "a", "b", "ab", "A", "ä", "a\u{308}", "日本", "a ", "Z", "𝄞", "👩\u{200d}👧", "\u{fffd}"])
        }
        "Bpchar" => ("char(3)", &["", "a", "b", "a b", "ä", "a\u{308}", "𝄞", "a\t"]),
        "Bytea" => ("bytea", &["", "\\x00", "\\x0001", "\\xff"]),
        "Date" => (
            "date",
            &["2000-01-01", "1970-01-01", "infinity", "-infinity", "5874897-12-31", "4714-11-24 BC", "2024-02-29"],
        ),
        "Time" => ("time", &["00:00", "23:59:59.999999", "12:00", "24:00", "23:59:60"]),
        "TimeTz" => ("timetz", &["10:00+01", "09:00+00", "10:00+00", "24:00+00", "00:00+00", "23:59:60-15:59"]),
        "Timestamp" => (
            "timestamp",
            &[
                "2000-01-01",
                "infinity",
                "-infinity",
                "1999-12-31 23:59:59.999999",
                "2016-12-31 23:59:60",
                "4714-11-24 00:00:00 BC",
                "0001-12-31 23:59:59.999999 BC",
                "294276-12-31 23:59:59.999999",
            ],
        ),
        "TimestampTz" => (
            "timestamptz",
            &[
                "2000-01-01 00:00+00",
                "infinity",
                "-infinity",
                "2024-03-31 01:30+00",
                "2016-12-31 23:59:60+00",
                "4714-11-24 00:00:00+00 BC",
                "294276-12-31 23:59:59.999999+00",
            ],
        ),
        "Interval" => (
            "interval",
            &[
                "1 day",
                "24 hours",
                "1 month",
                "30 days",
                "-1 day",
                "infinity",
                "-infinity",
                "1 month -30 days",
                "-1 month 720 hours",
                "178956970 years 7 months 2147483647 days",
                "-178956970 years -8 months -2147483648 days",
                "0.000001 seconds",
                "2562047788:00:54.775807",
            ],
        ),
        "Uuid" => ("uuid", &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        other => panic!("no values of kind {other}"),
    }
}

/// A random value of a kind: of any magnitude, and near no edge in particular.
fn random_value(random: &mut Random, kind: &str) -> String {
    let bits = |random: &mut Random| {
        let whole = random.below(1 << 32) as u64 | (random.below(1 << 32) as u64) << 32;
        (whole as i64) >> random.below(64)
    };
    let day = |random: &mut Random| {
        let era = if random.chance(5) { " BC" } else { "" };
        let (year, month, day) = (1 + random.below(4000), 1 + random.below(12), 1 + random.below(28));
        (format!("{year:04}-{month:02}-{day:02}"), era)
    };
    let time = |random: &mut Random| {
        let fraction = random.below(1_000_000) / [1, 1000, 1_000_000][random.below(3)];
        format!("{:02}:{:02}:{:02}.{fraction:06}", random.below(24), random.below(60), random.below(60))
    };
    match kind {
        "Bool" => ["true", "false"][random.below(2)].into(),
        "Int2" => (bits(random) as i16).to_string(),
        "Int4" => (bits(random) as i32).to_string(),
        "Int8" => bits(random).to_string(),
        "Oid" => (bits(random) as u32).to_string(),
        "Float4" => format!("{:e}", bits(random) as f32 * 10f32.powi(random.below(30) as i32 - 15)),
        "Float8" => format!("{:e}", bits(random) as f64 * 10f64.powi(random.below(300) as i32 - 150)),
        "Numeric" => {
            let mut digits = |most: usize| -> String {
                (0..random.below(most)).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
            };
            let (whole, fraction) = (digits(30), digits(25));
            let sign = if random.chance(40) { "-" } else { "" };
            format!("{sign}0{whole}{}{fraction}", if fraction.is_empty() { "" } else { "." })
        }
        "Text" | "Bpchar" => {
            let parts = ["a", "B", "z", " ", "ä", "\u{301}", "ß", "日", "𝄞", "\u{7f}", "~"];
            (0..random.below(4)).map(|_| parts[random.below(parts.len())]).take(3).collect()
        }
        "Bytea" => {
            let bytes: Vec<String> = (0..random.below(6)).map(|_| format!("{:02x}", random.below(256))).collect();
            format!("\\x{}", bytes.concat())
        }
        "Date" => {
            let (day, era) = day(random);
            format!("{day}{era}")
        }
        "Time" => time(random),
        "TimeTz" => format!("{}{:+03}:{:02}", time(random), random.below(31) as i64 - 15, 15 * random.below(4)),
        "Timestamp" => {
            let (day, era) = day(random);
            format!("{day} {}{era}", time(random))
        }
        "TimestampTz" => {
            let (day, era) = day(random);
            format!("{day} {}{:+03}{era}", time(random), random.below(29) as i64 - 14)
        }
        "Interval" => {
            let mut part = || random.below(100) as i64 - 50;
            format!("{} months {} days {}.{:06} seconds", part(), part(), part() * 10_000, part().abs() * 19_999)
        }
        "Uuid" => {
            let digits: String =
                (0..32).map(|_| char::from_digit(random.below(16) as u32, 16).unwrap_or('0')).collect();
            digits
        }
        other => panic!("no random values of kind {other}"),
    }
}

fn literal(kind: &str, value: &str) -> String {
    format!("'{}'::{}", value.replace('\'', "''"), values(kind).0)
}

fn source(session: &mut Session, random: &mut Random, kinds: &[String]) -> String {
    let name = format!("src_{}", kinds.join("_").to_lowercase());
    if session.value(&format!("SELECT to_regclass('{name}') IS NULL")) == "f" {
        return name;
    }
    let list = |kind: &str| {
        let (ty, values) = values(kind);
        let quoted: Vec<String> =
            values.iter().map(|value| format!("('{value}'::{ty})")).chain(["(NULL)".into()]).collect();
        format!("(VALUES {})", quoted.join(", "))
    };
    let from: Vec<String> =
        kinds.iter().enumerate().map(|(at, kind)| format!("{} AS v{at} (a{at})", list(kind))).collect();
    session.run(&format!("CREATE TABLE {name} AS SELECT row_number() OVER () AS id, * FROM {}", from.join(", ")));
    let rows: Vec<String> = (0..60)
        .map(|number| {
            let row: Vec<String> = kinds.iter().map(|kind| literal(kind, &random_value(random, kind))).collect();
            format!("({}, {})", 100_000 + number, row.join(", "))
        })
        .collect();
    session.run(&format!("INSERT INTO {name} VALUES {}", rows.join(", ")));
    name
}

#[test]
fn native_functions_are_postgresql_s() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut random = Random::new(Random::seed("native functions"));
    session.run(
        "CREATE FUNCTION attempt(call text, OUT result text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$ \
         BEGIN EXECUTE 'SELECT (' || call || ')::text' INTO result; \
         EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT; END $$",
    );
    session.run("SET extra_float_digits = 3");
    let functions = native_functions();
    assert!(functions.len() > 200, "{} functions", functions.len());
    let mut wrong = Vec::new();
    let mut fallible = BTreeMap::new();
    for (oid, kinds) in &functions {
        let table = source(&mut session, &mut random, kinds);
        let name = session.value(&format!(
            "SELECT format('%I.%I', pronamespace::regnamespace, proname) FROM pg_proc WHERE oid = {oid}"
        ));
        let columns: Vec<String> = (0..kinds.len()).map(|at| format!("a{at}")).collect();
        let call = format!("{name}({})", columns.join(", "));
        let placeholders: Vec<String> = kinds.iter().map(|kind| format!("%L::{}", values(kind).0)).collect();
        let literal = format!("format('{name}({})', {})", placeholders.join(", "), columns.join(", "));
        session.run(&format!("DROP TABLE IF EXISTS expected_{oid}"));
        session
            .run(&format!("CREATE TABLE expected_{oid} AS SELECT id, e.* FROM {table}, LATERAL attempt({literal}) e"));
        // Rows on which it raises are fed after the others: they must be errors, and hold the content back.
        let good = format!("good_{oid}");
        session.run(&format!(
            "CREATE TABLE {good} AS SELECT t.* FROM {table} t JOIN expected_{oid} e USING (id) WHERE e.code IS NULL"
        ));
        let query = format!("SELECT id, {call} AS r FROM {good}");
        let plan = session.rows(&format!("SELECT pgtrickle.explain($q${query}$q$)"));
        let plan: Vec<String> = plan.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
        assert!(!plan.join("\n").contains("PostgreSQL"), "{name} is native\n{}", plan.join("\n"));
        session.run(&format!("SELECT pgtrickle.create_stream_table('st_{oid}', $q${query}$q$, schedule => '1 hour')"));
        fallible.insert(*oid, (name, table, query));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    for (oid, (name, table, query)) in &fallible {
        // What filled the table was PostgreSQL: an update of each row has the engine compute it.
        session.run(&format!("DELETE FROM good_{oid}"));
        session.rows(&format!("SELECT pgtrickle.refresh_stream_table('st_{oid}')"));
        session.run(&format!(
            "INSERT INTO good_{oid} SELECT t.* FROM {table} t JOIN expected_{oid} e USING (id) WHERE e.code IS NULL"
        ));
        session.rows(&format!("SELECT pgtrickle.refresh_stream_table('st_{oid}')"));
        if let Some(difference) = Oracle::new(&format!("st_{oid}"), query).difference(&mut session) {
            wrong.push(format!("{name} ({oid}):\n{difference}"));
        }
        let errors = format!("SELECT code, message, count(*)::text FROM expected_{oid} WHERE code IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2");
        let expected = session.rows(&errors);
        if expected.is_empty() {
            continue;
        }
        session.run(&format!(
            "INSERT INTO good_{oid} SELECT t.* FROM {table} t JOIN expected_{oid} e USING (id) WHERE e.code IS NOT NULL"
        ));
        let refused = session.error(&format!("SELECT pgtrickle.refresh_stream_table('st_{oid}')"));
        assert_eq!(refused.sqlstate, "55000", "{name}: {refused:?}");
        let found = session.rows(&format!(
            "SELECT sqlstate, message, sum(occurrences)::text FROM pgtrickle.errors('st_{oid}') GROUP BY 1, 2 ORDER BY 1, 2"
        ));
        if found != expected {
            wrong.push(format!("{name} ({oid}): errors\n  of the engine  {found:?}\n  of PostgreSQL  {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} functions differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Conditions and values over `a`, `b` and `c` of any kind; `$list` is some literals.
const FORMS: &[&str] = &[
    "a IS NULL",
    "a IS NOT NULL AND b IS NULL",
    "a = b",
    "a <> b OR c IS NULL",
    "a < b",
    "NOT (a >= b AND b <= c)",
    "a > b AND b > c OR a = c",
    "a BETWEEN b AND c",
    "a NOT BETWEEN SYMMETRIC b AND c",
    "a IS DISTINCT FROM b",
    "a IS NOT DISTINCT FROM b",
    "nullif(a, b)",
    "coalesce(a, b, c)",
    "coalesce(nullif(a, b), c)",
    "CASE WHEN a = b THEN a WHEN a < c THEN c ELSE b END",
    "CASE a WHEN b THEN 1 WHEN c THEN 2 END",
    "CASE WHEN a IS NULL THEN b = c WHEN b IS NULL THEN NULL ELSE a < b END",
    "(a < b) IS TRUE",
    "(a < b) IS NOT TRUE",
    "(a = b) IS FALSE",
    "(a = b) IS NOT FALSE",
    "(a > c) IS UNKNOWN",
    "(a > c OR b = c) IS NOT UNKNOWN",
    "a IN ($list)",
    "a NOT IN ($list)",
    "a IN ($list, NULL)",
    "b NOT IN ($list, NULL)",
    "(a IN ($list)) = (b IN ($list))",
];

/// The same of one kind.
const OF_KIND: &[(&str, &[&str])] = &[
    (
        "Bool",
        &[
            "a AND b OR NOT c",
            "(a OR b) AND (b OR c)",
            "NOT (a AND NOT b)",
            "a IS TRUE OR b IS NOT FALSE",
            "CASE WHEN a THEN b ELSE c END",
            "a::int",
        ],
    ),
    (
        "Int4",
        &[
            "CASE WHEN a <> 0 THEN 1000 % a END",
            "a = 0 OR 1000 / a > 3",
            "NOT (a <> 0 AND 100 / a > 3 AND b > 0)",
            "b = 0 AND a > 0 OR b > 0 AND a / b > 1",
            "coalesce(nullif(a, 0), 7) % coalesce(nullif(b, 0), 3)",
            "a::int8 * b + c",
            "a::numeric / nullif(b, 0)",
            "a::numeric(12,2)",
            "a::float8 * b::float8",
            "(a & b) | ~c",
        ],
    ),
    (
        "Int8",
        &[
            "a::numeric * b",
            "a::numeric + 0.50",
            "a::float8 / nullif(b, 0)::float8",
            "a::numeric(25,3)",
            "(a & b) = (c | b)",
        ],
    ),
    ("Int2", &["a::int4 * b", "a + b::int4 - c::int8", "a::numeric(7,1)", "CASE WHEN b <> 0 THEN a::int4 / b END"]),
    (
        "Numeric",
        &[
            "a + b - c",
            "round(a, 2)",
            "round(a, -3)",
            "trunc(b, 1)",
            "ceil(a) - floor(b)",
            "abs(a) = sign(a) * a",
            "CASE WHEN b <> 0 THEN a / b END",
            "CASE WHEN c <> 0 THEN a % c END",
            "-a",
        ],
    ),
    (
        "Float8",
        &[
            "-a",
            "abs(a)",
            "a::numeric IS NULL",
            "a = b OR b = c",
            "CASE WHEN a > b THEN a WHEN b > a THEN b ELSE c END",
        ],
    ),
    ("Float4", &["a::float8", "a = b::float8", "-abs(a)"]),
    ("Text", &["length(a)", "octet_length(b) > length(b)", "CASE WHEN length(a) > length(b) THEN a ELSE c END"]),
];

/// AND, OR, NOT, CASE, COALESCE, NULLIF, IS, IN and BETWEEN over values of every kind, nested in each other.
#[test]
fn native_forms_are_postgresql_s() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut random = Random::new(Random::seed("native forms"));
    session.run("SET extra_float_digits = 3");
    let kinds = [
        "Bool",
        "Int2",
        "Int4",
        "Int8",
        "Oid",
        "Float4",
        "Float8",
        "Numeric",
        "Text",
        "Bpchar",
        "Bytea",
        "Date",
        "Time",
        "Timestamp",
        "TimestampTz",
        "Interval",
        "Uuid",
    ];
    let (mut oracles, mut wrong) = (Vec::new(), Vec::new());
    for kind in kinds {
        let table = format!("forms_of_{}", kind.to_lowercase());
        let (ty, edges) = values(kind);
        session.run(&format!("CREATE TABLE {table} (id int, a {ty}, b {ty}, c {ty})"));
        let list: Vec<String> = edges.iter().take(4).map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
        let own = OF_KIND.iter().filter(|known| known.0 == kind).flat_map(|known| known.1);
        let forms = FORMS.iter().chain(own).map(|form| form.replace("$list", &list.join(", ")));
        let columns: Vec<String> = forms.enumerate().map(|(at, form)| format!("{form} AS f{at}")).collect();
        let query = format!("SELECT id, {} FROM {table}", columns.join(", "));
        let plan = session.value(&format!("SELECT string_agg(line, E'\n') FROM pgtrickle.explain($q${query}$q$) line"));
        if plan.contains("PostgreSQL") {
            let foreign = plan.lines().skip_while(|line| !line.contains("PostgreSQL")).take(2).collect::<Vec<_>>();
            wrong.push(format!("{kind}: not native: {}", foreign.join(" ")));
        }
        session
            .run(&format!("SELECT pgtrickle.create_stream_table('st_{table}', $q${query}$q$, schedule => '1 hour')"));
        oracles.push(Oracle::new(&format!("st_{table}"), &query));
        let value = |random: &mut Random| match random.below(10) {
            0 => "NULL".to_string(),
            1..=3 => literal(kind, &random_value(random, kind)),
            _ => literal(kind, edges[random.below(edges.len())]),
        };
        let rows: Vec<String> = (0..400)
            .map(|id| {
                // Often two are the same.
                let (a, other) = (value(&mut random), value(&mut random));
                let b = if random.chance(25) { a.clone() } else { value(&mut random) };
                let c = if random.chance(25) { a.clone() } else { other };
                format!("({id}, {a}, {b}, {c})")
            })
            .collect();
        session.run(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
    }
    session.rows("SELECT pgtrickle.refresh_all()");
    for oracle in &oracles {
        wrong.extend(oracle.difference(&mut session).map(|difference| format!("{}: {difference}", oracle.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
