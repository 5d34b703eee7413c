//! Living within limits: memory, hot keys, panics, stopping, idleness.

mod common;

use common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{Event, MemoryGauge, StopReason};
use trickle_operators::engine::{Config, Engine};
use trickle_operators::plan::*;
use trickle_operators::value::Row;

const A: SourceId = 1;
const B: SourceId = 2;
const C: SourceId = 3;

/// The process's resident memory, as a stand-in for the counting allocator.
struct Resident {
    limit: usize,
}

impl MemoryGauge for Resident {
    fn used(&self) -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: usize = text.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("resident pages");
        pages * 4096
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

fn start(workers: usize, gauge: Arc<dyn MemoryGauge>) -> (Engine, crossbeam_channel::Receiver<()>) {
    let (sender, wake) = crossbeam_channel::unbounded();
    let notify = Arc::new(move || {
        let _ = sender.send(());
    });
    (Engine::start(Config::new(workers, gauge, notify)).expect("threads start"), wake)
}

fn next(engine: &mut Engine, wake: &crossbeam_channel::Receiver<()>) -> Event {
    loop {
        if let Some(event) = engine.poll() {
            return event;
        }
        wake.recv_timeout(Duration::from_secs(60)).expect("the engine answers");
    }
}

fn hydrate_all(engine: &mut Engine, graph: GraphId, plan: Arc<Plan>, rows: &BTreeMap<SourceId, Vec<Row>>) {
    let fill = |engine: &mut Engine, hydrations: Vec<trickle_operators::engine::api::Hydration>| {
        for hydration in hydrations {
            let trickle_operators::engine::api::HydrationSource::Table(source) = hydration.from else {
                panic!("no stream tables here")
            };
            let part = rows[&source].iter().map(|row| (project(row, &hydration.columns), 1)).collect();
            engine.hydrate(hydration.id, part);
            engine.hydrated(hydration.id);
        }
    };
    let hydrations = engine.attach(graph, plan);
    fill(engine, hydrations);
    let hydrations = engine.install(graph);
    fill(engine, hydrations);
}

fn cross(left: SourceId, right: SourceId) -> Arc<Plan> {
    let all = |input| Lookup { input, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
    plan(Rel::Join(Join {
        inputs: vec![join_input(source(left, &[1]), 1), join_input(source(right, &[1]), 1)],
        paths: vec![vec![all(1)], vec![all(0)]],
        residual: Vec::new(),
        site: 0,
    }))
}

fn copy(of: SourceId) -> Arc<Plan> {
    plan(source(of, &[1]))
}

/// Nothing but its installation and one request for a report ever reaches such a graph, and the thread may take the second
/// when all is run already.
#[test]
fn a_graph_of_constants_reports_however_its_commands_arrive() {
    for workers in 1..=2 {
        let (mut engine, wake) = start(workers, Arc::new(Resident { limit: usize::MAX }));
        let constants = plan(Rel::Values { rows: vec![row8(&[Some(1)])] });
        for graph in 1..=3000 {
            assert!(engine.attach(graph, Arc::clone(&constants)).is_empty());
            assert!(engine.install(graph).is_empty());
            let Event::Output { graph: reported, rows, complete: true, .. } = next(&mut engine, &wake) else {
                panic!("the whole content is reported")
            };
            assert_eq!((reported, rows.len()), (graph, 1));
            engine.detach(graph);
        }
        assert!(engine.stop(Duration::from_secs(10)));
    }
}

#[test]
fn h56_e33_a_join_of_a_billion_rows_ends_in_the_memory_limit_and_the_others_live() {
    for workers in [1, 2] {
        let limit = Resident { limit: 0 }.used() + (300 << 20);
        let (mut engine, wake) = start(workers, Arc::new(Resident { limit }));
        let many: Vec<Row> = (0..32_000).map(|number| row8(&[Some(number)])).collect();
        let tables = BTreeMap::from([(A, many.clone()), (B, many), (C, vec![row8(&[Some(1)])])]);
        hydrate_all(&mut engine, 7, copy(C), &tables);
        assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 7, .. }));
        let since = Instant::now();
        hydrate_all(&mut engine, 8, cross(A, B), &tables);
        match next(&mut engine, &wake) {
            Event::Stopped { graph: 8, reason: StopReason::MemoryLimit { used, limit, .. } } => assert!(used > limit),
            other => panic!("{other:?}"),
        }
        println!("{workers} workers: stopped after {:?}", since.elapsed());
        // The other graph goes on as if nothing had been.
        let time = engine.open();
        engine.feed(time, C, &[1], vec![(row8(&[Some(2)]), 1)]);
        engine.advance(time, &[C]);
        match next(&mut engine, &wake) {
            Event::Output { graph: 7, rows, .. } => assert_eq!(rows, vec![(row8(&[Some(2)]), 1)]),
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.graphs(), vec![7]);
        assert!(engine.stop(Duration::from_secs(20)));
    }
}

#[test]
fn e11_the_stop_flag_is_seen_within_a_lookup_that_would_run_for_minutes() {
    let (mut engine, _wake) = start(2, Arc::new(Unlimited));
    let many: Vec<Row> = (0..20_000).map(|number| row8(&[Some(number)])).collect();
    let tables = BTreeMap::from([(A, many.clone()), (B, many)]);
    // Everything is counted, so that nothing piles up.
    let Rel::Join(join) = &cross(A, B).root else { panic!("a join") };
    let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
    let root = Rel::Reduce(Reduce {
        input: Box::new(Rel::Join(join.clone())),
        keys: Vec::new(),
        aggregates: vec![count],
        collected: None,
        global: true,
        site: 0,
    });
    hydrate_all(&mut engine, 8, plan(root), &tables);
    std::thread::sleep(Duration::from_millis(200));
    let since = Instant::now();
    assert!(engine.stop(Duration::from_secs(20)));
    assert!(since.elapsed() < Duration::from_secs(2), "took {:?}", since.elapsed());
}

#[test]
fn e34_a_panic_names_graph_and_operator_and_peers_stop() {
    for workers in [1, 3] {
        let (mut engine, wake) = start(workers, Arc::new(Unlimited));
        // The plan says two columns, the row has one.
        let wrong = plan(Rel::Project { input: Box::new(source(A, &[1])), columns: vec![1] });
        hydrate_all(&mut engine, 9, wrong, &BTreeMap::from([(A, vec![row8(&[Some(1)])])]));
        match next(&mut engine, &wake) {
            Event::Panicked { graph: Some(9), operator, message } => {
                assert!(operator.contains("map"), "{operator}");
                assert!(message.contains("fewer columns"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        assert!(engine.stop(Duration::from_secs(20)), "peers end");
    }
}

#[test]
fn e08_only_the_component_of_a_change_is_affected() {
    let (mut engine, wake) = start(1, Arc::new(Unlimited));
    let one = vec![row8(&[Some(1)])];
    let tables = BTreeMap::from([(A, one.clone()), (B, one.clone()), (C, one)]);
    hydrate_all(&mut engine, 1, cross(A, B), &tables);
    hydrate_all(&mut engine, 2, copy(C), &tables);
    hydrate_all(&mut engine, 3, copy(A), &tables);
    for _ in 0..3 {
        assert!(matches!(next(&mut engine, &wake), Event::Output { .. }));
    }
    let affected = engine.affected(&[B]);
    assert_eq!((affected.sources, affected.graphs), (vec![A, B], vec![1, 3]));
    let affected = engine.affected(&[C]);
    assert_eq!((affected.sources, affected.graphs), (vec![C], vec![2]));
    assert!(engine.stop(Duration::from_secs(20)));
}

#[test]
fn e17_e36_arrangements_are_shared_and_end_with_their_last_reader() {
    let (mut engine, wake) = start(2, Arc::new(Unlimited));
    let rows = vec![row8(&[Some(1), Some(2), Some(3)])];
    let tables = BTreeMap::from([(A, rows.clone()), (B, rows)]);
    let join = |columns: &[i16]| {
        plan(Rel::Join(Join {
            inputs: vec![join_input(source(A, columns), columns.len()), join_input(source(B, &[1]), 1)],
            paths: vec![vec![step(1, 0, 0)], vec![step(0, columns.len(), 0)]],
            residual: Vec::new(),
            site: 0,
        }))
    };
    assert_eq!(engine.attach(1, join(&[1, 2, 3])).len(), 2);
    assert!(!engine.is_installable(1));
    engine.detach(1);
    hydrate_all(&mut engine, 1, join(&[1, 2, 3]), &tables);
    assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 1, .. }));
    // Fewer columns, in another order: served by what is there.
    assert_eq!(engine.attach(2, join(&[1, 3])), vec![]);
    assert_eq!(engine.install(2), vec![]);
    match next(&mut engine, &wake) {
        Event::Output { graph: 2, rows, .. } => {
            assert_eq!(rows, vec![(row8(&[Some(1), Some(3), Some(1)]), 1)]);
        }
        other => panic!("{other:?}"),
    }
    let statistics = engine.statistics(2).expect("graph 2");
    assert!(statistics.arrangements.iter().all(|arrangement| arrangement.readers == 2 && arrangement.rows == 1));
    engine.detach(1);
    assert_eq!(engine.source_columns(A), vec![1, 2, 3]);
    engine.detach(2);
    assert_eq!(engine.source_columns(A), Vec::<i16>::new());
    assert!(engine.stop(Duration::from_secs(20)));
}
