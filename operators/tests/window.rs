//! The engine's own window functions, against computing every partition anew; and how few rows a change touches.

mod common;

use common::*;
use std::collections::BTreeMap;
use trickle_operators::engine::api::Diff;
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;

/// Columns: the partition, what is sorted by, a value.
const ORDER: usize = 1;
const VALUE: usize = 2;

fn call(function: WindowFunction, frame: WindowFrame) -> WindowCall {
    WindowCall { function, frame }
}

fn plain(function: WindowFunction) -> WindowCall {
    call(function, WindowFrame::Rows)
}

fn lag(offset: i64, default: Option<i64>) -> WindowCall {
    let default = default.map(|value| Expr::Literal(Some(value.to_ne_bytes().to_vec()), Kind::Int8));
    plain(WindowFunction::Neighbour { argument: VALUE, offset, default })
}

fn aggregate(function: AggregateFunction, frame: WindowFrame) -> WindowCall {
    let argument = (function != AggregateFunction::CountRows).then_some(VALUE);
    call(WindowFunction::Aggregate(Aggregate { function, argument, distinct: None, filter: None }), frame)
}

fn every_call() -> Vec<WindowCall> {
    use AggregateFunction::*;
    use WindowFrame::*;
    let mut calls = vec![
        plain(WindowFunction::RowNumber),
        plain(WindowFunction::Rank),
        plain(WindowFunction::DenseRank),
        lag(1, None),
        lag(-1, Some(-7)),
        lag(3, Some(-8)),
        lag(-2, None),
        lag(0, None),
    ];
    for (from, to) in [(-1, 0), (-2, 1), (0, 0), (1, 3), (-3, -2), (2, 1)] {
        calls.push(aggregate(Max(Kind::Int8), Around { from, to }));
        calls.push(aggregate(CountRows, Around { from, to }));
    }
    for frame in [All, Rows, Peers] {
        calls.push(call(WindowFunction::FirstValue(VALUE), frame));
        calls.push(call(WindowFunction::LastValue(VALUE), frame));
        calls.push(aggregate(CountRows, frame));
        calls.push(aggregate(Count, frame));
        calls.push(aggregate(BitXor(Kind::Int8), frame));
        calls.push(aggregate(Min(Kind::Int8), frame));
        calls.push(aggregate(Max(Kind::Int8), frame));
    }
    for frame in [Rows, Peers] {
        calls.push(call(WindowFunction::NthValue(VALUE, 3), frame));
    }
    calls
}

#[derive(Clone)]
struct Case {
    order: Vec<OrderKey>,
    calls: Vec<WindowCall>,
}

impl Case {
    fn random(random: &mut Random) -> Case {
        let key = OrderKey {
            column: ORDER,
            kind: Kind::Int8,
            descending: random.chance(2),
            nulls_first: random.chance(2),
            labels: Vec::new(),
        };
        let every = every_call();
        let calls = match random.below(5) {
            0 => every,
            1 => vec![lag(1 + random.below(3) as i64, None)],
            _ => (0..=random.below(3)).map(|_| every[random.below(every.len() as u64) as usize].clone()).collect(),
        };
        Case { order: if random.chance(5) { Vec::new() } else { vec![key] }, calls }
    }

    fn rel(&self) -> Rel {
        Rel::Window(Window {
            input: Box::new(source(A, &[1, 2, 3])),
            keys: vec![group_key(0)],
            functions: WindowFunctions::Native { order: self.order.clone(), calls: self.calls.clone() },
            site: 0,
        })
    }

    /// Where a row is in the order.
    fn sort(&self, row: &Row) -> (i64, i64) {
        let Some(key) = self.order.first() else { return (0, 0) };
        let sign = if key.descending { -1 } else { 1 };
        match int8(row, key.column) {
            None => (if key.nulls_first { -1 } else { 1 }, 0),
            Some(value) => (0, sign * value),
        }
    }

    fn expected(&self, table: &Table) -> Bag {
        let mut partitions: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
        for (row, count) in &table.rows {
            let rows = partitions.entry(int8(row, 0)).or_default();
            rows.extend(std::iter::repeat_n(row.clone(), *count as usize));
        }
        let mut bag = Bag::new();
        for mut rows in partitions.into_values() {
            rows.sort_by(|a, b| self.sort(a).cmp(&self.sort(b)).then_with(|| a.cmp(b)));
            for at in 0..rows.len() {
                let values = self.calls.iter().map(|call| self.value(call, &rows, at));
                let columns = (0..3).map(|column| int8(&rows[at], column)).chain(values);
                add(&mut bag, row8(&columns.collect::<Vec<_>>()), 1);
            }
        }
        bag
    }

    fn value(&self, call: &WindowCall, rows: &[Row], at: usize) -> Option<i64> {
        let peers = |other: usize| self.sort(&rows[other]) == self.sort(&rows[at]);
        let last_peer = || (at..rows.len()).take_while(|other| peers(*other)).last().expect("a row is its own peer");
        let end = match call.frame {
            WindowFrame::All => rows.len() - 1,
            WindowFrame::Rows | WindowFrame::Around { .. } => at,
            WindowFrame::Peers => last_peer(),
        };
        let value = |at: usize| int8(&rows[at], VALUE);
        let (start, end_of_rows) = match call.frame {
            WindowFrame::Around { from, to } => (at as i64 + from, at as i64 + to),
            _ => (0, end as i64),
        };
        let seen = (start..=end_of_rows).filter_map(|at| usize::try_from(at).ok()).filter(|at| *at < rows.len());
        let values = seen.clone().filter_map(value);
        use AggregateFunction::*;
        match &call.function {
            WindowFunction::RowNumber => Some(at as i64 + 1),
            WindowFunction::Rank => Some((0..=at).find(|other| peers(*other))? as i64 + 1),
            WindowFunction::DenseRank => {
                let mut orders: Vec<_> = rows[..=at].iter().map(|row| self.sort(row)).collect();
                orders.dedup();
                Some(orders.len() as i64)
            }
            WindowFunction::Neighbour { offset, default, .. } => match usize::try_from(at as i64 - offset) {
                Ok(other) if other < rows.len() => value(other),
                _ => match default {
                    Some(Expr::Literal(Some(image), _)) => Some(i64::from_ne_bytes(image[..].try_into().ok()?)),
                    _ => None,
                },
            },
            WindowFunction::FirstValue(_) => value(0),
            WindowFunction::LastValue(_) => value(end),
            WindowFunction::NthValue(_, n) => (end as u64 + 1 >= *n).then(|| value(*n as usize - 1)).flatten(),
            WindowFunction::Aggregate(aggregate) => match aggregate.function {
                CountRows => Some(seen.count() as i64),
                Count => Some(values.count() as i64),
                BitXor(_) => values.reduce(|a, b| a ^ b),
                Min(_) => values.min(),
                Max(_) => values.max(),
                _ => unreachable!("not among the calls"),
            },
        }
    }
}

#[test]
fn e06_e18_windows_equal_computing_everything() {
    for seed in seeds(40) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 0 {
                config.slice.rows = 3;
            }
        });
        // From almost only peers to almost none; partitions from a few rows to many, with marks in them.
        let domain: [&[u64]; 4] = [&[3, 6, 5], &[2, 300, 9], &[2, 4, 200], &[1, 2, 2]];
        let domain = domain[(seed % 4) as usize];
        let most = [6, 40][(seed / 4 % 2) as usize];
        driver.table(A, 3);
        let cut = |driver: &mut Driver, random: &mut Random, most: u64| {
            let changes = changes(random, &driver.tables[&A], domain, most);
            driver.cut(BTreeMap::from([(A, changes)]));
        };
        cut(&mut driver, &mut random, 20 * most);
        let mut live = Random(seed ^ 77);
        for graph in 1..=3 {
            let case = Case::random(&mut random);
            let rel = case.rel();
            let expected = move |tables: &BTreeMap<SourceId, Table>| case.expected(&tables[&A]);
            driver.attach(graph, plan(rel), 50, Box::new(expected), |driver| cut(driver, &mut live, most));
        }
        driver.churn(&mut random, 30, |driver, random| cut(driver, random, most));
        driver.empty(A);
        assert!((1..=3).all(|graph| driver.content(graph).is_empty()));
        (1..=3).for_each(|graph| driver.assert_nothing_held(graph, "window"));
        driver.stop();
    }
}

/// How many rows one new row among three thousand makes the window emit.
fn emitted_by_one_change(calls: Vec<WindowCall>, row: Row) -> u64 {
    let key = OrderKey { column: ORDER, kind: Kind::Int8, descending: false, nulls_first: false, labels: Vec::new() };
    let case = Case { order: vec![key], calls };
    let mut driver = Driver::new(1, |_| {});
    driver.table(A, 3);
    let rows: Vec<(Row, Diff)> = (0..3000).map(|at| (row8(&[Some(0), Some(2 * at), Some(at % 100)]), 1)).collect();
    driver.cut(BTreeMap::from([(A, rows)]));
    let rel = case.rel();
    driver.attach(1, plan(rel), 500, Box::new(move |tables| case.expected(&tables[&A])), |_| {});
    driver.settle();
    let emitted = |driver: &Driver| driver.operator(1, "window").rows_out;
    let before = emitted(&driver);
    driver.cut(BTreeMap::from([(A, vec![(row, 1)])]));
    driver.settle();
    let more = emitted(&driver) - before;
    driver.stop();
    more
}

#[test]
fn e18_a_change_in_a_large_partition_touches_what_it_can_be_felt_in() {
    let middle = row8(&[Some(0), Some(3001), Some(50)]);
    // Itself, one after it and two before it, the old and the new of each.
    let neighbours = vec![lag(1, None), lag(-2, None)];
    assert_eq!(emitted_by_one_change(neighbours, middle.clone()), 1 + 2 * 3, "rows by neighbours");
    let late = row8(&[Some(0), Some(5999), Some(1)]);
    assert_eq!(emitted_by_one_change(vec![plain(WindowFunction::RowNumber)], late), 1, "rows by a number at the end");
    let number = vec![plain(WindowFunction::RowNumber)];
    assert_eq!(emitted_by_one_change(number, middle.clone()), 1 + 2 * 1499, "rows by a number in the middle");
    // The greatest value has been there before: what a lesser one changes is itself.
    for frame in [WindowFrame::Rows, WindowFrame::Peers, WindowFrame::All] {
        let maximum = vec![aggregate(AggregateFunction::Max(Kind::Int8), frame)];
        assert_eq!(emitted_by_one_change(maximum, middle.clone()), 1, "rows by a maximum over {frame:?}");
    }
}

/// The walk ends where functions know what they knew: the time of many changes far from each other is that of each.
#[test]
fn e18_a_walk_ends_at_the_next_mark_at_which_nothing_is_other() {
    let key = OrderKey { column: ORDER, kind: Kind::Int8, descending: false, nulls_first: false, labels: Vec::new() };
    let calls = vec![aggregate(AggregateFunction::Max(Kind::Int8), WindowFrame::Rows)];
    let case = Case { order: vec![key], calls };
    let mut driver = Driver::new(1, |config| config.slice.rows = 20);
    driver.table(A, 3);
    let rows: Vec<(Row, Diff)> = (0..3000).map(|at| (row8(&[Some(0), Some(2 * at), Some(99 - at % 100)]), 1)).collect();
    driver.cut(BTreeMap::from([(A, rows)]));
    let rel = case.rel();
    driver.attach(1, plan(rel), 500, Box::new(move |tables| case.expected(&tables[&A])), |_| {});
    driver.settle();
    let activations = |driver: &Driver| driver.operator(1, "window").activations;
    let before = activations(&driver);
    let changes = [101, 3001, 5901].map(|order| (row8(&[Some(0), Some(order), Some(50)]), 1));
    driver.cut(BTreeMap::from([(A, changes.to_vec())]));
    driver.settle();
    let more = activations(&driver) - before;
    assert!(more < 60, "three changes took {more} activations of 20 rows each");
    driver.stop();
}

/// A sum that leaves its type is an error of the rows that it is the value of, as long as it does.
#[test]
fn e23_a_running_sum_out_of_range_is_an_error_of_its_rows() {
    let key = OrderKey { column: ORDER, kind: Kind::Int8, descending: false, nulls_first: false, labels: Vec::new() };
    let calls =
        [WindowFrame::Rows, WindowFrame::All].map(|frame| aggregate(AggregateFunction::Sum(Kind::Float8), frame));
    for (call, failing) in calls.into_iter().zip([2, 3]) {
        let mut driver = Driver::new(1, |_| {});
        driver.table(A, 3);
        driver.attach_unchecked(1, plan(Case { order: vec![key.clone()], calls: vec![call] }.rel()), 10);
        let float = |order: i64, value: f64| row8(&[Some(0), Some(order), Some(value.to_bits() as i64)]);
        let rows = [float(1, f64::MAX), float(2, f64::MAX), float(3, 1.0)];
        driver.cut(BTreeMap::from([(A, rows.iter().map(|row| (row.clone(), 1)).collect())]));
        driver.settle();
        let errors = driver.errors(1);
        assert_eq!((driver.content(1).len(), errors.len()), (3 - failing, failing));
        assert!(errors
            .keys()
            .all(|error| error.error.sqlstate == *b"22003" && rows[3 - failing..].contains(&error.row)));
        driver.cut(BTreeMap::from([(A, vec![(rows[0].clone(), -1)])]));
        driver.settle();
        assert_eq!((driver.content(1).len(), driver.errors(1).len()), (2, 0));
        let sum = driver.content(1).keys().map(|row| int8(row, 3)).collect::<Vec<_>>();
        assert_eq!(sum, vec![Some(f64::MAX.to_bits() as i64); 2], "what is lost in rounding is not lost of the sum");
        driver.cut(BTreeMap::from([(A, vec![(rows[1].clone(), -1), (float(4, f64::NAN), 1)])]));
        driver.settle();
        assert!(driver.errors(1).is_empty());
        driver.stop();
    }
}
