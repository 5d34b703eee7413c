//! Subtraction and subplans that occur several times, as outer joins are made of: against a naive computation.

mod common;

use common::*;
use std::collections::BTreeMap;
use trickle_operators::engine::api::Diff;
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;
const B: SourceId = 2;

const INT8DIV: u32 = 466;

fn subtract(input: Rel) -> Rel {
    Rel::Negate { input: Box::new(input) }
}

fn project_to(input: Rel, columns: &[usize]) -> Rel {
    Rel::Project { input: Box::new(input), columns: columns.to_vec() }
}

/// 12 / x beside the row, which fails where x is zero.
fn twelfths(source: Rel) -> Rel {
    let twelve = Expr::Literal(Some(12i64.to_ne_bytes().to_vec()), Kind::Int8);
    let quotient = Expr::Call { function: INT8DIV, arguments: vec![twelve, column(1)], kind: Kind::Int8, collation: 0 };
    Rel::Map { input: Box::new(source), expressions: vec![quotient], site: 0 }
}

/// A join of two inputs by their first columns.
fn by_first(left: (Rel, usize), right: (Rel, usize)) -> Rel {
    let paths = vec![vec![step(1, 0, 0)], vec![step(0, left.1, 0)]];
    let inputs = vec![join_input(left.0, left.1), join_input(right.0, right.1)];
    Rel::Join(Join { inputs, paths, residual: Vec::new(), site: 1 })
}

/// `left LEFT JOIN B ON left.k = B.k`; `left` has three columns.
fn left_join(left: Rel) -> Rel {
    let keys = Rel::Reduce(Reduce {
        input: Box::new(source(B, &[1, 2])),
        keys: vec![group_key(0)],
        aggregates: Vec::new(),
        collected: None,
        global: false,
        site: 2,
    });
    let joined = by_first((left.clone(), 3), (source(B, &[1, 2]), 2));
    let matched = project_to(by_first((left.clone(), 3), (keys, 1)), &[0, 1, 2]);
    let rest = Rel::Union { inputs: vec![left, subtract(matched)] };
    let nulls = vec![Expr::Literal(None, Kind::Int8), Expr::Literal(None, Kind::Int8)];
    let padded = Rel::Map { input: Box::new(rest), expressions: nulls, site: 3 };
    Rel::Union { inputs: vec![joined, padded] }
}

fn expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (a, n) in &tables[&A].rows {
        let (k, x) = (int8(a, 0), int8(a, 1));
        if x == Some(0) {
            continue;
        }
        let quotient = x.map(|x| 12 / x);
        let mut met = false;
        for (b, m) in tables[&B].rows.iter().filter(|(b, _)| k.is_some() && int8(b, 0) == k) {
            met = true;
            add(&mut bag, row8(&[k, x, quotient, int8(b, 0), int8(b, 1)]), n * m);
        }
        if !met {
            add(&mut bag, row8(&[k, x, quotient, None, None]), *n);
        }
    }
    bag
}

/// The left side is there three times, and each of its failing rows is one error.
fn errors(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    tables[&A].rows.iter().filter(|(a, _)| int8(a, 1) == Some(0)).for_each(|(a, n)| add(&mut bag, a.clone(), *n));
    bag
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let mut all: BTreeMap<SourceId, Vec<(Row, Diff)>> = BTreeMap::new();
    for source in [A, B] {
        if random.below(3) < 2 {
            all.insert(source, changes(random, &driver.tables[&source], &[5, 4], 5));
        }
    }
    if !all.is_empty() {
        driver.cut(all);
    }
}

#[test]
fn outer_joins_are_what_is_left_of_a_subtraction() {
    let mut seen = 0;
    for seed in seeds(24) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 1 {
                config.slice.rows = 2;
            }
        });
        [A, B].into_iter().for_each(|source| driver.table(source, 2));
        random_cut(&mut driver, &mut random);
        let mut live = Random(seed ^ 31);
        let left = left_join(twelfths(source(A, &[1, 2])));
        driver.attach(1, plan(left), 2, Box::new(expected), |driver| random_cut(driver, &mut live));
        for round in 0..30 {
            random_cut(&mut driver, &mut random);
            if round % 5 == 4 {
                driver.settle();
                let mut failed = Bag::new();
                driver.errors(1).iter().for_each(|(error, n)| add(&mut failed, error.row.clone(), *n));
                assert_eq!(failed, errors(&driver.tables));
                seen += failed.len();
            } else {
                driver.drain(false);
            }
        }
        driver.stop();
    }
    assert!(seen > 0, "nothing ever failed: the test proves nothing");
}
