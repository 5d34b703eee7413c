//! `make bench-tpch`: the 22 queries of TPC-H, each alone as a stream table: what filling it takes, and a refresh after a
//! slice of the refresh streams, RF1 (new orders with their items) and RF2 (these go), beside what the query itself takes
//! PostgreSQL. All but the last two columns are processor time, of the worker and of the process that runs the query, to which
//! other work on the machine adds nothing. Prints measurements; judges nothing. Arguments: a scale factor, names of queries.

use std::time::{Duration, Instant};

use trickle_bench::percentiles::{milliseconds, Percentiles};
use trickle_bench::split::{mark, Split};
use trickle_bench::worker::{Processor, Worker};
use trickle_regress::cases::Case;
use trickle_regress::{tpch, Cluster, Session};

const SCALE: f64 = 0.1;
/// Of how many orders one comes, and goes again.
const ONE_IN: usize = 1000;

fn main() {
    let (numbers, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.parse::<f64>().is_ok());
    let scale = numbers.first().and_then(|number| number.parse().ok()).unwrap_or(SCALE);
    let cluster = Cluster::builder()
        .purpose("tpch")
        .set("shared_buffers", "1GB")
        .set("work_mem", "64MB")
        .set("max_wal_size", "8GB")
        .set("autovacuum", "off")
        .set("pg_trickle.memory_limit_mb", "8192")
        .start();
    let mut session = cluster.session();
    session.run("CREATE EXTENSION pg_trickle");
    session.run("SET client_min_messages = warning");
    // One process runs a query, and its time is the query's.
    session.run("SET max_parallel_workers_per_gather = 0");
    tpch::load(&mut session, scale);
    session.run("VACUUM");
    let counts = ["orders", "lineitem"].map(|table| session.value(&format!("SELECT count(*) FROM {table}")));
    println!("Scale factor {scale}: {} orders, {} items; one in {ONE_IN} comes and goes.", counts[0], counts[1]);
    println!();
    println!("| query | by PostgreSQL | RF1 | RF2 | query / RF1 | filling | state | RF1 answered | filled in |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for case in tpch::queries().iter().filter(|case| words.is_empty() || words.contains(&case.name)) {
        measure(&mut session, case);
        session.run("VACUUM orders, lineitem");
    }
}

fn measure(session: &mut Session, case: &Case) {
    let server = Worker::serving(session);
    let mut alone = Percentiles::default();
    for _ in 0..3 {
        let before = server.processor();
        session.rows(&case.query);
        alone.add((server.processor() - before).total());
    }
    let worker = Worker::of(session);
    let before = worker.rest();
    let filled = timed(|| {
        case.create(session, "1 hour").unwrap_or_else(|error| panic!("{error}"));
        session.run(&format!("SELECT pgtrickle.refresh_stream_table('{}')", case.name));
    });
    let filling = (worker.rest() - before).total();
    let start = mark(session);
    let (mut came, mut went) = (Rounds::default(), Rounds::default());
    for stream in 1..=3 {
        tpch::insert_orders(session, stream, ONE_IN);
        came.refresh(session, &worker, &case.name);
        tpch::take_orders_back(session, stream);
        went.refresh(session, &worker, &case.name);
    }
    let state = session.value(&format!(
        "SELECT state_bytes >> 20 FROM pgtrickle.stream_table_status() WHERE name LIKE '%.{}'",
        case.name
    ));
    let (alone, incremental) = (alone.at(50), came.processor.at(50));
    println!(
        "| {} | {} | {} | {} | {:.0} | {} | {state} MB | {} | {} |",
        case.name,
        milliseconds(alone),
        milliseconds(incremental),
        milliseconds(went.processor.at(50)),
        alone.as_secs_f64() / incremental.as_secs_f64(),
        milliseconds(filling),
        milliseconds(came.wall.at(50)),
        milliseconds(filled),
    );
    let split = Split::since(session, &case.name, &start, came.changed + went.changed);
    eprintln!("{}: {split}", case.name);
    session.run(&format!("SELECT pgtrickle.drop_stream_table('{}')", case.name));
}

fn timed(work: impl FnOnce()) -> Duration {
    let clock = Instant::now();
    work();
    clock.elapsed()
}

#[derive(Default)]
struct Rounds {
    wall: Percentiles,
    processor: Percentiles,
    /// Refreshes that changed something.
    changed: usize,
}

impl Rounds {
    fn refresh(&mut self, session: &mut Session, worker: &Worker, name: &str) {
        let refreshes = |session: &mut Session| {
            session.value(&format!("SELECT refreshes FROM pgtrickle.stream_table_status() WHERE name LIKE '%.{name}'"))
        };
        let before = refreshes(session);
        let taken: Processor = worker.rest();
        self.wall.add(timed(|| session.run(&format!("SELECT pgtrickle.refresh_stream_table('{name}')"))));
        self.processor.add((worker.rest() - taken).total());
        self.changed += usize::from(refreshes(session) != before);
    }
}
