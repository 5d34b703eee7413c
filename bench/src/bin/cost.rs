//! `make bench-cost`: what the refresh after a change of 100 rows takes, by construct and by the size of what it is a change
//! of. The ratio of the largest size to the smallest is what tells O(change) from O(size). Prints measurements; judges
//! nothing.
//!
//! What would make sizes differ for another reason is kept out: the changed rows are found by their key, lie in as many
//! groups at every size, and change as many rows of the result (the content repeats every hundred rows). What the filling
//! has left to do (merges) has been done, and is told separately. What is left is told apart: *other rows* each time, which
//! at a large size are in no processor cache, and *the same rows* again, which are; the worker's processor time, which
//! other work on the machine adds nothing to; and the parts of a refresh.

use std::time::{Duration, Instant};

use trickle_bench::percentiles::Percentiles;
use trickle_bench::split::{mark, Split};
use trickle_bench::worker::{Processor, Worker};
use trickle_regress::{Cluster, Session};

/// Rounds whose history is written one by one.
const BATCH: usize = 8;
/// Batches of other rows that are measured, after one that is not.
const BATCHES: usize = 2;

/// Name and query over `t (id, k, g, v, s)`, where k has a value for each ten rows and g one for each hundred, and
/// `u (k, w)`, with a row for each k.
const CONSTRUCTS: &[(&str, &str)] = &[
    ("filter and project", "SELECT id, v * 2 AS d FROM t WHERE v > 10"),
    ("join", "SELECT t.id, t.v, u.w FROM t JOIN u ON u.k = t.k"),
    ("outer join", "SELECT t.id, t.v, u.w FROM t LEFT JOIN u ON u.k = t.k AND u.w > 3"),
    ("semijoin", "SELECT id, v FROM t WHERE EXISTS (SELECT FROM u WHERE u.k = t.k AND u.w > 3)"),
    ("antijoin", "SELECT id, v FROM t WHERE NOT EXISTS (SELECT FROM u WHERE u.k = t.k AND u.w > 3)"),
    ("GROUP BY, sum", "SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g"),
    ("min and max", "SELECT k, min(v) AS least, max(v) AS most FROM t GROUP BY k"),
    ("count(DISTINCT)", "SELECT g, count(DISTINCT v) AS n FROM t GROUP BY g"),
    ("array_agg", "SELECT k, array_agg(v ORDER BY id) AS all FROM t GROUP BY k"),
    ("DISTINCT", "SELECT DISTINCT k, v % 30 AS r FROM t"),
    ("UNION", "SELECT k, v FROM t UNION SELECT k, w FROM u"),
    ("EXCEPT", "SELECT k, v % 16 FROM t EXCEPT SELECT k, w FROM u"),
    ("top-k", "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 10"),
    ("top-k of groups", "SELECT DISTINCT ON (k) k, id, v FROM t ORDER BY k, v DESC, id"),
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
    let (numbers, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.parse::<usize>().is_ok());
    let mut sizes: Vec<usize> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let constructs: Vec<_> = CONSTRUCTS.iter().filter(|(name, _)| wanted(name)).collect();
    let mut costs: Vec<Vec<Option<Cost>>> = vec![Vec::new(); constructs.len()];
    for size in &sizes {
        let cluster = Cluster::builder()
            .purpose("cost")
            .set("shared_buffers", "1GB")
            .set("max_wal_size", "8GB")
            .set("autovacuum", "off")
            .set("pg_trickle.memory_limit_mb", "4096")
            .start();
        let mut session = load(&cluster, *size);
        for ((name, query), costs) in constructs.iter().zip(&mut costs) {
            let cost = measure(&mut session, query, *size);
            match &cost {
                Some(cost) => eprintln!("{size} {name}: {cost}"),
                None => eprintln!("{size} {name}: in full"),
            }
            costs.push(cost);
        }
    }
    let rows: Vec<_> = constructs.iter().map(|(name, _)| *name).zip(costs).collect();
    print(&sizes, "100 rows changed of", &rows, |cost| &cost.other);
    print(&sizes, "the same 100 rows again", &rows, |cost| &cost.same);
}

fn load(cluster: &Cluster, size: usize) -> Session {
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("SET client_min_messages = warning");
    session.run(
        "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, g int NOT NULL, v int NOT NULL, s text NOT NULL);
         CREATE TABLE u (k int PRIMARY KEY, w int NOT NULL)",
    );
    session.run(&format!(
        "INSERT INTO t SELECT i, i / 10, i / 100, hashint4(i % 100) & 127, 'row ' || i FROM generate_series(0, {size} - 1) i"
    ));
    session.run(&format!("INSERT INTO u SELECT i, hashint4(i % 10) & 7 FROM generate_series(0, {size} / 10 - 1) i"));
    // PostgreSQL runs each query once, to fill it.
    session.run("CREATE INDEX ON t (k)");
    session.run("VACUUM ANALYZE");
    session
}

/// Prints a table: a row a construct; the processor time that the worker takes by size, how long it is until the refresh is
/// answered at the first and the last size, and the ratio of the last size to the first of each.
fn print(sizes: &[usize], what: &str, rows: &[(&str, Vec<Option<Cost>>)], of: impl Fn(&Cost) -> &Refreshes) {
    println!();
    print!("| {what} |");
    sizes.iter().for_each(|size| print!(" {size} |"));
    println!(" ratio | answered, first | last | ratio | rows that differ |");
    println!("|---|{}", "---|".repeat(sizes.len() + 5));
    for (name, costs) in rows {
        print!("| {name} |");
        for cost in costs {
            match cost {
                Some(cost) => print!(" {:.2} ms |", milliseconds(of(cost).processor.total())),
                None => print!(" in full |"),
            }
        }
        if let (Some(Some(first)), Some(Some(last))) = (costs.first(), costs.last()) {
            let (first, last) = (of(first), of(last));
            let [worker, answered] = [processor as fn(&Refreshes) -> Duration, wall].map(|part| {
                let (first, last) = (milliseconds(part(first)), milliseconds(part(last)));
                (first, last, last / first)
            });
            print!(" {:.1} |", worker.2);
            print!(" {:.2} ms | {:.2} ms | {:.1} |", answered.0, answered.1, answered.2);
        }
        let changed: Vec<usize> = costs.iter().flatten().map(|cost| cost.rows / BATCHES / BATCH).collect();
        match changed.first() {
            Some(first) if changed.iter().all(|rows| rows == first) => println!(" {first} |"),
            _ => println!(" {changed:?} |"),
        }
    }
}

fn processor(refreshes: &Refreshes) -> Duration {
    refreshes.processor.total()
}

fn wall(refreshes: &Refreshes) -> Duration {
    refreshes.wall
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One construct at one size.
#[derive(Clone)]
struct Cost {
    /// What the worker did after it had filled the stream table, until it was at rest.
    settling: Duration,
    other: Refreshes,
    same: Refreshes,
    /// Rows of the stream table that the measured changes of other rows have changed, all together.
    rows: usize,
}

/// Medians of several refreshes.
#[derive(Clone, Default)]
struct Refreshes {
    /// From the request of a refresh to its answer.
    wall: Duration,
    /// Through the rest that follows.
    processor: Processor,
    split: Split,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |refreshes: &Refreshes| {
            let (main, engine) = (milliseconds(refreshes.processor.main), milliseconds(refreshes.processor.engine));
            let (wall, split) = (milliseconds(refreshes.wall), refreshes.split);
            format!("{wall:.2} ms ({split}), processor {main:.2} + {engine:.2} engine")
        };
        let (settling, rows) = (milliseconds(self.settling), self.rows);
        write!(f, "other rows {}; the same rows {}; ", of(&self.other), of(&self.same))?;
        write!(f, "{rows} rows; {settling:.0} ms of processor time after filling")
    }
}

/// None if the query is not maintained incrementally.
fn measure(session: &mut Session, query: &str, size: usize) -> Option<Cost> {
    session
        .run(&format!("SELECT pgtrickle.create_stream_table('measured', $query${query}$query$, schedule => '1 hour')"));
    session.run("SELECT pgtrickle.refresh_stream_table('measured')");
    let worker = Worker::of(session);
    let filled = worker.processor();
    let settling = (worker.rest() - filled).total();
    let mode = session.value("SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name LIKE '%measured'");
    let mut cost = None;
    if mode != "full" {
        let mut round = 0;
        let mut rounds = Rounds { session: &mut *session, worker: &worker, step: size / 100 };
        let mut other = |batches: usize| {
            let offsets: Vec<usize> = (0..batches * BATCH).map(|at| (round + at) * 7).collect();
            round += offsets.len();
            offsets
        };
        rounds.run(&other(1));
        let (measured, rows) = rounds.run(&other(BATCHES));
        rounds.run(&[1; 2]);
        let (again, _) = rounds.run(&[1; BATCH]);
        cost = Some(Cost { settling, other: measured, same: again, rows });
    }
    session.run("SELECT pgtrickle.drop_stream_table('measured')");
    cost
}

struct Rounds<'a> {
    session: &'a mut Session,
    worker: &'a Worker,
    /// How far the changed rows are apart.
    step: usize,
}

impl Rounds<'_> {
    /// Changes 100 rows for each offset, and refreshes; the medians, and the rows that were changed in all.
    fn run(&mut self, offsets: &[usize]) -> (Refreshes, usize) {
        let (mut wall, mut main, mut engine) = (Percentiles::default(), Percentiles::default(), Percentiles::default());
        let mut rows = 0;
        let start = mark(self.session);
        let mut written = 0;
        let mut split = Split::default();
        for batch in offsets.chunks(BATCH) {
            for offset in batch {
                let refreshes = self.status("refreshes");
                self.change(*offset);
                let before = self.worker.rest();
                let clock = Instant::now();
                self.session.run("SELECT pgtrickle.refresh_stream_table('measured')");
                wall.add(clock.elapsed());
                let taken = self.worker.rest() - before;
                main.add(taken.main);
                engine.add(taken.engine);
                if self.status("refreshes") > refreshes {
                    rows += self.status("rows_changed_last_cycle");
                    written += 1;
                }
            }
            split = Split::since(self.session, "measured", &start, written);
        }
        let processor = Processor { main: main.at(50), engine: engine.at(50) };
        (Refreshes { wall: wall.at(50), processor, split }, rows)
    }

    /// One row in each of a hundred groups that are equally far apart, at another place of each.
    fn change(&mut self, offset: usize) {
        let step = self.step;
        self.session.run(&format!(
            "UPDATE t SET v = (v + 37) & 127
              WHERE id = ANY (ARRAY(SELECT j * {step} + ({offset} + j) % 100 FROM generate_series(0, 99) j))"
        ));
    }

    fn status(&mut self, column: &str) -> usize {
        let query = format!("SELECT {column} FROM pgtrickle.stream_table_status() WHERE name LIKE '%measured'");
        self.session.value(&query).parse().unwrap_or_default()
    }
}
