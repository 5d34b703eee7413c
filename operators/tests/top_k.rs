//! ORDER BY … LIMIT/OFFSET/WITH TIES and DISTINCT ON, against sorting the whole table.

mod common;

use common::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use trickle_operators::engine::api::Diff;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;

/// (k int8, x float8, t text), everything nullable.
fn row(k: Option<i64>, x: Option<f64>, t: Option<&str>) -> Row {
    let (k, x) = (k.map(i64::to_ne_bytes), x.map(f64::to_ne_bytes));
    Row::from_columns([k.as_ref().map(|i| &i[..]), x.as_ref().map(|i| &i[..]), t.map(str::as_bytes)])
}

fn x(row: &Row) -> Option<f64> {
    row.column(1).map(|image| f64::from_ne_bytes(image.try_into().expect("eight bytes")))
}

/// PostgreSQL's order of floats: NaN is the greatest, and equal to itself; -0 is 0.
fn floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn column_order<T>(
    a: Option<T>,
    b: Option<T>,
    descending: bool,
    nulls_first: bool,
    of: fn(T, T) -> Ordering,
) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if nulls_first => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if nulls_first => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if descending => of(b, a),
        (Some(a), Some(b)) => of(a, b),
    }
}

#[derive(Clone)]
struct Case {
    partitioned: bool,
    order: Vec<OrderKey>,
    offset: u64,
    limit: Option<u64>,
    with_ties: bool,
}

impl Case {
    fn random(random: &mut Random) -> Case {
        let mut key = |column, kind| OrderKey {
            column,
            kind,
            descending: random.chance(2),
            nulls_first: random.chance(2),
            labels: Vec::new(),
        };
        let mut order = vec![key(1, Kind::Float8), key(2, Kind::Text)];
        order.truncate(1 + random.below(2) as usize);
        if random.chance(2) {
            order.reverse();
        }
        Case {
            partitioned: random.chance(2),
            order,
            offset: [0, 0, 1, 4][random.below(4) as usize],
            limit: [None, Some(1), Some(3), Some(20)][random.below(4) as usize],
            with_ties: random.chance(3),
        }
    }

    fn rel(&self) -> Rel {
        Rel::TopK(TopK {
            input: Box::new(source(A, &[1, 2, 3])),
            keys: if self.partitioned { vec![group_key(0)] } else { Vec::new() },
            order: self.order.clone(),
            offset: self.offset,
            limit: self.limit,
            with_ties: self.with_ties,
        })
    }

    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let columns = self.order.iter().map(|key| match key.column {
            1 => column_order(x(a), x(b), key.descending, key.nulls_first, floats),
            _ => column_order(a.column(2), b.column(2), key.descending, key.nulls_first, |a, b| a.cmp(b)),
        });
        columns.fold(Ordering::Equal, Ordering::then)
    }

    fn expected(&self, table: &Table) -> Bag {
        let mut partitions: BTreeMap<Option<i64>, Vec<Row>> = BTreeMap::new();
        for (row, count) in &table.rows {
            let key = if self.partitioned { int8(row, 0) } else { None };
            let rows = partitions.entry(key).or_default();
            rows.extend(std::iter::repeat_n(row.clone(), *count as usize));
        }
        let mut bag = Bag::new();
        for mut rows in partitions.into_values() {
            rows.sort_by(|a, b| self.compare(a, b).then_with(|| a.cmp(b)));
            let end = self.limit.map_or(rows.len(), |limit| (self.offset + limit) as usize).min(rows.len());
            for (at, row) in rows.iter().enumerate().skip(self.offset as usize) {
                let tied = self.with_ties && self.limit.is_some() && self.compare(row, &rows[end - 1]).is_eq();
                if at < end || tied {
                    add(&mut bag, row.clone(), 1);
                }
            }
        }
        bag
    }
}

fn random_rows(random: &mut Random, table: &Table, most: u64) -> Vec<(Row, Diff)> {
    let mut rows = table.rows.clone();
    let mut out = Vec::new();
    for _ in 0..=random.below(most) {
        let (row, diff) = if random.below(5) < 2 && !rows.is_empty() {
            let index = random.below(rows.len() as u64) as usize;
            (rows.keys().nth(index).expect("within bounds").clone(), -1)
        } else {
            let k = (!random.chance(8)).then(|| random.below(3) as i64);
            let some = [0.0, -0.0, 1.5, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0];
            let x = (!random.chance(6)).then(|| some[random.below(8) as usize]);
            let t = (!random.chance(6)).then(|| ["", "a", "ab", "b", "\0", "a\0"][random.below(6) as usize]);
            (row(k, x, t), 1)
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
    let changes = random_rows(random, &driver.tables[&A], 6);
    driver.cut(BTreeMap::from([(A, changes)]));
}

#[test]
fn e06_e18_first_rows_of_partitions_equal_sorting_everything() {
    for seed in seeds(40) {
        let workers = 1 + (seed % 3) as usize;
        println!("seed {seed}, {workers} workers");
        let mut random = Random(seed);
        let mut driver = Driver::new(workers, |config| {
            if seed % 2 == 0 {
                config.slice.rows = 2;
            }
        });
        driver.table(A, 3);
        for _ in 0..random.below(4) {
            random_cut(&mut driver, &mut random);
        }
        let mut live = Random(seed ^ 77);
        for graph in 1..=4 {
            let case = Case::random(&mut random);
            let rel = case.rel();
            let expected = move |tables: &BTreeMap<SourceId, Table>| case.expected(&tables[&A]);
            driver.attach(graph, plan(rel), 3, Box::new(expected), |driver| random_cut(driver, &mut live));
        }
        driver.churn(&mut random, 40, random_cut);
        // What is deleted leaves nothing that is shown.
        driver.empty(A);
        assert!((1..=4).all(|graph| driver.content(graph).is_empty()));
        (1..=4).for_each(|graph| driver.assert_nothing_held(graph, "top k"));
        driver.stop();
    }
}

/// Very many changes of one partition, shown far behind an offset: what is emitted is what is shown, not what is passed over.
#[test]
fn e33_what_an_offset_passes_over_is_not_emitted() {
    let mut driver = Driver::new(1, |config| config.slice.rows = 1000);
    driver.table(A, 3);
    let number = |k: i64| (row(Some(k), None, None), 1);
    for (graph, limit) in [(1, Some(10)), (2, None)] {
        let expected = move |tables: &BTreeMap<SourceId, Table>| {
            let mut rows: Vec<&Row> = tables[&A].rows.keys().collect();
            rows.sort_by_key(|row| int8(row, 0));
            let end = limit.map_or(rows.len(), |limit| 20_000 + limit as usize).min(rows.len());
            rows.get(20_000..end).into_iter().flatten().map(|row| ((*row).clone(), 1)).collect()
        };
        let key = OrderKey { column: 0, kind: Kind::Int8, descending: false, nulls_first: false, labels: Vec::new() };
        let rel = Rel::TopK(TopK {
            input: Box::new(source(A, &[1, 2, 3])),
            keys: Vec::new(),
            order: vec![key],
            offset: 20_000,
            limit,
            with_ties: false,
        });
        driver.attach(graph, plan(rel), 100, Box::new(expected), |_| {});
    }
    driver.cut(BTreeMap::from([(A, (0..30_000).map(number).collect())]));
    driver.settle();
    assert_eq!(driver.operator(1, "top k").rows_out, 10);
    assert_eq!(driver.operator(2, "top k").rows_out, 10_000);
    // All that was passed over goes, and what was shown with it.
    driver.cut(BTreeMap::from([(A, (0..25_000).map(|k| (number(k).0, -1)).collect())]));
    driver.settle();
    driver.stop();
}

/// A limit over a limit, and one of the rows that another leaves out: the choice among equal rows is the same everywhere.
#[test]
fn e20_the_choice_among_equal_rows_is_stable() {
    for seed in seeds(6) {
        let mut random = Random(seed);
        let mut driver = Driver::new(1 + (seed % 3) as usize, |_| {});
        driver.table(A, 3);
        let order =
            vec![OrderKey { column: 1, kind: Kind::Float8, descending: false, nulls_first: false, labels: Vec::new() }];
        let first = Case { partitioned: false, order, offset: 0, limit: Some(3), with_ties: false };
        let rest = Case { offset: 3, limit: None, ..first.clone() };
        let both = Rel::Union { inputs: vec![first.rel(), rest.rel()] };
        driver.attach(1, plan(both), 3, Box::new(|tables| tables[&A].rows.clone()), |_| {});
        for _ in 0..60 {
            random_cut(&mut driver, &mut random);
        }
        driver.settle();
        driver.stop();
    }
}
