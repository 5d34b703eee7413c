//! Recursive queries against round-by-round evaluation from nothing, while the tables change: rows that come and go, circles
//! that close and break, several times in flight, one and several workers.

#[path = "../common/mod.rs"]
mod common;
mod cost;
mod limits;
mod queries;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trickle_operators::engine::api::{EvaluationReply, EvaluationRequest, Event};
use trickle_operators::expr::{EvalError, Expr};
use trickle_operators::plan::*;
use trickle_operators::value::{ColumnType, Kind, Row};

/// edge (from, to)
const EDGES: SourceId = 1;
/// A second relation that some steps look up.
const OTHER: SourceId = 2;
const ROUNDS: u64 = 30;

const INT8PL: u32 = 463;
const INT8MUL: u32 = 465;
const INT8EQ: u32 = 467;
const INT8LT: u32 = 469;
const INT8DIV: u32 = 466;

fn call(function: u32, left: Expr, right: Expr, kind: Kind) -> Expr {
    Expr::Call { function, arguments: vec![left, right], kind, collation: 0 }
}

fn literal(value: i64) -> Expr {
    Expr::Literal(Some(value.to_ne_bytes().to_vec()), Kind::Int8)
}

fn recursive(width: usize) -> Rel {
    Rel::Recursive { id: 0, width }
}

fn fixpoint_of(id: usize, rounds: u64, body: Rel) -> Rel {
    let columns = vec!["a".to_owned(), "b".to_owned()];
    Rel::Fixpoint(Fixpoint {
        id,
        name: "reach".to_owned(),
        columns,
        body: Box::new(body),
        earliest: None,
        rounds,
        site: 7,
    })
}

fn fixpoint(body: Rel) -> Rel {
    fixpoint_of(0, ROUNDS, body)
}

fn distinct(input: Rel, width: usize) -> Rel {
    Rel::Reduce(Reduce {
        input: Box::new(input),
        keys: (0..width).map(group_key).collect(),
        aggregates: Vec::new(),
        collected: None,
        global: false,
        site: 0,
    })
}

fn project_rel(input: Rel, columns: &[usize]) -> Rel {
    Rel::Project { input: Box::new(input), columns: columns.to_vec() }
}

fn append(inputs: Vec<Rel>) -> Rel {
    Rel::Union { inputs }
}

/// `r JOIN edges ON r.1 = edges.from`, for a recursive relation of two or three columns.
fn next(rows: Rel, width: usize) -> Rel {
    Rel::Join(Join {
        inputs: vec![join_input(rows, width), join_input(source(EDGES, &[1, 2]), 2)],
        paths: vec![vec![step(1, 1, 0)], vec![step(0, width, 1)]],
        residual: Vec::new(),
        site: 0,
    })
}

/// `SELECT from, to FROM edges UNION SELECT r.from, e.to FROM r JOIN edges e ON r.to = e.from`
fn closure_plan() -> Rel {
    let step = project_rel(next(recursive(2), 2), &[0, 3]);
    fixpoint(distinct(append(vec![source(EDGES, &[1, 2]), step]), 2))
}

/// What a recursive query comes to after `rounds` rounds: the last round's new rows are returned too.
fn evaluate(base: Bag, all: bool, rounds: u64, step: impl Fn(&Bag) -> Bag) -> (Bag, Bag) {
    let once = |bag: &Bag| bag.keys().map(|row| (row.clone(), 1)).collect::<Bag>();
    let mut work = if all { base } else { once(&base) };
    let mut result = work.clone();
    for _ in 0..rounds {
        if work.is_empty() {
            break;
        }
        let mut next = step(&work);
        if !all {
            next = once(&next).into_iter().filter(|(row, _)| !result.contains_key(row)).collect();
        }
        for (row, count) in &next {
            add(&mut result, row.clone(), *count);
        }
        work = next;
    }
    let mut after = if work.is_empty() { Bag::new() } else { step(&work) };
    if !all {
        after.retain(|row, _| !result.contains_key(row));
    }
    (result, after)
}

fn edges(tables: &BTreeMap<SourceId, Table>) -> Vec<(Option<i64>, Option<i64>, i64)> {
    tables[&EDGES].rows.iter().map(|(row, n)| (int8(row, 0), int8(row, 1), *n)).collect()
}

fn closure(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let edges = edges(tables);
    evaluate(tables[&EDGES].rows.clone(), false, ROUNDS, |work| {
        let mut out = Bag::new();
        for row in work.keys() {
            for (from, to, _) in &edges {
                if from.is_some() && *from == int8(row, 1) {
                    add(&mut out, row8(&[int8(row, 0), *to]), 1);
                }
            }
        }
        out
    })
    .0
}

/// Adds and drops edges among `nodes`; only upwards, if there must be no circles.
fn change(random: &mut Random, table: &Table, nodes: u64, upwards: bool, most: u64) -> Vec<(Row, i64)> {
    let mut rows = table.rows.clone();
    let mut out = Vec::new();
    for _ in 0..=random.below(most) {
        let dense = rows.len() as u64 > 2 * nodes;
        if !rows.is_empty() && (dense || random.chance(2)) {
            let row = rows.keys().nth(random.below(rows.len() as u64) as usize).expect("within bounds").clone();
            add(&mut rows, row.clone(), -1);
            out.push((row, -1));
        } else {
            let (mut from, mut to) = (random.below(nodes) as i64, random.below(nodes) as i64);
            if upwards && from == to {
                continue;
            }
            if upwards && from > to {
                (from, to) = (to, from);
            }
            let to = if random.chance(20) { None } else { Some(to) };
            let row = row8(&[Some(from), to]);
            add(&mut rows, row.clone(), 1);
            out.push((row, 1));
        }
    }
    out
}

struct Case {
    plan: Arc<Plan>,
    expected: fn(&BTreeMap<SourceId, Table>) -> Bag,
    upwards: bool,
}

fn follow(seed: u64, case: &Case, evaluate: fn(&EvaluationRequest) -> EvaluationReply) {
    let workers = 1 + (seed % 3) as usize;
    println!("seed {seed}, {workers} workers");
    let mut random = Random(seed);
    let mut driver = Driver::new(workers, |_| {});
    driver.evaluate = Box::new(evaluate);
    driver.table(EDGES, 2);
    driver.table(OTHER, 2);
    let cut = |driver: &mut Driver, random: &mut Random, most: u64| {
        let rows = change(random, &driver.tables[&EDGES], 9, case.upwards, most);
        let mut all = BTreeMap::from([(EDGES, rows)]);
        if random.chance(2) {
            all.insert(OTHER, changes(random, &driver.tables[&OTHER], &[9, 4], 3));
        }
        driver.cut(all);
    };
    for _ in 0..4 {
        cut(&mut driver, &mut random, 6);
    }
    let mut during = Random(seed + 1000);
    driver.attach(1, Arc::clone(&case.plan), 3, Box::new(case.expected), |driver| cut(driver, &mut during, 2));
    for _ in 0..60 {
        for _ in 0..=random.below(4) {
            cut(&mut driver, &mut random, 4);
        }
        driver.drain(random.chance(3));
    }
    driver.settle();
    // Nothing is left of what has gone.
    for source in [EDGES, OTHER] {
        let all = driver.tables[&source].rows.iter().map(|(row, n)| (row.clone(), -n)).collect();
        driver.cut(BTreeMap::from([(source, all)]));
    }
    driver.settle();
    driver.stop();
}

fn nothing(request: &EvaluationRequest) -> EvaluationReply {
    panic!("nothing to evaluate: {request:?}")
}

/// `SELECT from, to FROM edges UNION ALL SELECT r.from, e.to …`: each path once.
fn paths(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let edges = edges(tables);
    evaluate(tables[&EDGES].rows.clone(), true, ROUNDS, |work| {
        let mut out = Bag::new();
        for (row, count) in work {
            for (from, to, n) in &edges {
                if from.is_some() && *from == int8(row, 1) {
                    add(&mut out, row8(&[int8(row, 0), *to]), count * n);
                }
            }
        }
        out
    })
    .0
}

fn paths_plan(rounds: u64) -> Rel {
    let step = project_rel(next(recursive(2), 2), &[0, 3]);
    fixpoint_of(0, rounds, append(vec![source(EDGES, &[1, 2]), step]))
}
