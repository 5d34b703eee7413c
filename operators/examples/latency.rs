//! What the engine alone needs for a one-row change through a join and an aggregate over a million rows: from the feed to
//! the report, p50 and p99, the same for a batch, and how fast a table hydrates.
//!
//! `cargo run --release -p trickle-operators --example latency [workers] [rows] [idle merge effort]`

use std::sync::Arc;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{Event, Hydration, HydrationSource, MemoryGauge};
use trickle_operators::engine::{Config, Engine};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

struct Unlimited;

impl MemoryGauge for Unlimited {
    fn used(&self) -> usize {
        0
    }
    fn limit(&self) -> usize {
        usize::MAX
    }
}

const FACTS: SourceId = 1;
const DIMENSION: SourceId = 2;
const CUSTOMERS: i64 = 10_000;
const REGIONS: i64 = 100;

fn row(columns: &[i64]) -> Row {
    let images: Vec<[u8; 8]> = columns.iter().map(|column| column.to_ne_bytes()).collect();
    Row::from_columns(images.iter().map(|image| Some(&image[..])))
}

/// (customer, amount)
fn fact(number: i64) -> Row {
    row(&[number.wrapping_mul(7919).rem_euclid(CUSTOMERS), number % 1000])
}

/// SELECT region, count(*), sum(amount) FROM facts JOIN dimension USING (customer) GROUP BY region
fn plan() -> Arc<Plan> {
    let key = |index: usize, nulls_equal| KeyColumn {
        expression: Expr::Column(index, Kind::Int8),
        kind: Kind::Int8,
        equality: Equality::Sql,
        nulls_equal,
    };
    let source =
        |source| JoinInput { relation: Rel::Source { source, columns: vec![1, 2] }, width: 2, filter: Vec::new() };
    let step = |input, probe| Lookup {
        input,
        probe: vec![Expr::Column(probe, Kind::Int8)],
        key: vec![key(0, false)],
        filter: Vec::new(),
    };
    let join = Join {
        inputs: vec![source(FACTS), source(DIMENSION)],
        paths: vec![vec![step(1, 0)], vec![step(0, 2)]],
        residual: Vec::new(),
        site: 0,
    };
    let aggregate = |function, argument| Aggregate { function, argument, distinct: None, filter: None };
    let root = Rel::Reduce(Reduce {
        input: Box::new(Rel::Join(join)),
        keys: vec![key(3, true)],
        aggregates: vec![
            aggregate(AggregateFunction::CountRows, None),
            aggregate(AggregateFunction::Sum(Kind::Int8), Some(1)),
        ],
        collected: None,
        global: false,
        site: 0,
    });
    Arc::new(Plan { root, columns: Vec::new(), key: None, fragments: Vec::new(), sites: Vec::new() })
}

struct Bench {
    engine: Engine,
    wake: crossbeam_channel::Receiver<()>,
}

impl Bench {
    fn output(&mut self) {
        loop {
            match self.engine.poll() {
                Some(Event::Output { .. }) => return,
                Some(other) => panic!("{other:?}"),
                None => self.wake.recv().expect("the engine lives"),
            }
        }
    }

    fn hydrate(&mut self, hydrations: Vec<Hydration>, rows: i64) {
        for hydration in hydrations {
            let number = match hydration.from {
                HydrationSource::Table(FACTS) => rows,
                _ => CUSTOMERS,
            };
            for start in (0..number).step_by(10_000) {
                let chunk = start..(start + 10_000).min(number);
                let rows = chunk.map(|at| (if number == rows { fact(at) } else { row(&[at, at % REGIONS]) }, 1));
                self.engine.hydrate(hydration.id, rows.collect());
            }
            self.engine.hydrated(hydration.id);
        }
    }

    fn change(&mut self, changes: Vec<(Row, i64)>) -> Duration {
        let since = Instant::now();
        let time = self.engine.open();
        self.engine.feed(time, FACTS, &[1, 2], changes);
        self.engine.advance(time, &[FACTS, DIMENSION]);
        self.output();
        since.elapsed()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<i64>().expect("a number"));
    let workers = arguments.next().unwrap_or(1) as usize;
    let rows = arguments.next().unwrap_or(1_000_000);
    let (sender, wake) = crossbeam_channel::unbounded();
    let notify = Arc::new(move || sender.send(()).expect("the main thread lives"));
    let mut config = Config::new(workers, Arc::new(Unlimited), notify);
    if let Some(effort) = arguments.next() {
        config.idle_merge_effort = effort as usize;
    }
    let engine = Engine::start(config).expect("threads start");
    let mut bench = Bench { engine, wake };
    let since = Instant::now();
    let hydrations = bench.engine.attach(1, plan());
    bench.hydrate(hydrations, rows);
    let hydrations = bench.engine.install(1);
    bench.hydrate(hydrations, rows);
    bench.output();
    println!("{workers} workers, {rows} rows: attached in {:?}", since.elapsed());
    let mut taken: Vec<Duration> = (0..5000).map(|at| bench.change(vec![(fact(rows + at), 1)])).collect();
    taken.sort_unstable();
    println!("one row: p50 {:?}, p99 {:?}, max {:?}", taken[2500], taken[4950], taken[4999]);
    let mut idle: Vec<Duration> = (0..200)
        .map(|at| {
            // Apart, so that the threads have gone to sleep.
            std::thread::sleep(Duration::from_millis(2));
            bench.change(vec![(fact(at), -1)])
        })
        .collect();
    idle.sort_unstable();
    println!("one row after a pause: p50 {:?}, p99 {:?}", idle[100], idle[198]);
    let batch = bench.change((rows..rows + 100_000).map(|at| (fact(at), 1)).collect());
    println!("100000 rows: {batch:?}, {:.2} M rows/s", 0.1 / batch.as_secs_f64());
    for operator in bench.engine.statistics(1).expect("the graph lives").operators {
        println!(
            "  {:<32} {:>9} in {:>9} out {:>12?}",
            operator.name, operator.rows_in, operator.rows_out, operator.time
        );
    }
    assert!(bench.engine.stop(Duration::from_secs(10)));
}
