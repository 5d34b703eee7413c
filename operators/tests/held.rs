//! What operators say that they hold: nothing once all rows are gone, and for the same rows always the same.

mod common;

use common::*;
use std::collections::BTreeMap;
use trickle_operators::engine::api::{Diff, EvaluationReply};
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;

fn order() -> Vec<OrderKey> {
    vec![OrderKey { column: 1, kind: Kind::Int8, descending: true, nulls_first: false, labels: Vec::new() }]
}

fn input() -> Box<Rel> {
    Box::new(source(A, &[1, 2]))
}

fn top_k(offset: u64, with_ties: bool) -> Rel {
    let limit = Some(3);
    Rel::TopK(TopK { input: input(), keys: vec![group_key(0)], order: order(), offset, limit, with_ties })
}

fn window(functions: WindowFunctions) -> Rel {
    Rel::Window(Window { input: input(), keys: vec![group_key(0)], functions, site: 0 })
}

fn native() -> WindowFunctions {
    let lag = WindowFunction::Neighbour { argument: 1, offset: 2, default: None };
    let of = |function, frame| {
        let aggregate = Aggregate { function, argument: Some(1), distinct: None, filter: None };
        WindowCall { function: WindowFunction::Aggregate(aggregate), frame }
    };
    let calls = vec![
        WindowCall { function: lag, frame: WindowFrame::Rows },
        WindowCall { function: WindowFunction::Rank, frame: WindowFrame::Rows },
        of(AggregateFunction::Sum(Kind::Int8), WindowFrame::Peers),
        of(AggregateFunction::Min(Kind::Int8), WindowFrame::All),
    ];
    WindowFunctions::Native { order: order(), calls }
}

fn reduce(collected: bool) -> Rel {
    let aggregate = |function| Aggregate { function, argument: Some(1), distinct: None, filter: None };
    let aggregates = vec![aggregate(AggregateFunction::Max(Kind::Int8)), aggregate(AggregateFunction::Sum(Kind::Int8))];
    let collected = collected.then(|| Collected { fragment: 0, arguments: vec![1] });
    Rel::Reduce(Reduce { input: input(), keys: vec![group_key(0)], aggregates, collected, global: false, site: 0 })
}

/// Every row has one more value, zero; every group too.
fn evaluate(request: &trickle_operators::engine::api::EvaluationRequest) -> EvaluationReply {
    let results = match request.rows.first() {
        Some((_, row)) if row.columns().count() == 2 => {
            request.rows.iter().map(|(item, row)| (*item, Ok(row8(&[int8(row, 0), Some(0)])))).collect()
        }
        _ => {
            let mut items: Vec<u64> = request.rows.iter().map(|(item, _)| *item).collect();
            items.dedup();
            items.into_iter().map(|item| (item, Ok(row8(&[Some(0)])))).collect()
        }
    };
    EvaluationReply { id: request.id, worker: request.worker, graph: request.graph, results }
}

fn fragment(results: usize) -> Fragment {
    let ty = trickle_operators::value::ColumnType {
        kind: Kind::Int8,
        oid: 20,
        typmod: -1,
        collation: 0,
        length: 8,
        by_value: true,
        align: b'd',
    };
    Fragment { query: String::new(), arguments: Vec::new(), results: vec![ty; results], text: String::new() }
}

#[test]
fn e33_nothing_is_held_of_rows_that_are_gone() {
    let foreign = WindowFunctions::Foreign { fragment: 0, arguments: vec![1] };
    for (name, rel, results) in [
        ("top k", top_k(0, false), 0),
        ("top k", top_k(2, true), 0),
        ("window", window(native()), 0),
        ("window by PostgreSQL", window(foreign), 2),
        ("reduce", reduce(false), 0),
        ("reduce", reduce(true), 1),
    ] {
        let mut random = Random(7);
        let mut driver = Driver::new(1, |config| config.slice.rows = 5);
        driver.evaluate = Box::new(evaluate);
        driver.table(A, 2);
        let plan = Plan { fragments: vec![fragment(results)], ..(*plan(rel)).clone() };
        driver.attach_unchecked(1, plan.into(), 10);
        let some: Vec<(Row, Diff)> = (0..200).map(|at| (row8(&[Some(at % 7), Some(at % 50)]), 1)).collect();
        let mut first = None;
        for round in 0..4 {
            driver.cut(BTreeMap::from([(A, some.clone())]));
            driver.settle();
            let held = driver.operator(1, name);
            let held = (held.held_rows, held.held_bytes);
            assert!(held.0 > 0 && held.1 > 0, "{name}: {held:?}");
            assert_eq!(*first.get_or_insert(held), held, "{name} in round {round}");
            for _ in 0..20 {
                let changes = changes(&mut random, &driver.tables[&A], &[4, 30], 12);
                driver.cut(BTreeMap::from([(A, changes)]));
            }
            driver.empty(A);
            let held = driver.operator(1, name);
            assert_eq!((held.held_rows, held.held_bytes), (0, 0), "{name} in round {round}, without rows");
        }
        driver.stop();
    }
}
