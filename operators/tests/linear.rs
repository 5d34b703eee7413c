//! Filters, computed columns, unions, constants, notions of equality and residual predicates that raise, against a naive
//! computation over the whole tables: rows and error rows.

mod common;

use common::*;
use std::collections::BTreeMap;
use trickle_operators::engine::api::{Diff, ErrorRow};
use trickle_operators::expr::{EvalError, Expr};
use trickle_operators::plan::*;
use trickle_operators::value::numeric::Numeric;
use trickle_operators::value::{Kind, Row, RowBuilder};

const A: SourceId = 1;
const B: SourceId = 2;
const C: SourceId = 3;

// pg_proc's numbers.
const INT8PL: u32 = 463;
const INT8DIV: u32 = 466;
const INT8LT: u32 = 469;
const INT8GT: u32 = 470;

fn call(function: u32, left: Expr, right: Expr, kind: Kind) -> Expr {
    Expr::Call { function, arguments: vec![left, right], kind, collation: 0 }
}

fn literal(value: i64) -> Expr {
    Expr::Literal(Some(value.to_ne_bytes().to_vec()), Kind::Int8)
}

fn concat(parts: &[&Row]) -> Row {
    let mut builder = RowBuilder::default();
    parts.iter().for_each(|part| builder.extend(part.as_ref()));
    builder.finish()
}

fn total(bag: &BTreeMap<ErrorRow, Diff>) -> Bag {
    let mut rows = Bag::new();
    for (error, diff) in bag {
        assert_eq!(error.error, EvalError::division_by_zero());
        add(&mut rows, error.row.clone(), *diff);
    }
    rows
}

/// 12 / a column, as SQL does it.
fn twelfth(value: Option<i64>) -> Result<Option<i64>, ()> {
    match value {
        Some(0) => Err(()),
        value => Ok(value.map(|value| 12 / value)),
    }
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let mut all = BTreeMap::new();
    for source in [A, B, C] {
        if random.below(3) < 2 {
            all.insert(source, changes(random, &driver.tables[&source], &[5, 4], 5));
        }
    }
    if !all.is_empty() {
        driver.cut(all);
    }
}

/// SELECT k, x, 12 / x, k + x FROM (A UNION ALL B UNION ALL VALUES …) WHERE k > 0 AND 12 / x < 9
fn mapped() -> Rel {
    let values =
        Rel::Values { rows: vec![row8(&[Some(1), Some(3)]), row8(&[Some(2), Some(0)]), row8(&[Some(2), None])] };
    let input = Rel::Union { inputs: vec![source(A, &[1, 2]), source(B, &[1, 2]), values] };
    let quotient = call(INT8DIV, literal(12), column(1), Kind::Int8);
    let kept = Rel::Filter {
        input: Box::new(input),
        predicates: vec![
            call(INT8GT, column(0), literal(0), Kind::Bool),
            call(INT8LT, quotient.clone(), literal(9), Kind::Bool),
        ],
        site: 0,
    };
    let more = vec![quotient, call(INT8PL, column(0), column(1), Kind::Int8)];
    let mapped = Rel::Map { input: Box::new(kept), expressions: more, site: 1 };
    Rel::Project { input: Box::new(mapped), columns: vec![3, 2, 1, 0] }
}

fn union_rows(tables: &BTreeMap<SourceId, Table>) -> Vec<(Row, Diff)> {
    let values = [row8(&[Some(1), Some(3)]), row8(&[Some(2), Some(0)]), row8(&[Some(2), None])];
    let all = tables[&A].rows.iter().chain(&tables[&B].rows).map(|(row, n)| (row.clone(), *n));
    all.chain(values.map(|row| (row, 1))).collect()
}

fn mapped_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (row, n) in union_rows(tables) {
        let (k, x) = (int8(&row, 0), int8(&row, 1));
        let Ok(quotient) = twelfth(x) else { continue };
        if k.is_some_and(|k| k > 0) && quotient.is_some_and(|quotient| quotient < 9) {
            let sum = k.zip(x).map(|(k, x)| k + x);
            add(&mut bag, row8(&[sum, quotient, x, k]), n);
        }
    }
    bag
}

/// False beats an error: only rows with k > 0 (or of unknown truth) reach the division.
fn mapped_errors(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (row, n) in union_rows(tables) {
        if int8(&row, 1) == Some(0) && int8(&row, 0).is_none_or(|k| k > 0) {
            add(&mut bag, row, n);
        }
    }
    bag
}

/// A ⋈ B ⋈ C on the first columns WHERE 12 / (b.x) < 9 on the complete row; A narrowed by an infallible filter before.
fn residual() -> Rel {
    let mut inputs =
        vec![join_input(source(A, &[1, 2]), 2), join_input(source(B, &[1, 2]), 2), join_input(source(C, &[1]), 1)];
    inputs[0].filter = vec![call(INT8GT, column(1), literal(0), Kind::Bool)];
    let from = |probe: usize, first: usize, second: usize| vec![step(first, probe, 0), step(second, probe, 0)];
    Rel::Join(Join {
        inputs,
        paths: vec![from(0, 1, 2), from(2, 2, 0), from(4, 1, 0)],
        residual: vec![call(INT8LT, call(INT8DIV, literal(12), column(3), Kind::Int8), literal(9), Kind::Bool)],
        site: 2,
    })
}

fn joined(tables: &BTreeMap<SourceId, Table>) -> Vec<(Row, Option<i64>, Diff)> {
    let mut out = Vec::new();
    for (a, n) in tables[&A].rows.iter().filter(|(a, _)| int8(a, 1).is_some_and(|x| x > 0)) {
        let Some(key) = int8(a, 0) else { continue };
        for (b, m) in tables[&B].rows.iter().filter(|(b, _)| int8(b, 0) == Some(key)) {
            for (c, k) in tables[&C].rows.iter().filter(|(c, _)| int8(c, 0) == Some(key)) {
                out.push((concat(&[a, b, &project(c, &[1])]), int8(b, 1), n * m * k));
            }
        }
    }
    out
}

fn residual_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (row, x, n) in joined(tables) {
        if twelfth(x).is_ok_and(|quotient| quotient.is_some_and(|quotient| quotient < 9)) {
            add(&mut bag, row, n);
        }
    }
    bag
}

fn residual_errors(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    joined(tables).into_iter().filter(|(_, x, _)| *x == Some(0)).for_each(|(row, _, n)| add(&mut bag, row, n));
    bag
}

#[test]
fn e24_errors_of_filters_maps_and_residuals_are_a_function_of_the_content() {
    let mut seen = 0;
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 1 {
                config.slice.rows = 2;
            }
        });
        [A, B, C].into_iter().for_each(|source| driver.table(source, 2));
        random_cut(&mut driver, &mut random);
        let mut live = Random(seed ^ 31);
        driver.attach(1, plan(mapped()), 2, Box::new(mapped_expected), |driver| random_cut(driver, &mut live));
        driver.attach(2, plan(residual()), 2, Box::new(residual_expected), |driver| random_cut(driver, &mut live));
        for round in 0..40 {
            random_cut(&mut driver, &mut random);
            if round % 5 == 4 {
                driver.settle();
                assert_eq!(total(driver.errors(1)), mapped_errors(&driver.tables));
                assert_eq!(total(driver.errors(2)), residual_errors(&driver.tables));
                assert!(driver.errors(2).keys().all(|error| error.site == 2));
                seen += driver.errors(2).len();
            } else {
                driver.drain(false);
            }
        }
        driver.stop();
    }
    assert!(seen > 0, "nothing ever failed: the test proves nothing");
}

/// Numerics that are equal and do not look the same: 1, 1.0 and 1.00, 2 and 2.0, or NULL.
fn scaled(random: &mut Random) -> Option<Vec<u8>> {
    let text = ["1", "1.0", "1.00", "2", "2.0"][random.below(5) as usize];
    let image = Numeric::from_text(text).expect("a number").to_image().expect("a small number");
    (!random.chance(5)).then_some(image)
}

fn numeric_key(index: usize, equality: Equality, nulls_equal: bool) -> KeyColumn {
    KeyColumn { expression: Expr::Column(index, Kind::Numeric), kind: Kind::Numeric, equality, nulls_equal }
}

fn numeric_join(equality: Equality, nulls_equal: bool) -> Rel {
    let key = vec![numeric_key(0, equality, nulls_equal)];
    let lookup = |input: usize, probe: usize| Lookup {
        input,
        probe: vec![Expr::Column(probe, Kind::Numeric)],
        key: key.clone(),
        filter: Vec::new(),
    };
    Rel::Join(Join {
        inputs: vec![join_input(source(A, &[1]), 1), join_input(source(B, &[1]), 1)],
        paths: vec![vec![lookup(1, 0)], vec![lookup(0, 1)]],
        residual: Vec::new(),
        site: 0,
    })
}

#[test]
fn e22_keys_join_by_value_or_by_image_and_nulls_as_the_plan_says() {
    for seed in seeds(9) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.table(A, 1);
        driver.table(B, 1);
        let cut = |driver: &mut Driver, random: &mut Random| {
            let mut all = BTreeMap::new();
            for source in [A, B] {
                let mut rows = driver.tables[&source].rows.clone();
                let mut out = Vec::new();
                for _ in 0..3 {
                    let (row, diff) = if random.chance(3) && !rows.is_empty() {
                        let index = random.below(rows.len() as u64) as usize;
                        (rows.keys().nth(index).expect("within bounds").clone(), -1)
                    } else {
                        (Row::from_columns([scaled(random).as_deref()]), 1)
                    };
                    add(&mut rows, row.clone(), diff);
                    out.push((row, diff));
                }
                all.insert(source, out);
            }
            driver.cut(all);
        };
        cut(&mut driver, &mut random);
        let mut graph = 0;
        for equality in [Equality::Sql, Equality::Image] {
            for nulls_equal in [false, true] {
                graph += 1;
                let meets = move |a: &Row, b: &Row| match (a.column(0), b.column(0)) {
                    (None, None) => nulls_equal,
                    (Some(a), Some(b)) if equality == Equality::Image => a == b,
                    (Some(a), Some(b)) => {
                        let read = |image| Numeric::read(image).expect("a numeric");
                        read(a).compare(&read(b)).is_eq()
                    }
                    _ => false,
                };
                let expected = move |tables: &BTreeMap<SourceId, Table>| {
                    let mut bag = Bag::new();
                    for (a, n) in &tables[&A].rows {
                        for (b, m) in tables[&B].rows.iter().filter(|(b, _)| meets(a, b)) {
                            add(&mut bag, concat(&[a, b]), n * m);
                        }
                    }
                    bag
                };
                driver.attach(graph, plan(numeric_join(equality, nulls_equal)), 2, Box::new(expected), |_| {});
            }
        }
        for round in 0..20 {
            cut(&mut driver, &mut random);
            driver.drain(round % 5 == 4);
        }
        driver.settle();
        driver.stop();
    }
}
