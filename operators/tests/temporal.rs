//! Temporal filters against a naive evaluation of every row at the clock's reading: random rows, deletions, steps of the
//! clock, joins and aggregates above, several workers.

mod common;

use common::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use trickle_operators::expr::clock::{ClockComparison, ClockExpression, ClockStep, Unit, Zone};
use trickle_operators::expr::Expr;
use trickle_operators::plan::*;
use trickle_operators::value::{Kind, Row};

const A: SourceId = 1;
const G: GraphId = 100;

const INT8GT: u32 = 470;

fn shifted(amount: i64) -> ClockExpression {
    ClockExpression { since: 0, steps: vec![ClockStep::Add(amount)] }
}

fn test(value: usize, comparison: ClockComparison, clock: ClockExpression) -> ClockTest {
    ClockTest { value, kind: Kind::TimestampTz, comparison, clock, text: String::new() }
}

fn outcome(test: usize, width: usize) -> Expr {
    Expr::Column(width + test, Kind::Bool)
}

fn temporal(input: Rel, width: usize, tests: Vec<ClockTest>, condition: Expr) -> Rel {
    Rel::Temporal(Temporal { input: Box::new(input), width, tests, condition, names: Vec::new() })
}

/// `value op clock` in SQL's three values.
fn compare(value: Option<i64>, comparison: ClockComparison, clock: i64) -> Option<bool> {
    use ClockComparison::*;
    value.map(|value| match comparison {
        Eq => value == clock,
        Ne => value != clock,
        Lt => value < clock,
        Le => value <= clock,
        Gt => value > clock,
        Ge => value >= clock,
        Within => unreachable!("a test of its own"),
    })
}

/// A driver with a clock; graph `G` reads it.
struct Clocked {
    driver: Driver,
    clock: Rc<Cell<i64>>,
}

impl Clocked {
    fn new(workers: usize, slice: usize) -> Self {
        let driver = Driver::new(workers, |config| config.slice.rows = slice);
        Clocked { driver, clock: Rc::new(Cell::new(1_000)) }
    }

    /// Changes and a reading of the clock at one time; what the clock is told may be earlier than what it shows.
    fn cut(&mut self, changes: Vec<(Row, i64)>, told: Option<i64>) {
        let engine = &mut self.driver.engine;
        let time = engine.open();
        let mut sources = Vec::new();
        if let Some(told) = told {
            self.clock.set(self.clock.get().max(told));
            engine.tick(time, G, told);
            sources.push(G);
        }
        if !changes.is_empty() {
            sources.push(A);
            let table = self.driver.tables.get_mut(&A).expect("a table of the test");
            let columns: Vec<i16> = (1..=table.width as i16).collect();
            changes.iter().for_each(|(row, diff)| add(&mut table.rows, row.clone(), *diff));
            self.driver.engine.feed(time, A, &columns, changes);
        }
        let affected = self.driver.engine.affected(&sources);
        self.driver.engine.advance(time, &affected.sources);
        self.driver.owe(time, &affected.graphs);
    }

    fn attach(&mut self, root: Rel, expected: impl Fn(&Bag, i64) -> Bag + 'static) {
        let clock = Rc::clone(&self.clock);
        let expected = Box::new(move |tables: &BTreeMap<SourceId, Table>| expected(&tables[&A].rows, clock.get()));
        let now = self.clock.get();
        self.driver.attach_with(G, plan(root), 7, Some(expected), |_| {}, |engine| engine.tick(0, G, now));
    }
}

/// Rows of few values near the clock, with NULLs and infinities; deletions of any row.
fn random_changes(random: &mut Random, table: &Table, clock: i64) -> Vec<(Row, i64)> {
    let mut rows = table.rows.clone();
    let mut out = Vec::new();
    for _ in 0..=random.below(8) {
        let (row, diff) = if random.chance(3) && !rows.is_empty() {
            let index = random.below(rows.len() as u64) as usize;
            (rows.keys().nth(index).expect("within bounds").clone(), -1)
        } else {
            let mut instant = || match random.below(20) {
                0 => None,
                1 => Some(i64::MAX),
                2 => Some(i64::MIN),
                _ => Some(clock - 30 + random.below(60) as i64),
            };
            let (from, to) = (instant(), instant());
            (row8(&[Some(random.below(4) as i64), from, to]), 1)
        };
        add(&mut rows, row.clone(), diff);
        out.push((row, diff));
    }
    out
}

fn run(seed: u64, workers: usize, root: Rel, expected: impl Fn(&Bag, i64) -> Bag + 'static) {
    let mut random = Random(seed);
    let mut clocked = Clocked::new(workers, if seed.is_multiple_of(2) { 2 } else { 100_000 });
    clocked.driver.table(A, 3);
    let first = random_changes(&mut random, &clocked.driver.tables[&A], 1_000);
    let table = clocked.driver.tables.get_mut(&A).expect("made above");
    first.iter().for_each(|(row, diff)| add(&mut table.rows, row.clone(), *diff));
    clocked.attach(root, expected);
    for _ in 0..40 {
        let clock = clocked.clock.get();
        let changes = match random.chance(3) {
            true => Vec::new(),
            false => random_changes(&mut random, &clocked.driver.tables[&A], clock),
        };
        // Also back, to the same microsecond, and past everything.
        let told = match random.below(8) {
            0 => None,
            1 => Some(clock - 20),
            2 => Some(clock),
            3 => Some(clock + 100),
            _ => Some(clock + random.below(12) as i64),
        };
        clocked.cut(changes, told);
        if random.chance(3) {
            clocked.driver.settle();
            let next = clocked.driver.engine.next_instant(G);
            assert!(next.is_none_or(|next| next > clocked.clock.get()), "seed {seed}: {next:?} has passed");
        }
    }
    clocked.driver.settle();
    clocked.driver.stop();
}

fn filtered(rows: &Bag, passes: impl Fn(&Row) -> Option<bool>) -> Bag {
    rows.iter().filter(|(row, _)| passes(row) == Some(true)).map(|(row, n)| (row.clone(), *n)).collect()
}

#[test]
fn rows_enter_and_leave_by_the_clock() {
    use ClockComparison::*;
    for seed in seeds(12) {
        println!("seed {seed}");
        for comparison in [Eq, Ne, Lt, Le, Gt, Ge] {
            let tests = vec![test(1, comparison, shifted(-5))];
            let root = temporal(source(A, &[1, 2, 3]), 3, tests, outcome(0, 3));
            run(seed, 1 + (seed % 3) as usize, root, move |rows, clock| {
                filtered(rows, |row| compare(int8(row, 1), comparison, clock - 5))
            });
        }
    }
}

/// `from <= now() AND (to IS NULL OR now() < to)`
#[test]
fn validity_periods_are_followed() {
    use ClockComparison::*;
    for seed in seeds(20) {
        println!("seed {seed}");
        let tests = vec![test(1, Le, shifted(0)), test(2, Gt, shifted(0))];
        let open = Expr::Or(vec![Expr::IsNull(Box::new(column(2))), outcome(1, 3)]);
        let root = temporal(source(A, &[1, 2, 3]), 3, tests, Expr::And(vec![outcome(0, 3), open]));
        run(seed, 1 + (seed % 3) as usize, root, |rows, clock| {
            filtered(rows, |row| {
                let (from, to) = (int8(row, 1), int8(row, 2));
                Some(from.is_some_and(|from| from <= clock) && to.is_none_or(|to| clock < to))
            })
        });
    }
}

/// `NOT (x > 1 AND from > now()) OR to = now() + 3`: three values, and a condition that goes back and forth.
#[test]
fn any_condition_over_the_tests_is_evaluated() {
    use ClockComparison::*;
    let and = |left: Option<bool>, right: Option<bool>| match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    };
    for seed in seeds(20) {
        println!("seed {seed}");
        let tests = vec![test(1, Gt, shifted(0)), test(2, Eq, shifted(3))];
        let one = Expr::Literal(Some(1i64.to_ne_bytes().to_vec()), Kind::Int8);
        let large = Expr::Call { function: INT8GT, arguments: vec![column(0), one], kind: Kind::Bool, collation: 0 };
        let early = Expr::Not(Box::new(Expr::And(vec![large, outcome(0, 3)])));
        let root = temporal(source(A, &[1, 2, 3]), 3, tests, Expr::Or(vec![early, outcome(1, 3)]));
        run(seed, 1 + (seed % 2) as usize, root, move |rows, clock| {
            filtered(rows, |row| {
                let large = int8(row, 0).map(|x| x > 1);
                let early = and(large, compare(int8(row, 1), Gt, clock)).map(|both| !both);
                // OR is the negation of AND of the negations.
                and(early.map(|early| !early), compare(int8(row, 2), Eq, clock + 3).map(|hit| !hit)).map(|no| !no)
            })
        });
    }
}

/// `multirange @> now() - 2`, of any number of ranges: each row comes and goes as often as there are ranges.
#[test]
fn ranges_begin_and_end() {
    for seed in seeds(12) {
        println!("seed {seed}");
        let mut random = Random(seed);
        let mut clocked = Clocked::new(1 + (seed % 3) as usize, if seed.is_multiple_of(2) { 2 } else { 100_000 });
        clocked.driver.table(A, 2);
        let tests = vec![ClockTest { kind: Kind::TimestampTz, ..test(1, ClockComparison::Within, shifted(-2)) }];
        let root = temporal(source(A, &[1, 2]), 2, tests, outcome(0, 2));
        let bounds = |row: &Row| -> Option<Vec<i64>> {
            let parts = row.column(1)?.chunks_exact(8);
            Some(parts.map(|part| i64::from_ne_bytes(part.try_into().expect("8 bytes"))).collect())
        };
        clocked.attach(root, move |rows, clock| {
            filtered(rows, |row| Some(bounds(row)?.chunks(2).any(|range| (range[0]..range[1]).contains(&(clock - 2)))))
        });
        for number in 0..60i64 {
            let clock = clocked.clock.get();
            let mut rows = Vec::new();
            for _ in 0..random.below(3) {
                let mut bounds: Vec<i64> =
                    (0..2 * random.below(4)).map(|_| clock - 20 + random.below(50) as i64).collect();
                bounds.sort_unstable();
                bounds.dedup();
                bounds.truncate(bounds.len() / 2 * 2);
                if let (Some(first), true) = (bounds.first_mut(), random.chance(4)) {
                    *first = i64::MIN;
                }
                if let (Some(last), true) = (bounds.last_mut(), random.chance(4)) {
                    *last = i64::MAX;
                }
                let image: Vec<u8> = bounds.iter().flat_map(|bound| bound.to_ne_bytes()).collect();
                let image = (!random.chance(8)).then_some(&image[..]);
                rows.push((Row::from_columns([Some(&(number % 5).to_ne_bytes()[..]), image]), 1));
            }
            if random.chance(3) {
                let some = clocked.driver.tables[&A].rows.keys().next().cloned();
                rows.extend(some.map(|row| (row, -1)));
            }
            clocked.cut(rows, Some(clock + random.below(9) as i64));
        }
        clocked.driver.settle();
        clocked.driver.stop();
    }
}

/// `SELECT k, count(*) … WHERE from > now() - 9 GROUP BY k`
#[test]
fn aggregates_follow() {
    use ClockComparison::*;
    for seed in seeds(10) {
        println!("seed {seed}");
        let input = temporal(source(A, &[1, 2, 3]), 3, vec![test(1, Gt, shifted(-9))], outcome(0, 3));
        let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
        let root = Rel::Reduce(Reduce {
            input: Box::new(input),
            keys: vec![group_key(0)],
            aggregates: vec![count],
            collected: None,
            global: false,
            site: 0,
        });
        run(seed, 1 + (seed % 3) as usize, root, |rows, clock| {
            let mut counts: BTreeMap<Option<i64>, i64> = BTreeMap::new();
            for (row, n) in filtered(rows, |row| compare(int8(row, 1), Gt, clock - 9)) {
                *counts.entry(int8(&row, 0)).or_default() += n;
            }
            counts.into_iter().map(|(key, count)| (row8(&[key, Some(count)]), 1)).collect()
        });
    }
}

/// Each row that waits is one entry, one that has left is none, and all of it is counted as held.
#[test]
fn only_rows_that_the_clock_can_change_are_held() {
    let mut clocked = Clocked::new(1, 100_000);
    clocked.driver.table(A, 3);
    let root = temporal(source(A, &[1, 2, 3]), 3, vec![test(1, ClockComparison::Gt, shifted(-10))], outcome(0, 3));
    clocked.attach(root, |rows, clock| filtered(rows, |row| compare(int8(row, 1), ClockComparison::Gt, clock - 10)));
    let held = |clocked: &Clocked| {
        let statistics = clocked.driver.engine.statistics(G).expect("attached");
        let operator = statistics.operators.iter().find(|operator| operator.name == "temporal filter");
        operator.map(|operator| (operator.held_rows, operator.held_bytes)).expect("there is one")
    };
    let rows: Vec<(Row, i64)> = (0..1000).map(|n| (row8(&[Some(n), Some(1_000 + n), None]), 1)).collect();
    clocked.cut(rows.clone(), None);
    clocked.driver.settle();
    assert_eq!(held(&clocked).0, 1000);
    assert!(held(&clocked).1 > 1000 * 24);
    assert_eq!(clocked.driver.engine.next_instant(G), Some(1_010));
    clocked.cut(Vec::new(), Some(1_509));
    clocked.driver.settle();
    assert_eq!(held(&clocked).0, 500);
    assert_eq!(clocked.driver.engine.next_instant(G), Some(1_510));
    // Those that have left, those that have not, and those that never will.
    clocked.cut(rows.into_iter().map(|(row, _)| (row, -1)).collect(), None);
    clocked.cut(vec![(row8(&[None, Some(i64::MAX), None]), 1), (row8(&[None, None, None]), 1)], None);
    clocked.driver.settle();
    assert_eq!(held(&clocked), (0, 0));
    assert_eq!(clocked.driver.engine.next_instant(G), None);
    clocked.driver.stop();
}

/// `d = current_date` where the day begins later in summer: instants of a zone, not of UTC.
#[test]
fn e32_dates_turn_at_local_midnight() {
    const HOUR: i64 = 3_600_000_000;
    let zone = Zone { name: "somewhere".into(), first: HOUR, changes: vec![(48 * HOUR, 2 * HOUR)] };
    let clock = ClockExpression { since: 0, steps: vec![ClockStep::Local(zone.clone()), ClockStep::Date] };
    let month = vec![ClockStep::Local(zone), ClockStep::Truncate(Unit::Month), ClockStep::Date];
    assert!(clock.is_monotone() && ClockExpression { since: 0, steps: month }.is_monotone());
    let mut clocked = Clocked::new(1, 100_000);
    clocked.driver.table(A, 1);
    let test = ClockTest { kind: Kind::Date, ..test(0, ClockComparison::Eq, clock) };
    let day = |days: i32| Row::from_columns([Some(&days.to_ne_bytes()[..])]);
    let root = temporal(source(A, &[1]), 1, vec![test], outcome(0, 1));
    clocked.attach(root, move |rows, clock| {
        let offset = if clock < 48 * HOUR { HOUR } else { 2 * HOUR };
        let today = (clock + offset).div_euclid(24 * HOUR);
        filtered(rows, |row| Some(row.column(0) == Some(&(today as i32).to_ne_bytes()[..])))
    });
    clocked.cut((-1..6).chain([i32::MAX, i32::MIN]).map(|days| (day(days), 1)).collect(), None);
    for (told, next) in [(22 * HOUR, 23), (23 * HOUR - 1, 23), (23 * HOUR, 47), (47 * HOUR, 70), (70 * HOUR, 94)] {
        clocked.cut(Vec::new(), Some(told));
        clocked.driver.settle();
        assert_eq!(clocked.driver.engine.next_instant(G), Some(next * HOUR));
    }
    clocked.driver.stop();
}
