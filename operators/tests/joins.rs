//! Delta joins over shared, private and mixed arrangements, attached while changes flow, against brute force.

mod common;

use common::*;
use std::collections::BTreeMap;
use trickle_operators::plan::*;
use trickle_operators::value::{Row, RowBuilder};

const A: SourceId = 1;
const B: SourceId = 2;
const C: SourceId = 3;

fn chain() -> Join {
    Join {
        inputs: vec![
            join_input(source(A, &[1, 2]), 2),
            join_input(source(B, &[1, 2]), 2),
            join_input(source(C, &[1, 2]), 2),
        ],
        paths: vec![
            vec![step(1, 0, 0), step(2, 3, 0)],
            vec![step(2, 3, 0), step(0, 2, 0)],
            vec![step(1, 4, 1), step(0, 2, 0)],
        ],
        residual: Vec::new(),
        site: 0,
    }
}

fn concat(parts: &[&Row]) -> Row {
    let mut builder = RowBuilder::default();
    parts.iter().for_each(|part| builder.extend(part.as_ref()));
    builder.finish()
}

fn equal(a: &Row, i: usize, b: &Row, j: usize) -> bool {
    int8(a, i).is_some() && int8(a, i) == int8(b, j)
}

fn chain_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (a, n) in &tables[&A].rows {
        for (b, m) in tables[&B].rows.iter().filter(|(b, _)| equal(a, 0, b, 0)) {
            for (c, k) in tables[&C].rows.iter().filter(|(c, _)| equal(b, 1, c, 0)) {
                add(&mut bag, concat(&[a, b, c]), n * m * k);
            }
        }
    }
    bag
}

/// A joined with itself on its first column, and with everything of C (no key).
fn self_join() -> Join {
    let everything = Lookup { input: 2, probe: Vec::new(), key: Vec::new(), filter: Vec::new() };
    Join {
        inputs: vec![
            join_input(source(A, &[1, 2]), 2),
            join_input(source(A, &[1, 2]), 2),
            join_input(source(C, &[2]), 1),
        ],
        paths: vec![
            vec![step(1, 0, 0), everything.clone()],
            vec![everything, step(0, 2, 0)],
            vec![Lookup { input: 1, probe: Vec::new(), key: Vec::new(), filter: Vec::new() }, step(0, 2, 0)],
        ],
        residual: Vec::new(),
        site: 0,
    }
}

fn self_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (a, n) in &tables[&A].rows {
        for (b, m) in tables[&A].rows.iter().filter(|(b, _)| equal(a, 0, b, 0)) {
            for (c, k) in &tables[&C].rows {
                add(&mut bag, concat(&[a, b, &project(c, &[2])]), n * m * k);
            }
        }
    }
    bag
}

/// A private input (a projection of A) with a shared one.
fn mixed() -> Join {
    let swapped = Rel::Project { input: Box::new(source(A, &[2, 1])), columns: vec![1, 0] };
    Join {
        inputs: vec![join_input(swapped, 2), join_input(source(B, &[1, 2]), 2)],
        paths: vec![vec![step(1, 0, 0)], vec![step(0, 2, 0)]],
        residual: Vec::new(),
        site: 0,
    }
}

fn mixed_expected(tables: &BTreeMap<SourceId, Table>) -> Bag {
    let mut bag = Bag::new();
    for (a, n) in &tables[&A].rows {
        for (b, m) in tables[&B].rows.iter().filter(|(b, _)| equal(a, 0, b, 0)) {
            add(&mut bag, concat(&[a, b]), n * m);
        }
    }
    bag
}

fn random_cut(driver: &mut Driver, random: &mut Random) {
    let mut all = BTreeMap::new();
    for source in [A, B, C] {
        if random.chance(2) {
            all.insert(source, changes(random, &driver.tables[&source], &[5, 4], 4));
        }
    }
    if !all.is_empty() {
        driver.cut(all);
    }
}

fn run(seed: u64, workers: usize, initial: u64, cuts: u64) {
    println!("seed {seed}, {workers} workers");
    let mut random = Random(seed);
    let mut driver = Driver::new(workers, |config| {
        // Slices so small that every operator is resumed in the middle of its work.
        if seed.is_multiple_of(2) {
            config.slice.rows = 3;
        }
    });
    for source in [A, B, C] {
        driver.table(source, 2);
        let rows = changes(&mut random, &driver.tables[&source], &[5, 4], initial);
        driver.cut(BTreeMap::from([(source, rows)]));
    }
    let mut live = Random(seed ^ 0xABCD);
    driver.attach(7, plan(Rel::Join(chain())), 1, Box::new(chain_expected), |driver| {
        if live.chance(2) {
            random_cut(driver, &mut live);
        }
    });
    for round in 0..cuts {
        random_cut(&mut driver, &mut random);
        // Up to five times in flight.
        if round % 5 == 4 {
            driver.settle();
        } else {
            driver.drain(false);
        }
        if round == cuts / 3 {
            driver.attach(8, plan(Rel::Join(self_join())), 2, Box::new(self_expected), |driver| {
                random_cut(driver, &mut live);
            });
        }
        if round == cuts / 2 {
            driver.attach(9, plan(Rel::Join(mixed())), 1, Box::new(mixed_expected), |driver| {
                random_cut(driver, &mut live);
            });
        }
        if round == cuts * 3 / 4 {
            driver.detach(7);
        }
    }
    driver.settle();
    driver.stop();
}

#[test]
fn e01_e02_e05_delta_joins_attached_while_changes_flow_equal_brute_force() {
    for seed in seeds(12) {
        let workers = 1 + (seed % 3) as usize;
        let initial = if seed % 11 == 0 { 300 } else { 12 };
        run(seed, workers, initial, 40);
    }
}
