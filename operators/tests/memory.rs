//! The memory limit against exactly counted memory: who is stopped, what is charged to whom, and that what is made in
//! slices stays within it.

mod common;

use cap::Cap;
use common::*;
use std::alloc::System;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use trickle_operators::engine::api::{
    EvaluationReply, EvaluationRequest, Event, Hydration, HydrationSource, MemoryGauge, StopReason,
};
use trickle_operators::engine::{Config, Engine};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What is allocated is the whole process's: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const MB: usize = 1 << 20;
const A: SourceId = 1;
const B: SourceId = 2;
const C: SourceId = 3;
const D: SourceId = 4;

struct Counted {
    limit: std::sync::atomic::AtomicUsize,
    most: std::sync::atomic::AtomicUsize,
}

impl Counted {
    fn set(&self, limit: usize) {
        self.limit.store(limit, std::sync::atomic::Ordering::Relaxed);
    }
}

impl MemoryGauge for Counted {
    fn used(&self) -> usize {
        let used = ALLOCATOR.allocated();
        self.most.fetch_max(used, std::sync::atomic::Ordering::Relaxed);
        used
    }
    fn limit(&self) -> usize {
        self.limit.load(std::sync::atomic::Ordering::Relaxed)
    }
}

struct Harness {
    engine: Engine,
    wake: crossbeam_channel::Receiver<()>,
    gauge: Arc<Counted>,
}

impl Harness {
    fn new(workers: usize) -> Self {
        Harness::configured(workers, |_| {})
    }

    fn configured(workers: usize, configure: impl FnOnce(&mut Config)) -> Self {
        let gauge = Arc::new(Counted { limit: usize::MAX.into(), most: 0.into() });
        let (sender, wake) = crossbeam_channel::unbounded();
        let notify = Arc::new(move || {
            let _ = sender.send(());
        });
        let mut config = Config::new(workers, Arc::clone(&gauge) as Arc<dyn MemoryGauge>, notify);
        configure(&mut config);
        Harness { engine: Engine::start(config).expect("threads start"), wake, gauge }
    }

    fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.engine.poll() {
                return event;
            }
            self.wake.recv_timeout(Duration::from_secs(60)).expect("the engine answers");
        }
    }

    /// Waits for the graph's output; nothing of it is kept.
    fn output(&mut self, wanted: GraphId) -> Vec<(Row, i64)> {
        match self.next() {
            Event::Output { graph, rows, .. } if graph == wanted => {
                self.engine.keep(graph, 0);
                rows
            }
            other => panic!("{other:?}"),
        }
    }

    fn fill(&mut self, hydrations: Vec<Hydration>, rows: &dyn Fn(SourceId) -> i64) {
        for hydration in hydrations {
            let HydrationSource::Table(source) = hydration.from else { panic!("no stream tables here") };
            let numbers: Vec<i64> = (0..rows(source)).collect();
            for chunk in numbers.chunks(8192) {
                let chunk = chunk.iter().map(|number| (row8(&vec![Some(*number); hydration.columns.len()]), 1));
                self.engine.hydrate(hydration.id, chunk.collect());
            }
            self.engine.hydrated(hydration.id);
        }
    }

    fn attach(&mut self, graph: GraphId, plan: Arc<Plan>, rows: &dyn Fn(SourceId) -> i64) {
        let hydrations = self.engine.attach(graph, plan);
        self.fill(hydrations, rows);
        let hydrations = self.engine.install(graph);
        self.fill(hydrations, rows);
    }

    fn change(&mut self, source: SourceId, number: i64) {
        let time = self.engine.open();
        self.engine.feed(time, source, &[1], vec![(row8(&[Some(number)]), 1)]);
        let sources = self.engine.affected(&[source]).sources;
        self.engine.advance(time, &sources);
    }

    fn stop(mut self) {
        assert!(self.engine.stop(Duration::from_secs(20)), "threads end");
    }
}

fn copy(of: SourceId) -> Arc<Plan> {
    plan(source(of, &[1]))
}

fn cross_join(left: SourceId, right: SourceId) -> Rel {
    let all = |input| Lookup { input, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
    Rel::Join(Join {
        inputs: vec![join_input(source(left, &[1]), 1), join_input(source(right, &[1]), 1)],
        paths: vec![vec![all(1)], vec![all(0)]],
        residual: Vec::new(),
        site: 0,
    })
}

fn aggregated(input: Rel, function: AggregateFunction, argument: Option<usize>) -> Arc<Plan> {
    let aggregates = vec![Aggregate { function, argument, distinct: None, filter: None }];
    let input = Box::new(input);
    plan(Rel::Reduce(Reduce { input, keys: Vec::new(), aggregates, collected: None, global: true, site: 0 }))
}

/// SELECT min(d.1) FROM d: keeps every value.
fn least(of: SourceId) -> Arc<Plan> {
    aggregated(source(of, &[1]), AggregateFunction::Min(Kind::Int8), Some(0))
}

/// A graph with one row is busy all the time, and looks at the memory more often than the join that fills it; a big one
/// has been there for long.
#[test]
fn e11_e33_the_graph_that_grows_is_stopped_whoever_looks_first() {
    let _alone = alone();
    for workers in [1, 2, 3] {
        let mut harness = Harness::new(workers);
        harness.attach(7, copy(C), &|_| 1);
        harness.output(7);
        harness.attach(9, least(D), &|_| 300_000);
        harness.output(9);
        assert!(harness.engine.held_bytes(9) > 20 * MB, "{}", harness.engine.held_bytes(9));
        let limit = ALLOCATOR.allocated() + 50 * MB;
        harness.gauge.set(limit);
        harness.attach(8, cross_join_plan(), &|_| 20_000);
        let mut number = 1;
        harness.change(C, number);
        loop {
            match harness.next() {
                Event::Output { graph: 7, rows, .. } => {
                    assert_eq!(rows, vec![(row8(&[Some(number)]), 1)]);
                    number += 1;
                    harness.change(C, number);
                }
                Event::Stopped { graph: 8, reason: StopReason::MemoryLimit { used, limit, held } } => {
                    assert!(used > limit && held > 20 * MB, "{used} {limit} {held}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        // What it held is given back, and the others never notice.
        for _ in 0..50 {
            assert_eq!(harness.output(7), vec![(row8(&[Some(number)]), 1)]);
            number += 1;
            harness.change(C, number);
        }
        harness.output(7);
        harness.change(D, -1);
        assert_eq!(harness.output(9).len(), 2);
        assert_eq!(harness.engine.graphs(), vec![7, 9]);
        assert!(ALLOCATOR.allocated() < limit - 20 * MB);
        harness.stop();
    }
}

/// A recursion that multiplies rows in one round: it is the one that goes, though others hold more when it begins, and memory
/// is not far beyond the limit by then.
#[test]
fn e12_e33_a_round_that_multiplies_its_rows_is_stopped_in_the_middle() {
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::new(workers);
        harness.attach(9, least(D), &|_| 300_000);
        harness.output(9);
        let limit = ALLOCATOR.allocated() + 80 * MB;
        harness.gauge.set(limit);
        // SELECT a FROM a UNION ALL SELECT r.a * 100000 + a.a FROM r, a
        let number = |value: i64| Expr::Literal(Some(value.to_ne_bytes().to_vec()), Kind::Int8);
        let call = |function, left, right| Expr::Call {
            function,
            arguments: vec![left, right],
            kind: Kind::Int8,
            collation: 0,
        };
        let all = |input| Lookup { input, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
        let recursive = Rel::Recursive { id: 0, width: 1 };
        let pairs = Rel::Join(Join {
            inputs: vec![join_input(recursive, 1), join_input(source(A, &[1]), 1)],
            paths: vec![vec![all(1)], vec![all(0)]],
            residual: Vec::new(),
            site: 0,
        });
        let value = call(463, call(465, column(0), number(100_000)), column(1));
        let step = Rel::Map { input: Box::new(pairs), expressions: vec![value], site: 0 };
        let step = Rel::Project { input: Box::new(step), columns: vec![2] };
        let root = Rel::Fixpoint(Fixpoint {
            id: 0,
            name: "r".to_owned(),
            columns: vec!["a".to_owned()],
            body: Box::new(Rel::Union { inputs: vec![source(A, &[1]), step] }),
            earliest: None,
            rounds: 10,
            site: 0,
        });
        harness.attach(8, plan(root), &|_| 20_000);
        match harness.next() {
            Event::Stopped { graph: 8, reason: StopReason::MemoryLimit { used, limit, .. } } => assert!(used > limit),
            other => panic!("{other:?}"),
        }
        let most = harness.gauge.most.load(std::sync::atomic::Ordering::Relaxed);
        println!("{} MB beyond the limit", (most - limit) >> 20);
        assert!(most < limit + 100 * MB, "{most} of {limit}");
        // What it held is given back.
        harness.change(D, -1);
        assert_eq!(harness.output(9).len(), 2);
        assert!(ALLOCATOR.allocated() < limit);
        harness.stop();
    }
}

fn cross_join_plan() -> Arc<Plan> {
    plan(cross_join(A, B))
}

/// Nobody grows, but memory is over its limit: the one to go is the one that holds most.
#[test]
fn e33_where_none_grows_the_graph_that_holds_most_is_stopped() {
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::new(workers);
        harness.attach(9, least(D), &|_| 100_000);
        harness.output(9);
        for graph in 1..5 {
            harness.attach(graph, copy(C), &|_| 100);
            harness.output(graph);
        }
        let ballast = vec![1u8; 4 * MB];
        harness.gauge.set(ALLOCATOR.allocated() - 2 * MB);
        harness.change(C, 1);
        let mut reported = 0;
        let mut stopped = false;
        while reported < 4 || !stopped {
            match harness.next() {
                Event::Output { graph: 1..5, .. } => reported += 1,
                Event::Stopped { graph: 9, .. } => stopped = true,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(harness.engine.graphs(), vec![1, 2, 3, 4]);
        drop(ballast);
        harness.stop();
    }
}

#[test]
fn e33_what_is_charged_is_what_is_allocated_and_shared_arrangements_are_charged_in_parts() {
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::new(workers);
        let before = ALLOCATOR.allocated();
        let counted = || aggregated(cross_join(A, B), AggregateFunction::CountRows, None);
        let rows = |source| if source == A { 200_000 } else { 1 };
        harness.attach(1, counted(), &rows);
        harness.output(1);
        // Merges end while nothing else is to be done; each change lets them go on.
        for number in 0..3 {
            harness.change(B, number);
            harness.output(1);
        }
        let (held, allocated) = (harness.engine.held_bytes(1), ALLOCATOR.allocated() - before);
        println!("{workers} workers: {held} charged, {allocated} allocated");
        assert!(held > allocated / 3 && held < allocated * 2, "{held} charged, {allocated} allocated");
        harness.attach(2, counted(), &rows);
        harness.output(2);
        let parts = (harness.engine.held_bytes(1), harness.engine.held_bytes(2));
        assert!(parts.0.abs_diff(parts.1) < MB && parts.0 < held * 2 / 3, "{parts:?} of {held}");
        harness.engine.detach(2);
        assert!(harness.engine.held_bytes(1) > held * 2 / 3);
        harness.stop();
    }
}

/// All inputs are history: the sweep's output, of one time, is far larger than the limit. Counted, it goes through within
/// the limit; kept, it ends in the limit while it is made, and the graph whose arrangements it shared lives.
#[test]
fn e05_e33_a_sweep_far_larger_than_the_limit_goes_through_or_ends_in_order() {
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::new(workers);
        let rows = |_| 2_000;
        harness.attach(1, aggregated(cross_join(A, B), AggregateFunction::CountRows, None), &rows);
        harness.output(1);
        let limit = ALLOCATOR.allocated() + 40 * MB;
        harness.gauge.set(limit);
        harness.gauge.most.store(0, std::sync::atomic::Ordering::Relaxed);
        let swept = aggregated(cross_join(A, B), AggregateFunction::Count, Some(0));
        harness.attach(2, swept, &|_| panic!("nothing is to be read"));
        assert_eq!(harness.output(2), vec![(row8(&[Some(4_000_000)]), 1)]);
        harness.attach(3, cross_join_plan(), &|_| panic!("nothing is to be read"));
        match harness.next() {
            Event::Stopped { graph: 3, reason: StopReason::MemoryLimit { .. } } => {}
            other => panic!("{other:?}"),
        }
        let most = harness.gauge.most.load(std::sync::atomic::Ordering::Relaxed);
        assert!(most < limit + 40 * MB, "{} MB over the limit", (most - limit) / MB);
        harness.change(A, -1);
        // Which of them is first is the threads' affair.
        let mut changed = [1, 2].map(|_| match harness.next() {
            Event::Output { graph, rows, .. } => {
                harness.engine.keep(graph, 0);
                (graph, rows.len())
            }
            other => panic!("{other:?}"),
        });
        changed.sort_unstable();
        assert_eq!(changed, [(1, 2), (2, 2)]);
        harness.stop();
    }
}

/// A sweep of many rows before a lookup that multiplies each: it waits for the lookup, and does not put all it reads there.
#[test]
fn e05_e33_a_sweep_does_not_run_ahead_of_the_lookup_that_takes_it() {
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::configured(workers, |config| config.slice.rows = 1000);
        let rows = |source| if source == A { 20 } else { 100_000 };
        harness.attach(1, aggregated(cross_join(A, B), AggregateFunction::CountRows, None), &rows);
        harness.output(1);
        let swept = aggregated(cross_join(A, B), AggregateFunction::Count, Some(0));
        assert!(harness.engine.attach(2, swept).is_empty());
        assert!(harness.engine.install(2).is_empty());
        let mut most = 0;
        let count = loop {
            if let Some(event) = harness.engine.poll() {
                match event {
                    Event::Output { graph: 2, rows, .. } => break rows,
                    other => panic!("{other:?}"),
                }
            }
            let statistics = harness.engine.statistics(2).expect("a graph");
            let lookups = statistics.operators.iter().filter(|operator| operator.name.starts_with("lookup"));
            most = most.max(lookups.map(|operator| operator.held_rows).sum());
            std::thread::yield_now();
        };
        assert_eq!(count, vec![(row8(&[Some(2_000_000)]), 1)]);
        println!("{workers} workers: at most {most} rows waited");
        assert!(most > 0 && most < 10_000, "{most}");
        harness.stop();
    }
}

/// SELECT count(x) FROM of, f(of.1) AS x, where PostgreSQL evaluates f.
fn counted_expansion(of: SourceId) -> Arc<Plan> {
    let int8 =
        ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' };
    let (arguments, results) = (vec![int8.clone()], vec![int8]);
    let fragment = Fragment { query: String::new(), arguments, results, text: "f(x)".to_owned() };
    let input = Box::new(source(of, &[1]));
    let expansion = Rel::PgFlatMap { input, fragment: 0, arguments: vec![0], padded: false, site: 0 };
    let counted = aggregated(expansion, AggregateFunction::Count, Some(1));
    Arc::new(Plan { fragments: vec![fragment], ..Plan::clone(&counted) })
}

/// So many results for each item that is asked for.
fn many(request: &EvaluationRequest, results: i64) -> EvaluationReply {
    let of = |item: u64| (0..results).map(move |number| (item, Ok(row8(&[Some(number)]))));
    let results = request.rows.iter().flat_map(|(item, _)| of(*item)).collect();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

/// One row has very many results. They go on in slices: within the limit, past nobody who waits beside them, and counted as
/// what the graph holds, so that it is the one to go where the limit does not allow them.
#[test]
fn e11_e33_a_row_with_very_many_results_goes_on_in_slices_or_ends_in_the_limit() {
    const RESULTS: i64 = 400_000;
    let _alone = alone();
    for workers in [1, 2] {
        let mut harness = Harness::configured(workers, |config| config.slice.rows = 1000);
        harness.attach(7, copy(C), &|_| 1);
        harness.output(7);
        harness.attach(1, counted_expansion(A), &|_| 0);
        assert_eq!(harness.output(1), vec![(row8(&[Some(0)]), 1)]);
        harness.change(A, 5);
        let Event::Evaluate(request) = harness.next() else { panic!("something is to be evaluated") };
        let reply = many(&request, RESULTS);
        let limit = ALLOCATOR.allocated() + 30 * MB;
        harness.gauge.set(limit);
        harness.gauge.most.store(0, std::sync::atomic::Ordering::Relaxed);
        harness.engine.reply(reply);
        harness.change(C, 1);
        assert_eq!(harness.output(7), vec![(row8(&[Some(1)]), 1)], "before the slices have come to their end");
        let mut held = 0;
        let counted = loop {
            match harness.engine.poll() {
                Some(Event::Output { graph: 1, rows, .. }) => break rows,
                Some(other) => panic!("{other:?}"),
                None => held = held.max(harness.engine.held_bytes(1)),
            }
            std::thread::yield_now();
        };
        let most = harness.gauge.most.load(std::sync::atomic::Ordering::Relaxed);
        println!("{workers} workers: {} MB held, {} MB below the limit", held / MB, (limit - most) / MB);
        assert!(counted.contains(&(row8(&[Some(RESULTS)]), 1)), "{counted:?}");
        assert!(held > 10 * MB, "{held}");
        assert!(most < limit);

        harness.change(A, 6);
        let Event::Evaluate(request) = harness.next() else { panic!("something is to be evaluated") };
        harness.gauge.set(ALLOCATOR.allocated() + 10 * MB);
        harness.engine.reply(many(&request, RESULTS));
        match harness.next() {
            Event::Stopped { graph: 1, reason: StopReason::MemoryLimit { held, .. } } => {
                assert!(held > 10 * MB, "{held}")
            }
            other => panic!("{other:?}"),
        }
        harness.change(C, 2);
        assert_eq!(harness.output(7), vec![(row8(&[Some(2)]), 1)]);
        harness.stop();
    }
}
