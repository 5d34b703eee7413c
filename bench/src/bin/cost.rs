//! `make bench-cost`: what the refresh after a change of 100 rows takes, by construct and by the size of what it is a change of.
//! The ratio of the largest size to the smallest is what tells O(change) from O(size). Prints measurements; judges nothing.

use std::time::Instant;

use trickle_regress::{Cluster, Session};

const ROUNDS: usize = 5;

/// Name and query over `t (id, k, g, v, s)`, where k has a value for each ten rows and g one for each hundred, and
/// `u (k, w)`, with a row for each k.
const CONSTRUCTS: &[(&str, &str)] = &[
    ("filter and project", "SELECT id, v * 2 AS d FROM t WHERE v > 10"),
    ("join", "SELECT t.id, t.v, u.w FROM t JOIN u ON u.k = t.k"),
    ("outer join", "SELECT t.id, t.v, u.w FROM t LEFT JOIN u ON u.k = t.k AND u.w > 3"),
    ("semijoin", "SELECT id, v FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k AND u.w > 3)"),
    ("antijoin", "SELECT id, v FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.k = t.k AND u.w > 3)"),
    ("GROUP BY, sum", "SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g"),
    ("min and max", "SELECT g, min(v) AS least, max(v) AS most FROM t GROUP BY g"),
    ("count(DISTINCT)", "SELECT g, count(DISTINCT v) AS n FROM t GROUP BY g"),
    ("DISTINCT", "SELECT DISTINCT k, v % 3 AS r FROM t"),
    ("UNION", "SELECT k FROM t UNION SELECT k FROM u"),
    ("EXCEPT", "SELECT k FROM u EXCEPT SELECT k FROM t WHERE v > 50"),
    ("top-k", "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 10"),
    ("top-k of groups", "SELECT DISTINCT ON (g) g, id, v FROM t ORDER BY g, v DESC, id"),
    ("window", "SELECT id, row_number() OVER (PARTITION BY g ORDER BY v, id) AS place FROM t"),
    ("window, neighbours", "SELECT id, lag(v) OVER (ORDER BY id) AS before, lead(v) OVER (ORDER BY id) AS after FROM t"),
    ("window, running max", "SELECT id, max(v) OVER (ORDER BY id) AS most FROM t"),
    ("window, running sum", "SELECT id, sum(v) OVER (ORDER BY id) AS total FROM t"),
    (
        "row_number() <= 3",
        "SELECT * FROM (SELECT id, g % 10 AS d, row_number() OVER (PARTITION BY g % 10 ORDER BY v, id) AS place FROM t) q \
         WHERE place <= 3",
    ),
    ("GROUPING SETS", "SELECT g, v % 10 AS d, count(*) AS n FROM t GROUP BY GROUPING SETS ((g), (g, v % 10))"),
    ("scalar subquery", "SELECT u.k, (SELECT sum(t.v) FROM t WHERE t.k = u.k) AS total FROM u"),
    ("set-returning", "SELECT t.id, e FROM t, unnest(ARRAY[t.v, t.v + 1]) AS e"),
    (
        "recursion",
        "WITH RECURSIVE r (id, n) AS (SELECT id, 1 FROM t WHERE v > 95 UNION \
         SELECT t.id, r.n + 1 FROM r JOIN t ON t.id = r.id + 1 WHERE r.n < 4) SELECT id, n FROM r",
    ),
];

fn main() {
    let mut sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    let mut costs: Vec<Vec<Option<Cost>>> = vec![Vec::new(); CONSTRUCTS.len()];
    for size in &sizes {
        let cluster = Cluster::builder()
            .purpose("cost")
            .set("shared_buffers", "1GB")
            .set("max_wal_size", "8GB")
            .set("pg_trickle.memory_limit_mb", "4096")
            .start();
        let mut session = cluster.session();
        session.run("CREATE EXTENSION pg_trickle");
        session.run(
            "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, g int NOT NULL, v int NOT NULL, s text NOT NULL);
             CREATE TABLE u (k int PRIMARY KEY, w int NOT NULL)",
        );
        session.run(&format!(
            "INSERT INTO t SELECT i, i / 10, i / 100, hashint4(i) & 127, 'row ' || i FROM generate_series(1, {size}) i"
        ));
        session.run(&format!("INSERT INTO u SELECT i, hashint4(i) & 7 FROM generate_series(0, {}) i", size / 10));
        // PostgreSQL runs each query once, to fill it.
        session.run("CREATE INDEX ON t (k)");
        session.run("VACUUM ANALYZE");
        for (at, (name, query)) in CONSTRUCTS.iter().enumerate() {
            costs[at].push(measure(&mut session, name, query, *size));
        }
    }
    print!("{:<20}", "100 rows changed of");
    sizes.iter().for_each(|size| print!("{size:>22}"));
    println!("{:>10}", "ratio");
    for ((name, _), costs) in CONSTRUCTS.iter().zip(&costs) {
        print!("{name:<20}");
        for cost in costs {
            match cost {
                Some(cost) => print!("{:>9.2} ms {:>5} rows", cost.milliseconds, cost.rows),
                None => print!("{:>22}", "in full"),
            }
        }
        match (costs.first(), costs.last()) {
            (Some(Some(first)), Some(Some(last))) => println!("{:>9.1}x", last.milliseconds / first.milliseconds),
            _ => println!("{:>10}", "-"),
        }
    }
}

#[derive(Clone)]
struct Cost {
    /// The median of the time from the request of a refresh to its commit.
    milliseconds: f64,
    /// Rows of the stream table that the change touches.
    rows: i64,
}

/// None if the query is not maintained incrementally.
fn measure(session: &mut Session, name: &str, query: &str, size: usize) -> Option<Cost> {
    session.run("SET client_min_messages = warning");
    session
        .run(&format!("SELECT pgtrickle.create_stream_table('measured', $query${query}$query$, schedule => '1 hour')"));
    session.run("SELECT pgtrickle.refresh_stream_table('measured')");
    let mode = session.value("SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name LIKE '%measured'");
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        if mode == "full" {
            break;
        }
        let step = size / 100;
        session
            .run(&format!("UPDATE t SET v = (v + 37) & 127 WHERE id % {step} = {} AND id <= {size}", round * 7 % step));
        let clock = Instant::now();
        session.run("SELECT pgtrickle.refresh_stream_table('measured')");
        let taken = clock.elapsed();
        let rows = session
            .value("SELECT rows_changed_last_cycle FROM pgtrickle.stream_table_status() WHERE name LIKE '%measured'");
        found.push((taken.as_secs_f64() * 1000.0, rows.parse().unwrap_or_default()));
    }
    session.run("SELECT pgtrickle.drop_stream_table('measured')");
    found.sort_by(|one, other| one.0.total_cmp(&other.0));
    let median = found.get(ROUNDS / 2);
    eprintln!("{size}: {name}: {median:?}");
    median.map(|(milliseconds, rows)| Cost { milliseconds: *milliseconds, rows: *rows })
}
