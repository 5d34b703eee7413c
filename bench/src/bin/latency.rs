//! `make bench-latency`: what a change costs on its way through a join and an aggregate over a million rows, and what
//! capture costs the writers. Prints measurements; judges nothing.

use std::time::{Duration, Instant};

use trickle_bench::percentiles::{milliseconds, Percentiles};
use trickle_regress::{Cluster, Session};

const ROWS: usize = 1_000_000;
const CUSTOMERS: usize = 1_000;
const SINGLE: usize = 1_000;
/// Changes whose refreshes are looked at by part; and how long each waits for the one before: history keeps single entries of
/// a table that is refreshed up to eight times a second.
const PACED: usize = 100;
const PACE: Duration = Duration::from_millis(150);

fn main() {
    let rows = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(ROWS);
    let cluster = Cluster::builder()
        .purpose("latency")
        .set("shared_buffers", "1GB")
        .set("max_wal_size", "8GB")
        .set("synchronous_commit", "off")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("CREATE TABLE customers (id int PRIMARY KEY, region text NOT NULL)");
    session.run("CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, amount numeric NOT NULL)");
    session.run("CREATE TABLE plain (LIKE orders INCLUDING ALL)");
    session.run(&format!("INSERT INTO customers SELECT i, 'region ' || i % 50 FROM generate_series(1, {CUSTOMERS}) i"));
    session.run(&format!(
        "INSERT INTO orders SELECT i, 1 + i % {CUSTOMERS}, i % 1000 * 0.25 FROM generate_series(1, {rows}) i"
    ));
    session.run("INSERT INTO plain SELECT * FROM orders");
    session.run("VACUUM ANALYZE");
    let created = Instant::now();
    session.run(
        "SELECT pgtrickle.create_stream_table('revenue', 'SELECT c.region, count(*) AS n, sum(o.amount) AS total \
           FROM orders o JOIN customers c ON c.id = o.customer GROUP BY c.region', schedule => '1 ms')",
    );
    session.run("SELECT pgtrickle.refresh_stream_table('revenue')");
    println!("{rows} rows: created and attached in {}", milliseconds(created.elapsed()));

    let mut visible = Percentiles::default();
    let mut watcher = cluster.session();
    let look = watcher.client().prepare("SELECT n FROM revenue WHERE region = 'region 1'").expect("a query");
    let before: i64 = watcher.client().query_one(&look, &[]).expect("a row").get(0);
    let insert = session.client().prepare("INSERT INTO orders VALUES ($1, 1, 1.25)").expect("a statement");
    for number in 0..SINGLE {
        let id = (rows * 2 + number) as i32;
        session.client().execute(&insert, &[&id]).expect("an insert");
        let committed = Instant::now();
        let expected = before + number as i64 + 1;
        while watcher.client().query_one(&look, &[]).expect("a row").get::<_, i64>(0) < expected {}
        visible.add(committed.elapsed());
    }
    println!("1-row change, commit to visible: {}", visible.summary());
    session.run("CREATE TEMPORARY TABLE began AS SELECT clock_timestamp() AS at");
    for number in 0..PACED {
        std::thread::sleep(PACE);
        let id = (rows * 2 + SINGLE + number) as i32;
        session.client().execute(&insert, &[&id]).expect("an insert");
    }
    let paced = "pgtrickle.refresh_history('revenue'), began WHERE refreshed_at > began.at AND rows_changed <= 2";
    session.wait("the history to be written", &format!("SELECT count(*) >= {PACED} * 9 / 10 FROM {paced}"));
    let parts = [
        ("wake to commit", "duration_ms"),
        ("cut", "cut_ms"),
        ("decode", "decode_ms"),
        ("dataflow", "delta_compute_ms - cut_ms - decode_ms"),
        ("apply", "merge_apply_ms"),
        ("commit", "commit_ms"),
    ];
    let select: Vec<String> = parts
        .iter()
        .flat_map(|(_, column)| ["0.5", "0.99"].map(|share| (column, share)))
        .map(|(column, share)| format!("percentile_cont({share}) WITHIN GROUP (ORDER BY {column})::numeric(10,3)"))
        .collect();
    let measured = session.rows(&format!("SELECT count(*), {} FROM {paced}", select.join(", ")));
    let cell = |at: usize| measured[0][at].clone().unwrap_or_default();
    println!("  in the worker ({} refreshes):", cell(0));
    for (at, (name, _)) in parts.iter().enumerate() {
        println!("    {name:<14}  p50 {:>6} ms  p99 {:>6} ms", cell(1 + 2 * at), cell(2 + 2 * at));
    }

    let bulk = |session: &mut Session, table: &str, base: usize| {
        let clock = Instant::now();
        session.run(&format!(
            "INSERT INTO {table} SELECT i, 1 + i % {CUSTOMERS}, 1 FROM generate_series({base}, {}) i",
            base + 99_999
        ));
        clock.elapsed()
    };
    let (mut with, mut without, mut through) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..5 {
        let base = rows * 3 + round * 200_000;
        without.push(bulk(&mut session, "plain", base));
        let clock = Instant::now();
        with.push(bulk(&mut session, "orders", base));
        session.run("SELECT pgtrickle.refresh_stream_table('revenue')");
        through.push(clock.elapsed());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (with, without, through) = (median(&mut with), median(&mut without), median(&mut through));
    println!(
        "100,000-row insert: {} without capture, {} with (x{:.2}); visible after {} ({:.0} rows/s)",
        milliseconds(without),
        milliseconds(with),
        with.as_secs_f64() / without.as_secs_f64(),
        milliseconds(through),
        100_000.0 / through.as_secs_f64()
    );
    let mut single = |table: &str, base: usize| {
        let statement =
            session.client().prepare(&format!("INSERT INTO {table} VALUES ($1, 2, 3)")).expect("a statement");
        let mut times = Percentiles::default();
        for number in 0..SINGLE {
            let clock = Instant::now();
            session.client().execute(&statement, &[&((base + number) as i32)]).expect("an insert");
            times.add(clock.elapsed());
        }
        times.at(50)
    };
    let base = rows * 3 + 1_000_000;
    let without = single("plain", base);
    let with = single("orders", base);
    println!(
        "1-row insert: {} without capture, {} with (x{:.2})",
        milliseconds(without),
        milliseconds(with),
        with.as_secs_f64() / without.as_secs_f64()
    );
}
