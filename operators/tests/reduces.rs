//! Aggregates of all kinds side by side, DISTINCT, global aggregates and stream tables over stream tables, against a naive
//! computation over the whole table.

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use trickle_operators::engine::api::Diff;
use trickle_operators::plan::*;
use trickle_operators::value::moments::Moments;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;
const B: SourceId = 2;

/// (k int8, x int4, flag bool), everything nullable.
fn row(k: Option<i64>, x: Option<i32>, flag: Option<bool>) -> Row {
    let (k, x, flag) = (k.map(i64::to_ne_bytes), x.map(i32::to_ne_bytes), flag.map(|f| [u8::from(f)]));
    Row::from_columns([k.as_ref().map(|i| &i[..]), x.as_ref().map(|i| &i[..]), flag.as_ref().map(|i| &i[..])])
}

fn k(row: &Row) -> Option<i64> {
    int8(row, 0)
}

fn x(row: &Row) -> Option<i32> {
    row.column(1).map(|image| i32::from_ne_bytes(image.try_into().expect("four bytes")))
}

fn flag(row: &Row) -> Option<bool> {
    row.column(2).map(|image| image == [1])
}

fn aggregate(function: AggregateFunction, argument: Option<usize>) -> Aggregate {
    Aggregate { function, argument, distinct: None, filter: None }
}

const VARIANCE: AggregateFunction = AggregateFunction::Variance { kind: Kind::Int4, sample: true, root: false };

/// The variance as computed from nothing.
fn variance(values: impl Iterator<Item = (i32, Diff)>) -> Option<Vec<u8>> {
    let mut moments = Moments::new(Kind::Int4);
    values.for_each(|(value, n)| moments.add(&value.to_ne_bytes(), n).expect("an integer"));
    moments.variance(true, false).expect("a variance")
}

fn aggregates() -> Vec<Aggregate> {
    use AggregateFunction::*;
    vec![
        aggregate(CountRows, None),
        aggregate(Count, Some(1)),
        aggregate(Sum(Kind::Int4), Some(1)),
        aggregate(Min(Kind::Int4), Some(1)),
        aggregate(Max(Kind::Int4), Some(1)),
        aggregate(BoolAnd, Some(2)),
        aggregate(BoolOr, Some(2)),
        aggregate(LeastImage, Some(1)),
        Aggregate { distinct: Some(Kind::Int4), ..aggregate(Count, Some(1)) },
        Aggregate { distinct: Some(Kind::Int4), ..aggregate(Sum(Kind::Int4), Some(1)) },
        Aggregate { filter: Some(2), ..aggregate(CountRows, None) },
        Aggregate { filter: Some(2), ..aggregate(Max(Kind::Int4), Some(1)) },
        aggregate(BitAnd(Kind::Int4), Some(1)),
        aggregate(BitOr(Kind::Int4), Some(1)),
        aggregate(BitXor(Kind::Int4), Some(1)),
        Aggregate { distinct: Some(Kind::Int4), ..aggregate(BitXor(Kind::Int4), Some(1)) },
        aggregate(AnyValue, Some(1)),
        aggregate(VARIANCE, Some(1)),
        Aggregate { distinct: Some(Kind::Int4), ..aggregate(VARIANCE, Some(1)) },
    ]
}

fn summary(key: Option<Option<i64>>, rows: &[(Row, Diff)]) -> Row {
    let xs: Vec<(i32, Diff)> = rows.iter().filter_map(|(row, n)| Some((x(row)?, *n))).collect();
    let flags: Vec<bool> = rows.iter().filter_map(|(row, _)| flag(row)).collect();
    let passing: Vec<&(Row, Diff)> = rows.iter().filter(|(row, _)| flag(row) == Some(true)).collect();
    let distinct: BTreeSet<i32> = xs.iter().map(|(x, _)| *x).collect();
    let long = |value: i64| Some(value.to_ne_bytes().to_vec());
    let int = |value: i32| value.to_ne_bytes().to_vec();
    let mut columns: Vec<Option<Vec<u8>>> = Vec::new();
    if let Some(key) = key {
        columns.push(key.map(|key| key.to_ne_bytes().to_vec()));
    }
    columns.push(long(rows.iter().map(|(_, n)| n).sum()));
    columns.push(long(xs.iter().map(|(_, n)| n).sum()));
    columns.push(if xs.is_empty() { None } else { long(xs.iter().map(|(x, n)| i64::from(*x) * n).sum()) });
    columns.push(xs.iter().map(|(x, _)| *x).min().map(int));
    columns.push(xs.iter().map(|(x, _)| *x).max().map(int));
    columns.push((!flags.is_empty()).then(|| vec![u8::from(flags.iter().all(|f| *f))]));
    columns.push((!flags.is_empty()).then(|| vec![u8::from(flags.iter().any(|f| *f))]));
    columns.push(xs.iter().map(|(x, _)| int(*x)).min());
    columns.push(long(distinct.len() as i64));
    columns.push(if distinct.is_empty() { None } else { long(distinct.iter().map(|x| i64::from(*x)).sum()) });
    columns.push(long(passing.iter().map(|(_, n)| n).sum()));
    columns.push(passing.iter().filter_map(|(row, _)| x(row)).max().map(int));
    columns.push(xs.iter().map(|(x, _)| *x).reduce(|a, b| a & b).map(int));
    columns.push(xs.iter().map(|(x, _)| *x).reduce(|a, b| a | b).map(int));
    let odd = xs.iter().map(|(x, n)| if n % 2 == 0 { 0 } else { *x });
    columns.push(odd.reduce(|a, b| a ^ b).map(int));
    columns.push(distinct.iter().copied().reduce(|a, b| a ^ b).map(int));
    columns.push(xs.iter().map(|(x, _)| int(*x)).min());
    columns.push(variance(xs.iter().copied()));
    columns.push(variance(distinct.iter().map(|x| (*x, 1))));
    Row::from_columns(columns.iter().map(Option::as_deref))
}

fn groups(table: &Table) -> BTreeMap<Option<i64>, Vec<(Row, Diff)>> {
    let mut groups: BTreeMap<Option<i64>, Vec<(Row, Diff)>> = BTreeMap::new();
    for (row, n) in &table.rows {
        groups.entry(k(row)).or_default().push((row.clone(), *n));
    }
    groups
}

fn reduce(input: Rel, keys: Vec<KeyColumn>, aggregates: Vec<Aggregate>) -> Reduce {
    let global = keys.is_empty();
    Reduce { input: Box::new(input), keys, aggregates, collected: None, global, site: 0 }
}

fn grouped_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    groups(&tables[&A]).into_iter().map(|(key, rows)| (summary(Some(key), &rows), 1)).collect()
}

fn random_rows(random: &mut Random, table: &Table, most: u64) -> Vec<(Row, Diff)> {
    let mut rows = table.rows.clone();
    let mut out = Vec::new();
    for _ in 0..=random.below(most) {
        let (row, diff) = if random.below(5) < 2 && !rows.is_empty() {
            let index = random.below(rows.len() as u64) as usize;
            (rows.keys().nth(index).expect("within bounds").clone(), -1)
        } else {
            let key = (!random.chance(8)).then(|| random.below(4) as i64);
            let value = (!random.chance(6)).then(|| random.below(7) as i32 - 3);
            (row(key, value, (!random.chance(4)).then(|| random.chance(2))), 1)
        };
        add(&mut rows, row.clone(), diff);
        out.push((row, diff));
    }
    for index in (1..out.len()).rev() {
        out.swap(index, random.below(index as u64 + 1) as usize);
    }
    out
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let mut all = BTreeMap::new();
    for source in [A, B] {
        if random.below(3) < 2 {
            all.insert(source, random_rows(random, &driver.tables[&source], 5));
        }
    }
    if !all.is_empty() {
        driver.cut(all);
    }
}

#[test]
fn e06_e18_e23_aggregates_of_all_kinds_equal_a_naive_computation() {
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 0 {
                config.slice.rows = 2;
            }
        });
        driver.table(A, 3);
        driver.table(B, 3);
        if seed % 4 != 0 {
            random_cut(&mut driver, &mut random);
        }
        let mut live = Random(seed ^ 77);
        let grouped = reduce(source(A, &[1, 2, 3]), vec![group_key(0)], aggregates());
        driver.attach(1, plan(Rel::Reduce(grouped)), 2, Box::new(grouped_expected), |driver| {
            random_cut(driver, &mut live);
        });
        let global = reduce(source(A, &[1, 2, 3]), Vec::new(), aggregates());
        let global_expected = |tables: &BTreeMap<SourceId, Table>| {
            let rows: Vec<(Row, Diff)> = tables[&A].rows.clone().into_iter().collect();
            Bag::from([(summary(None, &rows), 1)])
        };
        driver.attach(2, plan(Rel::Reduce(global)), 3, Box::new(global_expected), |_| {});
        // SELECT DISTINCT k FROM (A UNION ALL B)
        let both = Rel::Union { inputs: vec![source(A, &[1]), source(B, &[1])] };
        let distinct = reduce(both, vec![group_key(0)], Vec::new());
        let distinct_expected = |tables: &BTreeMap<SourceId, Table>| {
            let rows = tables[&A].rows.keys().chain(tables[&B].rows.keys());
            rows.map(|row| (row8(&[k(row)]), 1)).collect()
        };
        driver.attach(3, plan(Rel::Reduce(distinct)), 3, Box::new(distinct_expected), |driver| {
            random_cut(driver, &mut live);
        });
        driver.churn(&mut random, 40, random_cut);
        let all = |table: SourceId| driver.tables[&table].rows.iter().map(|(row, n)| (row.clone(), -n)).collect();
        let gone = BTreeMap::from([(A, all(A)), (B, all(B))]);
        driver.cut(gone);
        driver.settle();
        [1, 3].into_iter().for_each(|graph| driver.assert_nothing_held(graph, "reduce"));
        driver.stop();
    }
}

/// Three levels: groups of A; how many groups have each count; the groups joined with B.
#[test]
fn e10_stream_tables_over_stream_tables_follow_in_the_same_time() {
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |_| {});
        driver.table(A, 3);
        driver.table(B, 3);
        random_cut(&mut driver, &mut random);
        let counts = |tables: &BTreeMap<SourceId, Table>| -> BTreeMap<Option<i64>, i64> {
            groups(&tables[&A]).into_iter().map(|(k, rows)| (k, rows.iter().map(|(_, n)| n).sum())).collect()
        };
        let count = vec![aggregate(AggregateFunction::CountRows, None)];
        let first = reduce(source(A, &[1]), vec![group_key(0)], count.clone());
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            counts(tables).into_iter().map(|(k, n)| (row8(&[k, Some(n)]), 1)).collect()
        };
        driver.attach(10, plan(Rel::Reduce(first)), 2, Box::new(expected), |_| {});
        let mut live = Random(seed ^ 99);
        let upper = Rel::StreamTable { table: 10, columns: vec![2] };
        let second = reduce(upper, vec![group_key(0)], count);
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            let mut by: BTreeMap<i64, i64> = BTreeMap::new();
            counts(tables).into_values().for_each(|n| *by.entry(n).or_default() += 1);
            by.into_iter().map(|(n, m)| (row8(&[Some(n), Some(m)]), 1)).collect()
        };
        driver.attach(11, plan(Rel::Reduce(second)), 1, Box::new(expected), |driver| random_cut(driver, &mut live));
        let join = Join {
            inputs: vec![
                join_input(Rel::StreamTable { table: 10, columns: vec![1, 2] }, 2),
                join_input(source(B, &[1]), 1),
            ],
            paths: vec![vec![step(1, 0, 0)], vec![step(0, 2, 0)]],
            residual: Vec::new(),
            site: 0,
        };
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            let mut bag = Bag::new();
            for (key, n) in counts(tables) {
                for (b, m) in tables[&B].rows.iter().filter(|(b, _)| key.is_some() && k(b) == key) {
                    add(&mut bag, row8(&[key, Some(n), k(b)]), *m);
                }
            }
            bag
        };
        driver.attach(12, plan(Rel::Join(join)), 1, Box::new(expected), |driver| random_cut(driver, &mut live));
        for round in 0..40 {
            random_cut(&mut driver, &mut random);
            if round % 5 == 4 {
                driver.settle();
            } else {
                driver.drain(false);
            }
            if round == 20 {
                driver.detach(11);
            }
        }
        driver.settle();
        assert_eq!(driver.engine.detach(10), vec![12]);
        driver.stop();
    }
}
