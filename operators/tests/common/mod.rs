//! A driver for the engine that keeps the tables itself, and compares what is reported with what should be.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trickle_operators::engine::api::{Diff, ErrorRow, Event, Hydration, HydrationSource, MemoryGauge, Time};
use trickle_operators::engine::{Config, Engine, OperatorStatistics};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

/// A small generator: the tests print the seed they start from.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

pub struct Unlimited;

impl MemoryGauge for Unlimited {
    fn used(&self) -> usize {
        0
    }
    fn limit(&self) -> usize {
        usize::MAX
    }
}

pub type Bag = BTreeMap<Row, Diff>;

pub fn add(bag: &mut Bag, row: Row, diff: Diff) {
    let count = bag.entry(row.clone()).or_insert(0);
    *count += diff;
    if *count == 0 {
        bag.remove(&row);
    }
}

pub fn row8(columns: &[Option<i64>]) -> Row {
    let images: Vec<Option<[u8; 8]>> = columns.iter().map(|c| c.map(i64::to_ne_bytes)).collect();
    Row::from_columns(images.iter().map(|c| c.as_ref().map(|image| &image[..])))
}

pub fn int8(row: &Row, column: usize) -> Option<i64> {
    row.column(column).map(|image| i64::from_ne_bytes(image.try_into().expect("eight bytes")))
}

pub fn column(index: usize) -> Expr {
    Expr::Column(index, Kind::Int8)
}

pub fn key(index: usize) -> KeyColumn {
    KeyColumn { expression: column(index), kind: Kind::Int8, equality: Equality::Sql, nulls_equal: false }
}

pub fn group_key(index: usize) -> KeyColumn {
    KeyColumn { nulls_equal: true, ..key(index) }
}

pub fn source(source: SourceId, columns: &[i16]) -> Rel {
    Rel::Source { source, columns: columns.to_vec() }
}

pub fn join_input(relation: Rel, width: usize) -> JoinInput {
    JoinInput { relation, width, filter: Vec::new() }
}

pub fn step(input: usize, probe: usize, at: usize) -> Lookup {
    Lookup { input, probe: vec![column(probe)], key: vec![key(at)], filter: Vec::new() }
}

pub fn plan(root: Rel) -> Arc<Plan> {
    Arc::new(Plan { root, columns: Vec::new(), key: None, fragments: Vec::new(), sites: Vec::new() })
}

/// A base table as the test knows it. Attribute numbers are 1, 2, …
pub struct Table {
    pub width: usize,
    pub rows: Bag,
}

pub type Expectation = Box<dyn Fn(&BTreeMap<SourceId, Table>) -> Bag>;

struct Follower {
    /// None: whatever it reports.
    expected: Option<Expectation>,
    content: Bag,
    errors: BTreeMap<ErrorRow, Diff>,
    wanted: BTreeMap<Time, Option<Bag>>,
    plan: Arc<Plan>,
}

pub struct Driver {
    pub engine: Engine,
    pub wake: crossbeam_channel::Receiver<()>,
    pub tables: BTreeMap<SourceId, Table>,
    followers: BTreeMap<GraphId, Follower>,
    /// Changes since a hydration of the source began.
    catch_up: BTreeMap<u64, (SourceId, Vec<(Row, Diff)>)>,
    /// The graph whose own inputs hydrate, and how many are left.
    completing: Option<(GraphId, usize)>,
    pub evaluate: Box<
        dyn FnMut(
            &trickle_operators::engine::api::EvaluationRequest,
        ) -> trickle_operators::engine::api::EvaluationReply,
    >,
}

pub fn project(row: &Row, columns: &[i16]) -> Row {
    Row::from_columns(columns.iter().map(|c| row.column(*c as usize - 1)))
}

impl Driver {
    pub fn new(workers: usize, configure: impl FnOnce(&mut Config)) -> Self {
        let (sender, wake) = crossbeam_channel::unbounded();
        let notify = Arc::new(move || {
            let _ = sender.send(());
        });
        let mut config = Config::new(workers, Arc::new(Unlimited), notify);
        configure(&mut config);
        let engine = Engine::start(config).expect("threads start");
        Driver {
            engine,
            wake,
            tables: BTreeMap::new(),
            followers: BTreeMap::new(),
            catch_up: BTreeMap::new(),
            completing: None,
            evaluate: Box::new(|_| panic!("nothing to evaluate")),
        }
    }

    pub fn table(&mut self, source: SourceId, width: usize) {
        self.tables.insert(source, Table { width, rows: Bag::new() });
    }

    /// Feeds changes of tables as one time, and notes what every follower must report at it.
    pub fn cut(&mut self, changes: BTreeMap<SourceId, Vec<(Row, Diff)>>) -> Time {
        let time = self.engine.open();
        for (source, changes) in &changes {
            let table = self.tables.get_mut(source).expect("a table of the test");
            for (row, diff) in changes {
                add(&mut table.rows, row.clone(), *diff);
            }
            for (waiting, missed) in self.catch_up.values_mut() {
                if waiting == source {
                    missed.extend(changes.iter().cloned());
                }
            }
            let columns: Vec<i16> = (1..=table.width as i16).collect();
            self.engine.feed(time, *source, &columns, changes.clone());
        }
        let sources: Vec<SourceId> = changes.keys().copied().collect();
        let affected = self.engine.affected(&sources);
        self.engine.advance(time, &affected.sources);
        self.want(time, &affected.graphs);
        time
    }

    /// As [`Driver::want`], for a time that a test has made itself.
    pub fn owe(&mut self, time: Time, graphs: &[GraphId]) {
        self.want(time, graphs);
    }

    fn want(&mut self, time: Time, graphs: &[GraphId]) {
        for id in graphs {
            let follower = self.followers.get_mut(id).expect("a graph of the test");
            follower.wanted.insert(time, follower.expected.as_ref().map(|expected| expected(&self.tables)));
        }
    }

    /// Attaches and installs a graph; `between` may cut while it hydrates, after each chunk.
    pub fn attach(
        &mut self,
        graph: GraphId,
        plan: Arc<Plan>,
        chunk: usize,
        expected: Expectation,
        between: impl FnMut(&mut Driver),
    ) {
        self.attach_with(graph, plan, chunk, Some(expected), between, |_| {});
    }

    /// The same of a graph of which only what it holds and does is of interest.
    pub fn attach_unchecked(&mut self, graph: GraphId, plan: Arc<Plan>, chunk: usize) {
        self.attach_with(graph, plan, chunk, None, |_| {}, |_| {});
    }

    /// The same; `before` is called before the graph is installed.
    pub fn attach_with(
        &mut self,
        graph: GraphId,
        plan: Arc<Plan>,
        chunk: usize,
        expected: Option<Expectation>,
        mut between: impl FnMut(&mut Driver),
        before: impl FnOnce(&mut Engine),
    ) {
        let hydrations = self.engine.attach(graph, Arc::clone(&plan));
        self.hydrate(hydrations, chunk, &mut between);
        before(&mut self.engine);
        let hydrations = self.engine.install(graph);
        let complete = hydrations.is_empty();
        let follower =
            Follower { expected, content: Bag::new(), errors: BTreeMap::new(), wanted: BTreeMap::new(), plan };
        self.followers.insert(graph, follower);
        if complete {
            self.want_now(graph);
        } else {
            self.completing = Some((graph, hydrations.len()));
            self.hydrate(hydrations, chunk, &mut between);
        }
    }

    /// The graph has become complete just now, at a time of its own: the last one opened.
    fn want_now(&mut self, graph: GraphId) {
        let time = self.engine.open() - 1;
        self.want(time, &[graph]);
    }

    fn completed_one(&mut self) {
        if let Some((graph, left)) = &mut self.completing {
            *left -= 1;
            if *left == 0 {
                let graph = *graph;
                self.completing = None;
                self.want_now(graph);
            }
        }
    }

    fn hydrate(&mut self, hydrations: Vec<Hydration>, chunk: usize, between: &mut impl FnMut(&mut Driver)) {
        let mut scans = Vec::new();
        let mut stream_tables = Vec::new();
        for hydration in hydrations {
            match hydration.from {
                HydrationSource::Table(source) => {
                    self.catch_up.insert(hydration.id, (source, Vec::new()));
                    scans.push((hydration, self.tables[&source].rows.clone()));
                }
                HydrationSource::StreamTable(graph) => stream_tables.push((hydration, graph)),
            }
        }
        for (hydration, rows) in scans {
            let rows: Vec<(Row, Diff)> = rows.into_iter().collect();
            for part in rows.chunks(chunk.max(1)) {
                let part = part.iter().map(|(row, diff)| (project(row, &hydration.columns), *diff)).collect();
                self.engine.hydrate(hydration.id, part);
                between(self);
            }
            if let Some((_, missed)) = self.catch_up.remove(&hydration.id) {
                let missed = missed.iter().map(|(row, diff)| (project(row, &hydration.columns), *diff)).collect();
                self.engine.hydrate(hydration.id, missed);
            }
            self.engine.hydrated(hydration.id);
            self.completed_one();
        }
        for (hydration, graph) in stream_tables {
            // What the "heap" holds is what has been reported: everything fed must have been.
            self.settle();
            let rows: Vec<(Row, Diff)> = self.followers[&graph].content.clone().into_iter().collect();
            for part in rows.chunks(chunk.max(1)) {
                let part = part.iter().map(|(row, diff)| (project(row, &hydration.columns), *diff)).collect();
                self.engine.hydrate(hydration.id, part);
            }
            self.engine.hydrated(hydration.id);
            self.completed_one();
            between(self);
        }
    }

    /// Takes what has been reported, and waits if `wait` until everything owed has come.
    pub fn drain(&mut self, wait: bool) {
        loop {
            while let Some(event) = self.engine.poll() {
                match event {
                    Event::Output { graph, time, rows, errors, complete } => {
                        assert!(complete);
                        let follower = self.followers.get_mut(&graph).expect("a graph of the test");
                        let mut seen = std::collections::BTreeSet::new();
                        for (row, diff) in rows {
                            assert!(diff != 0 && seen.insert(row.clone()), "not consolidated");
                            add(&mut follower.content, row, diff);
                        }
                        for (error, diff) in errors {
                            let count = follower.errors.entry(error).or_insert(0);
                            *count += diff;
                        }
                        follower.errors.retain(|_, count| *count != 0);
                        assert!(follower.errors.values().all(|count| *count > 0), "errors below zero");
                        let wanted = follower.wanted.remove(&time);
                        let wanted =
                            wanted.unwrap_or_else(|| panic!("graph {graph} reported {time} without being asked"));
                        if let Some(wanted) = wanted.filter(|wanted| follower.content != *wanted) {
                            let mut off = wanted.clone();
                            follower.content.iter().for_each(|(row, diff)| add(&mut off, row.clone(), -diff));
                            panic!("graph {graph} at {time}: wanted minus reported is {off:?}");
                        }
                    }
                    Event::Evaluate(request) => {
                        let reply = (self.evaluate)(&request);
                        self.engine.reply(reply);
                    }
                    Event::Stopped { graph, reason } => panic!("graph {graph} stopped: {reason:?}"),
                    Event::Panicked { graph, operator, message } => panic!("{graph:?} {operator}: {message}"),
                }
            }
            if !wait || self.followers.values().all(|follower| follower.wanted.is_empty()) {
                return;
            }
            self.wake.recv_timeout(Duration::from_secs(20)).expect("the engine answers");
        }
    }

    pub fn settle(&mut self) {
        self.drain(true);
    }

    /// Random cuts, the graphs being looked at now and then.
    pub fn churn(&mut self, random: &mut Random, rounds: usize, mut cut: impl FnMut(&mut Driver, &mut Random)) {
        for round in 0..rounds {
            cut(self, random);
            self.drain(round % 5 == 4);
        }
    }

    /// Deletes all rows of a table.
    pub fn empty(&mut self, source: SourceId) {
        let all = self.tables[&source].rows.iter().map(|(row, count)| (row.clone(), -count)).collect();
        self.cut(BTreeMap::from([(source, all)]));
        self.settle();
    }

    /// What the operator of a graph whose name ends so has done and holds.
    pub fn operator(&self, graph: GraphId, name: &str) -> OperatorStatistics {
        let statistics = self.engine.statistics(graph).expect("a graph of the test");
        let found = statistics.operators.into_iter().find(|operator| operator.name.ends_with(name));
        found.unwrap_or_else(|| panic!("graph {graph} has no operator {name}"))
    }

    pub fn content(&self, graph: GraphId) -> &Bag {
        &self.followers[&graph].content
    }

    pub fn errors(&self, graph: GraphId) -> &BTreeMap<ErrorRow, Diff> {
        &self.followers[&graph].errors
    }

    /// Of an input that is empty again, the operators of this name keep nothing: what was added to their counts for a row was
    /// taken away for it.
    pub fn assert_nothing_held(&self, graph: GraphId, operator: &str) {
        let statistics = self.engine.statistics(graph).expect("a graph of the test");
        let mut operators = statistics.operators.iter().filter(|known| known.name == operator).peekable();
        assert!(operators.peek().is_some(), "no operator {operator}");
        operators.for_each(|known| assert_eq!((known.held_rows, known.held_bytes), (0, 0), "{operator}"));
    }

    pub fn detach(&mut self, graph: GraphId) {
        self.followers.remove(&graph);
        for reader in self.engine.detach(graph) {
            self.followers.remove(&reader);
        }
    }

    pub fn stop(mut self) {
        assert!(self.engine.stop(Duration::from_secs(20)), "threads end");
    }
}

/// Random changes of a table: new rows in a small domain, old rows deleted.
pub fn changes(random: &mut Random, table: &Table, domain: &[u64], most: u64) -> Vec<(Row, Diff)> {
    let mut rows = table.rows.clone();
    let mut out = Vec::new();
    for _ in 0..=random.below(most) {
        if random.chance(3) && !rows.is_empty() {
            let index = random.below(rows.len() as u64) as usize;
            let row = rows.keys().nth(index).expect("within bounds").clone();
            add(&mut rows, row.clone(), -1);
            out.push((row, -1));
        } else {
            let columns: Vec<Option<i64>> = domain
                .iter()
                .map(|size| if random.chance(12) { None } else { Some(random.below(*size) as i64) })
                .collect();
            let row = row8(&columns);
            add(&mut rows, row.clone(), 1);
            out.push((row, 1));
        }
    }
    // The order within a time means nothing.
    for index in (1..out.len()).rev() {
        out.swap(index, random.below(index as u64 + 1) as usize);
    }
    out
}

pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let from = std::env::var("TRICKLE_SEED").ok().and_then(|text| text.parse().ok());
    if let Some(seed) = from {
        return seed..seed + 1;
    }
    0..std::env::var("TRICKLE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
