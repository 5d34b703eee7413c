//! Window functions by a test's own evaluator: what was emitted is what is retracted, and only what has changed is emitted.

mod common;

use common::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use trickle_operators::engine::api::{EvaluationReply, EvaluationRequest};
use trickle_operators::expr::EvalError;
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row};

const A: SourceId = 1;
/// A partition with this value in it fails.
const BAD: i64 = 13;

fn int8_type() -> ColumnType {
    ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' }
}

/// `SELECT a, b, sum(b) OVER (PARTITION BY a ORDER BY b) FROM t`
fn windowed() -> Arc<Plan> {
    let fragment = Fragment {
        query: String::new(),
        arguments: vec![int8_type(), int8_type()],
        results: vec![int8_type(), int8_type()],
        text: "running sum".into(),
    };
    let root = Rel::Window(Window {
        input: Box::new(source(A, &[1, 2])),
        keys: vec![group_key(0)],
        functions: WindowFunctions::Foreign { fragment: 0, arguments: vec![1] },
        site: 0,
    });
    Arc::new(Plan { fragments: vec![fragment], ..(*plan(root)).clone() })
}

/// The sum of everything up to and with a value's peers, NULLs last.
fn running(values: &[Option<i64>], value: Option<i64>) -> Option<i64> {
    let upto = values.iter().filter(|other| match (other, value) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(other), Some(value)) => *other <= value,
    });
    let known: Vec<i64> = upto.flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

fn evaluate(request: &EvaluationRequest) -> EvaluationReply {
    let mut partitions: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
    for (item, row) in &request.rows {
        partitions.entry(*item).or_default().push(row);
    }
    let mut results = Vec::new();
    for (item, rows) in partitions {
        let values: Vec<Option<i64>> = rows.iter().map(|row| int8(row, 1)).collect();
        if values.contains(&Some(BAD)) {
            results.push((item, Err(EvalError::division_by_zero())));
            continue;
        }
        for (row, value) in rows.iter().zip(&values) {
            results.push((item, Ok(row8(&[int8(row, 0), running(&values, *value)]))));
        }
    }
    results.reverse();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut partitions: BTreeMap<Option<i64>, Vec<Option<i64>>> = BTreeMap::new();
    for (row, count) in &tables[&A].rows {
        let values = partitions.entry(int8(row, 0)).or_default();
        values.extend(std::iter::repeat_n(int8(row, 1), *count as usize));
    }
    let mut bag = Bag::new();
    for (key, values) in partitions.into_iter().filter(|(_, values)| !values.contains(&Some(BAD))) {
        values.iter().for_each(|value| add(&mut bag, row8(&[key, *value, running(&values, *value)]), 1));
    }
    bag
}

#[test]
fn e16_e19_the_output_is_kept_and_what_has_changed_of_it_is_emitted() {
    for seed in seeds(20) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 0 {
                config.slice.rows = 2;
            }
        });
        driver.evaluate = Box::new(evaluate);
        driver.table(A, 2);
        let cut = |driver: &mut Driver, random: &mut Random| {
            let changes = changes(random, &driver.tables[&A], &[4, 15], 6);
            driver.cut(BTreeMap::from([(A, changes)]));
        };
        for _ in 0..random.below(4) {
            cut(&mut driver, &mut random);
        }
        let mut live = Random(seed ^ 77);
        driver.attach(1, windowed(), 3, Box::new(expected), |driver| cut(driver, &mut live));
        driver.churn(&mut random, 40, |driver, random| cut(driver, random));
        driver.empty(A);
        assert!(driver.content(1).is_empty() && driver.errors(1).is_empty());
        driver.stop();
    }
}

/// Only the partition that has changed is sent, whatever else there is.
#[test]
fn e19_other_partitions_are_not_asked_about() {
    let mut driver = Driver::new(1, |_| {});
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    driver.evaluate = Box::new(move |request| {
        counted.fetch_add(request.rows.len(), Ordering::Relaxed);
        evaluate(request)
    });
    driver.table(A, 2);
    let rows = (0..1000).map(|at| (row8(&[Some(at % 100), Some(at / 100)]), 1)).collect();
    driver.cut(BTreeMap::from([(A, rows)]));
    driver.attach(1, windowed(), 500, Box::new(expected), |_| {});
    driver.settle();
    assert_eq!(sent.swap(0, Ordering::Relaxed), 1000);
    driver.cut(BTreeMap::from([(A, vec![(row8(&[Some(7), Some(100)]), 1)])]));
    driver.settle();
    assert_eq!(sent.swap(0, Ordering::Relaxed), 11);
    // What cancels is no change.
    let row = row8(&[Some(8), Some(5)]);
    driver.cut(BTreeMap::from([(A, vec![(row.clone(), -1), (row, 1)])]));
    driver.settle();
    assert_eq!(sent.load(Ordering::Relaxed), 0);
    driver.stop();
}
