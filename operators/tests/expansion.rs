//! Rows that PostgreSQL makes many of, or none; and rows that are repeated by count.

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trickle_operators::engine::api::{Diff, EvaluationReply, EvaluationRequest};
use trickle_operators::expr::{EvalError, Expr};
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row, RowBuilder};

const A: SourceId = 1;
const B: SourceId = 2;

fn int8_type() -> ColumnType {
    ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' }
}

fn expanding(padded: bool) -> Arc<Plan> {
    let fragment = Fragment {
        query: String::new(),
        arguments: vec![int8_type()],
        results: vec![int8_type(), int8_type()],
        text: "f(x)".to_owned(),
    };
    let input = Box::new(source(A, &[1, 2]));
    let root = Rel::PgFlatMap { input, fragment: 0, arguments: vec![1], padded, site: 4 };
    Arc::new(Plan { root, columns: Vec::new(), key: None, fragments: vec![fragment], sites: Vec::new() })
}

fn failure() -> EvalError {
    EvalError { sqlstate: *b"22012", message: "division by zero".to_owned() }
}

/// `(i, 7)` for i from 1 to the argument, the last one twice; fails for 3.
fn expanded(argument: &Row) -> Result<Vec<Row>, EvalError> {
    match int8(argument, 0) {
        Some(3) => Err(failure()),
        Some(n) => Ok((1..=n).chain((n > 0).then_some(n)).map(|i| row8(&[Some(i), Some(7)])).collect()),
        None => Ok(Vec::new()),
    }
}

fn answer(request: &EvaluationRequest) -> EvaluationReply {
    let arguments: BTreeSet<&Row> = request.rows.iter().map(|(_, row)| row).collect();
    assert_eq!(arguments.len(), request.rows.len(), "arguments are sent once");
    let mut results = Vec::new();
    for (item, row) in &request.rows {
        match expanded(row) {
            Ok(rows) => results.extend(rows.into_iter().map(|row| (*item, Ok(row)))),
            Err(error) => results.push((*item, Err(error))),
        }
    }
    results.reverse();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

fn concat(parts: &[&Row]) -> Row {
    let mut builder = RowBuilder::default();
    parts.iter().for_each(|part| builder.extend(part.as_ref()));
    builder.finish()
}

#[test]
fn e24_expanded_rows_follow_and_errors_clear() {
    let (mut failed, mut none) = (0, 0);
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.evaluate = Box::new(answer);
        driver.table(A, 2);
        for (graph, padded) in [(1, false), (2, true)] {
            let expected = move |tables: &BTreeMap<SourceId, Table>| {
                let mut bag = Bag::new();
                for (row, n) in &tables[&A].rows {
                    let Ok(more) = expanded(&project(row, &[2])) else { continue };
                    if padded && more.is_empty() {
                        add(&mut bag, concat(&[row, &row8(&[None, None])]), *n);
                    }
                    more.iter().for_each(|more| add(&mut bag, concat(&[row, more]), *n));
                }
                bag
            };
            driver.attach(graph, expanding(padded), 2, Box::new(expected), |_| {});
        }
        for round in 0..40 {
            let rows = changes(&mut random, &driver.tables[&A], &[3, 6], 4);
            driver.cut(BTreeMap::from([(A, rows)]));
            if round % 5 == 4 {
                driver.settle();
                let with = |value: Option<i64>| -> Diff {
                    driver.tables[&A].rows.iter().filter(|(row, _)| int8(row, 1) == value).map(|(_, n)| n).sum()
                };
                let (wrong, empty) = (with(Some(3)), with(Some(0)));
                let reported = driver.errors(1);
                assert_eq!(reported.values().sum::<Diff>(), wrong);
                assert!(reported.keys().all(|error| error.site == 4 && error.error == failure()));
                failed += wrong;
                none += empty;
            }
        }
        let all: Vec<(Row, Diff)> = driver.tables[&A].rows.iter().map(|(row, n)| (row.clone(), -n)).collect();
        driver.cut(BTreeMap::from([(A, all)]));
        driver.settle();
        assert!((1..=2).all(|graph| driver.errors(graph).is_empty()), "deleting the bad rows clears the errors");
        assert!((1..=2).all(|graph| driver.content(graph).is_empty()));
        driver.stop();
    }
    assert!(failed > 0 && none > 0, "no row failed, or none had no results: the test proves nothing");
}

/// The rows of A and B with how often they are in each, repeated.
fn counted(times: Times) -> Arc<Plan> {
    let arm = |table, left: bool| Rel::Map {
        input: Box::new(source(table, &[1])),
        expressions: vec![
            Expr::Literal(Some(vec![u8::from(left)]), Kind::Bool),
            Expr::Literal(Some(vec![u8::from(!left)]), Kind::Bool),
        ],
        site: 0,
    };
    let count = |filter| Aggregate {
        function: AggregateFunction::CountRows,
        argument: None,
        distinct: None,
        filter: Some(filter),
    };
    let reduce = Rel::Reduce(Reduce {
        input: Box::new(Rel::Union { inputs: vec![arm(A, true), arm(B, false)] }),
        keys: vec![group_key(0)],
        aggregates: vec![count(1), count(2)],
        collected: None,
        global: false,
        site: 0,
    });
    let repeat = Rel::Repeat { input: Box::new(reduce), times, left: 1, right: 2 };
    plan(Rel::Project { input: Box::new(repeat), columns: vec![0] })
}

#[test]
fn except_all_and_intersect_all_keep_counts() {
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.table(A, 1);
        driver.table(B, 1);
        for (graph, times) in [(1, Times::Excess), (2, Times::Lesser)] {
            let expected = move |tables: &BTreeMap<SourceId, Table>| {
                let mut bag = Bag::new();
                for (row, left) in &tables[&A].rows {
                    let right = tables[&B].rows.get(row).copied().unwrap_or(0);
                    let n = match times {
                        Times::Excess => (left - right).max(0),
                        Times::Lesser => *left.min(&right),
                    };
                    if n > 0 {
                        add(&mut bag, row.clone(), n);
                    }
                }
                bag
            };
            driver.attach(graph, counted(times), 2, Box::new(expected), |_| {});
        }
        for _ in 0..60 {
            let [one, other] = [A, B].map(|table| changes(&mut random, &driver.tables[&table], &[3], 4));
            driver.cut(BTreeMap::from([(A, one), (B, other)]));
        }
        driver.settle();
        driver.stop();
    }
}
