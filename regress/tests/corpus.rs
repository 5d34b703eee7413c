//! The oracle over the corpus: random statements on all sources from eight sessions at once, then every stream table must
//! be what its query gives, to the text of each column. The seed that is printed gives the same statements again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trickle_regress::cases::{otherwise, Case};
use trickle_regress::oracle::Oracle;
use trickle_regress::random::Random;
use trickle_regress::{Cluster, Locale, Session};

const SESSIONS: usize = 8;

/// All cases; with TRICKLE_CASES, those whose names begin with it.
fn cases() -> Vec<Case> {
    let files = [include_str!("../corpus/queries.sql"), include_str!("../corpus/subqueries.sql")];
    let wanted = std::env::var("TRICKLE_CASES").unwrap_or_default();
    let cases = files.into_iter().flat_map(trickle_regress::cases::parse);
    cases.filter(|case| case.name.starts_with(&wanted)).collect()
}

/// A literal of one of the sources' column types, often NULL, often one that there are many of.
fn literal(random: &mut Random, ty: &str) -> String {
    if random.chance(15) {
        return "NULL".into();
    }
    let some = |random: &mut Random, of: &[&str]| of[random.below(of.len())].to_string();
    match ty {
        "int" => (random.below(9) as i64 - 2).to_string(),
        "key" => (random.below(40) + 1).to_string(),
        "bool" => some(random, &["true", "false"]),
        "numeric" => some(
            random,
            &["0", "0.0", "1", "1.0", "1.00", "-2.50", "3.125", "'NaN'", "1e20", "0.00000001", "'Infinity'", "7"],
        ),
        "money" => some(random, &["1.00", "2.50", "3.99", "9.90", "0.05", "5"]),
        "float" => some(random, &["0", "'-0'", "'NaN'", "1.5", "-1.5", "0.1", "'Infinity'", "3"]),
        "text" => {
            some(random, &["''", "'a'", "'b'", "'ab'", "'A'", "'ä'", "'x'", "'paid'", "'zz'", "'a b'", "'north'"])
        }
        "bpchar" => some(random, &["'a'", "'a  '", "'b'", "''", "'abc'"]),
        "status" => some(random, &["'paid'", "'sent'", "'lost'", "'new'"]),
        "date" => some(random, &["'2024-01-01'", "'2024-02-29'", "'2024-06-01'", "'1999-12-31'"]),
        "timestamp" => {
            some(random, &["'2024-01-01 10:00'", "'2024-01-01 10:30:00.5'", "'2024-03-31 01:30'", "'1970-01-01'"])
        }
        "interval" => some(random, &["'1 day'", "'24 hours'", "'1 month'", "'30 days'", "'-1 day'", "'90 minutes'"]),
        "jsonb" => some(
            random,
            &["'{\"a\": 1}'", "'{\"a\": 1.0}'", "'{\"b\": [1, 2]}'", "'1'", "'1.00'", "'[1]'", "'\"x\"'", "'{}'"],
        ),
        "ints" => some(random, &["'{}'", "'{1,2}'", "'{1,NULL}'", "'{3}'", "'[0:1]={1,2}'"]),
        "body" => match random.below(3) {
            0 => "'short'".into(),
            1 => format!("repeat('{}', {})", ["a", "bc", "d"][random.below(3)], 2000 + random.below(4) * 1000),
            _ => format!("repeat(md5('{}'), 300)", random.below(4)),
        },
        other => panic!("no literal for {other}"),
    }
}

/// Values of a whole row of `wide` but its id.
fn wide(random: &mut Random) -> String {
    let types = [
        "bool",
        "int",
        "int",
        "int",
        "float",
        "float",
        "numeric",
        "money",
        "text",
        "text",
        "bpchar",
        "",
        "date",
        "",
        "",
        "timestamp",
        "timestamp",
        "interval",
        "",
        "",
        "jsonb",
        "ints",
    ];
    let special = |random: &mut Random, at: usize| -> String {
        let of: &[&str] = match at {
            11 => &["'\\x00ff'", "'\\x'", "NULL"],
            13 => &["'10:00'", "'23:59:59.999'", "NULL"],
            14 => &["'10:00+01'", "'09:00+00'", "NULL"],
            18 => &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'", "NULL"],
            _ => &["'{\"a\": 1}'", "'[]'", "NULL"],
        };
        of[random.below(of.len())].to_string()
    };
    let mut values: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(at, ty)| if ty.is_empty() { special(random, at) } else { literal(random, ty) })
        .collect();
    let rest: [&[&str]; 17] = [
        &["'{a,b}'", "'{}'", "NULL"],
        &["'[1,5)'", "'empty'", "NULL"],
        &["'{[1,3),[5,9)}'", "'{}'", "NULL"],
        &["'10.0.0.1'", "'10.0.0.1/24'", "NULL"],
        &["'10.0.0.0/8'", "NULL"],
        &["'08:00:2b:01:02:03'", "NULL"],
        &["B'0101'", "B'1111'", "NULL"],
        &["B'01'", "B'110'", "NULL"],
        &["'(1,2)'", "NULL"],
        &["'(1,1),(0,0)'", "NULL"],
        &["'12.50'", "'-1.00'", "NULL"],
        &["'a_name'", "NULL"],
        &["1", "4000000000", "NULL"],
        &["'0/16B3748'", "NULL"],
        &["'a cat sat'", "NULL"],
        &["'sad'", "'happy'", "NULL"],
        &["ROW(1,'x')::pair", "ROW(NULL,NULL)::pair", "NULL"],
    ];
    values.extend(rest.iter().map(|of| of[random.below(of.len())].to_string()));
    values.push(["1", "-100", "NULL"][random.below(3)].into());
    values.join(", ")
}

const WIDE_COLUMNS: &str =
    "id, b, i2, i4, i8, f4, f8, n, n2, t, v, c, bt, d, tm, ttz, ts, tz, iv, u, j, jb, ia, ta, r, mr, \
                            ip, net, mac, bits, vb, pt, bx, m, nm, o, lsn, tsv, e, p, s";

fn insert(random: &mut Random, table: &str) -> String {
    let key = random.below(60) + 1;
    let conflict = if random.chance(50) { "DO NOTHING" } else { "(id) DO UPDATE SET id = EXCLUDED.id" };
    match table {
        "wide" => format!("INSERT INTO wide ({WIDE_COLUMNS}) VALUES ({key}, {}) ON CONFLICT {conflict}", wide(random)),
        "keyless" => {
            let rows: Vec<String> = (0..1 + random.below(4))
                .map(|_| {
                    let (k, v) = (literal(random, "int"), literal(random, "numeric"));
                    format!("({k}, {v}, {}, {})", literal(random, "text"), literal(random, "float"))
                })
                .collect();
            format!("INSERT INTO keyless VALUES {}", rows.join(", "))
        }
        "edges" => format!("INSERT INTO edges SELECT {} + i % 2, i FROM generate_series(0, {}) i", random.below(6), random.below(4)),
        "customers" => format!(
            "INSERT INTO customers VALUES ({key}, {}, {}, {}) ON CONFLICT {conflict}",
            literal(random, "text"),
            literal(random, "text"),
            literal(random, "bool")
        ),
        "products" => format!(
            "INSERT INTO products VALUES ({key}, {}, {}, {}) ON CONFLICT {conflict}",
            literal(random, "text"),
            literal(random, "money"),
            literal(random, "text")
        ),
        "orders" => format!(
            "INSERT INTO orders SELECT i, {}, {}, {}, {}, {}, {}, {} FROM generate_series({}, {}) i ON CONFLICT DO NOTHING",
            literal(random, "key"),
            literal(random, "key"),
            literal(random, "int"),
            literal(random, "money"),
            literal(random, "status"),
            literal(random, "timestamp"),
            literal(random, "text"),
            key,
            key + random.below(4)
        ),
        _ => format!("INSERT INTO notes VALUES ({key}, {}) ON CONFLICT {conflict}", literal(random, "body")),
    }
}

fn update(random: &mut Random, table: &str) -> String {
    let (low, high) = {
        let low = random.below(60);
        (low, low + random.below(10))
    };
    match table {
        "wide" => {
            let columns = [
                ("i4", "int"),
                ("i8", "int"),
                ("t", "text"),
                ("n", "numeric"),
                ("f8", "float"),
                ("b", "bool"),
                ("iv", "interval"),
                ("jb", "jsonb"),
                ("ia", "ints"),
                ("c", "bpchar"),
                ("ts", "timestamp"),
            ];
            let (column, ty) = columns[random.below(columns.len())];
            format!("UPDATE wide SET {column} = {} WHERE id BETWEEN {low} AND {high}", literal(random, ty))
        }
        "keyless" => {
            let columns = [("k", "int"), ("v", "numeric"), ("w", "text"), ("f", "float")];
            let (column, ty) = columns[random.below(columns.len())];
            format!("UPDATE keyless SET {column} = {} WHERE k = {}", literal(random, ty), random.below(7))
        }
        "edges" => format!("UPDATE edges SET b = (b + 1) % 7 WHERE a = {}", random.below(7)),
        "customers" => format!(
            "UPDATE customers SET region = {}, vip = NOT vip WHERE id BETWEEN {low} AND {high}",
            literal(random, "text")
        ),
        "products" => format!(
            "UPDATE products SET price = {}, id = id WHERE id BETWEEN {low} AND {high}",
            literal(random, "money")
        ),
        "orders" => {
            let columns = [
                ("qty", "int"),
                ("customer_id", "key"),
                ("product_id", "key"),
                ("price", "money"),
                ("status", "status"),
                ("note", "text"),
            ];
            let (column, ty) = columns[random.below(columns.len())];
            format!("UPDATE orders SET {column} = {} WHERE id BETWEEN {low} AND {high}", literal(random, ty))
        }
        _ => format!(
            "UPDATE notes SET body = {} WHERE id = {low}",
            if random.chance(30) { "body".into() } else { literal(random, "body") }
        ),
    }
}

fn delete(random: &mut Random, table: &str) -> String {
    let low = random.below(60);
    match table {
        "keyless" => format!("DELETE FROM keyless WHERE k = {} OR w = {}", random.below(7), literal(random, "text")),
        "edges" => format!("DELETE FROM edges WHERE (a + b) % 5 = {}", random.below(5)),
        table => format!("DELETE FROM {table} WHERE id BETWEEN {low} AND {}", low + random.below(6)),
    }
}

const TABLES: [&str; 7] = ["wide", "keyless", "edges", "customers", "products", "orders", "notes"];

fn statement(random: &mut Random) -> String {
    let table = TABLES[random.below(TABLES.len())];
    match random.below(100) {
        0..45 => insert(random, table),
        45..78 => update(random, table),
        78..98 => delete(random, table),
        98 if table == "keyless" || table == "edges" => format!("TRUNCATE {table}"),
        _ => match table {
            "keyless" => {
                "INSERT INTO keyless SELECT i % 7, i % 5, 'w' || i % 3, i FROM generate_series(1, 40) i".into()
            }
            "edges" => "DELETE FROM edges".into(),
            table => format!("UPDATE {table} SET id = id + 1000 WHERE id = {}", random.below(60)),
        },
    }
}

/// One transaction: some statements, savepoints of which some are rolled back, and an end.
fn transaction(random: &mut Random, session: &mut Session) {
    let mut run = |sql: &str| match session.attempt(sql) {
        Ok(()) => true,
        // Other sessions do as they like: conflicts, deadlocks and cancelled waits are part of the game.
        Err(error) => {
            let expected = ["23505", "40P01", "40001", "25P02", "3B001", "55P03", "23502"];
            assert!(expected.contains(&error.sqlstate.as_str()), "{sql}: {error:?}");
            false
        }
    };
    if random.chance(40) {
        run(&statement(random));
        return;
    }
    run("BEGIN");
    if random.chance(6) {
        // What reads the table waits, with all that is connected to it, while the others go on writing.
        run(&format!("LOCK TABLE {}", TABLES[random.below(TABLES.len())]));
        run("SELECT pg_sleep(0.05)");
    }
    for _ in 0..1 + random.below(4) {
        if random.chance(25) {
            run("SAVEPOINT s");
            run(&statement(random));
            run(if random.chance(60) { "ROLLBACK TO s" } else { "RELEASE s" });
        } else {
            run(&statement(random));
        }
    }
    run(if random.chance(15) { "ROLLBACK" } else { "COMMIT" });
}

/// How stream tables are computed in a run.
struct Engine {
    native_expressions: &'static str,
    threads: &'static str,
}

fn run(locale: Locale, name: &str, time: Duration, engine: Engine) {
    let Engine { native_expressions: native, threads } = engine;
    let seed = Random::seed(name);
    let mut random = Random::new(seed);
    let cluster = Cluster::builder().locale(locale).set("lock_timeout", "2s").set("fsync", "off");
    let cluster = Arc::new(cluster.set("pg_trickle.max_parallel_workers", threads).start());
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("SET timezone = 'Europe/Berlin'");
    session.run(&format!("SET pg_trickle.native_expressions = {native}"));
    session.run(include_str!("../corpus/schema.sql"));
    for _ in 0..150 {
        let table = TABLES[random.below(TABLES.len())];
        session.run(&insert(&mut random, table));
    }
    let cases = cases();
    assert!(!cases.is_empty(), "no case of that name");
    let mut wrong = Vec::new();
    let mut hindered = Vec::new();
    for case in &cases {
        let schedule = ["1 ms", "20 ms", "1 hour"][random.below(3)];
        hindered.extend(case.create(&mut session, schedule).err());
    }
    assert!(hindered.is_empty(), "cases that cannot be created:\n{}", hindered.join("\n"));
    let pinned = format!(
        "SELECT bool_and('pg_trickle.native_expressions={native}' = ANY (settings)) FROM pgtrickle.stream_table"
    );
    assert_eq!(session.value(&pinned), "t");
    let otherwise = otherwise(&mut session, &cases);
    assert!(otherwise.is_empty(), "modes that are not as marked:\n{}", otherwise.join("\n"));
    let oracles: Vec<Oracle> = cases.iter().map(Case::oracle).collect();
    let end = Instant::now() + time;
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        let writers: Vec<_> = (0..SESSIONS)
            .map(|_| {
                let (mut random, cluster) = (random.fork(), Arc::clone(&cluster));
                std::thread::spawn(move || {
                    let mut session = cluster.session();
                    for _ in 0..6 {
                        transaction(&mut random, &mut session);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer ends well");
        }
        session.rows("SELECT pgtrickle.refresh_all()");
        for oracle in &oracles {
            if let Some(difference) = oracle.difference(&mut session) {
                wrong.push(format!("{}:\n{difference}", oracle.name));
            }
        }
        assert!(wrong.is_empty(), "seed {seed}, round {rounds}:\n{}", wrong.join("\n"));
        rounds += 1;
    }
    println!("{name}: {rounds} rounds of {} queries", oracles.len());
}

/// Seconds for each locale; TRICKLE_ORACLE_SECONDS makes it longer.
fn time() -> Duration {
    let seconds = std::env::var("TRICKLE_ORACLE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(40))
}

#[test]
fn the_corpus_follows_under_c() {
    let engine = Engine { native_expressions: "on", threads: "1" };
    run(Locale::C, "corpus under C", time(), engine);
}

#[test]
fn the_corpus_follows_under_the_builtin_provider() {
    let engine = Engine { native_expressions: "on", threads: "3" };
    run(Locale::Builtin, "corpus under the builtin provider", time(), engine);
}

#[test]
fn the_corpus_follows_under_libc() {
    match Locale::libc("en_US") {
        Some(locale) => {
            let engine = Engine { native_expressions: "on", threads: "1" };
            run(locale, "corpus under libc", time(), engine)
        }
        None => trickle_regress::skipped("locales cannot be made here"),
    }
}

/// The other evaluator: what the engine computes by itself, PostgreSQL computes for it.
#[test]
fn the_corpus_follows_without_native_expressions() {
    let engine = Engine { native_expressions: "off", threads: "2" };
    run(Locale::Builtin, "corpus without native expressions", time(), engine);
}
