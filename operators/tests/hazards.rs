//! Hazards of state and wiring, one test each: the extreme of a group, its representative, what was emitted, accumulators,
//! bridges between stream tables, graphs that end in the middle of their hydration, rows of odd lengths.

mod common;

use common::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::*;
use trickle_operators::engine::{Config, Engine};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::numeric::Numeric;
use trickle_operators::value::{ColumnType, Kind, Row};

const A: SourceId = 1;
const B: SourceId = 2;

struct Harness {
    engine: Engine,
    wake: crossbeam_channel::Receiver<()>,
}

impl Harness {
    fn new(workers: usize, configure: impl FnOnce(&mut Config)) -> Self {
        let (sender, wake) = crossbeam_channel::unbounded();
        let notify = Arc::new(move || {
            let _ = sender.send(());
        });
        let mut config = Config::new(workers, Arc::new(Unlimited), notify);
        configure(&mut config);
        Harness { engine: Engine::start(config).expect("threads start"), wake }
    }

    fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.engine.poll() {
                return event;
            }
            self.wake.recv_timeout(Duration::from_secs(30)).expect("the engine answers");
        }
    }

    fn fill(&mut self, hydrations: Vec<Hydration>, rows: &[Row]) {
        for hydration in hydrations {
            self.engine.hydrate(hydration.id, rows.iter().map(|row| (row.clone(), 1)).collect());
            self.engine.hydrated(hydration.id);
        }
    }

    fn install(&mut self, graph: GraphId, plan: Arc<Plan>, rows: &[Row]) {
        let hydrations = self.engine.attach(graph, plan);
        self.fill(hydrations, rows);
        let hydrations = self.engine.install(graph);
        self.fill(hydrations, rows);
    }

    fn cut(&mut self, source: SourceId, columns: &[i16], rows: Vec<(Row, Diff)>) -> Time {
        let time = self.engine.open();
        self.engine.feed(time, source, columns, rows);
        let sources = self.engine.affected(&[source]).sources;
        self.engine.advance(time, &sources);
        time
    }

    /// The graph's next output, taken into `content`.
    fn follow(&mut self, wanted: GraphId, content: &mut Bag) -> Time {
        match self.next() {
            Event::Output { graph, time, rows, .. } if graph == wanted => {
                rows.into_iter().for_each(|(row, diff)| add(content, row, diff));
                time
            }
            other => panic!("{other:?}"),
        }
    }

    fn stop(mut self) {
        assert!(self.engine.stop(Duration::from_secs(20)), "threads end");
    }
}

fn one(value: i64) -> Row {
    row8(&[Some(value)])
}

fn aggregate(function: AggregateFunction) -> Aggregate {
    let argument = (function != AggregateFunction::CountRows).then_some(0);
    Aggregate { function, argument, distinct: None, filter: None }
}

fn reduce(input: Rel, keys: Vec<KeyColumn>, aggregates: Vec<Aggregate>, collected: Option<Collected>) -> Rel {
    let global = keys.is_empty();
    Rel::Reduce(Reduce { input: Box::new(input), keys, aggregates, collected, global, site: 0 })
}

/// The extreme is deleted at every depth, from both ends and in the middle, down to nothing, and the group is refilled; now
/// and then a value is deleted before it is there.
#[test]
fn e18_the_extreme_is_deleted_at_every_depth_and_refilled() {
    for workers in [1, 2, 3] {
        let mut harness = Harness::new(workers, |_| {});
        let extremes =
            vec![aggregate(AggregateFunction::Min(Kind::Int8)), aggregate(AggregateFunction::Max(Kind::Int8))];
        harness.install(1, plan(reduce(source(A, &[1]), Vec::new(), extremes, None)), &[]);
        let mut content = Bag::new();
        harness.follow(1, &mut content);
        let mut random = Random(workers as u64);
        let mut values: BTreeMap<i64, i64> = BTreeMap::new();
        for round in 0..6 {
            let most: i64 = 30;
            let mut batch = Vec::new();
            for value in 0..most {
                let count = 1 + random.below(2) as i64;
                *values.entry(value * 3 - 40).or_default() += count;
                batch.push((one(value * 3 - 40), count));
            }
            harness.cut(A, &[1], batch);
            harness.follow(1, &mut content);
            while let (Some(first), Some(last)) = (values.keys().next().copied(), values.keys().next_back().copied()) {
                let value = match round % 3 {
                    0 => first,
                    1 => last,
                    _ if random.chance(2) => first,
                    _ => last,
                };
                let count = values.remove(&value).expect("is there");
                // Whole, in parts, or with a value that comes and goes beyond both ends in the same time.
                let mut batch = vec![(one(value), -count)];
                if random.chance(3) {
                    batch.extend([(one(-1000), -1), (one(1000), 1), (one(1000), -1), (one(-1000), 1)]);
                }
                harness.cut(A, &[1], batch);
                harness.follow(1, &mut content);
                let wanted = row8(&[values.keys().next().copied(), values.keys().next_back().copied()]);
                assert_eq!(content, Bag::from([(wanted, 1)]), "{workers} workers, round {round}");
            }
        }
        harness.stop();
    }
}

fn numeric(text: &str) -> Row {
    let image = Numeric::from_text(text).expect("a number").to_image().expect("a small number");
    Row::from_columns([Some(&image[..])])
}

/// 1.0, 1.00 and 1.000 are one group; which of them stands for it depends on the content alone, not on who came first, and
/// a deletion moves it.
#[test]
fn e21_the_representative_of_a_group_is_a_function_of_its_content() {
    let key = KeyColumn {
        expression: Expr::Column(0, Kind::Numeric),
        kind: Kind::Numeric,
        equality: Equality::Sql,
        nulls_equal: true,
    };
    let members: Vec<Row> = ["1.0", "1.00", "1.000"].map(numeric).into();
    for workers in [1, 2] {
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for (into, out) in orders.iter().flat_map(|into| orders.iter().map(move |out| (into, out))) {
            let mut harness = Harness::new(workers, |_| {});
            let representative = vec![aggregate(AggregateFunction::LeastImage)];
            harness.install(1, plan(reduce(source(A, &[1]), vec![key.clone()], representative, None)), &[]);
            let mut content = Bag::new();
            harness.follow(1, &mut content);
            let mut held: Vec<&Row> = Vec::new();
            let steps = into.iter().map(|at| (*at, 1)).chain(out.iter().map(|at| (*at, -1)));
            for (at, diff) in steps {
                let row = &members[at];
                if diff > 0 {
                    held.push(row);
                } else {
                    held.retain(|other| *other != row);
                }
                harness.cut(A, &[1], vec![(row.clone(), diff)]);
                harness.follow(1, &mut content);
                let least = held.iter().min_by_key(|row| row.column(0)).map(|row| row.column(0).map(<[u8]>::to_vec));
                let shown: Vec<_> = content.keys().map(|row| row.column(1).map(<[u8]>::to_vec)).collect();
                assert_eq!(shown, least.into_iter().collect::<Vec<_>>(), "in {into:?} out {out:?}");
            }
            harness.stop();
        }
    }
}

/// SELECT k, f(all of x) GROUP BY k, by a function that never gives the same answer twice: what was emitted is what is
/// retracted, and only groups that changed are asked about.
#[test]
fn e19_what_was_emitted_is_retracted_and_only_changed_groups_are_sent() {
    let int8 =
        ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' };
    let fragment =
        Fragment { query: String::new(), arguments: vec![int8.clone()], results: vec![int8], text: "f(x)".to_owned() };
    for workers in [1, 2, 3] {
        let mut harness = Harness::new(workers, |_| {});
        let collected = Some(Collected { fragment: 0, arguments: vec![1] });
        let root = reduce(source(A, &[1, 2]), vec![group_key(0)], Vec::new(), collected);
        let plan = Plan { root, columns: Vec::new(), key: None, fragments: vec![fragment.clone()], sites: Vec::new() };
        let pairs: Vec<Row> = (0..100).map(|number| row8(&[Some(number % 10), Some(number)])).collect();
        harness.install(1, Arc::new(plan), &pairs);
        let mut answers = 0;
        let mut content = Bag::new();
        // The groups asked about until the output comes.
        let mut answer = |harness: &mut Harness, content: &mut Bag| -> Vec<usize> {
            let mut sizes = Vec::new();
            loop {
                match harness.next() {
                    Event::Evaluate(request) => {
                        let mut items: BTreeMap<u64, usize> = BTreeMap::new();
                        request.rows.iter().for_each(|(item, _)| *items.entry(*item).or_default() += 1);
                        sizes.extend(items.values());
                        let results = items.into_keys().map(|item| {
                            answers += 1;
                            (item, Ok(one(answers)))
                        });
                        let EvaluationRequest { id, worker, graph, .. } = request;
                        let results = results.collect();
                        harness.engine.reply(EvaluationReply { id, worker, graph, results });
                    }
                    Event::Output { graph: 1, rows, .. } => {
                        rows.into_iter().for_each(|(row, diff)| add(content, row, diff));
                        sizes.sort_unstable();
                        return sizes;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(answer(&mut harness, &mut content), vec![10; 10]);
        for number in 0..30 {
            harness.cut(A, &[1, 2], vec![(row8(&[Some(number % 7), Some(1000 + number)]), 1)]);
            assert_eq!(answer(&mut harness, &mut content).len(), 1);
            // One row a group, whatever it was before.
            assert_eq!((content.len(), content.values().all(|count| *count == 1)), (10, true), "{content:?}");
        }
        // A group that is gone is not asked about, and takes with it what was emitted.
        harness.cut(A, &[1, 2], pairs.iter().filter(|row| int8_of(row) == 9).map(|row| (row.clone(), -1)).collect());
        assert_eq!(answer(&mut harness, &mut content), Vec::<usize>::new());
        assert_eq!(content.len(), 9);
        harness.stop();
    }
}

fn int8_of(row: &Row) -> i64 {
    int8(row, 0).expect("not null")
}

/// Sums leave nothing behind: of a group whose rows have all gone there is no state, whatever partial sums were, and an
/// overflow is one of the result, which clears.
#[test]
fn e23_accumulators_hold_exact_sums_and_leave_nothing() {
    for workers in [1, 2] {
        let mut harness = Harness::new(workers, |_| {});
        let sums = vec![aggregate(AggregateFunction::CountRows), aggregate(AggregateFunction::Sum(Kind::Float8))];
        let key = KeyColumn { nulls_equal: true, ..key(1) };
        harness.install(1, plan(reduce(source(A, &[1, 2]), vec![key], sums, None)), &[]);
        let mut content = Bag::new();
        harness.follow(1, &mut content);
        let row = |value: f64| Row::from_columns([Some(&value.to_ne_bytes()[..]), Some(&7i64.to_ne_bytes()[..])]);
        let sum = |content: &Bag| -> Option<f64> {
            let row = content.keys().next()?;
            Some(f64::from_ne_bytes(row.column(2)?.try_into().expect("eight bytes")))
        };
        // Doubles that a running sum would lose, each a time of its own.
        for (value, diff, wanted) in [
            (1e300, 1, 1e300),
            (1.5, 1, 1e300),
            (-1e300, 1, 1.5),
            (1e-300, 1, 1.5),
            (1.5, -1, 1e-300),
            (f64::INFINITY, 1, f64::INFINITY),
            (f64::INFINITY, -1, 1e-300),
        ] {
            harness.cut(A, &[1, 2], vec![(row(value), diff)]);
            harness.follow(1, &mut content);
            assert_eq!(sum(&content), Some(wanted), "after {diff} times {value}");
        }
        harness.cut(A, &[1, 2], vec![(row(1e300), -1), (row(1e-300), -1), (row(-1e300), -1)]);
        harness.follow(1, &mut content);
        assert!(content.is_empty());
        let statistics = harness.engine.statistics(1).expect("a graph");
        let reduce = statistics.operators.iter().find(|operator| operator.name == "reduce").expect("a reduce");
        assert_eq!((reduce.held_rows, reduce.held_bytes), (0, 0));
        harness.stop();
    }
}

fn copy_of(table: GraphId) -> Arc<Plan> {
    plan(Rel::StreamTable { table, columns: vec![1] })
}

/// A reader is installed while its upstream has times in flight that its table does not show yet; the table is read when
/// they have been reported, and what comes then, before the gate is open and after, is passed once.
#[test]
fn e10_a_reader_attached_while_its_upstream_has_times_in_flight() {
    for workers in [1, 2, 3] {
        for settled in [0, 3, 8] {
            let mut harness = Harness::new(workers, |_| {});
            harness.install(1, plan(source(A, &[1])), &[one(0)]);
            let mut heap = Bag::new();
            harness.follow(1, &mut heap);
            let (mut last, mut reported) = (0, 0);
            for value in 1..9 {
                last = harness.cut(A, &[1], vec![(one(value), 1)]);
                if value <= settled {
                    reported = harness.follow(1, &mut heap);
                }
            }
            // The bridge exists from here on; times in flight end on either side of this.
            assert!(harness.engine.attach(2, copy_of(1)).is_empty());
            let hydrations = harness.engine.install(2);
            while reported < last {
                reported = harness.follow(1, &mut heap);
            }
            assert_eq!(heap.len(), 9);
            let rows: Vec<Row> = heap.keys().cloned().collect();
            harness.fill(hydrations, &rows);
            let mut content = Bag::new();
            let mut owed = 0;
            for value in 9..20 {
                harness.cut(A, &[1], vec![(one(value), 1), (one(value - 9), -1)]);
                owed += 1;
            }
            // Both graphs report each time, the reader its whole content first.
            let (mut above, mut below) = (0, 0);
            while above < owed || below < owed + 1 {
                match harness.next() {
                    Event::Output { graph, rows, .. } => {
                        let (count, into) =
                            if graph == 1 { (&mut above, &mut heap) } else { (&mut below, &mut content) };
                        *count += 1;
                        rows.into_iter().for_each(|(row, diff)| add(into, row, diff));
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(heap, (11..20).map(|value| (one(value), 1)).collect());
            assert_eq!(content, heap, "{workers} workers, {settled} settled");
            harness.stop();
        }
    }
}

/// The upstream goes while its readers have times in flight, or still hydrate: they go first, each life reports nothing
/// more, and all can be attached again at once.
#[test]
fn e10_an_upstream_detached_with_times_in_flight_takes_its_readers_and_all_come_back() {
    for workers in [1, 2, 3] {
        let mut harness = Harness::new(workers, |_| {});
        for life in 0..20 {
            harness.install(1, plan(source(A, &[1])), &[one(life)]);
            let mut heap = Bag::new();
            harness.follow(1, &mut heap);
            assert_eq!(heap, Bag::from([(one(life), 1)]));
            harness.install(2, copy_of(1), &[one(life)]);
            let mut content = Bag::new();
            harness.follow(2, &mut content);
            assert_eq!(content, heap);
            // A third, which is in the middle of its hydration.
            assert!(harness.engine.attach(3, copy_of(2)).is_empty());
            let hydrations = harness.engine.install(3);
            harness.engine.hydrate(hydrations[0].id, vec![(one(life), 1)]);
            for value in 0..life {
                harness.cut(A, &[1], vec![(one(100 + value), 1)]);
            }
            assert_eq!(harness.engine.detach(1), vec![3, 2]);
            // Too late for whoever was there.
            harness.engine.hydrate(hydrations[0].id, vec![(one(-1), 1)]);
            harness.engine.hydrated(hydrations[0].id);
            assert!(harness.engine.graphs().is_empty());
        }
        harness.stop();
    }
}

/// Gates open in another order than readers came, and what two readers of one upstream see is the same.
#[test]
fn e10_gates_open_in_any_order() {
    for workers in [1, 2, 3] {
        let mut harness = Harness::new(workers, |_| {});
        harness.install(1, plan(source(A, &[1])), &[one(0)]);
        let mut heap = Bag::new();
        harness.follow(1, &mut heap);
        let mut waiting = Vec::new();
        for graph in 2..5 {
            assert!(harness.engine.attach(graph, copy_of(1)).is_empty());
            waiting.push((graph, harness.engine.install(graph)));
        }
        let mut contents: BTreeMap<GraphId, Bag> = BTreeMap::new();
        for (value, (graph, hydrations)) in waiting.into_iter().rev().enumerate() {
            let rows: Vec<Row> = heap.keys().cloned().collect();
            harness.fill(hydrations, &rows);
            contents.insert(graph, Bag::new());
            let last = harness.cut(A, &[1], vec![(one(value as i64 + 1), 1)]);
            // Every graph that is complete reports the time.
            let mut behind: Vec<GraphId> = contents.keys().copied().chain([1]).collect();
            while !behind.is_empty() {
                match harness.next() {
                    Event::Output { graph, time, rows, .. } => {
                        let into = contents.get_mut(&graph).unwrap_or(&mut heap);
                        rows.into_iter().for_each(|(row, diff)| add(into, row, diff));
                        behind.retain(|other| *other != graph || time < last);
                    }
                    other => panic!("{other:?}"),
                }
            }
            contents.values().for_each(|content| assert_eq!(*content, heap));
        }
        harness.stop();
    }
}

/// SELECT * FROM a JOIN b ON b.1 = a.1
fn pairs() -> Arc<Plan> {
    plan(Rel::Join(Join {
        inputs: vec![join_input(source(A, &[1, 2]), 2), join_input(source(B, &[1, 2]), 2)],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 2, 0)]],
        residual: Vec::new(),
        site: 0,
    }))
}

/// Ended while its arrangements are read, while its sweep is at work, and while changes are in flight: the arrangement that
/// another graph shares goes on, and the next life of the graph is right.
#[test]
fn e05_e36_a_graph_that_ends_while_it_hydrates_leaves_the_shared_arrangements_right() {
    for workers in [1, 2, 3] {
        // Sweeps of one row an activation.
        let mut harness = Harness::new(workers, |config| config.slice.rows = 2);
        let rows: Vec<Row> = (0..200).map(|number| row8(&[Some(number % 20), Some(number)])).collect();
        let mut b: Bag = rows.iter().map(|row| (row.clone(), 1)).collect();
        harness.install(1, pairs(), &rows);
        let mut first = Bag::new();
        harness.follow(1, &mut first);
        for life in 0..20 {
            // Another key of B: an arrangement that the first graph does not have, given up half read.
            let Rel::Join(mut other) = pairs().root.clone() else { panic!("a join") };
            other.paths = vec![vec![step(1, 1, 1)], vec![step(0, 3, 1)]];
            let hydrations = harness.engine.attach(2, plan(Rel::Join(other)));
            assert_eq!(hydrations.len(), 2);
            harness.engine.hydrate(hydrations[1].id, rows.iter().take(10).map(|row| (row.clone(), 1)).collect());
            harness.engine.detach(2);
            // All history: it sweeps, and ends in the middle, with changes on the way.
            assert!(harness.engine.attach(3, pairs()).is_empty());
            assert!(harness.engine.install(3).is_empty());
            let change = row8(&[Some(life % 20), Some(1000 + life)]);
            harness.cut(B, &[1, 2], vec![(change.clone(), 1)]);
            add(&mut b, change, 1);
            harness.engine.detach(3);
            harness.follow(1, &mut first);
        }
        assert!(harness.engine.attach(4, pairs()).is_empty());
        assert!(harness.engine.install(4).is_empty());
        let mut second = Bag::new();
        harness.follow(4, &mut second);
        let mut wanted = 0;
        for row in b.keys() {
            wanted += rows.iter().filter(|other| int8_of(other) == int8_of(row)).count();
        }
        assert_eq!(second.len(), wanted);
        assert_eq!(first, second, "{workers} workers");
        harness.stop();
    }
}

/// Lengths around every step of the length's encoding, NULL beside the empty image, and images that look like other rows'
/// beginnings: arranged, merged, looked up and projected, they come out as they went in.
#[test]
fn e35_rows_of_odd_lengths_come_out_of_arrangements_as_they_went_in() {
    let mut images: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
    for length in [1, 2, 7, 8, 9, 125, 126, 127, 128, 129, 16_381, 16_382, 16_383, 16_384, 70_000] {
        for byte in [0u8, 1, 0x7f, 0x80, 0xff] {
            images.push(Some(vec![byte; length]));
        }
    }
    let row = |number: usize| {
        let key = (number as i64 % 5).to_ne_bytes();
        let image = images[number].as_deref();
        Row::from_columns([Some(&key[..]), image, images[images.len() - 1 - number].as_deref()])
    };
    for workers in [1, 3] {
        let mut harness = Harness::new(workers, |_| {});
        let join = Rel::Join(Join {
            inputs: vec![join_input(source(A, &[1, 2, 3]), 3), join_input(source(B, &[1]), 1)],
            paths: vec![vec![step(1, 0, 0)], vec![step(0, 3, 0)]],
            residual: Vec::new(),
            site: 0,
        });
        let hydrations = harness.engine.attach(1, plan(join));
        for hydration in &hydrations {
            if hydration.from == HydrationSource::Table(A) {
                // A time each, so that batches are merged.
                for number in 0..images.len() {
                    harness.engine.hydrate(hydration.id, vec![(row(number), 1)]);
                }
            }
            harness.engine.hydrated(hydration.id);
        }
        assert!(harness.engine.install(1).is_empty());
        let mut content = Bag::new();
        harness.follow(1, &mut content);
        assert!(content.is_empty());
        for key in 0..5 {
            harness.cut(B, &[1], vec![(one(key), 1)]);
            harness.follow(1, &mut content);
        }
        let joined = |number: usize| {
            let row = row(number);
            let columns: Vec<_> = row.columns().chain(row.columns().take(1)).collect();
            Row::from_columns(columns)
        };
        assert_eq!(content, (0..images.len()).map(|number| (joined(number), 1)).collect::<Bag>());
        // Deleted again by rows that were made anew.
        harness.cut(A, &[1, 2, 3], (0..images.len()).map(|number| (row(number), -1)).collect());
        harness.follow(1, &mut content);
        assert!(content.is_empty());
        harness.stop();
    }
}

/// A row cut off anywhere is not read beyond its end, and no reader of it waits for ever.
#[test]
fn e35_a_truncated_row_ends_in_a_panic_or_as_a_shorter_row() {
    let whole = Row::from_columns([Some(&[1u8; 200][..]), None, Some(&b"abc"[..])]);
    for end in 0..whole.bytes().len() {
        let cut = Row::from_encoded(whole.bytes()[..end].to_vec());
        let read = std::panic::catch_unwind(|| cut.columns().map(|c| c.map(<[u8]>::to_vec)).collect::<Vec<_>>());
        if let Ok(columns) = read {
            let all: Vec<_> = whole.columns().map(|c| c.map(<[u8]>::to_vec)).collect();
            assert_eq!(columns[..], all[..columns.len()]);
        }
    }
}
