//! What PostgreSQL evaluates: two-phase operators, with a stand-in that answers late and out of order.

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trickle_operators::engine::api::{Diff, EvaluationReply, EvaluationRequest};
use trickle_operators::expr::EvalError;
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row, RowBuilder};

const A: SourceId = 1;

fn column_type() -> ColumnType {
    ColumnType { kind: Kind::Int8, oid: 20, typmod: -1, collation: 0, length: 8, by_value: true, align: b'd' }
}

fn fragment(text: &str) -> Fragment {
    let (arguments, results) = (vec![column_type()], vec![column_type()]);
    Fragment { query: String::new(), arguments, results, text: text.to_owned() }
}

fn plan(root: Rel) -> Arc<Plan> {
    let fragments = vec![fragment("f(x)"), fragment("string_agg(x)"), fragment("string_agg(x) over all")];
    Arc::new(Plan { root, columns: Vec::new(), key: None, fragments, sites: Vec::new() })
}

fn failure() -> EvalError {
    EvalError { sqlstate: *b"22012", message: "division by zero".to_owned() }
}

/// Ten times the argument; fails for 3.
fn scalar(argument: &Row) -> Result<Row, EvalError> {
    match int8(argument, 0) {
        Some(3) => Err(failure()),
        value => Ok(row8(&[value.map(|value| value * 10)])),
    }
}

/// The values in order, as decimal digits; fails if there are more than six.
fn text(values: &mut [i64]) -> Result<Row, EvalError> {
    values.sort_unstable();
    if values.len() > 6 {
        return Err(failure());
    }
    Ok(row8(&[values.iter().fold(None, |number, digit| Some(number.unwrap_or(0) * 10 + digit))]))
}

/// As [`text`], and -1 over no rows.
fn over_all(rows: usize, values: &mut [i64]) -> Result<Row, EvalError> {
    if rows == 0 {
        return Ok(row8(&[Some(-1)]));
    }
    text(values)
}

fn answer(request: &EvaluationRequest) -> EvaluationReply {
    let mut results = Vec::new();
    if request.fragment == 0 {
        let arguments: BTreeSet<&Row> = request.rows.iter().map(|(_, row)| row).collect();
        assert_eq!(arguments.len(), request.rows.len(), "arguments are sent once");
        results.extend(request.rows.iter().map(|(item, row)| (*item, scalar(row))));
    } else if request.fragment == 2 {
        // Without GROUP BY there is always one row, and what it says over no rows need not be NULL.
        assert!(request.rows.iter().all(|(item, _)| *item == 0));
        let mut values: Vec<i64> = request.rows.iter().filter_map(|(_, row)| int8(row, 0)).collect();
        results.push((0, over_all(request.rows.len(), &mut values)));
    } else {
        assert!(!request.rows.is_empty(), "nothing is asked of groups that are gone");
        let mut groups: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for (item, row) in &request.rows {
            groups.entry(*item).or_default().extend(int8(row, 0));
        }
        results.extend(groups.into_iter().map(|(item, mut values)| (item, text(&mut values))));
    }
    results.reverse();
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

fn concat(parts: &[&Row]) -> Row {
    let mut builder = RowBuilder::default();
    parts.iter().for_each(|part| builder.extend(part.as_ref()));
    builder.finish()
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let rows = changes(random, &driver.tables[&A], &[3, 6], 4);
    driver.cut(BTreeMap::from([(A, rows)]));
}

#[test]
fn e15_e16_e24_evaluated_columns_and_aggregates_follow_and_errors_clear() {
    let mut failed = 0;
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.evaluate = Box::new(answer);
        driver.table(A, 2);
        random_cut(&mut driver, &mut random);
        let map = Rel::PgMap { input: Box::new(source(A, &[1, 2])), fragment: 0, arguments: vec![1], site: 4 };
        let expected = |tables: &BTreeMap<SourceId, Table>| {
            let mut bag = Bag::new();
            for (row, n) in &tables[&A].rows {
                if let Ok(more) = scalar(&project(row, &[2])) {
                    add(&mut bag, concat(&[row, &more]), *n);
                }
            }
            bag
        };
        driver.attach(1, plan(map), 2, Box::new(expected), |_| {});
        let collected = |keys: Vec<KeyColumn>, global| {
            Rel::Reduce(Reduce {
                input: Box::new(source(A, &[1, 2])),
                keys,
                aggregates: vec![Aggregate {
                    function: AggregateFunction::Count,
                    argument: Some(1),
                    distinct: None,
                    filter: None,
                }],
                collected: Some(Collected { fragment: if global { 2 } else { 1 }, arguments: vec![1] }),
                global,
                site: 5,
            })
        };
        let values = |rows: &[(Row, Diff)]| -> Vec<i64> {
            rows.iter().flat_map(|(row, n)| (0..*n).filter_map(|_| int8(row, 1))).collect()
        };
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            let mut groups: BTreeMap<Option<i64>, Vec<(Row, Diff)>> = BTreeMap::new();
            for (row, n) in &tables[&A].rows {
                groups.entry(int8(row, 0)).or_default().push((row.clone(), *n));
            }
            let rows = groups.into_iter().filter_map(|(key, rows)| {
                let mut values = values(&rows);
                let count = row8(&[key, Some(values.len() as i64)]);
                Some((concat(&[&count, &text(&mut values).ok()?]), 1))
            });
            rows.collect()
        };
        driver.attach(2, plan(collected(vec![group_key(0)], false)), 2, Box::new(expected), |_| {});
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            let rows: Vec<(Row, Diff)> = tables[&A].rows.clone().into_iter().collect();
            let mut values = values(&rows);
            let count = row8(&[Some(values.len() as i64)]);
            let more = over_all(rows.len(), &mut values).ok();
            more.map(|more| (concat(&[&count, &more]), 1)).into_iter().collect()
        };
        driver.attach(3, plan(collected(Vec::new(), true)), 2, Box::new(expected), |_| {});
        for round in 0..40 {
            random_cut(&mut driver, &mut random);
            if round % 5 == 4 {
                driver.settle();
                let wrong: Diff =
                    driver.tables[&A].rows.iter().filter(|(row, _)| int8(row, 1) == Some(3)).map(|(_, n)| n).sum();
                let reported = driver.errors(1);
                assert_eq!(reported.values().sum::<Diff>(), wrong);
                assert!(reported.keys().all(|error| error.site == 4 && error.error == failure()));
                failed += wrong;
            }
        }
        let all: Vec<(Row, Diff)> = driver.tables[&A].rows.iter().map(|(row, n)| (row.clone(), -n)).collect();
        driver.cut(BTreeMap::from([(A, all)]));
        driver.settle();
        assert!((1..=3).all(|graph| driver.errors(graph).is_empty()), "deleting the bad rows clears the errors");
        assert_eq!(driver.content(3), &Bag::from([(row8(&[Some(0), Some(-1)]), 1)]));
        driver.assert_nothing_held(1, "evaluate in PostgreSQL");
        driver.assert_nothing_held(2, "reduce");
        driver.stop();
    }
    assert!(failed > 0, "no row ever failed: the test proves nothing");
}
