//! Every native function against PostgreSQL's own, over pairs of edge values: the same result to the byte of its text, the
//! same error where there is one.

use std::collections::BTreeMap;

use trickle_regress::oracle::Oracle;
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
        "Text" => ("text", &["", "a", "b", "ab", "A", "ä", "日本", "a ", "Z"]),
        "Bpchar" => ("char(3)", &["", "a", "b", "a b", "ä"]),
        "Bytea" => ("bytea", &["", "\\x00", "\\x0001", "\\xff"]),
        "Date" => (
            "date",
            &["2000-01-01", "1970-01-01", "infinity", "-infinity", "5874897-12-31", "4714-11-24 BC", "2024-02-29"],
        ),
        "Time" => ("time", &["00:00", "23:59:59.999999", "12:00"]),
        "TimeTz" => ("timetz", &["10:00+01", "09:00+00", "10:00+00"]),
        "Timestamp" => ("timestamp", &["2000-01-01", "infinity", "-infinity", "1999-12-31 23:59:59.999999"]),
        "TimestampTz" => ("timestamptz", &["2000-01-01 00:00+00", "infinity", "-infinity", "2024-03-31 01:30+00"]),
        "Interval" => ("interval", &["1 day", "24 hours", "1 month", "30 days", "-1 day", "infinity", "-infinity"]),
        "Uuid" => ("uuid", &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        other => panic!("no values of kind {other}"),
    }
}

fn source(session: &mut Session, kinds: &[String]) -> String {
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
    name
}

#[test]
fn native_functions_are_postgresql_s() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
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
        let table = source(&mut session, kinds);
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
