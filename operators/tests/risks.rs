//! What the design rests on: a table hydrated in a thousand chunks while everything else goes on, and calls to PostgreSQL
//! that are cancelled, fail, or are cut off by a panic or the end of the engine.

mod common;

use common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::*;
use trickle_operators::engine::{Config, Engine};
use trickle_operators::expr::EvalError;
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row, RowBuilder};

const A: SourceId = 1;
const B: SourceId = 2;
const C: SourceId = 3;

fn concat(parts: &[&Row]) -> Row {
    let mut builder = RowBuilder::default();
    parts.iter().for_each(|part| builder.extend(part.as_ref()));
    builder.finish()
}

/// SELECT * FROM a JOIN b ON b.1 = a.1 JOIN c ON c.1 = b.2
fn chain() -> Arc<Plan> {
    plan(Rel::Join(Join {
        inputs: vec![
            join_input(source(A, &[1, 2]), 2),
            join_input(source(B, &[1, 2]), 2),
            join_input(source(C, &[1, 2]), 2),
        ],
        paths: vec![
            vec![step(1, 0, 0), step(2, 3, 0)],
            vec![step(2, 3, 0), step(0, 2, 0)],
            vec![step(1, 4, 1), step(0, 2, 0)],
        ],
        residual: Vec::new(),
        site: 0,
    }))
}

fn by(table: &Table, column: usize) -> BTreeMap<i64, Vec<(&Row, Diff)>> {
    let mut index: BTreeMap<i64, Vec<(&Row, Diff)>> = BTreeMap::new();
    for (row, n) in &table.rows {
        if let Some(key) = int8(row, column) {
            index.entry(key).or_default().push((row, *n));
        }
    }
    index
}

fn chain_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let (a, c) = (by(&tables[&A], 0), by(&tables[&C], 0));
    let mut bag = Bag::new();
    for (b, m) in &tables[&B].rows {
        let (Some(left), Some(right)) = (int8(b, 0), int8(b, 1)) else { continue };
        for (a, n) in a.get(&left).into_iter().flatten() {
            for (c, k) in c.get(&right).into_iter().flatten() {
                add(&mut bag, concat(&[a, b, c]), n * m * k);
            }
        }
    }
    bag
}

/// SELECT b.2, count(*) FROM a JOIN b ON b.1 = a.1 GROUP BY b.2
fn counted() -> Arc<Plan> {
    let join = Join {
        inputs: vec![join_input(source(A, &[1]), 1), join_input(source(B, &[1, 2]), 2)],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 1, 0)]],
        residual: Vec::new(),
        site: 0,
    };
    let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
    plan(Rel::Reduce(Reduce {
        input: Box::new(Rel::Join(join)),
        keys: vec![group_key(2)],
        aggregates: vec![count],
        collected: None,
        global: false,
        site: 0,
    }))
}

fn counted_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let a = by(&tables[&A], 0);
    let mut groups: BTreeMap<Option<i64>, i64> = BTreeMap::new();
    for (b, m) in &tables[&B].rows {
        let Some(key) = int8(b, 0) else { continue };
        for (_, n) in a.get(&key).into_iter().flatten() {
            *groups.entry(int8(b, 1)).or_default() += n * m;
        }
    }
    groups.into_iter().map(|(key, n)| (row8(&[key, Some(n)]), 1)).collect()
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let mut all = BTreeMap::new();
    for source in [A, B, C] {
        if random.chance(2) {
            all.insert(source, changes(random, &driver.tables[&source], &[60, 60], 4));
        }
    }
    if !all.is_empty() {
        driver.cut(all);
    }
}

/// One in so many chunks is followed by live changes; graphs that are there already report each of them.
const CHUNKS_A_CUT: u64 = 25;

#[test]
fn e05_a_table_hydrated_in_a_thousand_chunks_while_changes_flow_equals_brute_force() {
    for seed in seeds(6) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 0 {
                config.slice.rows = 7;
            }
        });
        for source in [A, B, C] {
            driver.table(source, 2);
            let mut rows = Vec::new();
            for number in 0..if source == B { 1000 } else { 60 } {
                // Every row of its own, so that each is a chunk.
                let second = if source == B { random.below(60) as i64 } else { number };
                rows.push((row8(&[Some(number % 60), Some(second)]), 1));
            }
            driver.cut(BTreeMap::from([(source, rows)]));
        }
        let mut live = Random(seed ^ 0x5EED);
        let mut chunks = 0;
        let mut in_flight = 0;
        let mut between = |driver: &mut Driver| {
            chunks += 1;
            if live.chance(CHUNKS_A_CUT) {
                random_cut(driver, &mut live);
                in_flight += 1;
                driver.drain(in_flight % 5 == 0);
            }
        };
        // The first graph brings A and B (by their first columns), and is followed while the second hydrates the rest of
        // the chain.
        driver.attach(1, counted(), 1, Box::new(counted_expected), &mut between);
        driver.attach(2, chain(), 1, Box::new(chain_expected), &mut between);
        for round in 0..20 {
            random_cut(&mut driver, &mut random);
            driver.drain(round % 5 == 4);
        }
        driver.settle();
        assert!(chunks > 1000, "{chunks} chunks");
        driver.stop();
    }
}

fn int8_type() -> ColumnType {
    ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' }
}

/// SELECT a.1, f(a.1) FROM a, evaluated by PostgreSQL; with `collected` SELECT g(a.1) FROM a.
fn evaluated(collected: bool) -> Arc<Plan> {
    let fragment = Fragment {
        query: String::new(),
        arguments: vec![int8_type()],
        results: vec![int8_type()],
        text: "f(x)".to_owned(),
    };
    let input = Box::new(source(A, &[1]));
    let root = if collected {
        Rel::Reduce(Reduce {
            input,
            keys: Vec::new(),
            aggregates: Vec::new(),
            collected: Some(Collected { fragment: 0, arguments: vec![0] }),
            global: true,
            site: 0,
        })
    } else {
        Rel::PgMap { input, fragment: 0, arguments: vec![0], site: 0 }
    };
    Arc::new(Plan { root, columns: Vec::new(), key: None, fragments: vec![fragment], sites: Vec::new() })
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
        wake.recv_timeout(Duration::from_secs(30)).expect("the engine answers");
    }
}

fn hydrate(engine: &mut Engine, hydrations: Vec<Hydration>, rows: &[Row]) {
    for hydration in hydrations {
        engine.hydrate(hydration.id, rows.iter().map(|row| (row.clone(), 1)).collect());
        engine.hydrated(hydration.id);
    }
}

fn install(engine: &mut Engine, graph: GraphId, plan: Arc<Plan>, rows: &[Row]) {
    let hydrations = engine.attach(graph, plan);
    hydrate(engine, hydrations, rows);
    let hydrations = engine.install(graph);
    hydrate(engine, hydrations, rows);
}

/// The next request; one worker only has rows, so there is one.
fn request(engine: &mut Engine, wake: &crossbeam_channel::Receiver<()>) -> EvaluationRequest {
    match next(engine, wake) {
        Event::Evaluate(request) => request,
        other => panic!("{other:?}"),
    }
}

fn reply(request: &EvaluationRequest, result: impl Fn(&Row) -> Result<Row, EvalError>) -> EvaluationReply {
    let results = request.rows.iter().map(|(item, row)| (*item, result(row))).collect();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

fn one(value: i64) -> Row {
    row8(&[Some(value)])
}

/// The main thread could not evaluate (cancel, lock): it gives the graph up and attaches it again; a late answer to the
/// first question does not reach the second.
#[test]
fn e15_a_cancelled_call_leaves_no_trace_and_its_late_answer_goes_nowhere() {
    for workers in [1, 3] {
        let (mut engine, wake) = start(workers, Arc::new(Unlimited));
        install(&mut engine, 5, evaluated(false), &[one(1)]);
        let cancelled = request(&mut engine, &wake);
        engine.detach(5);
        install(&mut engine, 5, evaluated(false), &[one(2)]);
        engine.reply(reply(&cancelled, |_| Ok(one(-1))));
        let asked = request(&mut engine, &wake);
        assert_eq!(asked.rows, vec![(0, one(2))]);
        engine.reply(reply(&asked, |_| Ok(one(20))));
        match next(&mut engine, &wake) {
            Event::Output { graph: 5, rows, errors, .. } => {
                assert_eq!((rows, errors), (vec![(row8(&[Some(2), Some(20)]), 1)], Vec::new()));
            }
            other => panic!("{other:?}"),
        }
        assert!(engine.stop(Duration::from_secs(20)));
    }
}

/// While one graph waits for PostgreSQL, another reports time after time, and the waiting one takes more times in.
#[test]
fn e15_a_graph_that_waits_for_postgresql_holds_up_no_other() {
    for workers in [1, 2] {
        let (mut engine, wake) = start(workers, Arc::new(Unlimited));
        install(&mut engine, 5, evaluated(false), &[one(1)]);
        let mut asked = vec![request(&mut engine, &wake)];
        install(&mut engine, 6, plan(source(A, &[1])), &[one(1)]);
        let mut reported = 0;
        for value in 2..6 {
            let time = engine.open();
            engine.feed(time, A, &[1], vec![(one(value), 1)]);
            engine.advance(time, &[A]);
            while reported < value - 1 {
                match next(&mut engine, &wake) {
                    Event::Output { graph: 6, .. } => reported += 1,
                    Event::Evaluate(request) => asked.push(request),
                    other => panic!("{other:?}"),
                }
            }
        }
        // Answered in reverse, in the end everything is there once.
        let mut content = Bag::new();
        let mut outputs = 0;
        while outputs < 5 {
            asked.sort_by_key(|request| request.id);
            match asked.pop() {
                Some(request) => engine.reply(reply(&request, |row| Ok(row.clone()))),
                None => match next(&mut engine, &wake) {
                    Event::Output { graph: 5, rows, .. } => {
                        outputs += 1;
                        rows.into_iter().for_each(|(row, diff)| add(&mut content, row, diff));
                    }
                    Event::Output { graph: 6, .. } => {}
                    Event::Evaluate(request) => asked.push(request),
                    other => panic!("{other:?}"),
                },
            }
        }
        assert_eq!(content, (1..6).map(|value| (row8(&[Some(value), Some(value)]), 1)).collect());
        assert!(engine.stop(Duration::from_secs(20)));
    }
}

#[test]
fn e15_a_poison_row_is_an_error_row_and_goes_with_it() {
    let (mut engine, wake) = start(1, Arc::new(Unlimited));
    let poison = |row: &Row| match int8(row, 0) {
        Some(13) => Err(EvalError::division_by_zero()),
        _ => Ok(row.clone()),
    };
    install(&mut engine, 5, evaluated(false), &[one(12), one(13)]);
    let asked = request(&mut engine, &wake);
    engine.reply(reply(&asked, poison));
    match next(&mut engine, &wake) {
        Event::Output { graph: 5, rows, errors, .. } => {
            assert_eq!(rows, vec![(row8(&[Some(12), Some(12)]), 1)]);
            assert_eq!(errors.iter().map(|(error, n)| (error.row.clone(), *n)).collect::<Vec<_>>(), [(one(13), 1)]);
        }
        other => panic!("{other:?}"),
    }
    let time = engine.open();
    engine.feed(time, A, &[1], vec![(one(13), -1)]);
    engine.advance(time, &[A]);
    let asked = request(&mut engine, &wake);
    engine.reply(reply(&asked, poison));
    match next(&mut engine, &wake) {
        Event::Output { graph: 5, rows, errors, .. } => assert_eq!((rows.len(), errors[0].1), (0, -1)),
        other => panic!("{other:?}"),
    }
    assert!(engine.stop(Duration::from_secs(20)));
}

#[test]
fn h55_the_engine_ends_in_the_middle_of_a_call() {
    for workers in [1, 3] {
        for collected in [false, true] {
            let (mut engine, wake) = start(workers, Arc::new(Unlimited));
            install(&mut engine, 5, evaluated(collected), &[one(1)]);
            let asked = request(&mut engine, &wake);
            assert!(engine.stop(Duration::from_secs(20)));
            // Too late, and no harm.
            engine.reply(reply(&asked, |row| Ok(row.clone())));
            assert!(engine.poll().is_none());
        }
    }
}

/// An answer that does not fit is a panic of that graph's operator: all threads end, and the graph is named.
#[test]
fn e34_h55_a_panic_in_the_middle_of_a_call_names_the_graph_and_ends_all_threads() {
    for workers in [1, 3] {
        let (mut engine, wake) = start(workers, Arc::new(Unlimited));
        let fragments = evaluated(false);
        // Reads a column that the answer does not have.
        let root = Rel::Project { input: Box::new(fragments.root.clone()), columns: vec![2] };
        install(&mut engine, 9, Arc::new(Plan { root, ..(*fragments).clone() }), &[one(1)]);
        install(&mut engine, 5, evaluated(true), &[one(1)]);
        let mut asked = vec![request(&mut engine, &wake), request(&mut engine, &wake)];
        asked.retain(|request| request.graph == 9);
        engine.reply(reply(&asked[0], |row| Ok(row.clone())));
        match next(&mut engine, &wake) {
            Event::Panicked { graph: Some(9), operator, .. } => assert!(operator.contains("map"), "{operator}"),
            other => panic!("{other:?}"),
        }
        assert!(engine.stop(Duration::from_secs(20)));
    }
}

/// The process's memory as the test pretends it is.
struct Pretended {
    used: std::sync::atomic::AtomicUsize,
}

impl MemoryGauge for Pretended {
    fn used(&self) -> usize {
        self.used.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn limit(&self) -> usize {
        1000
    }
}

/// A group of a hundred million equal rows is sent row by row: that must end in the limit, not in the allocator.
#[test]
fn e33_a_group_too_big_to_be_sent_to_postgresql_ends_in_the_memory_limit() {
    let gauge = Arc::new(Pretended { used: 0.into() });
    let (mut engine, wake) = start(1, Arc::clone(&gauge) as Arc<dyn MemoryGauge>);
    install(&mut engine, 6, plan(source(A, &[1])), &[one(1)]);
    assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 6, .. }));
    let hydrations = engine.attach(5, evaluated(true));
    assert!(hydrations.is_empty());
    for hydration in engine.install(5) {
        engine.hydrate(hydration.id, vec![(one(1), 100_000_000)]);
        engine.hydrated(hydration.id);
    }
    // Over no rows there is one group too. What comes next waits for the answer.
    let EvaluationRequest { id, worker, graph, rows, .. } = request(&mut engine, &wake);
    assert!(rows.is_empty());
    gauge.used.store(2000, std::sync::atomic::Ordering::Relaxed);
    engine.reply(EvaluationReply { id, worker, graph, results: vec![(0, Ok(one(0)))] });
    match next(&mut engine, &wake) {
        Event::Stopped { graph: 5, reason: StopReason::MemoryLimit { used: 2000, limit: 1000, .. } } => {}
        other => panic!("{other:?}"),
    }
    gauge.used.store(0, std::sync::atomic::Ordering::Relaxed);
    let time = engine.open();
    engine.feed(time, A, &[1], vec![(one(2), 1)]);
    engine.advance(time, &[A]);
    assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 6, .. }));
    assert!(engine.stop(Duration::from_secs(20)));
}

/// A deletion of a row that was never there stands at a reported time: the graph is given up, not clamped (HAZARDS E16).
#[test]
fn e06_e16_a_count_below_zero_is_forgiven_in_between_and_judged_when_reported() {
    for workers in [1, 2] {
        let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
        let counted = |global: bool| {
            plan(Rel::Reduce(Reduce {
                input: Box::new(source(A, &[1])),
                keys: if global { Vec::new() } else { vec![group_key(0)] },
                aggregates: vec![count.clone()],
                collected: None,
                global,
                site: 0,
            }))
        };
        for global in [false, true] {
            let (mut engine, wake) = start(workers, Arc::new(Unlimited));
            engine.attach(5, counted(global));
            let hydrations = engine.install(5);
            // Hydration minus what changed since, in this order: below zero between the chunks.
            engine.hydrate(hydrations[0].id, vec![(one(7), -1)]);
            engine.hydrate(hydrations[0].id, vec![(one(7), 2)]);
            engine.hydrated(hydrations[0].id);
            let wanted = if global { one(1) } else { row8(&[Some(7), Some(1)]) };
            match next(&mut engine, &wake) {
                Event::Output { graph: 5, rows, .. } => assert_eq!(rows, vec![(wanted, 1)]),
                other => panic!("{other:?}"),
            }
            let time = engine.open();
            engine.feed(time, A, &[1], vec![(one(7), -2)]);
            engine.advance(time, &[A]);
            match next(&mut engine, &wake) {
                Event::Stopped { graph: 5, reason: StopReason::Inconsistent { operator, .. } } => {
                    assert!(operator.contains("reduce"), "{operator}");
                }
                other => panic!("{other:?}"),
            }
            assert!(engine.stop(Duration::from_secs(20)));
        }
    }
}

/// One graph counts a join of four hundred million rows; another, of the same threads, goes on.
#[test]
fn e11_other_graphs_advance_while_one_does_a_join_of_minutes() {
    for workers in [1, 2] {
        let (mut engine, wake) = start(workers, Arc::new(Unlimited));
        install(&mut engine, 6, plan(source(C, &[1])), &[one(0)]);
        assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 6, .. }));
        let all = |input| Lookup { input, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
        let join = Rel::Join(Join {
            inputs: vec![join_input(source(A, &[1]), 1), join_input(source(B, &[1]), 1)],
            paths: vec![vec![all(1)], vec![all(0)]],
            residual: Vec::new(),
            site: 0,
        });
        let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
        let counted = plan(Rel::Reduce(Reduce {
            input: Box::new(join),
            keys: Vec::new(),
            aggregates: vec![count],
            collected: None,
            global: true,
            site: 0,
        }));
        let many: Vec<Row> = (0..20_000).map(one).collect();
        install(&mut engine, 8, counted, &many);
        for value in 1..20 {
            let time = engine.open();
            engine.feed(time, C, &[1], vec![(one(value), 1)]);
            engine.advance(time, &[C]);
            match next(&mut engine, &wake) {
                Event::Output { graph: 6, rows, .. } => assert_eq!(rows, vec![(one(value), 1)]),
                other => panic!("{other:?}"),
            }
        }
        // Detached in the middle of it, it lets go at once.
        engine.detach(8);
        let time = engine.open();
        engine.feed(time, C, &[1], vec![(one(20), 1)]);
        engine.advance(time, &[C]);
        assert!(matches!(next(&mut engine, &wake), Event::Output { graph: 6, .. }));
        assert_eq!(engine.source_columns(A), Vec::<i16>::new());
        assert!(engine.stop(Duration::from_secs(20)));
    }
}
