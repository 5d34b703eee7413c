//! Recursions that do not end, or not soon: errors that come and go, and loops that are let go of in mid-work.

use super::*;

/// Each path once, as it was when the recursion last ended within the rounds.
fn last_good(rounds: u64) -> Expectation {
    let good = std::cell::RefCell::new(Bag::new());
    Box::new(move |tables| {
        let edges = edges(tables);
        let (content, after) = evaluate(tables[&EDGES].rows.clone(), true, rounds, |work| {
            let mut out = Bag::new();
            for (row, count) in work {
                for (_, to, n) in edges.iter().filter(|(from, ..)| *from == int8(row, 1)) {
                    add(&mut out, row8(&[int8(row, 0), *to]), count * n);
                }
            }
            out
        });
        if after.is_empty() {
            *good.borrow_mut() = content;
        }
        good.borrow().clone()
    })
}

/// What does not end within the bound is an error, that goes when the circle does; the content is then as ever.
#[test]
fn e12_an_endless_recursion_is_an_error_and_ends_with_its_circle() {
    for workers in 1..=3 {
        let mut driver = Driver::new(workers, |_| {});
        driver.table(EDGES, 2);
        driver.attach(1, plan(paths_plan(50)), 3, last_good(50), |_| {});
        let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
        let long = (0..51).map(|node| (edge(node, node + 1), 1)).collect();
        driver.cut(BTreeMap::from([(EDGES, long)]));
        driver.settle();
        assert!(driver.errors(1).is_empty(), "50 rounds are within the bound");
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(51, 52), 1)])]));
        driver.settle();
        let messages: Vec<&str> = driver.errors(1).keys().map(|error| error.error.message.as_str()).collect();
        assert_eq!(messages, ["recursive query \"reach\" does not end within 50 rounds of recursion"]);
        assert!(driver.errors(1).keys().all(|error| error.error.sqlstate == *b"54000" && error.site == 7));
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(51, 52), -1)])]));
        driver.settle();
        assert!(driver.errors(1).is_empty());
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(1, 0), 1), (edge(9, 4), 1)])]));
        driver.settle();
        assert!(!driver.errors(1).is_empty());
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(9, 4), -1)])]));
        driver.settle();
        assert!(!driver.errors(1).is_empty());
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(1, 0), -1)])]));
        driver.settle();
        assert!(driver.errors(1).is_empty());
        driver.stop();
    }
}

/// Where rows multiply in every round, their number leaves any type long before the rounds are at their bound.
#[test]
fn e12_counts_beyond_all_bounds_are_an_error_and_cancel_again() {
    let mut driver = Driver::new(2, |_| {});
    driver.table(EDGES, 2);
    let plan = plan(paths_plan(200));
    let expected = last_good(40);
    let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
    driver.attach(1, plan, 3, expected, |_| {});
    driver.cut(BTreeMap::from([(EDGES, vec![(edge(1, 2), 1), (edge(2, 3), 2), (edge(5, 6), 1)])]));
    driver.settle();
    assert!(driver.errors(1).is_empty());
    let circle = [(edge(103, 104), 2), (edge(104, 103), 1)];
    driver.cut(BTreeMap::from([(EDGES, circle.to_vec())]));
    driver.settle();
    let messages: Vec<&str> = driver.errors(1).keys().map(|error| error.error.message.as_str()).collect();
    assert_eq!(messages, ["recursive query \"reach\" comes to too many rows"]);
    driver.cut(BTreeMap::from([(EDGES, vec![(edge(103, 104), -1), (edge(2, 5), 1)])]));
    driver.settle();
    assert!(!driver.errors(1).is_empty());
    driver.cut(BTreeMap::from([(EDGES, vec![(edge(104, 103), -1)])]));
    driver.settle();
    assert!(driver.errors(1).is_empty());
    driver.stop();
}

/// A loop without an end holds up no other graph, and can be let go of while it runs.
#[test]
fn e12_an_endless_loop_holds_up_nobody_and_can_be_dropped() {
    for workers in 1..=2 {
        let mut driver = Driver::new(workers, |_| {});
        driver.table(EDGES, 2);
        driver.table(OTHER, 2);
        let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
        driver.cut(BTreeMap::from([(EDGES, vec![(edge(1, 2), 1), (edge(2, 1), 1)])]));
        // Attached without the driver, which would wait for it.
        let endless = plan(paths_plan(u64::MAX - 1));
        let hydrations = driver.engine.attach(2, endless);
        assert!(hydrations.is_empty());
        for hydration in driver.engine.install(2) {
            let columns = hydration.columns.clone();
            let rows = driver.tables[&EDGES].rows.iter().map(|(row, n)| (project(row, &columns), *n)).collect();
            driver.engine.hydrate(hydration.id, rows);
            driver.engine.hydrated(hydration.id);
        }
        let began = Instant::now();
        driver.attach(1, plan(source(OTHER, &[1, 2])), 3, Box::new(|tables| tables[&OTHER].rows.clone()), |_| {});
        for node in 0..20 {
            driver.cut(BTreeMap::from([(OTHER, vec![(edge(node, node), 1)])]));
            driver.settle();
        }
        println!("{:?} for 20 times beside an endless loop", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10));
        driver.engine.detach(2);
        driver.cut(BTreeMap::from([(OTHER, vec![(edge(50, 50), 1)])]));
        driver.settle();
        while let Some(event) = driver.engine.poll() {
            assert!(!matches!(event, Event::Output { graph: 2, .. }), "it never reported");
        }
        driver.stop();
    }
}

/// Between two rounds as many rows may go as come: that is no end.
#[test]
fn e12_rows_that_come_and_go_in_equal_numbers_are_not_the_end() {
    let mut driver = Driver::new(2, |_| {});
    driver.table(EDGES, 2);
    // R(n + 1) = base + {x + 1} - {x}: one row more, one less, for ever.
    let longer = Rel::Map {
        input: Box::new(recursive(2)),
        expressions: vec![call(INT8PL, column(1), literal(1), Kind::Int8)],
        site: 0,
    };
    let step = project_rel(longer, &[0, 2]);
    let gone = Rel::Negate { input: Box::new(recursive(2)) };
    let body = append(vec![source(EDGES, &[1, 2]), step, gone]);
    driver.attach(1, plan(fixpoint_of(0, 20, body)), 3, Box::new(|_| Bag::new()), |_| {});
    driver.cut(BTreeMap::from([(EDGES, vec![(row8(&[Some(1), Some(1)]), 1)])]));
    driver.settle();
    let messages: Vec<&str> = driver.errors(1).keys().map(|error| error.error.message.as_str()).collect();
    assert_eq!(messages, ["recursive query \"reach\" does not end within 20 rounds of recursion"]);
    driver.cut(BTreeMap::from([(EDGES, vec![(row8(&[Some(1), Some(1)]), -1)])]));
    driver.settle();
    assert!(driver.errors(1).is_empty());
    driver.stop();
}

/// While it hydrates, a loop does not run over a mixture of moments: in one of them it might never end.
#[test]
fn e12_a_loop_runs_over_no_state_that_no_snapshot_has() {
    for workers in 1..=2 {
        let mut driver = Driver::new(workers, |_| {});
        driver.table(EDGES, 2);
        driver.table(OTHER, 2);
        let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
        let circle = (0..9).map(|node| (edge(node, (node + 1) % 9), 1)).collect();
        driver.cut(BTreeMap::from([(EDGES, circle), (OTHER, vec![(edge(5, 5), 1)])]));
        // All edges but those of OTHER, of which there are none before there are all of EDGES: not one circle.
        let excess = append(vec![source(EDGES, &[1, 2]), Rel::Negate { input: Box::new(source(OTHER, &[1, 2])) }]);
        let step = Rel::Join(Join {
            inputs: vec![join_input(recursive(2), 2), join_input(excess.clone(), 2)],
            paths: vec![vec![step(1, 1, 0)], vec![step(0, 2, 1)]],
            residual: Vec::new(),
            site: 0,
        });
        let body = append(vec![excess, project_rel(step, &[0, 3])]);
        let endless = plan(fixpoint_of(0, u64::MAX - 1, body));
        let expected = |tables: &BTreeMap<SourceId, Table>| {
            let mut rows = tables[&EDGES].rows.clone();
            tables[&OTHER].rows.iter().for_each(|(row, n)| add(&mut rows, row.clone(), -n));
            let edges = rows.clone();
            let (all, _) = evaluate(rows, true, 100, |work| {
                let mut out = Bag::new();
                for (row, count) in work {
                    for (edge, n) in edges.iter().filter(|(edge, _)| int8(edge, 0) == int8(row, 1)) {
                        add(&mut out, row8(&[int8(row, 0), int8(edge, 1)]), count * n);
                    }
                }
                out
            });
            all
        };
        let mut opened = false;
        driver.attach(1, endless, 2, Box::new(expected), |driver| {
            // The edge that closes the circle goes after the first chunk has been read, with that of OTHER.
            if !std::mem::replace(&mut opened, true) {
                let changes =
                    BTreeMap::from([(EDGES, vec![(edge(8, 0), -1), (edge(5, 5), 1)]), (OTHER, vec![(edge(2, 3), 1)])]);
                driver.cut(changes);
            }
        });
        driver.settle();
        assert!(!driver.content(1).is_empty());
        driver.stop();
    }
}

/// A round in which a key has many rows on both sides: whoever stops does not wait for all of their pairs.
#[test]
fn e12_a_round_of_many_pairs_stops_in_the_middle() {
    const MANY: i64 = 30_000;
    let mut driver = Driver::new(1, |_| {});
    driver.table(EDGES, 2);
    driver.table(OTHER, 2);
    let edge = |from: i64, to: i64| row8(&[Some(from), Some(to)]);
    let rows: Vec<(Row, i64)> = (1..=MANY).flat_map(|node| [(edge(node, 0), 1), (edge(0, -node), 1)]).collect();
    let count = Aggregate { function: AggregateFunction::CountRows, argument: None, distinct: None, filter: None };
    let root = Rel::Reduce(Reduce {
        input: Box::new(paths_plan(ROUNDS)),
        keys: Vec::new(),
        aggregates: vec![count],
        collected: None,
        global: true,
        site: 0,
    });
    assert!(driver.engine.attach(2, plan(root)).is_empty());
    for hydration in driver.engine.install(2) {
        driver.engine.hydrate(hydration.id, rows.clone());
        driver.engine.hydrated(hydration.id);
    }
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    driver.engine.detach(2);
    driver.attach(1, plan(source(OTHER, &[1, 2])), 3, Box::new(|tables| tables[&OTHER].rows.clone()), |_| {});
    driver.cut(BTreeMap::from([(OTHER, vec![(edge(1, 1), 1)])]));
    driver.settle();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    driver.stop();
}
