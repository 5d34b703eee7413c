//! Every native aggregate against PostgreSQL's own, over groups of edge values that come and go: the same text after each
//! change, display scale included; floats with tolerance.

use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Session};

/// A type, its edge values, and its aggregates whose results the content of the group determines to the last digit.
struct Case {
    ty: &'static str,
    values: &'static [&'static str],
    exact: &'static [&'static str],
    approximate: &'static [&'static str],
}

const VARIANCE: &[&str] = &["variance", "var_pop", "var_samp", "stddev", "stddev_pop", "stddev_samp"];

const CASES: &[Case] = &[
    Case {
        ty: "int2",
        values: &["0", "1", "-1", "7", "32767", "-32768", "255", "NULL"],
        exact: &["count", "sum", "avg", "min", "max", "bit_and", "bit_or", "bit_xor"],
        approximate: &[],
    },
    Case {
        ty: "int4",
        values: &["0", "1", "-1", "3", "-100", "2147483647", "-2147483648", "65536", "NULL"],
        exact: &["count", "sum", "avg", "min", "max", "bit_and", "bit_or", "bit_xor"],
        approximate: &[],
    },
    Case {
        ty: "int8",
        values: &["0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808", "1000000007", "NULL"],
        exact: &["count", "sum", "avg", "min", "max", "bit_and", "bit_or", "bit_xor"],
        approximate: &[],
    },
    Case {
        ty: "numeric",
        values: &[
            "0",
            "0.000",
            "1",
            "1.50",
            "-2.250",
            "3",
            "99999999999999999999999.5",
            "0.00000000000001",
            "123456789.123456789",
            "-7.77",
            "1e20",
            "1e-40",
            "9999",
            "10000",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "NULL",
        ],
        exact: &["count", "sum", "avg"],
        approximate: &["min", "max"],
    },
    Case {
        ty: "interval",
        values: &[
            "'0'",
            "'1 day'",
            "'23 hours'",
            "'1 month'",
            "'-1 month 33 days'",
            "'1 year 2 mons -3 days 04:05:06.789012'",
            "'0.000001 seconds'",
            "'-100 years'",
            "'31 days 23:59:59.999999'",
            "'infinity'",
            "NULL",
        ],
        exact: &["count", "sum", "avg"],
        approximate: &[],
    },
    Case {
        ty: "timetz",
        values: &["'10:00+01'", "'09:00+00'", "'10:00+02'", "'23:59:59.999999-12'", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "bool",
        values: &["true", "false", "NULL"],
        exact: &["count", "bool_and", "bool_or", "every"],
        approximate: &[],
    },
    Case {
        ty: "oid",
        values: &["0", "1", "2147483648", "4294967295", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "text",
        values: &["''", "'a'", "'A'", "'ä'", "U&'a\\0308'", "'a '", "'𝄞'", "'日本'", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "bpchar",
        values: &["''", "'a'", "'a '", "'A'", "'ä'", "'a b'", "'𝄞  '", "NULL"],
        exact: &["count"],
        approximate: &["min", "max"],
    },
    Case {
        ty: "date",
        values: &["'infinity'", "'-infinity'", "'4714-11-24 BC'", "'5874897-12-31'", "'2024-02-29'", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "time",
        values: &["'00:00'", "'24:00'", "'23:59:60'", "'12:00:00.000001'", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "timestamp",
        values: &[
            "'infinity'",
            "'-infinity'",
            "'4714-11-24 BC'",
            "'294276-12-31 23:59:59.999999'",
            "'2016-12-31 23:59:60'",
            "NULL",
        ],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "timestamptz",
        values: &[
            "'infinity'",
            "'-infinity'",
            "'2024-10-27 00:30+00'",
            "'2024-10-27 02:30+01'",
            "'2024-10-27 02:30+02'",
            "NULL",
        ],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "bytea",
        values: &["''", "'\\x00'", "'\\x0000'", "'\\xff'", "'\\x00ff'", "NULL"],
        exact: &["count", "min", "max"],
        approximate: &[],
    },
    Case {
        ty: "float8",
        // Of others, PostgreSQL's variance of equal values is what its rounding leaves, where ours is 0.
        values: &[
            "0",
            "'-0'",
            "1",
            "-1.5",
            "0.125",
            "1048576",
            "0.0009765625",
            "123456.75",
            "-1e6",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "NULL",
        ],
        exact: &["count"],
        approximate: &["sum", "avg", "min", "max"],
    },
    Case {
        ty: "float4",
        values: &["0", "'-0'", "1", "-1.5", "0.25", "1000000", "'NaN'", "'Infinity'", "'-Infinity'", "NULL"],
        exact: &["count"],
        approximate: &["sum", "avg", "min", "max"],
    },
];

impl Case {
    fn columns(&self) -> Vec<(&'static str, bool)> {
        let float = self.ty.starts_with("float");
        let numbers = ["int2", "int4", "int8", "numeric", "float4", "float8"];
        let variance = if numbers.contains(&self.ty) { VARIANCE } else { &[] };
        let exact = self.exact.iter().map(|name| (*name, true));
        let approximate = self.approximate.iter().map(|name| (*name, false));
        exact.chain(approximate).chain(variance.iter().map(|name| (*name, !float))).collect()
    }

    /// The stream tables that show the type's aggregates: of all values, of some, and of each value once.
    fn oracles(&self) -> Vec<Oracle> {
        let columns = self.columns();
        let oracle = |suffix: &str, call: &dyn Fn(&str) -> String, all_exact: bool| {
            let list: Vec<String> =
                columns.iter().enumerate().map(|(at, (name, _))| format!("{} AS c{at}", call(name))).collect();
            let query = format!("SELECT g, {} FROM t_{} GROUP BY g", list.join(", "), self.ty);
            let tolerated: Vec<String> = columns
                .iter()
                .enumerate()
                .filter(|(_, (name, exact))| !(*exact && (all_exact || *name == "count")))
                .map(|(at, _)| format!("c{at}"))
                .collect();
            let tolerated: Vec<&str> = tolerated.iter().map(String::as_str).collect();
            Oracle::new(&format!("{}_{suffix}", self.ty), &query).approximate(&tolerated)
        };
        // Which of equal values is taken once shows in a scale, or in how many months there are.
        let exact_once = !["numeric", "interval"].contains(&self.ty);
        vec![
            oracle("all", &|name| format!("{name}(v)"), true),
            oracle("some", &|name| format!("{name}(v) FILTER (WHERE f)"), true),
            oracle("once", &|name| format!("{name}(DISTINCT v)"), exact_once),
        ]
    }

    fn row(&self, random: &mut Random) -> String {
        let value = self.values[random.below(self.values.len())];
        format!("({}, {value}, {})", random.below(40), ["true", "false", "NULL"][random.below(3)])
    }
}

fn plan(session: &mut Session, query: &str) -> String {
    session.value(&format!("SELECT string_agg(line, ' ') FROM pgtrickle.explain($query${query}$query$) AS line"))
}

/// A random change of the type's table, of a few groups.
fn change(session: &mut Session, random: &mut Random, case: &Case) {
    let group = random.below(40);
    let rows: Vec<String> = (0..1 + random.below(30)).map(|_| case.row(random)).collect();
    let table = format!("t_{}", case.ty);
    session.run(&match random.below(5) {
        0 => format!("DELETE FROM {table} WHERE g = {group}"),
        1 => format!("UPDATE {table} SET v = {} WHERE g = {group}", case.values[random.below(case.values.len())]),
        2 => format!("DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} ORDER BY md5(ctid::text) LIMIT 20)"),
        _ => format!("INSERT INTO {table} VALUES {}", rows.join(", ")),
    });
}

#[test]
fn native_aggregates_are_postgresql_s() {
    let mut random = Random::new(Random::seed("aggregates"));
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    let mut oracles = Vec::new();
    for case in CASES {
        session.run(&format!("CREATE TABLE t_{} (g int, v {}, f bool)", case.ty, case.ty));
        for oracle in case.oracles() {
            session.rows(&format!(
                "SELECT pgtrickle.create_stream_table('{}', $query${}$query$, schedule => '1 hour', refresh_mode => 'differential')",
                oracle.name, oracle.query
            ));
            let collected = plan(&mut session, &oracle.query).contains("by PostgreSQL");
            // Of values that are equal and not the same, which is taken once is PostgreSQL's choice.
            let chosen = ["numeric_once", "interval_once"].contains(&oracle.name.as_str());
            assert_eq!(collected, chosen, "{}", oracle.query);
            oracles.push(oracle);
        }
    }
    for _ in 0..12 {
        for case in CASES {
            (0..6).for_each(|_| change(&mut session, &mut random, case));
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        oracles.iter().for_each(|oracle| oracle.assert_equal_now(&mut session));
    }
}

#[test]
fn native_regressions_are_postgresql_s() {
    let mut random = Random::new(Random::seed("regressions"));
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE pairs (g int, y float8, x float8)");
    let names = [
        "regr_sxx",
        "regr_syy",
        "regr_sxy",
        "regr_avgx",
        "regr_avgy",
        "regr_slope",
        "regr_intercept",
        "regr_r2",
        "corr",
        "covar_pop",
        "covar_samp",
        "regr_count",
    ];
    let list: Vec<String> = names.iter().map(|name| format!("{name}(y, x) AS {name}_")).collect();
    let query = format!("SELECT g, {} FROM pairs GROUP BY g", list.join(", "));
    let tolerated: Vec<String> = names[..11].iter().map(|name| format!("{name}_")).collect();
    let tolerated: Vec<&str> = tolerated.iter().map(String::as_str).collect();
    let oracle = Oracle::new("regressions", &query).approximate(&tolerated);
    session.rows(&format!("SELECT pgtrickle.create_stream_table('regressions', '{query}', schedule => '1 hour')"));
    let plan = plan(&mut session, &query);
    assert!(!plan.contains("by PostgreSQL"), "{plan}");
    // Numbers whose products are exact, so that a sum of deviations that is zero is zero in PostgreSQL too.
    let values = ["0", "1", "2", "-3.5", "8", "100", "NULL"];
    let special = ["'NaN'", "'Infinity'", "'-Infinity'"];
    for _ in 0..15 {
        for _ in 0..10 {
            let group = random.below(20);
            let mut value = || {
                let of: &[&str] = if random.chance(4) { &special } else { &values };
                of[random.below(of.len())]
            };
            let rows: Vec<String> = (0..4).map(|_| format!("({group}, {}, {})", value(), value())).collect();
            session.run(&match random.below(4) {
                0 => format!("DELETE FROM pairs WHERE g = {group} AND (y < 3 OR x > 50)"),
                1 => {
                    format!("DELETE FROM pairs WHERE x >= 'Infinity' OR x < '-1e300' OR y >= 'Infinity' OR g = {group}")
                }
                _ => format!("INSERT INTO pairs VALUES {}", rows.join(", ")),
            });
        }
        oracle.assert_equal(&mut session);
    }
}

/// A group on which an aggregate fails is shown by its key, whatever types the columns before it have.
#[test]
fn groups_that_fail_are_shown_by_their_keys() {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, n int8, s text, x numeric)");
    session.run("INSERT INTO t VALUES (1, 1, '5', 1.0), (2, 2, '5', 2.50)");
    let queries = [
        ("sums", "SELECT sum(n::int8 * 3) AS n, avg(n + id) AS a, s FROM t GROUP BY s"),
        ("collected", "SELECT array_agg((s || n)::numeric ORDER BY id) AS c, md5(s) AS s FROM t GROUP BY md5(s)"),
        ("numbers", "SELECT array_agg(10 / n ORDER BY id) AS c, x FROM t GROUP BY x"),
        (
            "two_keys",
            "SELECT max(n) AS n, array_agg((s || 1)::numeric) AS c, s || 'x' AS k, x + 1 AS y FROM t
              GROUP BY s || 'x', x + 1",
        ),
    ];
    for (name, query) in queries {
        session.run(&format!("SELECT pgtrickle.create_stream_table('{name}', $q${query}$q$, schedule => '1 hour')"));
    }
    session.run("INSERT INTO t VALUES (3, 1, 'bad', 7.00), (4, 1, 'bad', 7.0)");
    session.error("SELECT pgtrickle.refresh_all()");
    let shown = |session: &mut Session, name: &str| {
        session.value(&format!("SELECT string_agg(row_text, ' ' ORDER BY row_text) FROM pgtrickle.errors('{name}')"))
    };
    assert_eq!(shown(&mut session, "collected"), format!("({})", session.value("SELECT md5('bad')")));
    assert_eq!(shown(&mut session, "two_keys"), "(badx, 8)");
    assert_eq!(session.value("SELECT count(*) FROM sums WHERE s = 'bad'"), "1");
    session.run("DELETE FROM t WHERE id > 2");
    session.run("SELECT pgtrickle.refresh_all()");
    for (name, query) in queries {
        Oracle::new(name, query).assert_equal(&mut session);
    }
}
